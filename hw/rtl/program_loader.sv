// Walks the payload of a program packet: header, layers, buffers, instructions, requantization records, entropy tables.
//
// Contract
//   begin_load  pulse: the next beat is the first of a program; packet_length is its length with the CRC word.
//   beat_*      payload beats without the CRC word; a beat is taken in every cycle with beat_valid && beat_ready.  beat_ready does not
//               depend on beat_valid; it is low for CHECK_CYCLES = 3 cycles behind the header.
//   refused     level, from those cycles on: the header cannot be loaded; refused_code says why.
//   exceeds     level: a record asks for what is not there (residual operand, a buffer beyond the activation memory, an entropy table,
//               a largest output of 0 or beyond its type); 2 cycles after the record's last beat.
//   header      registers, not reset.  image_words: beats of an image of that header, valid with image_words_known (17 cycles after
//               the header's last word, or after reset).
//   pw_*        registered writes to program_memory (sections 0 layers, 1 buffers, 2 instructions), param_memory (3) and
//               entropy_decoder (4).
// Throughput: a beat a cycle.  Tables of no records are refused but for section 4, so each other section has at least one beat.
`default_nettype none

module program_loader #(
    parameter int CIN = 8,
    parameter int ACT_DEPTH = 5120,
    parameter int STORE_WORDS = 51200,
    parameter int PARAM_DEPTH = 4096,
    parameter int PROGRAM_DEPTH = 256,
    parameter int LAYER_DEPTH = 32,
    parameter int BUFFER_DEPTH = 32,
    parameter int KERNEL_MAX = 7,
    parameter int TABLES = 0,
    parameter logic [31:0] ENGINE_ID = 32'd0,
    parameter logic [383:0] HEADER_INIT = '0
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic begin_load,
    input wire logic [23:0] packet_length,
    input wire logic [63:0] beat_data,
    input wire logic beat_valid,
    output logic beat_ready,

    output logic refused,
    output logic [3:0] refused_code,
    output logic exceeds,
    output squeeze_pkg::header_t header,
    output logic [30:0] image_words,
    output logic image_words_known,

    output logic pw_valid,
    output logic [2:0] pw_section,
    output logic [15:0] pw_index,
    output logic [2:0] pw_word,
    output logic [63:0] pw_data
);
  initial if (KERNEL_MAX > 15 || ACT_DEPTH > 1 << 17) $fatal(1, "program_loader: KERNEL_MAX or ACT_DEPTH is too large");

  initial if (squeeze_pkg::LAYER_WORDS != 6 || squeeze_pkg::INSTRUCTION_WORDS != 2) $fatal(1, "program_loader: record sizes");

  localparam int GATHER_WORDS_MAX = (3 * KERNEL_MAX + CIN - 1) / CIN;
  localparam logic [3:0] WRONG_LENGTH = 4'd3, WRONG_ENGINE = 4'd4, TOO_LARGE = 4'd9;  // docs/program.md, Errors

  logic [383:0] header_words;
  initial header_words = HEADER_INIT;
  assign header = header_words;

  // --- header, then its check in three steps ---
  logic in_header;
  logic [2:0] check;  // one-hot
  logic beat, header_end;
  logic [23:0] expected_length;
  logic too_large, wrong_engine, wrong_version;
  logic [2:0] word;

  assign beat_ready = check == 3'd0;
  assign beat = beat_valid && beat_ready;
  assign header_end = beat && in_header && word == 3'(squeeze_pkg::HEADER_WORDS - 1);

  always @(posedge clk) begin  // plain: an initial block writes it, too
    if (rst || begin_load) begin
      in_header <= !rst;
      check <= 3'd0;
      refused <= 1'b0;
    end else begin
      if (header_end) in_header <= 1'b0;
      check <= {check[1:0], header_end};
      if (check[2]) refused <= wrong_version || wrong_engine || too_large || expected_length != packet_length;
    end
    for (int k = 0; k < squeeze_pkg::HEADER_WORDS; k++) begin
      if (beat && in_header && word == 3'(k)) header_words[64*k+:64] <= beat_data;
    end
    // 6 words a layer and 2 an instruction, as shifts: synthesis would take a DSP for a product.
    expected_length <= 24'(squeeze_pkg::HEADER_WORDS + 1) + {14'd0, header.layers, 2'd0} + {15'd0, header.layers, 1'd0} +
                       24'(header.buffers) + {7'd0, header.instructions, 1'd0} + 24'(header.params) + {10'd0, header.tables, 6'd0};
    wrong_version <= header.version != squeeze_pkg::FORMAT_VERSION;
    wrong_engine <= header.engine != ENGINE_ID;
    too_large <= 32'(header.layers) > LAYER_DEPTH || 32'(header.buffers) > BUFFER_DEPTH ||
                 32'(header.instructions) > PROGRAM_DEPTH || 32'(header.params) > PARAM_DEPTH ||
                 header.layers == 8'd0 || header.buffers == 8'd0 || header.instructions == 16'd0 || header.params == 16'd0 ||
                 32'(header.params) % CIN != 0 || 32'(header.kernel) > KERNEL_MAX ||
                 32'(header.gather_words) > GATHER_WORDS_MAX || 32'(header.tables) > TABLES || (STORE_WORDS > 0 && 32'(header.store_words) > STORE_WORDS);
    if (check[2]) refused_code <= wrong_version ? TOO_LARGE : wrong_engine ? WRONG_ENGINE : too_large ? TOO_LARGE : WRONG_LENGTH;
  end

  // --- tables ---
  logic [2:0] section;
  logic [15:0] index, records;
  logic record_end, section_end;

  always_comb begin
    case (section)
      3'd0: records = 16'(header.layers);
      3'd1: records = 16'(header.buffers);
      3'd2: records = header.instructions;
      3'd3: records = header.params;
      default: records = {2'd0, header.tables, 6'd0};
    endcase
    case (section)
      3'd0: record_end = word == 3'(squeeze_pkg::LAYER_WORDS - 1);
      3'd2: record_end = word == 3'(squeeze_pkg::INSTRUCTION_WORDS - 1);
      default: record_end = 1'b1;
    endcase
    section_end = record_end && index + 16'd1 == records;
  end

  always_ff @(posedge clk) begin
    if (begin_load || header_end) begin
      word <= 3'd0;
      index <= 16'd0;
      section <= 3'd0;
    end else if (beat) begin
      word <= !in_header && record_end ? 3'd0 : word + 3'd1;
      if (!in_header && record_end) index <= section_end ? 16'd0 : index + 16'd1;
      if (!in_header && section_end && section != 3'd4) section <= section + 3'd1;
    end

    pw_valid <= !rst && beat && !in_header;
    pw_section <= section;
    pw_index <= index;
    pw_word <= word;
    pw_data <= beat_data;
  end

  // --- records that ask for what is not there, a cycle later ---
  squeeze_pkg::layer_t layer;
  squeeze_pkg::buffer_t buffer;
  logic half_a, half_b, average;  // of the layer whose last word comes
  logic no_table, no_top;

  // Only the first and the last word of a layer record are looked at.
  assign layer = squeeze_pkg::layer_t'({pw_data, 256'd0, pw_data});
  assign buffer = squeeze_pkg::buffer_t'(pw_data);
  assign no_table = layer.entropy && (8'(layer.table_a) >= header.tables || 8'(layer.table_b) >= header.tables);
  assign no_top = (half_a && (layer.top_a == 16'd0 || (!average && layer.top_a[15:8] != 8'd0))) || (half_b && layer.top_b == 8'd0);

  always_ff @(posedge clk) begin
    if (pw_valid && pw_word == 3'd0) {half_a, half_b, average} <= {layer.half_a, layer.half_b, layer.average};
    if (begin_load) exceeds <= 1'b0;
    else if (pw_valid) begin
      if (pw_section == 3'd0 && pw_word == 3'd0 && layer.residual) exceeds <= 1'b1;
      if (pw_section == 3'd0 && pw_word == 3'(squeeze_pkg::LAYER_WORDS - 1) && (no_table || no_top)) exceeds <= 1'b1;
      if (pw_section == 3'd1 && 32'(buffer.base) + 32'(buffer.depth) > ACT_DEPTH) exceeds <= 1'b1;
    end
  end

  // --- ceil(3 * height * width / 8), a bit of the height a cycle ---
  logic [4:0] size_step;
  logic [33:0] size, addend;
  logic [15:0] height_left;

  assign image_words_known = size_step == 5'd17;
  assign image_words = 31'((35'(size) + 35'd7) >> 3);

  always_ff @(posedge clk) begin
    if (rst || in_header) begin
      size_step <= 5'd0;
    end else if (!image_words_known) begin
      size_step <= size_step + 5'd1;
    end
    if (size_step == 5'd0) begin
      size <= '0;
      addend <= {17'd0, header.width, 1'd0} + 34'(header.width);
      height_left <= header.height;
    end else if (!image_words_known) begin
      if (height_left[0]) size <= size + addend;
      addend <= addend << 1;
      height_left <= height_left >> 1;
    end
  end

  wire logic unused = &{1'b0, layer, buffer};
endmodule

`default_nettype wire
