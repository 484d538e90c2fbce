// Instructions, layer and buffer records, and two ports that fetch an instruction with all that it refers to.
//
// Contract
//   pw_*      writes word `pw_word` of record `pw_index`: section 0 layers, 1 buffers, 2 instructions (3 and 4 are not for this memory).
//   f_req[p]  port p (0 MAC, 1 expander) asks for instruction f_index[p]; both are held until f_done[p], and f_req[p] is low
//             in the cycle after that unless another instruction is wanted.  Lowering it earlier withdraws the request.
//   f_done[p] one cycle in which f_instruction, f_layer, f_source and f_target are those of the instruction.
//   They stay until the next request of any port is served.
// One request is served at a time, in FETCH_CYCLES = 7 cycles from the cycle that takes it to f_done; the lowest port goes first.
// The two words of an instruction stand in block RAM (256 instructions: one of 36 Kbit), the tables in LUTRAM, read whole.
// Reset withdraws requests; memories keep their contents.  INIT_PREFIX, unless empty: initial contents from
// {INIT_PREFIX, "instructions.mem"} (64-bit words), "layer0.mem" .. "layer5.mem" (word k of each layer) and "buffers.mem".
`default_nettype none

module program_memory #(
    parameter int PROGRAM_DEPTH = 256,
    parameter int LAYER_DEPTH = 32,
    parameter int BUFFER_DEPTH = 32,
    parameter INIT_PREFIX = ""
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic pw_valid,
    input wire logic [2:0] pw_section,
    input wire logic [15:0] pw_index,
    input wire logic [2:0] pw_word,
    input wire logic [63:0] pw_data,

    input wire logic [1:0] f_req,
    input wire logic [1:0][15:0] f_index,
    output logic [1:0] f_done,
    output squeeze_pkg::instruction_t f_instruction,
    output squeeze_pkg::layer_t f_layer,
    output squeeze_pkg::buffer_t f_source,
    output squeeze_pkg::buffer_t f_target
);
  initial begin
    if (PROGRAM_DEPTH < 2 || PROGRAM_DEPTH > 65536) $fatal(1, "program_memory: PROGRAM_DEPTH must be 2 to 65536");
    if (LAYER_DEPTH < 2 || LAYER_DEPTH > 64) $fatal(1, "program_memory: LAYER_DEPTH must be 2 to 64");
    if (BUFFER_DEPTH < 2 || BUFFER_DEPTH > 32) $fatal(1, "program_memory: BUFFER_DEPTH must be 2 to 32");
  end

  localparam int PROGRAM_BITS = $clog2(PROGRAM_DEPTH);
  localparam int LAYER_ADDRESS = $clog2(LAYER_DEPTH);
  localparam int BUFFER_ADDRESS = $clog2(BUFFER_DEPTH);

  // --- who is served ---
  logic [1:0] port;  // one-hot; 0: none
  logic [6:1] step;  // one-hot: cycles since the request was taken
  logic [PROGRAM_BITS-1:0] index;
  logic idle;

  assign idle = step == '0;

  always_ff @(posedge clk) begin
    if (rst || (!idle && (f_req & port) == 2'd0)) begin
      step <= '0;
    end else begin
      step <= {step[5:1], idle && f_req != 2'd0};
    end
    if (idle) begin
      port <= f_req[0] ? 2'b01 : 2'b10;
      index <= PROGRAM_BITS'(f_req[0] ? f_index[0] : f_index[1]);
    end
  end

  assign f_done = step[6] ? port & f_req : 2'd0;

  // --- instructions: step 1 and 2 read the two words, which are there in step 3 and 4 ---
  (* ram_style = "block" *) logic [63:0] instructions[2*PROGRAM_DEPTH];
  logic [63:0] read, word, low;

  if (INIT_PREFIX != "") begin : initial_instructions
    initial $readmemh({INIT_PREFIX, "instructions.mem"}, instructions);
  end

  always @(posedge clk) begin  // plain: an initial block writes it, too
    if (pw_valid && pw_section == 3'd2) instructions[{pw_index[PROGRAM_BITS-1:0], pw_word[0]}] <= pw_data;
    read <= instructions[{index, step[2]}];
    word <= read;  // the block RAM's output register
    if (step[3]) low <= word;
    if (step[4]) f_instruction <= {word, low};
  end

  // --- tables: read in step 5 ---
  logic [squeeze_pkg::LAYER_WORDS-1:0][63:0] layer;
  for (genvar k = 0; k < squeeze_pkg::LAYER_WORDS; k++) begin : layer_words
    (* ram_style = "distributed" *) logic [63:0] words[LAYER_DEPTH];
    if (INIT_PREFIX != "") begin : initial_words
      initial $readmemh({INIT_PREFIX, "layer", 8'(48 + k), ".mem"}, words);
    end
    always @(posedge clk) begin  // plain: an initial block writes it, too
      if (pw_valid && pw_section == 3'd0 && pw_word == 3'(k)) words[pw_index[LAYER_ADDRESS-1:0]] <= pw_data;
    end
    assign layer[k] = words[f_instruction.layer[LAYER_ADDRESS-1:0]];
  end

  (* ram_style = "distributed" *) logic [squeeze_pkg::BUFFER_BITS-1:0] sources[BUFFER_DEPTH];
  (* ram_style = "distributed" *) logic [squeeze_pkg::BUFFER_BITS-1:0] targets[BUFFER_DEPTH];
  if (INIT_PREFIX != "") begin : initial_buffers
    initial $readmemh({INIT_PREFIX, "buffers.mem"}, sources);
    initial $readmemh({INIT_PREFIX, "buffers.mem"}, targets);
  end

  always @(posedge clk) begin  // plain: an initial block writes it, too
    if (pw_valid && pw_section == 3'd1) begin
      sources[pw_index[BUFFER_ADDRESS-1:0]] <= pw_data[squeeze_pkg::BUFFER_BITS-1:0];
      targets[pw_index[BUFFER_ADDRESS-1:0]] <= pw_data[squeeze_pkg::BUFFER_BITS-1:0];
    end
    if (step[5]) begin
      f_layer <= squeeze_pkg::layer_t'(layer);
      f_source <= squeeze_pkg::buffer_t'(sources[f_instruction.source[BUFFER_ADDRESS-1:0]]);
      f_target <= squeeze_pkg::buffer_t'(targets[f_instruction.target[BUFFER_ADDRESS-1:0]]);
    end
  end

  wire logic unused = &{1'b0, pw_index, f_index};
endmodule

`default_nettype wire
