// Logit stream: 32-bit logits -> 64-bit AXI4-Stream beats of two, through a FIFO.
//
// Contract
//   logit_*   one logit a cycle, logit_last with a frame's last.  logit_ready is a register: the FIFO has room.
//   space     register: two further groups of COUT logits fit the FIFO, so that a group on its way and one more do.
//   m_axis_*  the logit that came first in bits 31:0; TLAST with a frame's last; TKEEP 0x0F and zeros above where the
//             last beat holds one logit.  Registered, stable while tvalid && !tready.
//   close     pulse: the frame is given up, none of its logits will follow.  What waits is dropped, but a packet whose first beat
//             was sent, or is offered, is closed by a beat of zeros with TLAST.  A reset does the same, so the
//             one flag that says that a packet is open is not reset.
//
// Latency: a beat is offered 2 cycles after its second logit.  Throughput: a beat every cycle.  A full FIFO holds 4 * COUT
// logits (rounded up to a power of two), and one beat more waits at the output.
`default_nettype none

module logit_stream #(
    parameter int COUT = 16
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic close,

    input wire logic logit_valid,
    output logic logit_ready,
    input wire logic [31:0] logit_data,
    input wire logic logit_last,
    output logic space,

    output logic [63:0] m_axis_tdata,
    output logic [7:0] m_axis_tkeep,
    output logic m_axis_tlast,
    output logic m_axis_tvalid,
    input wire logic m_axis_tready
);
    localparam int BITS = $clog2(2 * COUT);
    localparam int DEPTH = 1 << BITS;  // beats
    localparam int BEAT = 66;  // last, only the lower logit, two logits

    if (COUT < 2 || COUT > 64) begin : check_cout
        $error("logit_stream: COUT must be 2 to 64");
    end

    // --- pairs ---
    logic upper;  // the next logit is a beat's second
    logic [31:0] lower_logit;
    wire logic accept = logit_valid && logit_ready;
    wire logic push = accept && (upper || logit_last);

    wire logic [BEAT-1:0] pushed = {logit_last, !upper, upper ? {logit_data, lower_logit} : {32'd0, logit_data}};

    // --- FIFO ---
    logic [BITS-1:0] head, tail;
    logic [BITS:0] fill, next_fill;
    logic closing;  // of an abandoned packet; set by close
    wire logic output_free = !m_axis_tvalid || m_axis_tready;
    wire logic pop = fill != '0 && output_free && !closing;
    logic oldest_last, oldest_single;
    logic [63:0] oldest_data;

    ram_lut #(
        .DEPTH(DEPTH),
        .WIDTH(BEAT)
    ) fifo (
        .clk,
        .we(push),
        .waddr(head),
        .wdata(pushed),
        .raddr(tail),
        .rdata({oldest_last, oldest_single, oldest_data})
    );

    always_comb next_fill = fill + (BITS + 1)'(push) - (BITS + 1)'(pop);

    // --- output and closing ---
    logic open;  // of the packet that goes out a beat was transferred, but not its last
    initial open = 1'b0;
    wire logic left_open = m_axis_tvalid ? !m_axis_tlast : open;

    always @(posedge clk) begin  // plain: an initial block writes it, too
        if (accept) lower_logit <= logit_data;
        if (accept) upper <= !upper && !logit_last;
        if (push) head <= head + 1'b1;
        if (pop) tail <= tail + 1'b1;
        fill        <= next_fill;
        logit_ready <= next_fill != (BITS + 1)'(DEPTH);
        space       <= next_fill <= (BITS + 1)'(DEPTH - COUT);

        if (output_free) begin
            m_axis_tvalid <= pop || (closing && left_open);
            m_axis_tdata  <= closing ? 64'd0 : oldest_data;
            m_axis_tkeep  <= !closing && oldest_single ? 8'h0F : 8'hFF;
            m_axis_tlast  <= closing || oldest_last;
            closing       <= 1'b0;
        end
        if (m_axis_tvalid && m_axis_tready) open <= !m_axis_tlast;

        if (close || rst) begin
            head        <= '0;
            tail        <= '0;
            fill        <= '0;
            upper       <= 1'b0;
            logit_ready <= !rst;
            space       <= !rst;
            closing     <= 1'b1;
        end
        if (rst) m_axis_tvalid <= 1'b0;
    end
endmodule

`default_nettype wire
