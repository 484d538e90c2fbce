// Output stage: holding registers, requantization, pooling, average, and writes to the activation memory.
//
// Contract
//   record_*   the next instruction's record is taken when record_valid && record_ready; there is room for one
//              record beside the one in use.
//   set_valid  a finished set of PIX x COUT sums, good for this cycle only.  The caller guarantees a free holding
//              register: the sequencer counts the cycles that sets take (below) and never issues too early.
//   param_*    address of one word of requantization records; the answer is expected in the same cycle.
//   ow_*       one word of CIN activations a cycle, always taken.
//   logit_*    sums of an average layer, one a cycle, lowest channel first; waits for logit_ready.
//   idle       nothing is held, in flight or being sent.
//
// A set leaves in PIX * CW cycles, lane by lane and word by word (CW = COUT / CIN); each word of a border lane takes
// `border` cycles.  Between two instructions OUTPUT_FLUSH cycles pass, so that the back of the pipeline may
// use the same record as its front.  Latency from the end of a set's wait to its first write: REQUANT_LATENCY + 4 +
// WRITE_LATENCY.
`default_nettype none

module output_stage
#(
    parameter int PIX = 3,
    parameter int CIN = 8,
    parameter int COUT = 16,
    parameter int CARRY_WORDS = 1024,
    localparam int CW = COUT / CIN,
    localparam int CW_BITS = CW > 1 ? $clog2(CW) : 1
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic record_valid,
    output logic record_ready,
    input wire squeeze_pkg::instruction_t record_instruction,
    input wire squeeze_pkg::layer_t record_layer,
    input wire squeeze_pkg::buffer_t record_target,

    input wire logic set_valid,
    input wire logic [PIX-1:0][COUT-1:0][23:0] set_sums,

    output logic [1:0] param_slot,
    output logic param_half,
    output logic [CW_BITS-1:0] param_word,
    input wire logic [CIN-1:0][23:0] param_bias,
    input wire logic [CIN-1:0][15:0] param_multiplier,
    input wire logic [CIN-1:0][3:0] param_offset,
    input wire logic [5:0] param_shift,

    output logic ow_valid,
    output logic [2:0] ow_bank,
    output logic [16:0] ow_addr,
    output logic [CIN*8-1:0] ow_data,

    output logic logit_valid,
    output logic [31:0] logit_data,
    input wire logic logit_ready,
    output logic group_sent,

    output logic idle
);
    localparam int WORDS = PIX * CW;  // words of a set
    localparam int OUTPUT_FLUSH = squeeze_pkg::OUTPUT_FLUSH;
    localparam int WRITE_LATENCY = squeeze_pkg::WRITE_LATENCY;
    localparam int LANE_BITS = PIX > 1 ? $clog2(PIX) : 1;

    // ---- records: the one in use and the next one ----
    logic active, next_full;
    squeeze_pkg::instruction_t next_ins;
    squeeze_pkg::layer_t next_lay;
    squeeze_pkg::buffer_t next_tgt;
    /* verilator lint_off UNUSEDSIGNAL */  // much of a record is for others
    squeeze_pkg::instruction_t ins;
    squeeze_pkg::layer_t lay;
    squeeze_pkg::buffer_t tgt;
    /* verilator lint_on UNUSEDSIGNAL */
    logic front_done;   // every set of the record in use has left its holding register
    logic [4:0] flush;  // cycles until the back of the pipeline has forgotten the record in use
    logic take_next;

    assign record_ready = !next_full;
    assign take_next = next_full && (!active || (front_done && flush == 0 && !sending));

    // ---- holding registers: one that is shifted out, one that waits ----
    logic [WORDS-1:0][CIN*24-1:0] drain, waiting, arriving;
    logic drain_full, waiting_full;
    logic word_leaves, set_leaves;

    always_comb begin
        for (int l = 0; l < PIX; l++)
            for (int c = 0; c < CW; c++)
                for (int i = 0; i < CIN; i++) arriving[l*CW+c][i*24+:24] = set_sums[l][c*CIN+i];
    end

    always_ff @(posedge clk) begin
        if (set_leaves || !drain_full) begin
            drain <= waiting_full ? waiting : arriving;
        end else if (word_leaves) begin
            for (int k = 0; k < WORDS - 1; k++) drain[k] <= drain[k+1];
        end
        if (set_valid) waiting <= arriving;
        if (rst) begin
            drain_full <= 1'b0;
            waiting_full <= 1'b0;
        end else if (set_leaves || !drain_full) begin
            drain_full <= waiting_full || set_valid;
            waiting_full <= waiting_full && set_valid;
        end else begin
            waiting_full <= waiting_full || set_valid;
        end
    end

    // ---- front: which set, lane and word leaves ----
    logic [11:0] group;            // output group
    logic [16:0] left;             // pixels of the band from this block on, border pixel included
    logic half_b;                  // the set is of half B
    logic [LANE_BITS-1:0] lane;
    logic [CW_BITS-1:0] word;
    logic [15:0] repeats;          // of a border lane's word, still to come
    logic has_a, has_b;            // halves that this group has
    logic virtual_lane, lane_live, last_word, last_lane, block_ends, group_ends, all_ends, more_repeats;
    logic [11:0] groups;

    assign groups = (lay.half_b && lay.groups_b > lay.groups_a) ? lay.groups_b : lay.groups_a;
    assign has_a = group < lay.groups_a;
    assign has_b = lay.half_b && group < lay.groups_b;
    assign lane_live = 17'(lane) < left;
    assign virtual_lane = lay.border != 0 && left == 17'(lane) + 17'd1;
    assign more_repeats = virtual_lane && repeats != 0;
    assign last_word = word == CW_BITS'(CW - 1);
    assign last_lane = lane == LANE_BITS'(PIX - 1);
    assign block_ends = half_b || !has_b;
    assign group_ends = block_ends && left <= 17'(PIX);
    assign all_ends = group_ends && group + 12'd1 == groups;
    // A group's sums are sent while the next group is added up; the copy must be free when it is wanted, which it is
    // not while the group before is still on its way to it (group_leaves).
    logic front_valid, group_leaves;
    assign front_valid = drain_full && active && !front_done && !(group_ends && lay.average && (group_leaves || sending));
    assign word_leaves = front_valid && !more_repeats;
    assign set_leaves = word_leaves && last_word && last_lane;

    always_ff @(posedge clk) begin
        if (rst) begin
            active <= 1'b0;
            next_full <= 1'b0;
            front_done <= 1'b0;
            flush <= '0;
            param_slot <= '0;
            group_leaves <= 1'b0;
        end else begin
            if (record_valid && record_ready) next_full <= 1'b1;
            else if (take_next) next_full <= 1'b0;
            if (take_next) active <= 1'b1;
            else if (active && front_done && flush == 0 && !sending) active <= 1'b0;
            if (take_next) front_done <= 1'b0;
            else if (set_leaves && all_ends) front_done <= 1'b1;
            if (set_leaves && all_ends) flush <= 5'(OUTPUT_FLUSH);
            else if (flush != 0) flush <= flush - 5'd1;
            if (set_leaves && group_ends) param_slot <= param_slot + 2'd1;
            if (group_over) group_leaves <= 1'b0;
            else if (set_leaves && group_ends && lay.average) group_leaves <= 1'b1;
        end
    end

    always_ff @(posedge clk) begin
        if (record_valid && record_ready) begin
            next_ins <= record_instruction;
            next_lay <= record_layer;
            next_tgt <= record_target;
        end
        if (take_next) begin
            ins <= next_ins;
            lay <= next_lay;
            tgt <= next_tgt;
            group <= '0;
            left <= 17'(next_ins.pixels) + 17'(next_lay.border != 0);
            half_b <= next_lay.groups_a == 0;
            lane <= '0;
            word <= '0;
            repeats <= next_lay.border - 16'd1;
        end else if (front_valid) begin
            if (more_repeats) repeats <= repeats - 16'd1;
            else begin
                repeats <= lay.border - 16'd1;
                word <= last_word ? '0 : word + 1'b1;
                if (last_word) lane <= last_lane ? '0 : lane + 1'b1;
            end
            if (set_leaves) begin
                if (!block_ends) half_b <= 1'b1;
                else if (!group_ends) begin
                    half_b <= !has_a;
                    left <= left - 17'(PIX);
                end else begin
                    group <= group + 12'd1;
                    half_b <= !(group + 12'd1 < lay.groups_a);
                    left <= 17'(ins.pixels) + 17'(lay.border != 0);
                end
            end
        end
    end

    assign param_half = half_b;
    assign param_word = word;

    // ---- requantization ----
    typedef struct packed {
        logic half_b;
        logic [CW_BITS-1:0] word;
        logic live;       // a pixel of the band, or the border pixel
        logic pixel_ends; // last word of a lane
        logic set_ends;
        logic block_ends;
        logic group_ends;
    } mark_t;

    logic rq_in_valid, rq_out_valid;
    logic [CIN-1:0][23:0] rq_acc, rq_bias;
    logic [CIN-1:0][15:0] rq_multiplier, rq_out;
    logic [CIN-1:0][3:0] rq_offset;
    logic [5:0] rq_shift;
    mark_t rq_mark;
    mark_t mark;

    always_ff @(posedge clk) begin
        rq_acc <= drain[0];
        rq_bias <= param_bias;
        rq_multiplier <= param_multiplier;
        rq_offset <= param_offset;
        rq_shift <= param_shift;
        rq_mark.half_b <= half_b;
        rq_mark.word <= word;
        rq_mark.live <= lane_live;
        rq_mark.pixel_ends <= last_word && !more_repeats;
        rq_mark.set_ends <= set_leaves;
        rq_mark.block_ends <= set_leaves && block_ends;
        rq_mark.group_ends <= set_leaves && group_ends;
        if (rst) rq_in_valid <= 1'b0;
        else rq_in_valid <= front_valid;
    end

    // Arrays of structs are not for Yosys; a delay line is a vector.
    delay_line #(.STAGES(squeeze_pkg::REQUANT_LATENCY), .WIDTH($bits(mark))) marks (.clk(clk), .in(rq_mark), .out(mark));

    requantizer #(.CIN(CIN)) requantizer_i (
        .clk(clk), .rst(rst),
        .in_valid(rq_in_valid), .acc(rq_acc), .bias(rq_bias), .multiplier(rq_multiplier), .offset(rq_offset),
        .shift(rq_shift), .half_b(rq_mark.half_b), .top_a(lay.top_a), .top_b(lay.top_b), .out(rq_out), .out_valid(rq_out_valid)
    );

    // ---- back: position of the word in its map ----
    logic [10:0] x, y, x_block, y_block, x_next, y_next;
    logic [15:0] column_words, column_block;  // (pooled column) * CW
    logic [15:0] group_carry;                 // carry words of the groups before
    logic [11:0] group_word;                  // first channel word of the group
    logic [1:0][16:0] target_ptr;
    logic [1:0][2:0] target_mod;
    logic x_last, y_last, column_done, row_done, row_fresh, column_fresh, exists, emits;
    logic [11:0] channel_word, half_words, half_offset;

    assign x_last = x == lay.width - 11'd1;
    assign y_last = y == lay.height - 11'd1;
    assign x_next = x_last ? '0 : x + 11'd1;
    assign y_next = x_last ? y + 11'd1 : y;
    assign channel_word = group_word + 12'(mark.word);
    assign half_words = mark.half_b ? lay.words_b : lay.words_a;
    assign half_offset = mark.half_b ? lay.offset_b : lay.offset_a;
    assign exists = channel_word < half_words;
    always_comb begin
        if (lay.pool == 2'd3) begin
            column_done = (!x[0] && x != 0) || (x[0] && x_last && lay.ceil);
            row_done = (!y[0] && y != 0) || (y[0] && y_last && lay.ceil);
            column_fresh = x == 0;
            row_fresh = y == 0;
        end else begin
            column_done = x[0] || (x_last && lay.ceil);
            row_done = y[0] || (y_last && lay.ceil);
            column_fresh = !x[0];
            row_fresh = !y[0];
        end
    end
    assign emits = rq_out_valid && mark.live && !lay.average && (lay.pool == 0 || (column_done && row_done));

    logic begins;  // the record in use has just been taken
    always_ff @(posedge clk) begin
        begins <= take_next;
        if (begins) begin
            x <= '0;
            x_block <= '0;
            y <= ins.row;
            y_block <= ins.row;
            column_words <= '0;
            column_block <= '0;
            group_carry <= lay.carry;
            group_word <= '0;
            target_ptr <= {2{17'(ins.target_ptr)}};
            target_mod <= {2{ins.target_mod}};
        end else if (rq_out_valid) begin
            if (mark.group_ends) begin
                x <= '0;
                x_block <= '0;
                y <= ins.row;
                y_block <= ins.row;
                column_words <= '0;
                column_block <= '0;
                group_carry <= group_carry + (lay.half_b ? {lay.carry_half[14:0], 1'b0} : lay.carry_half);
                group_word <= group_word + 12'(CW);
            end else if (mark.pixel_ends) begin
                x <= x_next;
                y <= y_next;
                if (x_last) column_words <= '0;
                else if (column_done) column_words <= column_words + 16'(CW);
                if (mark.set_ends) begin
                    // The other half of the same block starts at the same pixel; a new block goes on.
                    if (mark.block_ends) begin
                        x_block <= x_next;
                        y_block <= y_next;
                        column_block <= x_last ? '0 : column_done ? column_words + 16'(CW) : column_words;
                    end else begin
                        x <= x_block;
                        y <= y_block;
                        column_words <= column_block;
                    end
                end
            end
            if (mark.group_ends) begin
                target_ptr <= {2{17'(ins.target_ptr)}};
                target_mod <= {2{ins.target_mod}};
            end else if (emits && mark.pixel_ends) begin
                if (target_mod[mark.half_b] == 3'(PIX - 1)) begin
                    target_mod[mark.half_b] <= '0;
                    target_ptr[mark.half_b] <= squeeze_pkg::wrap(
                        18'(target_ptr[mark.half_b]) + 18'(lay.out_words), tgt.depth);
                end else target_mod[mark.half_b] <= target_mod[mark.half_b] + 3'd1;
            end
        end
    end

    // ---- stage 1: horizontal maximum, offset in the ring ----
    logic [1:0][CW-1:0][CIN*8-1:0] maximum;
    logic [CIN*8-1:0] value, merged, p1_data;
    logic p1_emit, p1_carry, p1_pool, p1_fresh, p1_even;
    logic [$clog2(CARRY_WORDS)-1:0] p1_carry_addr;
    logic [17:0] p1_offset;
    logic [2:0] p1_bank;

    function automatic logic [CIN*8-1:0] larger(input logic [CIN*8-1:0] a, input logic [CIN*8-1:0] b);
        for (int i = 0; i < CIN; i++) larger[i*8+:8] = a[i*8+:8] > b[i*8+:8] ? a[i*8+:8] : b[i*8+:8];
    endfunction

    always_comb begin
        for (int i = 0; i < CIN; i++) value[i*8+:8] = rq_out[i][7:0];
        merged = column_fresh ? value : larger(maximum[mark.half_b][mark.word], value);
    end

    always_ff @(posedge clk) begin
        if (rq_out_valid && mark.live) maximum[mark.half_b][mark.word] <= x[0] ? merged : value;
        p1_data <= lay.pool == 0 ? value : merged;
        p1_pool <= lay.pool != 0;
        p1_fresh <= row_fresh;
        p1_even <= !y[0];
        p1_carry_addr <= $clog2(CARRY_WORDS)'(
            group_carry + (mark.half_b ? lay.carry_half : '0) + column_words + 16'(mark.word));
        p1_offset <= 18'(target_ptr[mark.half_b]) + 18'(half_offset) + 18'(channel_word);
        p1_bank <= target_mod[mark.half_b];
        if (rst) begin
            p1_emit <= 1'b0;
            p1_carry <= 1'b0;
        end else begin
            p1_emit <= emits && exists;
            p1_carry <= rq_out_valid && mark.live && !lay.average && lay.pool != 0 && column_done;
        end
    end

    // ---- stage 2: vertical maximum with the carry row, wrap ----
    logic [CIN*8-1:0] carried, joined;
    logic p2_emit;
    logic [CIN*8-1:0] p2_data;
    logic [16:0] p2_offset;
    logic [2:0] p2_bank;

    ram_lut #(.DEPTH(CARRY_WORDS), .WIDTH(CIN * 8)) carry_rows (
        .clk(clk),
        .we(p1_carry), .waddr(p1_carry_addr), .wdata(p1_even ? p1_data : joined),
        .raddr(p1_carry_addr), .rdata(carried)
    );
    assign joined = p1_fresh ? p1_data : larger(carried, p1_data);

    always_ff @(posedge clk) begin
        p2_data <= p1_pool ? joined : p1_data;
        p2_offset <= squeeze_pkg::wrap(p1_offset, tgt.depth);
        p2_bank <= p1_bank;
        p2_emit <= !rst && p1_emit;
    end

    // ---- stage 3: the write ----
    logic [WRITE_LATENCY:0] writes;
    logic [2:0] p3_bank;
    logic [16:0] p3_addr;
    logic [CIN*8-1:0] p3_data;

    always_ff @(posedge clk) begin
        writes <= rst ? '0 : (WRITE_LATENCY + 1)'({writes, p2_emit});
        p3_bank <= p2_bank;
        p3_addr <= tgt.base + p2_offset;
        p3_data <= p2_data;
    end
    assign ow_valid = writes[WRITE_LATENCY];
    delay_line #(.STAGES(WRITE_LATENCY), .WIDTH(20 + CIN * 8)) later (
        .clk(clk), .in({p3_bank, p3_addr, p3_data}), .out({ow_bank, ow_addr, ow_data}));

    // ---- average ----
    logic [CW-1:0][CIN-1:0][31:0] sums, outgoing;
    logic [$clog2(COUT+1)-1:0] to_send;
    logic sending, group_over;
    logic [CW-1:0] added;  // words of this group that were added at least once

    assign sending = to_send != 0 || group_over;
    assign logit_valid = to_send != 0;
    assign logit_data = outgoing[0][0];

    always_ff @(posedge clk) begin
        if (rq_out_valid && lay.average && mark.live)
            for (int i = 0; i < CIN; i++)
                sums[mark.word][i] <= (added[mark.word] ? sums[mark.word][i] : 32'd0) + 32'(rq_out[i]);
        if (rst) added <= '0;
        else if (rq_out_valid && lay.average) begin
            if (mark.group_ends) added <= '0;
            else if (mark.live) added[mark.word] <= 1'b1;
        end
        // The last word is added in the cycle in which the group's end is seen; the copy is taken one cycle later.
        group_over <= !rst && rq_out_valid && lay.average && mark.group_ends;
        group_sent <= !rst && to_send == 1 && logit_ready;
        if (group_over) outgoing <= sums;
        else if (logit_valid && logit_ready) begin
            for (int k = 0; k < COUT - 1; k++) outgoing[k/CIN][k%CIN] <= outgoing[(k+1)/CIN][(k+1)%CIN];
        end
        if (rst) to_send <= '0;
        else if (group_over) to_send <= ($clog2(COUT + 1))'(COUT);
        else if (logit_valid && logit_ready) to_send <= to_send - 1'b1;
    end

    assign idle = !active && !next_full && !drain_full && !waiting_full && !sending;

    initial begin
        if (COUT % CIN != 0) $fatal(1, "COUT must be a multiple of CIN");
        if (PIX < 1 || PIX > 7) $fatal(1, "PIX must be 1 to 7");
    end
endmodule

`default_nettype wire
