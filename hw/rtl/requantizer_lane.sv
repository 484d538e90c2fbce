// One requantizer, described in requantizer.sv: six registers from the inputs to out; top5 comes five cycles after them.
`default_nettype none

module requantizer_lane (
    input wire logic clk,
    input wire logic [23:0] acc,
    input wire logic [23:0] bias,
    input wire logic [15:0] multiplier,
    input wire logic [3:0] offset,
    input wire logic [5:0] shift,
    input wire logic [15:0] top5,
    output logic [15:0] out
);
    // 1 to 3, in the DSP48: sum, product, rounded product.  |product| <= 2^24 * 2^17.
    logic signed [24:0] sum;
    logic signed [17:0] factor;
    logic signed [42:0] product, half, rounded;
    // The shift travels beside them.
    logic [5:0] shift1, shift2, shift3;

    always_ff @(posedge clk) begin
        sum <= 25'($signed(acc)) + 25'($signed(bias));
        factor <= $signed({2'b01, multiplier});
        shift1 <= shift - 6'(offset);

        product <= sum * factor;
        for (int b = 0; b < 43; b++) half[b] <= shift1 == 6'(b + 1);
        shift2 <= shift1;

        rounded <= product + half;
        shift3 <= shift2;
    end

    // 4: shift by multiples of 8.  23 bits are kept; what stands above them exceeds 16 bits after any shift to come.
    logic [22:0] coarse;
    logic [2:0] shift4;
    logic negative4, large4;

    always_ff @(posedge clk) begin
        coarse <= 23'(rounded >>> {shift3[5:3], 3'd0});
        case (shift3[5:3])
            3'd0: large4 <= |rounded[41:23];
            3'd1: large4 <= |rounded[41:31];
            3'd2: large4 <= |rounded[41:39];
            default: large4 <= 1'b0;
        endcase
        negative4 <= rounded[42];
        shift4 <= shift3[2:0];
    end

    // 5: shift by 0 to 7.  What stands above 16 bits exceeds any top.
    logic [15:0] fine;
    logic negative5, large5;
    logic [6:0] beyond;

    always_comb begin
        for (int b = 0; b < 7; b++) beyond[b] = coarse[16+b] && shift4 <= 3'(b);
    end

    always_ff @(posedge clk) begin
        fine <= 16'(coarse >> shift4);
        large5 <= large4 || beyond != 0;
        negative5 <= negative4;
    end

    // 6: clamp.
    wire logic over = large5 || fine > top5;

    always_ff @(posedge clk) begin
        if (negative5) out <= '0;
        else out <= over ? top5 : fine;
    end
endmodule

`default_nettype wire
