// Performance counters: where the cycles of the last frame went.
//
// Contract
//   running     a frame is being computed; every such cycle counts once in `total` and once in one of the other four.
//   busy        a product was issued;
//   wait_weights, wait_input  otherwise: what the MAC array waits for, weights before image rows.  Neither: the output stage
//               (requantizers, earlier writes, the frame's last drain).
//   frame_end   pulse in a frame's last running cycle, which still counts.
//   The outputs are registers that hold the last completed frame's counts, `frames` the completed frames since reset.
//   They change 3 cycles after frame_end.  Counters begin anew with each frame, an abandoned frame's counts vanish:
//   frame_clear (pulse) forgets them.  Sums wrap at 2^32.
`default_nettype none

module perf_counters (
    input wire logic clk,
    input wire logic rst,

    input wire logic running,
    input wire logic busy,
    input wire logic wait_weights,
    input wire logic wait_input,
    input wire logic frame_end,
    input wire logic frame_clear,

    output logic [31:0] frames,
    output logic [31:0] total,
    output logic [31:0] busy_cycles,
    output logic [31:0] stall_weights,
    output logic [31:0] stall_input,
    output logic [31:0] stall_output
);
    localparam int CAUSES = 4;  // busy, weights, input, output

    logic [CAUSES-1:0] cause;
    logic counted, ended, cleared;
    logic [CAUSES-1:0][31:0] count;
    logic [31:0] cycles;

    // One register stage decides the cause, the next one counts.
    always_ff @(posedge clk) begin
        cause   <= '0;
        counted <= running && !rst;
        ended   <= frame_end && !rst;
        cleared <= frame_clear || rst;
        if (busy) cause[0] <= 1'b1;
        else if (wait_weights) cause[1] <= 1'b1;
        else if (wait_input) cause[2] <= 1'b1;
        else cause[3] <= 1'b1;
    end

    logic latch;
    always_ff @(posedge clk) begin
        // Behind a frame's last cycle the counters hold this cycle alone, which may be the next frame's first.
        cycles <= (latch || cleared ? 32'd0 : cycles) + 32'(counted && !cleared);
        for (int i = 0; i < CAUSES; i++) begin
            count[i] <= (latch || cleared ? 32'd0 : count[i]) + 32'(counted && cause[i] && !cleared);
        end
        latch <= ended && !cleared;
        if (latch && !rst) begin
            frames        <= frames + 32'd1;
            total         <= cycles;
            busy_cycles   <= count[0];
            stall_weights <= count[1];
            stall_input   <= count[2];
            stall_output  <= count[3];
        end
        if (rst) begin
            latch         <= 1'b0;
            frames        <= 32'd0;
            total         <= 32'd0;
            busy_cycles   <= 32'd0;
            stall_weights <= 32'd0;
            stall_input   <= 32'd0;
            stall_output  <= 32'd0;
        end
    end
endmodule

`default_nettype wire
