// Streamed weights: one packet of s_axis_weights a frame becomes 72-bit store words (docs/program.md, Packets).
//
// Contract
//   begin_frame  pulse: the next packet belongs to this frame. Beats wait (tready low) until then.
//   identity, stream_words  of the program, stable while a frame runs.
//   ws_*         words for the expander, valid/ready.
//   complete     level: the packet of this frame has ended where it should.
//   failed       pulse: bad header, or TLAST too early or too late; words and the rest of the packet are discarded.
//   abandon      pulse: the frame is given up: words are dropped, and its packet is discarded, also one that is still to
//                come.  The next frame may begin meanwhile.
// A reset owes no packet; the rest of one that it interrupted is discarded as far as it comes: beats before the next frame's
// header that are no header.
// s_axis_tready follows from registers and ws_ready.  Throughput: a beat a cycle.
`default_nettype none

module weight_stream
(
    input wire logic clk,
    input wire logic rst,

    input wire logic begin_frame,
    input wire logic abandon,
    input wire logic [23:0] identity,
    input wire logic [31:0] stream_words,
    output logic complete,
    output logic failed,

    input wire logic [63:0] s_axis_tdata,
    input wire logic s_axis_tvalid,
    output logic s_axis_tready,
    input wire logic s_axis_tlast,

    output logic [71:0] ws_data,
    output logic ws_valid,
    input wire logic ws_ready
);
    typedef enum logic [2:0] {IDLE, HEADER, DATA, DONE, DISCARD} state_t;
    state_t state;
    logic pending;        // DISCARD: a frame waits for the packet behind
    logic [7:0] skipped;  // DISCARD: packets behind the present one that are discarded too
    squeeze_pkg::packet_t packet;
    logic [31:0] beats_left;
    logic [34:0] bytes;
    logic [31:0] beats;
    logic beat, unpacker_ready, is_header, good_header;
    logic [31:0] words_left;
    logic unpacked_valid;
    logic [3:0] phase_unused;

    assign packet = squeeze_pkg::packet_t'(s_axis_tdata);
    assign bytes = {stream_words, 3'd0} + 35'(stream_words);
    assign is_header = packet.magic == squeeze_pkg::PACKET_MAGIC && packet.type_ == squeeze_pkg::PACKET_WEIGHTS;
    assign good_header = is_header && packet.identity == identity && 32'(packet.length) == beats && !s_axis_tlast;
    always_ff @(posedge clk) beats <= 32'((bytes + 35'd7) >> 3);

    assign s_axis_tready = state == HEADER || state == DISCARD || (state == DATA && unpacker_ready);
    assign beat = s_axis_tvalid && s_axis_tready;
    assign complete = state == DONE;

    // What a reset interrupts: deliberately not reset itself.
    logic in_packet;
    initial in_packet = 1'b0;
    logic stale;  // the next beat may be one from the middle of a packet
    always @(posedge clk) begin  // plain: an initial block writes it, too
        if (beat) in_packet <= !s_axis_tlast;
        if (rst) stale <= in_packet;
        else if (beat && (is_header || s_axis_tlast)) stale <= 1'b0;
    end

    always_ff @(posedge clk) begin
        failed <= 1'b0;
        if (rst) begin
            state <= IDLE;
            pending <= 1'b0;
            skipped <= '0;
        end else begin
            case (state)
                IDLE, DONE: begin
                    if (begin_frame) state <= HEADER;
                    else if (abandon) state <= IDLE;
                end
                HEADER: begin
                    if (abandon) state <= beat && s_axis_tlast ? IDLE : DISCARD;
                    else if (beat && (is_header || !stale)) begin
                        state <= good_header ? DATA : s_axis_tlast ? IDLE : DISCARD;
                        failed <= !good_header;
                    end
                end
                DATA: begin
                    if (abandon) state <= beat && s_axis_tlast ? IDLE : DISCARD;
                    else if (beat && (s_axis_tlast || beats_left == 32'd1)) begin
                        state <= !s_axis_tlast ? DISCARD : beats_left == 32'd1 ? DONE : IDLE;
                        failed <= !s_axis_tlast || beats_left != 32'd1;
                    end
                end
                default: begin
                    pending <= (pending || begin_frame) && !abandon;
                    if (!(beat && s_axis_tlast)) skipped <= skipped + 8'(abandon && pending);
                    else if (abandon && pending) state <= DISCARD;  // this packet has ended, the waiting frame's begins
                    else if (skipped != 0) skipped <= skipped - 8'd1;
                    else begin
                        state <= pending || begin_frame ? HEADER : IDLE;
                        pending <= 1'b0;
                    end
                end
            endcase
        end
        if (state == HEADER) begin
            beats_left <= beats;
            words_left <= stream_words;
        end else begin
            if (state == DATA && beat) beats_left <= beats_left - 32'd1;
            if (ws_valid && ws_ready) words_left <= words_left - 32'd1;
        end
    end

    // The last beat may end with padding that is no word.
    assign ws_valid = unpacked_valid && words_left != 0;

    word_unpacker unpacker (
        .clk(clk), .rst(rst), .clear(state == HEADER || abandon || failed),
        .in_data(s_axis_tdata), .in_valid(s_axis_tvalid && state == DATA), .in_ready(unpacker_ready),
        .out_data(ws_data), .out_valid(unpacked_valid), .out_ready(ws_ready || words_left == 0), .phase(phase_unused)
    );

    // verilator lint_off UNUSEDSIGNAL
    wire unused = &{1'b0, phase_unused};
    // verilator lint_on UNUSEDSIGNAL
endmodule

`default_nettype wire
