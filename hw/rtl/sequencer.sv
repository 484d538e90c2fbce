// MAC sequencer: walks the program and issues one product step a cycle.
//
// Contract
//   restart      a new program: forget everything, fetch instruction 0.
//   frame_begin  pulse: a frame may run (its image was accepted). Instruction 0 is fetched, and its credit granted, before.
//   fetch_*      fetch port 0 of program_memory.
//   record_*     an instruction's record for the output stage, handed over when the instruction starts.
//   tile_*       tile_ready: pulse, one more tile is expanded; tile_release: pulse, the tile in use is no longer needed.
//   rows_*       row_stored: pulse; credit_valid, credit: rows that the loader may begin.
//   output_idle  every earlier set has been written (for instructions with `wait`).
//   logit_space  a further group of COUT logits fits the output FIFO.
//   group_sent   pulse: the output stage has sent a group of logits.
//   Issue: raddr (registered) belongs to activation_memory; its data appear two cycles later, together with rotate,
//   mask, step_valid, step_first and step_last here.  tile_raddr is issued one cycle before that, so that
//   the tile word appears with the operands behind the operand stage.
//
// Throughput: a step every cycle while tile, rows and output allow, across blocks, groups and instructions.  The next
// instruction is fetched while this one runs.  Back-pressure: a set's last step waits until a holding register
// will be free; `backlog` counts the cycles that the output stage still needs for the sets issued.
`default_nettype none

module sequencer
#(
    parameter int PIX = 3,
    parameter int CIN = 8,
    parameter int COUT = 16,
    parameter int TILE_WORDS = 80,
    localparam int CW = COUT / CIN,
    localparam int TILE_BITS = $clog2(2 * TILE_WORDS)
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic restart,
    input wire logic frame_begin,
    input wire logic [15:0] header_rows,
    output logic frame_issued,  // pulse: the last step of a frame has been issued

    output logic fetch_req,
    output logic [15:0] fetch_index,
    input wire logic fetch_done,
    input wire squeeze_pkg::instruction_t fetch_instruction,
    input wire squeeze_pkg::layer_t fetch_layer,
    input wire squeeze_pkg::buffer_t fetch_source,
    input wire squeeze_pkg::buffer_t fetch_target,

    output logic record_valid,
    input wire logic record_ready,
    output squeeze_pkg::instruction_t record_instruction,
    output squeeze_pkg::layer_t record_layer,
    output squeeze_pkg::buffer_t record_target,

    input wire logic tile_ready,
    output logic tile_release,

    input wire logic row_stored,
    output logic credit_valid,
    output logic [7:0] credit,

    input wire logic output_idle,
    input wire logic logit_space,
    input wire logic group_sent,

    output logic [PIX-1:0][16:0] raddr,
    output logic [TILE_BITS-1:0] tile_raddr,
    output logic [2:0] rotate,
    output logic [PIX-1:0] mask,
    output logic step_valid,
    output logic step_first,
    output logic step_last,

    output logic running,
    output logic busy,           // a step was issued
    output logic stall_weights,
    output logic stall_input,
    output logic stall_output
);
    localparam int SET_CYCLES = PIX * CW;

    // ---- the next instruction: fetched and prepared while this one runs ----
    typedef enum logic [2:0] {FETCH, POINTERS, CENTER, FOLLOWING, LANES, PREPARED} fetch_state_t;
    fetch_state_t fetch_state;
    logic [15:0] pc;
    squeeze_pkg::instruction_t n_ins;
    squeeze_pkg::layer_t n_lay;
    squeeze_pkg::buffer_t n_tgt;
    /* verilator lint_off UNUSEDSIGNAL */  // its reserved bits
    squeeze_pkg::buffer_t n_src;
    /* verilator lint_on UNUSEDSIGNAL */
    logic [16:0] n_start, n_phase1, n_center;                 // ring offsets: first tap, phase 1, half B
    logic [16:0] n_start_next, n_phase1_next, n_center_next;  // the same for the second block
    logic [2:0] n_center_mod;
    logic [3:0] center_sum;
    logic [PIX-1:0][10:0] n_x, n_y;
    logic [2:0] lane_index;
    logic [17:0] n_border_extra;
    logic reached, start, in_use, frame_pending;

    assign fetch_req = fetch_state == FETCH && !restart;  // a restart withdraws the request for another instruction
    assign fetch_index = pc;
    assign record_instruction = n_ins;
    assign record_layer = n_lay;
    assign record_target = n_tgt;
    assign record_valid = start;
    assign center_sum = 4'(n_ins.source_mod) + 4'(n_lay.center_mod);

    always_ff @(posedge clk) begin
        if (rst || restart) begin
            fetch_state <= FETCH;
            pc <= '0;
        end else begin
            case (fetch_state)
                FETCH: if (fetch_done) fetch_state <= POINTERS;
                POINTERS: fetch_state <= CENTER;
                CENTER: fetch_state <= FOLLOWING;
                FOLLOWING: fetch_state <= LANES;
                LANES: if (lane_index == 3'(PIX - 1)) fetch_state <= PREPARED;
                default: if (start) begin
                    fetch_state <= FETCH;
                    pc <= n_ins.last ? '0 : pc + 16'd1;
                end
            endcase
        end
    end

    always_ff @(posedge clk) begin
        if (fetch_done && fetch_state == FETCH) begin
            n_ins <= fetch_instruction;
            n_lay <= fetch_layer;
            n_src <= fetch_source;
            n_tgt <= fetch_target;
        end
        case (fetch_state)
            POINTERS: begin
                n_start <= 17'(n_ins.source_ptr);
                n_phase1 <= squeeze_pkg::wrap(18'(n_ins.source_ptr) + 18'(n_lay.words), n_src.depth);
                n_center <= squeeze_pkg::wrap(18'(n_ins.source_ptr) + 18'(n_lay.center_ptr), n_src.depth);
                n_center_mod <= center_sum >= 4'(PIX) ? 3'(center_sum - 4'(PIX)) : center_sum[2:0];
                n_border_extra <= 18'(32'(n_lay.border) * CW - CW);
            end
            CENTER: begin
                if (center_sum >= 4'(PIX)) n_center <= squeeze_pkg::wrap(18'(n_center) + 18'(n_lay.pitch), n_src.depth);
                n_start_next <= squeeze_pkg::wrap(18'(n_start) + 18'(n_lay.pitch), n_src.depth);
                n_phase1_next <= squeeze_pkg::wrap(18'(n_phase1) + 18'(n_lay.pitch), n_src.depth);
            end
            FOLLOWING: begin
                n_center_next <= squeeze_pkg::wrap(18'(n_center) + 18'(n_lay.pitch), n_src.depth);
                n_x[0] <= '0;
                n_y[0] <= n_ins.row;
                lane_index <= 3'd1;
            end
            LANES: begin
                // Lane after lane, so that maps narrower than the array need no divider.
                for (int l = 1; l < PIX; l++) begin
                    if (lane_index == 3'(l)) begin
                        n_x[l] <= n_x[l-1] == n_lay.width - 11'd1 ? '0 : n_x[l-1] + 11'd1;
                        n_y[l] <= n_x[l-1] == n_lay.width - 11'd1 ? n_y[l-1] + 11'd1 : n_y[l-1];
                    end
                end
                lane_index <= lane_index + 3'd1;
            end
            default: ;
        endcase
    end

    // ---- rows, credits and the start of an instruction ----
    logic credited, rows_enough, frame_ends;
    logic [16:0] rows_have, rows_next;
    assign rows_next = rows_have + 17'(row_stored);

    assign reached = fetch_state == PREPARED && !in_use && !credited;
    assign start = fetch_state == PREPARED && !in_use && credited && rows_enough && record_ready
        && (!n_ins.wait_ || output_idle) && (pc != 0 || frame_pending) && !restart;

    always_ff @(posedge clk) begin
        credit <= n_ins.credit;
        if (rst || restart) begin
            credited <= 1'b0;
            credit_valid <= 1'b0;
            rows_have <= '0;
            rows_enough <= 1'b0;
            frame_pending <= 1'b0;
        end else begin
            credited <= start ? 1'b0 : credited || reached;
            credit_valid <= reached;
            // `frame_ends` comes late: it selects a difference rather than an operand.
            rows_have <= frame_ends ? rows_next - 17'(header_rows) : rows_next;
            rows_enough <= rows_have >= 17'(n_ins.need) && fetch_state == PREPARED && !start;
            // A frame may begin while the one before still runs; it is kept for instruction 0.
            if (frame_begin) frame_pending <= 1'b1;
            else if (start && pc == 0) frame_pending <= 1'b0;
        end
    end

    // ---- the instruction in use ----
    /* verilator lint_off UNUSEDSIGNAL */  // much of a layer is for others
    squeeze_pkg::layer_t lay;
    /* verilator lint_on UNUSEDSIGNAL */
    logic [16:0] base, depth;
    logic [16:0] start_ptr, start_next, phase1_ptr, phase1_next, center_ptr, center_next;  // of the first block
    logic [2:0] start_mod, center_mod;
    logic [17:0] border_extra;
    logic [16:0] pixels;  // border pixel included
    logic ends_frame;

    logic [11:0] group, groups_last;
    logic [16:0] left;
    logic final_block, has_a, has_b, next_has_a, next_has_b, half_b, phase, first_set;
    logic [3:0] rows_left, columns_left;
    logic [11:0] word, words_left;
    logic [11:0] tile_word;
    logic tile_parity;
    logic [16:0] ptr, block_next, block1, block1_next, blockc, blockc_next;
    logic [2:0] mod;
    logic [PIX-1:0][10:0] x, y;
    logic set_first;

    logic word_last, column_last, row_last, phase_last, set_last, final_half, block_last, group_last, all_last, go;
    assign word_last = words_left == 0;
    assign column_last = half_b || columns_left == 0;
    assign row_last = half_b || rows_left == 0;
    assign phase_last = half_b || phase == (lay.rows1 != 0);
    assign set_last = word_last && column_last && row_last && phase_last;
    assign final_half = half_b || !has_b;
    assign block_last = set_last && final_half;
    assign group_last = block_last && final_block;
    assign all_last = group_last && group == groups_last;
    assign frame_ends = go && all_last && ends_frame;

    // From one tap to the next: one pixel, or to the first tap of the next row.
    logic [3:0] mod_sum;
    logic [17:0] ptr_sum;
    logic tap_carry;
    assign mod_sum = 4'(mod) + (column_last ? 4'(lay.row_mod) : 4'd1);
    assign tap_carry = mod_sum >= 4'(PIX);
    assign ptr_sum = 18'(ptr) + (column_last ? 18'(lay.row_ptr) : 18'd0) + (tap_carry ? 18'(lay.pitch) : 18'd0);

    logic group_begins;  // the next step is the first of a group
    logic next_half_b;   // the half that the next block begins with
    assign next_half_b = group_last ? !next_has_a : !has_a;

    always_ff @(posedge clk) begin
        if (rst || restart) in_use <= 1'b0;
        else if (start) in_use <= 1'b1;
        else if (go && all_last) in_use <= 1'b0;
        if (rst || restart) tile_parity <= 1'b0;
        else if (go && group_last) tile_parity <= !tile_parity;
        tile_release <= !rst && !restart && go && group_last;
        frame_issued <= !rst && !restart && frame_ends;
    end

    always_ff @(posedge clk) begin
        if (start) begin
            lay <= n_lay;
            base <= n_src.base;
            depth <= n_src.depth;
            start_ptr <= n_start;
            start_next <= n_start_next;
            phase1_ptr <= n_phase1;
            phase1_next <= n_phase1_next;
            center_ptr <= n_center;
            center_next <= n_center_next;
            start_mod <= n_ins.source_mod;
            center_mod <= n_center_mod;
            border_extra <= n_border_extra;
            pixels <= 17'(n_ins.pixels) + 17'(n_lay.border != 0);
            ends_frame <= n_ins.last;
            group <= '0;
            groups_last <= (n_lay.half_b && n_lay.groups_b > n_lay.groups_a ? n_lay.groups_b : n_lay.groups_a) - 12'd1;
            has_a <= n_lay.groups_a != 0;
            has_b <= n_lay.half_b && n_lay.groups_b != 0;
            next_has_a <= n_lay.groups_a > 12'd1;
            next_has_b <= n_lay.half_b && n_lay.groups_b > 12'd1;
            first_set <= 1'b1;
            group_begins <= 1'b1;
            begin_block(n_start_next, n_phase1, n_phase1_next, n_center, n_center_next);
            left <= 17'(n_ins.pixels) + 17'(n_lay.border != 0);
            final_block <= 17'(n_ins.pixels) + 17'(n_lay.border != 0) <= 17'(PIX);
            x <= n_x;
            y <= n_y;
            half_b <= n_lay.groups_a == 0;
            ptr <= n_lay.groups_a == 0 ? n_center : n_start;
            mod <= n_lay.groups_a == 0 ? n_center_mod : n_ins.source_mod;
            begin_set(n_lay.rows0, n_lay.columns, n_lay.words);
            tile_word <= '0;
        end else if (go) begin
            group_begins <= group_last;
            set_first <= set_last;
            tile_word <= block_last ? '0 : tile_word + 12'd1;
            word <= word_last ? '0 : word + 12'd1;
            words_left <= word_last ? lay.words - 12'd1 : words_left - 12'd1;
            if (word_last) begin
                if (set_last) begin
                    first_set <= 1'b0;
                    begin_set(lay.rows0, lay.columns, lay.words);
                    if (!block_last) begin
                        half_b <= 1'b1;
                        ptr <= blockc;
                        mod <= center_mod;
                    end else begin
                        half_b <= next_half_b;
                        mod <= next_half_b ? center_mod : start_mod;
                        if (!final_block) begin
                            begin_block(advance(block_next), block1_next, advance(block1_next), blockc_next,
                                        advance(blockc_next));
                            ptr <= next_half_b ? blockc_next : block_next;
                            left <= left - 17'(PIX);
                            final_block <= left <= 17'(2 * PIX);
                            for (int l = 0; l < PIX; l++) begin
                                x[l] <= lane_wraps[l] ? lane_sum[l] - lay.width : lane_sum[l];
                                y[l] <= y[l] + 11'(lay.y_step) + 11'(lane_wraps[l]);
                            end
                        end else begin
                            begin_block(start_next, phase1_ptr, phase1_next, center_ptr, center_next);
                            ptr <= next_half_b ? center_ptr : start_ptr;
                            left <= pixels;
                            final_block <= pixels <= 17'(PIX);
                            x <= first_x;
                            y <= first_y;
                            group <= group + 12'd1;
                            has_a <= next_has_a;
                            has_b <= next_has_b;
                            next_has_a <= group + 12'd2 < lay.groups_a;
                            next_has_b <= lay.half_b && group + 12'd2 < lay.groups_b;
                        end
                    end
                end else if (!column_last || !row_last) begin
                    columns_left <= column_last ? lay.columns - 4'd1 : columns_left - 4'd1;
                    if (column_last) rows_left <= rows_left - 4'd1;
                    ptr <= squeeze_pkg::wrap(ptr_sum, depth);
                    mod <= tap_carry ? 3'(mod_sum - 4'(PIX)) : mod_sum[2:0];
                end else begin
                    phase <= 1'b1;
                    rows_left <= lay.rows1 - 4'd1;
                    columns_left <= lay.columns - 4'd1;
                    ptr <= block1;
                    mod <= start_mod;
                end
            end
        end
    end

    logic [PIX-1:0][10:0] lane_sum, first_x, first_y;
    logic [PIX-1:0] lane_wraps;
    always_comb begin
        for (int l = 0; l < PIX; l++) begin
            lane_sum[l] = x[l] + 11'(lay.x_step);
            lane_wraps[l] = lane_sum[l] >= lay.width;
        end
    end
    always_ff @(posedge clk) if (start) begin
        first_x <= n_x;
        first_y <= n_y;
    end

    function automatic logic [16:0] advance(input logic [16:0] pointer);
        advance = squeeze_pkg::wrap(18'(pointer) + 18'(lay.pitch), depth);
    endfunction

    task automatic begin_set(input logic [3:0] rows, input logic [3:0] columns, input logic [11:0] words);
        phase <= 1'b0;
        rows_left <= rows - 4'd1;
        columns_left <= columns - 4'd1;
        word <= '0;
        words_left <= words - 12'd1;
        set_first <= 1'b1;
    endtask

    task automatic begin_block(input logic [16:0] next, input logic [16:0] now1, input logic [16:0] next1,
                               input logic [16:0] nowc, input logic [16:0] nextc);
        block_next <= next;
        block1 <= now1;
        block1_next <= next1;
        blockc <= nowc;
        blockc_next <= nextc;
    endtask

    // ---- what a step waits for: its tile, the output stage, room for logits ----
    logic [1:0] tiles;
    logic [17:0] backlog, backlog_less, set_size, previous_size;
    logic backlog_ok, logit_ok, border_set;
    logic [1:0] groups_in_flight;

    assign border_set = lay.border != 0 && final_block;
    assign set_size = 18'(SET_CYCLES) + (border_set ? border_extra : '0)
        + (first_set ? 18'(squeeze_pkg::OUTPUT_FLUSH + 2) : '0) + (lay.average && final_block && final_half ? 18'(COUT + squeeze_pkg::SEND_LATENCY) : '0);
    assign logit_ok = !lay.average || !group_begins || (logit_space && groups_in_flight < 2'd2);
    assign go = in_use && tiles != 0 && logit_ok && (!set_last || backlog_ok);
    assign backlog_less = backlog == 0 ? '0 : backlog - 18'd1;

    always_ff @(posedge clk) begin
        if (rst || restart) begin
            tiles <= '0;
            backlog <= '0;
            backlog_ok <= 1'b1;
            groups_in_flight <= '0;
        end else begin
            tiles <= tiles + 2'(tile_ready) - 2'(go && group_last);
            backlog <= go && set_last ? backlog_less + set_size : backlog_less;
            // What is left may be the size of the last set at most: behind a new one, nothing else.
            backlog_ok <= go && set_last ? backlog_less == 0 : backlog_less <= previous_size;
            groups_in_flight <= groups_in_flight + 2'(go && group_last && lay.average) - 2'(group_sent);
        end
        if (go && set_last) previous_size <= set_size;
        if (rst || restart) previous_size <= '0;
    end

    // ---- issue: addresses, masks, tile words ----
    typedef struct packed {
        logic valid;
        logic first;
        logic last;
        logic [2:0] rotate;
        logic [PIX-1:0] mask;
        logic [TILE_BITS-1:0] tile_word;
    } step_t;
    step_t s1, s2, s3, s4;
    logic [17:0] low, high;        // ring offset of the word for banks >= mod, and for those below
    logic [16:0] s1_base, s1_depth;
    logic [PIX-1:0] s1_x_first, s1_x_last, s1_y_first, s1_y_last, s1_virtual;
    logic s1_up, s1_down, s1_left, s1_right;

    always_ff @(posedge clk) begin
        low <= 18'(ptr) + 18'(word);
        high <= 18'(ptr) + 18'(word) + 18'(lay.pitch);
        s1_base <= base;
        s1_depth <= depth;
        s1.valid <= go && !rst && !restart;
        s1.first <= set_first;
        s1.last <= set_last;
        s1.rotate <= mod;
        s1.mask <= '0;
        s1.tile_word <= (tile_parity ? TILE_BITS'(TILE_WORDS) : '0) + TILE_BITS'(tile_word);
        s1_up <= lay.pad && !half_b && rows_left == 4'd2;
        s1_down <= lay.pad && !half_b && rows_left == 4'd0;
        s1_left <= lay.pad && !half_b && columns_left == 4'd2;
        s1_right <= lay.pad && !half_b && columns_left == 4'd0;
        for (int l = 0; l < PIX; l++) begin
            s1_x_first[l] <= x[l] == 0;
            s1_x_last[l] <= x[l] == lay.width - 11'd1;
            s1_y_first[l] <= y[l] == 0;
            s1_y_last[l] <= y[l] == lay.height - 11'd1;
            s1_virtual[l] <= lay.border != 0 && left == 17'(l + 1);
        end
        s2 <= s1;
        s2.mask <= s1_virtual | ({PIX{s1_up}} & s1_y_first) | ({PIX{s1_down}} & s1_y_last)
            | ({PIX{s1_left}} & s1_x_first) | ({PIX{s1_right}} & s1_x_last);
        for (int b = 0; b < PIX; b++)
            raddr[b] <= s1_base
                + (3'(b) >= s1.rotate ? squeeze_pkg::wrap(low, s1_depth) : squeeze_pkg::wrap(high, s1_depth));
        s3 <= s2;
        s4 <= s3;
        if (rst || restart) begin
            s2.valid <= 1'b0;
            s3.valid <= 1'b0;
            s4.valid <= 1'b0;
        end
    end

    assign rotate = s4.rotate;
    assign mask = s4.mask;
    assign step_valid = s4.valid;
    assign step_first = s4.first;
    assign step_last = s4.last;
    assign tile_raddr = s4.tile_word;

    // ---- what the counters see ----
    logic in_frame;
    always_ff @(posedge clk) begin
        if (rst || restart) in_frame <= 1'b0;
        else if (frame_begin) in_frame <= 1'b1;
        else if (frame_ends && !frame_pending) in_frame <= 1'b0;
        busy <= go;
        stall_weights <= in_use && tiles == 0;
        stall_output <= in_use ? tiles != 0 && !go
            : fetch_state == PREPARED && rows_enough && (!record_ready || (n_ins.wait_ && !output_idle));
        stall_input <= !in_use && in_frame && fetch_state == PREPARED && credited && !rows_enough;
    end
    assign running = in_frame || in_use;

    initial begin
        if (PIX < 1 || PIX > 7) $fatal(1, "PIX must be 1 to 7");
        if (COUT % CIN != 0) $fatal(1, "COUT must be a multiple of CIN");
    end
endmodule

`default_nettype wire
