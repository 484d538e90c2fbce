// Requantizers: CIN sums a cycle become activations (squeeze_hls/network/arith.py, requantize):
//
//     y = clamp(((acc + bias) * M + 2^(S-1)) >> S, 0, top),    M = 2^16 + multiplier,  S = shift - offset
//
// Contract
//   out and out_valid belong to the inputs of REQUANT_LATENCY cycles earlier; new inputs every cycle, no back-pressure.
//   S must lie in [1, 41].  acc + bias is exact in 25 bits.  Only out_valid is reset.
//   top is top_b where half_b came with the inputs, else top_a; both are looked at 4 cycles after the inputs, so that
//   those of a layer, which stay while its words are in flight, need no registers of their own.
//   One DSP48 a lane: acc + bias in its pre-adder, the product, and half a unit added behind it.  Then a shift by
//   multiples of 8, a shift by 0 to 7, and the clamp, one cycle each.
`default_nettype none

module requantizer #(
    parameter int CIN = 8
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic in_valid,
    input wire logic [CIN-1:0][23:0] acc,
    input wire logic [CIN-1:0][23:0] bias,
    input wire logic [CIN-1:0][15:0] multiplier,
    input wire logic [CIN-1:0][3:0] offset,
    input wire logic [5:0] shift,
    input wire logic half_b,
    input wire logic [15:0] top_a,
    input wire logic [7:0] top_b,

    output logic [CIN-1:0][15:0] out,
    output logic out_valid
);
    localparam int LATENCY = squeeze_pkg::REQUANT_LATENCY;

    localparam int LANE = 6;  // cycles of a lane; the others follow it, for the tools to move

    if (LATENCY < LANE) begin : bad_latency
        $error("requantizer: REQUANT_LATENCY of the package must be 6 at least");
    end

    logic [LATENCY-1:0] valid;
    logic [3:0] halves;
    logic [15:0] top5;

    always_ff @(posedge clk) begin
        valid <= {valid[LATENCY-2:0], in_valid};
        halves <= {halves[2:0], half_b};
        top5 <= halves[3] ? 16'(top_b) : top_a;
        if (rst) valid <= '0;
    end
    assign out_valid = valid[LATENCY-1];

    logic [CIN-1:0][15:0] values;
    delay_line #(.STAGES(LATENCY - LANE), .WIDTH(CIN * 16)) later (.clk, .in(values), .out(out));

    for (genvar i = 0; i < CIN; i++) begin : lanes
        requantizer_lane lane (
            .clk,
            .acc(acc[i]),
            .bias(bias[i]),
            .multiplier(multiplier[i]),
            .offset(offset[i]),
            .shift(shift),
            .top5(top5),
            .out(values[i])
        );
    end
endmodule

`default_nettype wire
