// MAC array: PIX x CIN x COUT products a cycle on PIX * CIN * COUT / 2 DSP48, PIX x COUT accumulators of 24 bits.
//
// Contract
//   act (unsigned bytes, channel i in byte i of a lane), weights (two's complement, channel i in bits 6 i .. 6 i + 5 of an
//   output) and in_* belong to one step; a step every cycle.  in_first begins new sums, in_last ends them: set_valid
//   is high mac_latency(CIN) cycles after a valid in_last, and sums are the results in that cycle only, since the next
//   step may change them.  A step with in_valid low changes nothing.  No back-pressure: who issues steps sees to it that a
//   finished set can be taken.  Reset drops the steps in flight; sums need none, since in_first discards them.
`default_nettype none

module mac_array #(
    parameter int PIX = 3,
    parameter int CIN = 8,
    parameter int COUT = 16
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic [PIX-1:0][CIN*8-1:0] act,
    input wire logic [COUT-1:0][CIN*6-1:0] weights,
    input wire logic in_valid,
    input wire logic in_first,
    input wire logic in_last,

    output logic [PIX-1:0][COUT-1:0][23:0] sums,
    output logic set_valid
);
    if ((CIN != 4 && CIN != 8 && CIN != 16) || COUT % 2 != 0 || PIX < 1) begin : bad_shape
        $error("mac_array: CIN must be 4, 8 or 16, COUT even, PIX positive");
    end

    localparam int LATENCY = squeeze_pkg::mac_latency(CIN);
    localparam int SUMMED = LATENCY - squeeze_pkg::MAC_OUTPUT_LATENCY;  // the accumulators hold the set
    logic [PIX-1:0][COUT-1:0][23:0] totals;
    delay_line #(.STAGES(LATENCY - SUMMED), .WIDTH(PIX * COUT * 24)) later (.clk, .in(totals), .out(sums));

    // Tap i of every cascade works i cycles behind tap 0.  Lanes share the delayed weights, outputs the activations.
    logic [PIX-1:0][CIN-1:0][7:0] act_skewed;
    logic [COUT-1:0][CIN-1:0][5:0] weights_skewed;

    for (genvar i = 0; i < CIN; i++) begin : skew
        for (genvar p = 0; p < PIX; p++) begin : pixels
            delay_line #(.STAGES(i), .WIDTH(8)) delay (.clk, .in(act[p][8*i+:8]), .out(act_skewed[p][i]));
        end
        for (genvar o = 0; o < COUT; o++) begin : outputs
            delay_line #(.STAGES(i), .WIDTH(6)) delay (.clk, .in(weights[o][6*i+:6]), .out(weights_skewed[o][i]));
        end
    end

    // The pairs of weights that DSP48s multiply, w1 * 2^18 + w0.  All lanes share them, and so the adder stands here: in
    // each lane Yosys would put it into the pre-adder of one lane's DSP48s, and leave the other lanes without weights.
    logic [COUT/2-1:0][CIN-1:0][24:0] weight_pairs;

    for (genvar o = 0; o < COUT; o += 2) begin : pairs_of_weights
        for (genvar i = 0; i < CIN; i++) begin : taps
            wire logic [5:0] low = weights_skewed[o][i];
            wire logic [5:0] high = weights_skewed[o+1][i];
            always_ff @(posedge clk) weight_pairs[o/2][i] <= {{high[5], high} - 7'(low[5]), {12{low[5]}}, low};
        end
    end

    // Step n of these is n + 1 cycles behind the input.
    logic [SUMMED-2:0] valid, first;
    logic [LATENCY-1:0] last;

    always_ff @(posedge clk) begin
        valid <= {valid[SUMMED-3:0], in_valid};
        first <= {first[SUMMED-3:0], in_first};
        last <= {last[LATENCY-2:0], in_valid && in_last};
        if (rst) begin
            valid <= '0;
            last <= '0;
        end
    end

    for (genvar p = 0; p < PIX; p++) begin : pixels
        for (genvar o = 0; o < COUT; o += 2) begin : pairs
            mac_column #(.CIN(CIN)) column (
                .clk,
                .act(act_skewed[p]),
                .pairs(weight_pairs[o/2]),
                .sum_valid(valid[SUMMED-2]),
                .sum_first(first[SUMMED-2]),
                .sum0(totals[p][o]),
                .sum1(totals[p][o+1])
            );
        end
    end

    assign set_valid = last[LATENCY-1];
endmodule

`default_nettype wire
