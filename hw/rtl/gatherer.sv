// Gatherer: a row's pixels, padding included -> the activation words of its gathered pixels.
//
// Three stages: a window of `kernel` pixels that shifts by one with each pixel; a complete window on its way
// out, word by word; the word that is offered to the activation memory.
//
// Contract
//   kernel, gather_words, base, depth: of the program; constant for some cycles before the first pixel.
//   in_*        a pixel a cycle.  in_complete: the window that ends with it is a gathered pixel, which goes to bank in_bank,
//               ring offset in_ring (reduced modulo depth; further words follow, wrapped at depth); in_row_end: the row's last.
//   lw_*        words for the activation memory, all registered; stable while lw_valid && !lw_ready.
//   row_stored  pulse (registered), one cycle after a row's last word was taken.
//   idle        no complete window and no word is left.
//   clear       forget everything.
//
// Latency: a complete window's first word is offered 3 cycles after its last pixel was taken.  Throughput: a pixel in, or a
// word out, every cycle.  Back-pressure: in_ready is low while a complete window waits for the one before it to
// leave; it depends on lw_ready combinationally.
`default_nettype none

module gatherer #(
    parameter int CIN = 8,
    parameter int KERNEL_MAX = 7
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic clear,

    input wire logic [7:0] kernel,
    input wire logic [7:0] gather_words,
    input wire logic [16:0] base,
    input wire logic [16:0] depth,

    input wire logic in_valid,
    output logic in_ready,
    input wire logic [23:0] in_pixel,
    input wire logic in_complete,
    input wire logic in_row_end,
    input wire logic [2:0] in_bank,
    input wire logic [16:0] in_ring,

    output logic lw_valid,
    output logic [2:0] lw_bank,
    output logic [16:0] lw_addr,
    output logic [CIN*8-1:0] lw_data,
    input wire logic lw_ready,

    output logic row_stored,
    output logic idle
);
    localparam int WORDS = (3 * KERNEL_MAX + CIN - 1) / CIN;  // of the largest gathered pixel
    localparam int COUNT_BITS = $clog2(WORDS + 1);

    if (KERNEL_MAX < 2 || KERNEL_MAX > 15) begin : check_kernel
        $error("gatherer: KERNEL_MAX must be 2 to 15");
    end
    if (CIN != 4 && CIN != 8 && CIN != 16) begin : check_cin
        $error("gatherer: CIN must be 4, 8 or 16");
    end

    // Of the program: where the newest pixel enters the window, and the ring's last offset.
    logic [KERNEL_MAX-1:0] newest, older;
    logic [16:0] ring_end;
    logic [COUNT_BITS-1:0] further_words;
    always_ff @(posedge clk) begin
        for (int p = 0; p < KERNEL_MAX; p++) begin
            newest[p] <= kernel == 8'(p + 1);
            older[p]  <= kernel > 8'(p + 1);
        end
        ring_end      <= depth - 17'd1;
        further_words <= COUNT_BITS'(gather_words - 8'd1);
    end

    // Window.  Pixels above the kernel stay zero, so that the last word is padded with zeros.
    logic [KERNEL_MAX-1:0][23:0] window;
    logic full, full_row_end;
    logic [2:0] full_bank;
    logic [16:0] full_ring;

    // Gathered pixel that leaves, its next word at the bottom.
    logic [WORDS-1:0][CIN*8-1:0] words;
    logic leaving, row_end;
    logic [COUNT_BITS-1:0] further;  // words after this one
    logic [2:0] bank;
    logic [16:0] ring;

    logic lw_row_end;

    wire logic last_word = further == '0;
    wire logic word_step = !lw_valid || lw_ready;
    wire logic load = full && (!leaving || (last_word && word_step));
    assign in_ready = !full || load;
    wire logic step = in_valid && in_ready;

    assign idle = !full && !leaving && !lw_valid;

    always_ff @(posedge clk) begin
        if (step) begin
            for (int p = 0; p < KERNEL_MAX; p++) begin
                window[p] <= newest[p] ? in_pixel : older[p] ? window[(p+1)%KERNEL_MAX] : 24'd0;
            end
            full_bank    <= in_bank;
            full_ring    <= in_ring;
            full_row_end <= in_row_end;
        end
        if (load) begin
            words   <= (WORDS * CIN * 8)'(window);
            bank    <= full_bank;
            ring    <= full_ring;
            row_end <= full_row_end;
            further <= further_words;
        end else if (word_step) begin
            words   <= words >> (CIN * 8);
            ring    <= ring == ring_end ? 17'd0 : ring + 17'd1;
            further <= further - 1'b1;
        end
        if (word_step) begin
            lw_bank    <= bank;
            lw_addr    <= base + ring;
            lw_data    <= words[0];
            lw_row_end <= row_end && last_word;
        end

        if (step) full <= in_complete;
        else if (load) full <= 1'b0;
        if (load) leaving <= 1'b1;
        else if (word_step && last_word) leaving <= 1'b0;
        if (word_step) lw_valid <= leaving;
        row_stored <= lw_valid && lw_ready && lw_row_end;

        if (rst || clear) begin
            full       <= 1'b0;
            leaving    <= 1'b0;
            lw_valid   <= 1'b0;
            row_stored <= 1'b0;
        end
    end
endmodule

`default_nettype wire
