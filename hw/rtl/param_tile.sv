// Requantization records of the last four weight tiles, where the output stage finds those of a whole activation word at once.
//
// Contract: rw_* writes the record of output `rw_channel` of a half into slot (tile number modulo 4), and the layer's shift of
// that half.  Reading is asynchronous: slot, half, word -> the records of outputs word * CIN to word * CIN + CIN - 1.  A write is seen from
// the next cycle on.  Nothing is reset.
`default_nettype none

module param_tile #(
    parameter int CIN = 8,
    parameter int COUT = 16,
    localparam int CW = COUT / CIN,
    localparam int CHANNEL_BITS = COUT > 1 ? $clog2(COUT) : 1,
    localparam int WORD_BITS = CW > 1 ? $clog2(CW) : 1
) (
    input wire logic clk,
    input wire logic rw_valid,
    input wire logic [1:0] rw_slot,
    input wire logic rw_half,
    input wire logic [CHANNEL_BITS-1:0] rw_channel,
    input wire logic [43:0] rw_data,
    input wire logic [5:0] rw_shift,

    input wire logic [1:0] slot,
    input wire logic half,
    input wire logic [WORD_BITS-1:0] word,
    output logic [CIN-1:0][23:0] bias,
    output logic [CIN-1:0][15:0] multiplier,
    output logic [CIN-1:0][3:0] offset,
    output logic [5:0] shift
);
  initial if (COUT % CIN != 0) $fatal(1, "param_tile: COUT must be a multiple of CIN");

  localparam int DEPTH = 8 << (CW > 1 ? $clog2(CW) : 0);
  localparam int ADDRESS_BITS = $clog2(DEPTH);
  localparam int LANE_BITS = $clog2(CIN);

  logic [ADDRESS_BITS-1:0] waddr, raddr;
  if (CW > 1) begin : words
    assign waddr = {rw_slot, rw_half, rw_channel[CHANNEL_BITS-1:LANE_BITS]};
    assign raddr = {slot, half, word};
  end else begin : one_word
    assign waddr = {rw_slot, rw_half};
    assign raddr = {slot, half};
    wire logic unused = &{1'b0, word};
  end

  for (genvar lane = 0; lane < CIN; lane++) begin : lanes
    (* ram_style = "distributed" *) logic [43:0] records[DEPTH];
    always_ff @(posedge clk) if (rw_valid && rw_channel[LANE_BITS-1:0] == LANE_BITS'(lane)) records[waddr] <= rw_data;
    assign {offset[lane], multiplier[lane], bias[lane]} = records[raddr];
  end

  (* ram_style = "distributed" *) logic [5:0] shifts[8];
  always_ff @(posedge clk) if (rw_valid) shifts[{rw_slot, rw_half}] <= rw_shift;
  assign shift = shifts[{slot, half}];
endmodule

`default_nettype wire
