// Requantizers: CIN sums a cycle become activations (squeeze_hls/arith.py, requantize):
//
//     y = clamp(((acc + bias) * M + 2^(S-1)) >> S, 0, wide ? 65535 : 255),    M = 2^16 + multiplier,  S = shift - offset
//
// Contract
//   out and out_valid belong to the inputs of REQUANT_LATENCY cycles earlier; new inputs every cycle, no back-pressure.
//   S must lie in [1, 41].  acc + bias is exact in 25 bits.  Only out_valid is reset.
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
    input wire logic wide,

    output logic [CIN-1:0][15:0] out,
    output logic out_valid
);
    localparam int LATENCY = squeeze_pkg::REQUANT_LATENCY;

    if (LATENCY != 6) begin : bad_latency
        $error("requantizer: REQUANT_LATENCY of the package must be 6");
    end

    logic [LATENCY-1:0] valid;
    logic [LATENCY-2:0] wides;

    always_ff @(posedge clk) begin
        valid <= {valid[LATENCY-2:0], in_valid};
        wides <= {wides[LATENCY-3:0], wide};
        if (rst) valid <= '0;
    end
    assign out_valid = valid[LATENCY-1];

    for (genvar i = 0; i < CIN; i++) begin : lanes
        requantizer_lane lane (
            .clk,
            .acc(acc[i]),
            .bias(bias[i]),
            .multiplier(multiplier[i]),
            .offset(offset[i]),
            .shift(shift),
            .wide5(wides[LATENCY-2]),
            .out(out[i])
        );
    end
endmodule

`default_nettype wire
