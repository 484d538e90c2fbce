// Pixel unpacker: 64-bit beats of packed R, G, B bytes -> one 24-bit pixel a cycle.
//
// Contract
//   in_*      beats, first byte in bits 7:0. Two beats are held; in_ready is a register (the second place is free).
//   px_*      pixels in order, R in bits 7:0. px_data and px_valid follow from registers and stay until px_ready.
//   clear     pulse: forget both beats; the next beat starts with a pixel's R.  The bytes that pad an image's last
//             beat are dropped this way.
//
// Latency: a beat's first pixel is there one cycle after the beat was taken.  Throughput: a pixel every cycle, as 8
// pixels are 3 beats and a free place is filled two cycles before it is needed.  Back-pressure: nothing moves
// while px_ready is low, but for one beat more that is taken.
`default_nettype none

module pixel_unpacker (
    input wire logic clk,
    input wire logic rst,
    input wire logic clear,

    input wire logic [63:0] in_data,
    input wire logic in_valid,
    output logic in_ready,

    output logic [23:0] px_data,
    output logic px_valid,
    input wire logic px_ready
);
    logic [63:0] front, back;
    logic front_valid, back_valid;
    logic [2:0] offset;  // of the pixel's first byte in `front`; steps by 3 modulo 8

    wire logic crosses = offset > 3'd5;  // the pixel's last bytes are in `back`
    wire logic spends = offset >= 3'd5;  // nothing of `front` is left behind this pixel
    wire logic [79:0] bytes = {back[15:0], front};

    assign px_data  = bytes[7'({offset, 3'b000})+:24];
    assign px_valid = front_valid && (back_valid || !crosses);
    assign in_ready = !back_valid;

    wire logic step = px_valid && px_ready;
    wire logic pop  = step && spends;
    wire logic take = in_valid && in_ready;

    always_ff @(posedge clk) begin
        if (pop || !front_valid) front <= back_valid ? back : in_data;
        if (take) back <= in_data;
        if (step) offset <= offset + 3'd3;
        if (pop || !front_valid) begin
            front_valid <= back_valid || take;
            back_valid  <= 1'b0;
        end else if (take) begin
            back_valid <= 1'b1;
        end
        if (rst || clear) begin
            front_valid <= 1'b0;
            back_valid  <= 1'b0;
            offset      <= 3'd0;
        end
    end
endmodule

`default_nettype wire
