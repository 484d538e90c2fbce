// One pixel and two outputs of the MAC array: a cascade of CIN multipliers and two accumulators.
//
// Two weights share a DSP48, which multiplies their pair w1 * 2^18 + w0 by a, unsigned.  The low field of the cascade's sum is exact in 18 signed
// bits, since CIN <= 16 products lie in [-32 * 255 * 16, 31 * 255 * 16].  A negative low field has borrowed one
// from the upper field; its sign bit gives that back as carry-in of the upper accumulator.
//
// Contract
//   act[i] of one step arrives i cycles after act[0], pairs[i] a cycle behind act[i].  Registers of a tap: the
//   activation, the product, the sum (all inside a DSP48, as is a copy of the pair's).  sum_valid and sum_first belong to the step whose act[0]
//   came CIN + 2 cycles earlier; sum0 and sum1 hold the accumulators one cycle after that and keep while
//   sum_valid is low.  A step every cycle.  Nothing is reset: sum_first discards the old sums.
`default_nettype none

module mac_column #(
    parameter int CIN = 8
) (
    input wire logic clk,
    input wire logic [CIN-1:0][7:0] act,
    input wire logic [CIN-1:0][24:0] pairs,  // registers of mac_array
    input wire logic sum_valid,
    input wire logic sum_first,
    output logic [23:0] sum0,
    output logic [23:0] sum1
);
    // The widths are those that synthesis maps to one DSP48 a tap, without a LUT.
    typedef logic signed [33:0] product_t;
    typedef logic signed [41:0] cascade_t;

    cascade_t sums[CIN];

    for (genvar i = 0; i < CIN; i++) begin : taps
        logic [7:0] activation;
        product_t product;

        always_ff @(posedge clk) begin
            activation <= act[i];
            product <= $signed(pairs[i]) * $signed({1'b0, activation});
        end

        if (i == 0) begin : head
            always_ff @(posedge clk) sums[0] <= cascade_t'(product);
        end else begin : tail
            always_ff @(posedge clk) sums[i] <= sums[i-1] + cascade_t'(product);
        end
    end

    wire logic [35:0] fields = sums[CIN-1][35:0];
    wire logic borrow = fields[17];
    wire logic [23:0] low = 24'($signed(fields[17:0]));
    wire logic [23:0] high = 24'($signed(fields[35:18]));
    wire logic [23:0] kept0 = sum_first ? '0 : sum0;
    wire logic [23:0] kept1 = sum_first ? '0 : sum1;

    // One further bit below carries the borrow in, which keeps this one adder.
    logic [24:0] high_sum;
    assign high_sum = {kept1, borrow} + {high, 1'b1};

    always_ff @(posedge clk) begin
        if (sum_valid) begin
            sum0 <= low + kept0;
            sum1 <= high_sum[24:1];
        end
    end

    logic unused;
    assign unused = &{1'b0, sums[CIN-1][41:36], high_sum[0]};
endmodule

`default_nettype wire
