// The expander with the memories around it, for bench_expander.py.
`default_nettype none

module expander_bench
  import squeeze_pkg::*;
#(
    parameter int CIN = 8,
    parameter int COUT = 16,
    parameter int TILE_WORDS = 80,
    parameter int STORE_WORDS = 6144,
    parameter int TABLES = 0,
    parameter int PARAM_DEPTH = 1024,
    parameter int PROGRAM_DEPTH = 16,
    localparam int CHUNK = CIN < 8 ? CIN : 8,
    localparam int CW = COUT / CIN,
    localparam int WORD_BITS = CW > 1 ? $clog2(CW) : 1
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic start,
    input wire logic restart,
    input wire logic [31:0] stream_words,
    input wire logic pw_valid,
    input wire logic [2:0] pw_section,
    input wire logic [15:0] pw_index,
    input wire logic [2:0] pw_word,
    input wire logic [63:0] pw_data,
    input wire logic sw_valid,
    input wire logic [23:0] sw_addr,
    input wire logic [71:0] sw_data,
    input wire logic [71:0] ws_data,
    input wire logic ws_valid,
    output logic ws_ready,
    input wire logic mac_req,
    input wire logic [15:0] mac_index,
    output logic [1:0] f_done,
    output logic [127:0] f_instruction,
    output logic [383:0] f_layer,
    output logic [63:0] f_source,
    output logic [63:0] f_target,
    output logic tw_valid,
    output logic tw_buffer,
    output logic [15:0] tw_word,
    output logic [15:0] tw_output,
    output logic tw_half,
    output logic [CHUNK*6-1:0] tw_data,
    output logic rw_valid,
    input wire logic [1:0] slot,
    input wire logic half,
    input wire logic [WORD_BITS-1:0] word,
    output logic [CIN*24-1:0] bias,
    output logic [CIN*16-1:0] multiplier,
    output logic [CIN*4-1:0] offset,
    output logic [5:0] shift,
    output logic tile_ready,
    input wire logic tile_release
);
  localparam int STORE_DEPTH = STORE_WORDS > 0 ? STORE_WORDS : 2;
  logic f_req;
  logic [15:0] f_index, param_raddr;
  logic [23:0] store_raddr;
  logic [71:0] store_rdata;
  logic [43:0] param_rdata, rw_data;
  logic [1:0] rw_slot;
  logic rw_half;
  logic [$clog2(COUT)-1:0] rw_channel, write_output;
  logic [$clog2(TILE_WORDS)-1:0] write_word;
  logic [5:0] rw_shift;
  instruction_t instruction;
  layer_t layer;
  buffer_t source, target;

  assign tw_word = 16'(write_word);
  assign tw_output = 16'(write_output);
  assign f_instruction = instruction;
  assign f_layer = layer;
  assign f_source = source;
  assign f_target = target;

  program_memory #(
      .PROGRAM_DEPTH(PROGRAM_DEPTH)
  ) program_ (
      .clk, .rst, .pw_valid, .pw_section, .pw_index, .pw_word, .pw_data,
      .f_req({f_req, mac_req}),
      .f_index({f_index, mac_index}),
      .f_done, .f_instruction(instruction), .f_layer(layer), .f_source(source), .f_target(target)
  );

  split_memory #(
      .DEPTH(STORE_DEPTH),
      .WIDTH(72)
  ) store (
      .clk, .we(sw_valid), .waddr(sw_addr[$clog2(STORE_DEPTH)-1:0]), .wdata(sw_data),
      .raddr(store_raddr[$clog2(STORE_DEPTH)-1:0]), .rdata(store_rdata)
  );

  param_memory #(
      .PARAM_DEPTH(PARAM_DEPTH)
  ) params (
      .clk, .pw_valid, .pw_section, .pw_index, .pw_data, .raddr(param_raddr), .rdata(param_rdata)
  );

  expander #(
      .CIN(CIN),
      .COUT(COUT),
      .TILE_WORDS(TILE_WORDS),
      .STORE_WORDS(STORE_WORDS),
      .TABLES(TABLES)
  ) dut (
      .clk, .rst, .start, .restart, .stream_words, .pw_valid, .pw_section, .pw_index, .pw_data,
      .fetch_req(f_req), .fetch_index(f_index), .fetch_done(f_done[1]), .fetch_instruction(instruction), .fetch_layer(layer),
      .store_raddr, .store_rdata, .ws_data, .ws_valid, .ws_ready, .param_raddr, .param_rdata,
      .tw_valid, .tw_buffer, .tw_word(write_word), .tw_output(write_output), .tw_half, .tw_data,
      .rw_valid, .rw_slot, .rw_half, .rw_channel, .rw_data, .rw_shift, .tile_ready, .tile_release
  );

  param_tile #(
      .CIN(CIN),
      .COUT(COUT)
  ) records (
      .clk, .rw_valid, .rw_slot, .rw_half, .rw_channel, .rw_data, .rw_shift,
      .slot, .half, .word, .bias, .multiplier, .offset, .shift
  );

  logic unused = &{1'b0, sw_addr, store_raddr};
endmodule

`default_nettype wire
