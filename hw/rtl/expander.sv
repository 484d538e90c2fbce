// Expands the weights of one tile after the other into the ping-pong weight tile, ahead of the MAC array.
//
// Contract
//   start         pulse: begin at instruction 0; ignored once begun.  After the last instruction follows the next frame's first.
//   restart       pulse: forget everything and begin at instruction 0 (new program or weights, or a frame given up).  The MAC array
//                 restarts in the same cycle; reset does the same, but waits for start.
//   fetch_*       fetch port 1 of program_memory.
//   store_*       read port of the weight store, data two cycles behind the address (STORE_WORDS = 0: unused).
//   ws_*          words of the weight stream (STORE_WORDS = 0 only), in the order of the program's tiles.  ws_ready depends on
//                 ws_valid.  Exactly stream_words of them are taken each frame; nothing of them is needed before a frame.
//   param_*       read port of the requantization records, data two cycles behind the address.
//   tw_*          one chunk of CHUNK weights for the weight tile; rw_*: one record for the parameter tile.  No back-pressure.
//   tile_ready    pulse: the tile and its records were written (a read in this very cycle finds them).
//   pw_*          writes of the program: section 4 are the tables of the entropy code.
//   tile_release  pulse: the tile that was ready longest is no longer read.  Tile t is begun when t - 2 has been released.
// Registered: all outputs but store_raddr, ws_ready and rw_data (which is the record memory's output register).
// Throughput: a chunk every cycle, from the first to the last of a half.  Between two tiles of an instruction 1 cycle and 1 for
// each half of the next one; before the first tile of an instruction 4 more, as its store words are read anew.  Of an entropy-coded
// layer (TABLES > 0) each half takes 2 cycles more, and the first tile of an instruction another 5 for the decoder's first states.
// Back-pressure: only by tile_release, and by a stream that has no words.
`default_nettype none

module expander #(
    parameter int CIN = 8,
    parameter int COUT = 16,
    parameter int TILE_WORDS = 80,
    parameter int STORE_WORDS = 51200,
    parameter int TABLES = 0,
    parameter TABLES_FILE = "",
    localparam int CHUNK = CIN < 8 ? CIN : 8,
    localparam int WORD_BITS = $clog2(TILE_WORDS),
    localparam int OUTPUT_BITS = COUT > 1 ? $clog2(COUT) : 1
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic start,
    input wire logic restart,
    input wire logic [31:0] stream_words,

    input wire logic pw_valid,
    input wire logic [2:0] pw_section,
    input wire logic [15:0] pw_index,
    input wire logic [63:0] pw_data,

    output logic fetch_req,
    output logic [15:0] fetch_index,
    input wire logic fetch_done,
    input wire squeeze_pkg::instruction_t fetch_instruction,
    input wire squeeze_pkg::layer_t fetch_layer,

    output logic [23:0] store_raddr,
    input wire logic [71:0] store_rdata,
    input wire logic [71:0] ws_data,
    input wire logic ws_valid,
    output logic ws_ready,

    output logic [15:0] param_raddr,
    input wire logic [43:0] param_rdata,

    output logic tw_valid,
    output logic tw_buffer,
    output logic [WORD_BITS-1:0] tw_word,
    output logic [OUTPUT_BITS-1:0] tw_output,
    output logic tw_half,
    output logic [CHUNK*6-1:0] tw_data,

    output logic rw_valid,
    output logic [1:0] rw_slot,
    output logic rw_half,
    output logic [OUTPUT_BITS-1:0] rw_channel,
    output logic [43:0] rw_data,
    output logic [5:0] rw_shift,

    output logic tile_ready,
    input wire logic tile_release
);
  initial begin
    if (CIN != 4 && CIN != 8 && CIN != 16) $fatal(1, "expander: CIN must be 4, 8 or 16");
    if (COUT % CIN != 0) $fatal(1, "expander: COUT must be a multiple of CIN");
    if (STORE_WORDS > 1 << 24) $fatal(1, "expander: store addresses have 24 bits");
  end

  localparam logic [1:0] ALIGN = 2'd0, TAG = 2'd1, DENSE = 2'd2, BITMAP = 2'd3;  // funnel's modes
  localparam int FUNNEL_LATENCY = 4;
  localparam int ITEM = TABLES == 0 ? CHUNK * 7 : CHUNK == 8 ? 72 : 44;  // funnel.sv

  // --- the program ---
  logic running, clear, begin_walk;
  logic next_valid, next_take, next_first, next_frame, next_a, next_b;
  logic [23:0] next_weights;
  logic next_coded;
  logic [2:0] next_table_a, next_table_b;
  logic [WORD_BITS-1:0] next_end_a, next_end_b;
  logic [15:0] next_params_a, next_params_b;
  logic [5:0] next_shift_a, next_shift_b;

  assign clear = rst || restart;
  assign begin_walk = restart || (start && !running);

  always_ff @(posedge clk) begin
    if (rst) running <= 1'b0;
    else if (begin_walk) running <= 1'b1;
  end

  tile_walker #(
      .COUT(COUT),
      .TILE_WORDS(TILE_WORDS)
  ) walker (
      .clk,
      .rst,
      .begin_walk,
      .fetch_req,
      .fetch_index,
      .fetch_done,
      .fetch_instruction,
      .fetch_layer,
      .tile_valid(next_valid),
      .tile_take(next_take),
      .tile_first(next_first),
      .tile_frame(next_frame),
      .tile_weights(next_weights),
      .tile_a(next_a),
      .tile_b(next_b),
      .tile_coded(next_coded),
      .tile_table_a(next_table_a),
      .tile_table_b(next_table_b),
      .tile_end_a(next_end_a),
      .tile_end_b(next_end_b),
      .tile_params_a(next_params_a),
      .tile_params_b(next_params_b),
      .tile_shift_a(next_shift_a),
      .tile_shift_b(next_shift_b)
  );

  // --- words: from the store, each instruction anew; or from the stream, one after the other ---
  logic anew;  // the next tile's bits begin with another word than the next one
  logic flush, word_valid, word_pop;
  logic [71:0] word;

  assign flush = next_take && anew;

  if (STORE_WORDS > 0) begin : resident
    assign anew = next_first;
    store_reader reader (
        .clk,
        .rst(clear),
        .flush,
        .flush_address(next_weights),
        .raddr(store_raddr),
        .rdata(store_rdata),
        .word,
        .word_valid,
        .word_pop
    );
    assign ws_ready = 1'b0;
    wire logic unused = &{1'b0, ws_data, ws_valid, stream_words, next_frame};
  end else begin : streamed
    // The funnel looks two words ahead.  Behind the last word of a frame it gets words of no meaning, not the next frame's; they are
    // dropped when that begins.
    logic [31:0] left;
    logic ended;
    assign anew = next_frame;
    assign word = ws_data;
    assign word_valid = ended || ws_valid;
    assign ws_ready = word_pop && !ended;
    assign store_raddr = '0;
    always_ff @(posedge clk) begin
      if (clear) begin
        ended <= 1'b1;
      end else if (flush) begin
        ended <= stream_words == 32'd0;
        left <= stream_words;
      end else if (ws_ready) begin
        ended <= left == 32'd1;
        left <= left - 32'd1;
      end
    end
    wire logic unused = &{1'b0, store_rdata, next_weights, next_first};
  end

  // --- the tile in work ---
  typedef enum logic [1:0] {NEXT, FIRST, TAGS, CHUNKS} state_t;
  state_t state;

  logic [1:0] free;  // buffers of the ping-pong tile that may be filled
  logic [1:0] tile, slot;  // number of the next tile, and of the one in work, modulo 4
  logic half_b, both, dense;
  logic [WORD_BITS-1:0] word_index, end_a, end_b;
  logic [OUTPUT_BITS-1:0] output_index;
  logic upper;  // CIN 16: the upper 8 channels
  logic [1:0] mode;
  logic ready, aligned, tag;
  logic chunk, last_upper, last_output, last_word, last_chunk;
  logic copying, copy_busy;
  logic coded, found, cut, next_take_first;  // the layer in work is entropy-coded; its next chunk's length is known
  logic [6:0] coded_bits;
  logic [ITEM-1:0] item;
  logic [CHUNK*6-1:0] decoded;
  logic [2:0] table_a, table_b, firsts;

  always_comb begin
    case (state)
      FIRST, TAGS: mode = TAG;
      CHUNKS: mode = dense ? DENSE : BITMAP;
      default: mode = ALIGN;
    endcase
  end

  funnel #(
      .CHUNK(CHUNK),
      .CODED(TABLES > 0)
  ) cutter (
      .clk,
      .rst(clear),
      .flush,
      .word,
      .word_valid,
      .word_pop,
      .step(!coded || (found && (state == CHUNKS || state == FIRST))),
      .mode,
      .ready,
      .aligned,
      .tag,
      .coded,
      .take(coded_bits),
      .item,
      .decoded,
      .chunk_valid(tw_valid),
      .chunk_data(tw_data)
  );

  if (TABLES > 0) begin : entropy
    entropy_decoder #(
        .CHUNK(CHUNK),
        .TABLES(TABLES),
        .INIT_FILE(TABLES_FILE)
    ) decoder (
        .clk, .pw_valid, .pw_section, .pw_index, .pw_data,
        .begin_layer(next_take && next_first),
        .look(state == FIRST || state == CHUNKS),
        .first(state == FIRST),
        .table_(half_b ? table_b : table_a),
        .found, .take(coded_bits), .cut, .item, .weights(decoded)
    );
  end else begin : plain
    assign found = 1'b0;
    assign coded_bits = 7'd0;
    assign decoded = '0;
    wire logic unused = &{1'b0, pw_valid, pw_section, pw_index, pw_data, item, table_a, table_b};
  end

  // The string of an entropy-coded layer goes on from tile to tile: nothing is aligned.
  assign next_take = state == NEXT && next_valid && free != 2'd0 && !copy_busy && (aligned || ready || anew || coded);
  assign next_take_first = next_first && TABLES > 0 && next_coded;
  assign chunk = state == CHUNKS && ready && (!coded || found);
  assign cut = coded && found && ready && (state == CHUNKS || state == FIRST);
  assign last_upper = CIN < 16 || upper;
  assign last_output = output_index == OUTPUT_BITS'(COUT - 1);
  assign last_word = word_index == (half_b ? end_b : end_a);
  assign last_chunk = last_upper && last_output && last_word;

  always_ff @(posedge clk) begin
    if (clear) begin
      state <= NEXT;
      free <= 2'd2;
      tile <= 2'd0;
      coded <= 1'b0;
    end else begin
      free <= free + 2'(tile_release) - 2'(next_take);
      case (state)
        NEXT:
        if (next_take) begin
          state <= next_take_first ? FIRST : TAGS;
          coded <= TABLES > 0 && next_coded;
          tile <= tile + 2'd1;
        end
        FIRST: if (cut && firsts == 3'd4) state <= TAGS;
        TAGS: if (ready || coded) state <= CHUNKS;
        default: if (chunk && last_chunk) state <= both && !half_b ? TAGS : NEXT;
      endcase
    end
  end

  always_ff @(posedge clk) begin
    if (next_take) begin
      slot <= tile;
      half_b <= !next_a;
      both <= next_a && next_b;
      end_a <= next_end_a;
      end_b <= next_end_b;
      word_index <= '0;
      output_index <= '0;
      upper <= 1'b0;
      table_a <= next_table_a;
      table_b <= next_table_b;
      firsts <= 3'd0;
    end
    if (state == FIRST && cut) firsts <= firsts + 3'd1;
    if (state == TAGS) dense <= !tag;
    if (chunk) begin
      if (CIN == 16) upper <= !upper;
      if (last_upper) output_index <= last_output ? '0 : output_index + OUTPUT_BITS'(1);
      if (last_upper && last_output) word_index <= word_index + WORD_BITS'(1);
      if (last_chunk) half_b <= 1'b1;
    end
  end

  // Where a chunk goes accompanies it through the funnel (in a vector: Yosys reads no arrays of structs).
  typedef struct packed {
    logic buffer;
    logic last;
    logic [WORD_BITS-1:0] word;
    logic [OUTPUT_BITS-1:0] output_;
    logic upper;
  } place_t;
  place_t place;  // of the chunk that leaves the funnel

  delay_line #(
      .STAGES(FUNNEL_LATENCY),
      .WIDTH ($bits(place))
  ) places (
      .clk,
      .in ({slot[0], last_chunk && (half_b || !both), word_index, output_index, upper}),
      .out(place)
  );

  assign tw_buffer = place.buffer;
  assign tw_word = place.word;
  assign tw_output = place.output_;
  assign tw_half = place.upper;

  // --- requantization records of the tile: one a cycle, beside the chunks ---
  logic copy_b, copy_both;
  logic [OUTPUT_BITS-1:0] copy_channel;
  logic [15:0] params_b;
  logic [5:0] shift_a, shift_b;
  logic copy_last;
  logic [1:0] copied_valid, copied_last, copied_half;
  logic [1:0][OUTPUT_BITS-1:0] copied_channel;

  assign copy_busy = copying || copied_valid != 2'd0;
  assign copy_last = copy_channel == OUTPUT_BITS'(COUT - 1);

  always_ff @(posedge clk) begin
    if (clear) begin
      copying <= 1'b0;
      copied_valid <= 2'd0;
    end else begin
      if (next_take) copying <= 1'b1;
      else if (copy_last && (copy_b || !copy_both)) copying <= 1'b0;
      copied_valid <= {copied_valid[0], copying};
    end
    if (next_take) begin
      copy_b <= !next_a;
      copy_both <= next_a && next_b;
      copy_channel <= '0;
      param_raddr <= next_a ? next_params_a : next_params_b;
      params_b <= next_params_b;
      shift_a <= next_shift_a;
      shift_b <= next_shift_b;
    end else begin
      copy_channel <= copy_last ? '0 : copy_channel + OUTPUT_BITS'(1);
      param_raddr <= copy_last ? params_b : param_raddr + 16'd1;
      if (copy_last) copy_b <= 1'b1;
    end
    copied_half <= {copied_half[0], copy_b};
    copied_last <= {copied_last[0], copy_last && (copy_b || !copy_both)};
    copied_channel <= {copied_channel[0], copy_channel};
  end

  assign rw_valid = copied_valid[1];
  assign rw_slot = slot;
  assign rw_half = copied_half[1];
  assign rw_channel = copied_channel[1];
  assign rw_data = param_rdata;
  assign rw_shift = copied_half[1] ? shift_b : shift_a;

  // --- both done: the tile is ready ---
  logic expanded, copied;

  always_ff @(posedge clk) begin
    if (clear) begin
      expanded <= 1'b0;
      copied <= 1'b0;
      tile_ready <= 1'b0;
    end else begin
      tile_ready <= expanded && copied;
      if (expanded && copied) begin
        expanded <= 1'b0;
        copied <= 1'b0;
      end
      if (tw_valid && place.last) expanded <= 1'b1;
      if (copied_valid[1] && copied_last[1]) copied <= 1'b1;
    end
  end
endmodule

`default_nettype wire
