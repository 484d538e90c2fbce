// Loader: image beats -> gathered rows in the activation banks (docs/program.md, Gathered image rows).
//
// Walks the padded image row by row, pixel by pixel, takes image pixels from the unpacker and padding from the header,
// and names bank and ring offset of each gathered pixel.  Unread columns and rows are taken and dropped.
//
// Contract
//   header, gather_base, gather_depth: of the program; constant from `restart` on, at least 4 cycles before the first beat.
//   restart        pulse, also after an image that ended early: forget the frame in work, credit = header.credit, row 0.
//   img_*          beats of images, img_first on each image's first. A frame begins when its first beat is offered and
//                  the frame before is done; img_ready then follows from registers and img_first.
//   credit_*       pulse: that many rows more may be begun; a row begins in the next cycle at the earliest.
//   lw_*           registered; stable while lw_valid && !lw_ready.
//   row_stored     pulse, one cycle after a row's last word was taken.
//   frame_rows_done  pulse: all rows are stored and all beats taken; never before the last row_stored.
//
// Throughput: a pixel in or a word out every cycle.  A row takes max(columns * gather_words + turn, pixels + 1) cycles, where
// pixels = max(pad_left + width, (columns - 1) * stride + kernel), and turn = kernel - gather_words, plus unread columns
// and one if there are any, is the time without a complete window from row to row (at least 0).
// Back-pressure: stops within one word while lw_ready is low or beats are missing, and between rows for lack of credit.
`default_nettype none

module loader #(
    parameter int PIX = 3,
    parameter int CIN = 8,
    parameter int KERNEL_MAX = 7
) (
    input wire logic clk,
    input wire logic rst,

    /* verilator lint_off UNUSEDSIGNAL */  // most of the header is for others
    input wire squeeze_pkg::header_t header,
    /* verilator lint_on UNUSEDSIGNAL */
    input wire logic [16:0] gather_base,
    input wire logic [16:0] gather_depth,
    input wire logic restart,

    input wire logic [63:0] img_data,
    input wire logic img_valid,
    output logic img_ready,
    input wire logic img_first,

    input wire logic credit_valid,
    input wire logic [11:0] credit,

    output logic lw_valid,
    output logic [2:0] lw_bank,
    output logic [16:0] lw_addr,
    output logic [CIN*8-1:0] lw_data,
    input wire logic lw_ready,

    output logic row_stored,
    output logic frame_rows_done
);
    if (PIX < 1 || PIX > 7) begin : check_pix
        $error("loader: PIX must be 1 to 7");
    end

    // Counters hold what is still to come minus one; their top bit says: none.
    typedef logic [16:0] left_t;

    // A counter's next value: loaded or kept, then counted down.
    function automatic left_t counted(input logic load, input logic [15:0] value, input left_t now, input logic down);
        counted = (load ? {1'b0, value} : now) - 17'(load || down);
    endfunction

    // Constants of the program, registered to keep their adders out of the loops below.
    logic two_phases;
    logic [16:0] pitch, phase_words;
    logic [17:0] pitch_wrap, phase_wrap;  // the same, minus the ring's depth
    always_ff @(posedge clk) begin
        two_phases  <= header.stride == 8'd2;
        pitch       <= two_phases ? {8'd0, header.gather_words, 1'b0} : {9'd0, header.gather_words};
        phase_words <= {9'd0, header.gather_words};
        pitch_wrap  <= {1'b0, pitch} - {1'b0, gather_depth};
        phase_wrap  <= {1'b0, phase_words} - {1'b0, gather_depth};
    end

    logic [23:0] px_data;
    logic px_valid, unpacker_ready, gatherer_ready, gatherer_idle;

    // Of the row in work: padding before the image, image columns, gathered pixels.
    left_t padding, columns, gathered;
    logic [8:0] until_complete;  // pixels before the one that completes a window

    // --- rows ---
    logic running;  // a frame is in work
    logic begun;  // its first beat was taken
    left_t top, image_rows, rows;  // padding rows above, image rows, rows that are read
    logic [17:0] granted;  // rows that may be begun

    wire logic start = !running && img_valid && img_first;
    wire logic row_done = gathered[16] && columns[16];
    wire logic stored = !rows[16];
    wire logic of_image = (top[16] || !stored) && !image_rows[16];
    wire logic row_begin = running && row_done && (stored ? granted != '0 : of_image);
    wire logic finish = running && row_done && !stored && image_rows[16] && gatherer_idle;

    always_ff @(posedge clk) begin
        if (start || row_begin) begin
            top        <= counted(start, 16'(header.pad_top), top, row_begin && stored && !top[16]);
            image_rows <= counted(start, header.height, image_rows, row_begin && of_image);
            rows       <= counted(start, header.rows, rows, row_begin && stored);
        end
        granted <= granted + (credit_valid ? 18'(credit) : 18'd0) - 18'(row_begin && stored);
        if (start) running <= 1'b1;
        else if (finish) running <= 1'b0;
        if (start) begun <= 1'b0;
        else if (img_valid && img_ready) begun <= 1'b1;
        frame_rows_done <= finish;
        if (rst || restart) begin
            granted         <= 18'(header.credit);
            running         <= 1'b0;
            frame_rows_done <= 1'b0;
        end
    end

    // --- columns ---
    wire logic from_image = padding[16] && !columns[16];
    wire logic complete = until_complete[8] && !gathered[16];
    wire logic offered = running && !row_done && (px_valid || !from_image);
    wire logic step = offered && gatherer_ready;

    always_ff @(posedge clk) begin
        if (row_begin) begin
            padding        <= counted(1'b1, of_image && stored ? 16'(header.pad_left) : 16'd0, padding, 1'b0);
            columns        <= counted(1'b1, of_image ? header.width : 16'd0, columns, 1'b0);
            gathered       <= counted(1'b1, stored ? header.columns : 16'd0, gathered, 1'b0);
            until_complete <= {1'b0, header.kernel} - 9'd2;
        end else if (step) begin
            padding  <= counted(1'b0, 16'd0, padding, !padding[16]);
            columns  <= counted(1'b0, 16'd0, columns, from_image);
            gathered <= counted(1'b0, 16'd0, gathered, complete);
            if (complete) until_complete <= two_phases ? 9'd0 : '1;
            else if (!until_complete[8]) until_complete <= until_complete - 9'd1;
        end
        if (start) begin  // as behind a row
            columns  <= '1;
            gathered <= '1;
        end
    end

    // --- place of the next gathered pixel ---
    // Rows of both phases hold the same pixels, `gather_words` apart: phase 1 goes back to where phase 0 began.
    logic phase, next_phase;
    logic [2:0] bank, row_bank;
    logic [16:0] ring, row_ring;  // ring offset of word 0 of phase 0

    wire logic [17:0] ring_up = {1'b0, ring} + pitch_wrap;
    wire logic [17:0] ring_phase = {1'b0, ring} + phase_wrap;
    wire logic [16:0] place = !phase ? ring : ring_phase[17] ? ring + phase_words : ring_phase[16:0];

    always_ff @(posedge clk) begin
        if (start) begin
            bank       <= 3'd0;
            ring       <= 17'd0;
            next_phase <= 1'b0;
        end else if (row_begin && stored) begin
            phase      <= next_phase;
            next_phase <= two_phases && !next_phase;
            if (next_phase) begin
                bank <= row_bank;
                ring <= row_ring;
            end else begin
                row_bank <= bank;
                row_ring <= ring;
            end
        end else if (step && complete) begin
            bank <= bank == 3'(PIX - 1) ? 3'd0 : bank + 3'd1;
            if (bank == 3'(PIX - 1)) ring <= ring_up[17] ? ring + pitch : ring_up[16:0];
        end
    end

    // --- data path ---
    // Never the next image's beats before this one is done.
    wire logic wanted = running && img_first != begun;
    assign img_ready = unpacker_ready && wanted;

    pixel_unpacker unpacker (
        .clk,
        .rst,
        .clear(start || restart),
        .in_data(img_data),
        .in_valid(img_valid && wanted),
        .in_ready(unpacker_ready),
        .px_data,
        .px_valid,
        .px_ready(step && from_image)
    );

    gatherer #(
        .CIN(CIN),
        .KERNEL_MAX(KERNEL_MAX)
    ) gather (
        .clk,
        .rst,
        .clear(restart),
        .kernel(header.kernel),
        .gather_words(header.gather_words),
        .base(gather_base),
        .depth(gather_depth),
        .in_valid(offered),
        .in_ready(gatherer_ready),
        .in_pixel(from_image ? px_data : {header.pad_blue, header.pad_green, header.pad_red}),
        .in_complete(complete),
        .in_row_end(gathered == '0),
        .in_bank(bank),
        .in_ring(place),
        .lw_valid,
        .lw_bank,
        .lw_addr,
        .lw_data,
        .lw_ready,
        .row_stored,
        .idle(gatherer_idle)
    );
endmodule

`default_nettype wire
