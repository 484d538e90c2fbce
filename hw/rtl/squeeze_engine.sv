// The engine: packets in, logits out (docs/program.md, docs/rtl.md).
//
// Each start (ap_start) takes one packet of s_axis_in.  A frame is done when its logits have been taken and its
// packet has been received whole; the next image may be received meanwhile.
// All control is reset by ap_rst_n, which is registered here; memories and their validity are not.
`default_nettype none

module squeeze_engine
#(
    parameter int PIX = 3,
    parameter int CIN = 8,
    parameter int COUT = 16,
    parameter int ACT_DEPTH = 5120,
    parameter int TILE_WORDS = 80,
    parameter int STORE_WORDS = 51200,
    parameter STORE_STYLE = "block",
    parameter int PARAM_DEPTH = 4096,
    parameter int PROGRAM_DEPTH = 256,
    parameter int LAYER_DEPTH = 32,
    parameter int BUFFER_DEPTH = 32,
    parameter int CARRY_WORDS = 1024,
    parameter int KERNEL_MAX = 7,
    parameter int TABLES = 0,  // of the entropy code; 0: no decoder
    parameter logic [31:0] ENGINE_ID = 32'd0,
    parameter bit PROGRAM_LOADED = 1'b0,  // initial contents: files of INIT_PREFIX, and what the receiver knows of them
    parameter bit STORE_LOADED = 1'b0,
    parameter logic [383:0] HEADER_INIT = '0,
    parameter logic [63:0] GATHER_INIT = '0,
    parameter logic [31:0] PROGRAM_CRC_INIT = '0,
    parameter logic [31:0] STORE_CRC_INIT = '0,
    parameter INIT_PREFIX = ""
) (
    input wire logic ap_clk,
    input wire logic ap_rst_n,
    // verilator lint_off SYMRSVDWORD
    output logic interrupt,  // the name that Vitis HLS gives
    // verilator lint_on SYMRSVDWORD

    input wire logic [7:0] s_axi_control_awaddr,
    input wire logic s_axi_control_awvalid,
    output logic s_axi_control_awready,
    input wire logic [31:0] s_axi_control_wdata,
    input wire logic [3:0] s_axi_control_wstrb,
    input wire logic s_axi_control_wvalid,
    output logic s_axi_control_wready,
    output logic [1:0] s_axi_control_bresp,
    output logic s_axi_control_bvalid,
    input wire logic s_axi_control_bready,
    input wire logic [7:0] s_axi_control_araddr,
    input wire logic s_axi_control_arvalid,
    output logic s_axi_control_arready,
    output logic [31:0] s_axi_control_rdata,
    output logic [1:0] s_axi_control_rresp,
    output logic s_axi_control_rvalid,
    input wire logic s_axi_control_rready,

    input wire logic [63:0] s_axis_in_tdata,
    input wire logic [7:0] s_axis_in_tkeep,
    input wire logic s_axis_in_tvalid,
    output logic s_axis_in_tready,
    input wire logic s_axis_in_tlast,

    input wire logic [63:0] s_axis_weights_tdata,
    input wire logic [7:0] s_axis_weights_tkeep,
    input wire logic s_axis_weights_tvalid,
    output logic s_axis_weights_tready,
    input wire logic s_axis_weights_tlast,

    output logic [63:0] m_axis_out_tdata,
    output logic [7:0] m_axis_out_tkeep,
    output logic m_axis_out_tvalid,
    input wire logic m_axis_out_tready,
    output logic m_axis_out_tlast
);
    localparam int CW = COUT / CIN;
    localparam int CHUNK = CIN < 8 ? CIN : 8;
    localparam int TILE_BITS = $clog2(2 * TILE_WORDS);
    localparam int WORD_BITS = $clog2(TILE_WORDS);
    localparam int OUTPUT_BITS = $clog2(COUT);
    localparam int CW_BITS = CW > 1 ? $clog2(CW) : 1;
    localparam bit STREAMED = STORE_WORDS == 0;
    localparam int REGISTERS = 11;
    localparam logic [3:0] BAD_STREAM = 4'd12;

    wire clk = ap_clk;
    logic rst;
    always_ff @(posedge clk) rst <= !ap_rst_n;

    // ---- starts ----
    logic ap_start, ap_done, ap_idle;
    logic run, busy_frame, frame_begin, frame_abort, packet_done, img_drop;
    logic [3:0] packet_error, error;
    logic restart, flush;
    squeeze_pkg::header_t header;
    logic [31:0] program_crc;
    logic program_valid, store_valid, weights_ok;
    logic logits_out, rows_done, frame_rows_done, frame_done, stream_complete, stream_failed;
    logic computed;  // the last logit of the frame has been taken
    logic [15:0] classes_left;  // logits of the frame; all of them again once its last group has passed
    logic [1:0] received;  // frames whose packets were received whole

    typedef enum logic [1:0] {IDLE, TAKING, FRAME} start_state_t;
    start_state_t start_state;

    assign run = start_state == TAKING;
    assign busy_frame = start_state == FRAME;
    assign rows_done = received != 0;
    assign frame_done = start_state == FRAME && computed && classes_left == header.classes && rows_done && stream_complete && !frame_abort;
    assign ap_idle = start_state == IDLE;
    // A frame that is given up leaves nothing behind; a new program or new weights begin anew, too.
    assign restart = packet_done || stream_failed || starting;
    assign flush = rst || restart;
    assign img_drop = stream_failed;

    logic starting;  // once behind a reset
    always_ff @(posedge clk) begin
        starting <= rst;
        ap_done <= 1'b0;
        if (rst) begin
            start_state <= IDLE;
            error <= '0;
        end else begin
            case (start_state)
                IDLE: if (ap_start && !ap_done) start_state <= TAKING;
                TAKING: begin
                    if (packet_done) begin
                        start_state <= IDLE;
                        ap_done <= 1'b1;
                        error <= packet_error;
                    end else if (frame_begin) start_state <= FRAME;
                end
                default: begin
                    if (packet_done || stream_failed || frame_done) begin
                        start_state <= IDLE;
                        ap_done <= 1'b1;
                        error <= packet_done ? packet_error : stream_failed ? BAD_STREAM : 4'd0;
                    end
                end
            endcase
        end
        if (flush) begin
            computed <= 1'b0;
            received <= '0;
        end else begin
            if (frame_done) computed <= 1'b0;
            else if (logits_out) computed <= 1'b1;
            received <= received + 2'(frame_rows_done) - 2'(frame_done);
        end
    end

    // ---- packets ----
    logic [63:0] img_data;
    logic img_valid, img_ready, img_first;
    logic pw_valid, sw_valid;
    logic [2:0] pw_section;
    logic [15:0] pw_index;
    logic [2:0] pw_word;
    logic [63:0] pw_data;
    logic [23:0] sw_addr;
    logic [71:0] sw_data;

    receiver #(
        .CIN(CIN), .ACT_DEPTH(ACT_DEPTH), .STORE_WORDS(STORE_WORDS), .PARAM_DEPTH(PARAM_DEPTH),
        .PROGRAM_DEPTH(PROGRAM_DEPTH), .LAYER_DEPTH(LAYER_DEPTH), .BUFFER_DEPTH(BUFFER_DEPTH), .KERNEL_MAX(KERNEL_MAX),
        .TABLES(TABLES), .ENGINE_ID(ENGINE_ID), .PROGRAM_INIT(PROGRAM_LOADED), .STORE_INIT(STORE_LOADED), .HEADER_INIT(HEADER_INIT),
        .PROGRAM_CRC_INIT(PROGRAM_CRC_INIT), .STORE_CRC_INIT(STORE_CRC_INIT)
    ) receiver_i (
        .clk, .rst,
        .s_axis_tdata(s_axis_in_tdata), .s_axis_tvalid(s_axis_in_tvalid), .s_axis_tready(s_axis_in_tready),
        .s_axis_tlast(s_axis_in_tlast),
        .run, .busy_frame, .frame_begin, .frame_abort, .packet_done, .error(packet_error),
        .img_data, .img_valid, .img_ready, .img_first, .img_drop,
        .header, .program_crc, .program_valid, .store_valid, .weights_ok,
        .pw_valid, .pw_section, .pw_index, .pw_word, .pw_data, .sw_valid, .sw_addr, .sw_data
    );

    // The buffer of gathered rows, kept as it passes by.
    /* verilator lint_off UNUSEDSIGNAL */  // its reserved bits
    squeeze_pkg::buffer_t gather;
    /* verilator lint_on UNUSEDSIGNAL */
    initial gather = squeeze_pkg::buffer_t'(GATHER_INIT);
    always_ff @(posedge clk)
        if (pw_valid && pw_section == 3'd1 && pw_index == 16'(header.gather_buffer)) gather <= squeeze_pkg::buffer_t'(pw_data);

    // ---- program and weights ----
    logic [1:0] f_req, f_done;
    logic [1:0][15:0] f_index;
    squeeze_pkg::instruction_t f_instruction;
    squeeze_pkg::layer_t f_layer;
    squeeze_pkg::buffer_t f_source, f_target;

    program_memory #(
        .PROGRAM_DEPTH(PROGRAM_DEPTH), .LAYER_DEPTH(LAYER_DEPTH), .BUFFER_DEPTH(BUFFER_DEPTH),
        .INIT_PREFIX(PROGRAM_LOADED ? INIT_PREFIX : "")
    ) program_memory_i (
        .clk, .rst, .pw_valid, .pw_section, .pw_index, .pw_word, .pw_data,
        .f_req, .f_index, .f_done, .f_instruction, .f_layer, .f_source, .f_target
    );

    logic [15:0] param_raddr;
    logic [43:0] param_rdata;
    param_memory #(
        .PARAM_DEPTH(PARAM_DEPTH), .INIT_PREFIX(PROGRAM_LOADED ? {INIT_PREFIX, "params"} : "")
    ) param_memory_i (
        .clk, .pw_valid, .pw_section, .pw_index, .pw_data, .raddr(param_raddr), .rdata(param_rdata)
    );

    logic [23:0] store_raddr;
    logic [71:0] store_rdata, ws_data;
    logic ws_valid, ws_ready;
    generate
        if (STREAMED) begin : streamed
            assign store_rdata = '0;
            weight_stream weight_stream_i (
                .clk, .rst, .begin_frame(frame_begin), .abandon(restart && !stream_failed),
                .identity(program_crc[23:0]), .stream_words(header.stream_words),
                .complete(stream_complete), .failed(stream_failed),
                .s_axis_tdata(s_axis_weights_tdata), .s_axis_tvalid(s_axis_weights_tvalid),
                .s_axis_tready(s_axis_weights_tready), .s_axis_tlast(s_axis_weights_tlast),
                .ws_data, .ws_valid, .ws_ready
            );
        end else begin : resident
            assign stream_complete = 1'b1;
            assign stream_failed = 1'b0;
            assign s_axis_weights_tready = 1'b0;
            assign ws_data = '0;
            assign ws_valid = 1'b0;
            localparam int STORE_BITS = $clog2(STORE_WORDS);
            split_memory #(
                .DEPTH(STORE_WORDS), .WIDTH(72), .RAM_STYLE(STORE_STYLE),
                .INIT_PREFIX(STORE_LOADED ? {INIT_PREFIX, "store"} : "")
            ) weight_store (
                .clk, .we(sw_valid), .waddr(sw_addr[STORE_BITS-1:0]), .wdata(sw_data),
                .raddr(store_raddr[STORE_BITS-1:0]), .rdata(store_rdata)
            );
        end
    endgenerate

    logic tw_valid, tw_buffer, tw_half;
    logic [WORD_BITS-1:0] tw_word;
    logic [OUTPUT_BITS-1:0] tw_output;
    logic [CHUNK*6-1:0] tw_data;
    logic rw_valid, rw_half;
    logic [1:0] rw_slot;
    logic [OUTPUT_BITS-1:0] rw_channel;
    logic [43:0] rw_data;
    logic [5:0] rw_shift;
    logic tile_ready, tile_release;

    expander #(
        .CIN(CIN), .COUT(COUT), .TILE_WORDS(TILE_WORDS), .STORE_WORDS(STORE_WORDS), .TABLES(TABLES),
        .TABLES_FILE(PROGRAM_LOADED ? {INIT_PREFIX, "tables.mem"} : "")
    ) expander_i (
        .clk, .rst, .start(frame_begin), .restart(restart && program_valid), .stream_words(header.stream_words),
        .pw_valid, .pw_section, .pw_index, .pw_data,
        .fetch_req(f_req[1]), .fetch_index(f_index[1]), .fetch_done(f_done[1]),
        .fetch_instruction(f_instruction), .fetch_layer(f_layer),
        .store_raddr, .store_rdata, .ws_data, .ws_valid, .ws_ready, .param_raddr, .param_rdata,
        .tw_valid, .tw_buffer, .tw_word, .tw_output, .tw_half, .tw_data,
        .rw_valid, .rw_slot, .rw_half, .rw_channel, .rw_data, .rw_shift, .tile_ready, .tile_release
    );

    // ---- image rows and activations ----
    logic [PIX-1:0][16:0] raddr;
    logic [PIX-1:0][CIN*8-1:0] rdata;
    logic ow_valid, lw_valid, lw_ready;
    logic [2:0] ow_bank, lw_bank;
    logic [16:0] ow_addr, lw_addr;
    logic [CIN*8-1:0] ow_data, lw_data;
    logic row_stored, credit_valid;
    logic [7:0] credit;

    loader #(.PIX(PIX), .CIN(CIN), .KERNEL_MAX(KERNEL_MAX)) loader_i (
        .clk, .rst, .header, .gather_base(gather.base), .gather_depth(gather.depth), .restart,
        .img_data, .img_valid, .img_ready, .img_first, .credit_valid, .credit(12'(credit)),
        .lw_valid, .lw_bank, .lw_addr, .lw_data, .lw_ready, .row_stored, .frame_rows_done
    );

    activation_memory #(.PIX(PIX), .CIN(CIN), .DEPTH(ACT_DEPTH)) activation_memory_i (
        .clk, .raddr, .rdata, .ow_valid, .ow_bank, .ow_addr, .ow_data, .lw_valid, .lw_bank, .lw_addr, .lw_data, .lw_ready
    );

    // ---- products ----
    logic record_valid, record_ready, output_idle, logit_space, group_sent;
    squeeze_pkg::instruction_t record_instruction;
    squeeze_pkg::layer_t record_layer;
    squeeze_pkg::buffer_t record_target;
    logic [TILE_BITS-1:0] tile_raddr, tile_wanted;
    logic tile_done;
    logic [COUT-1:0][CIN*6-1:0] tile_rdata;
    logic [2:0] rotate;
    logic [PIX-1:0] mask;
    logic step_valid, step_first, step_last, act_valid, act_first, act_last;
    logic [PIX-1:0][CIN*8-1:0] act;
    logic [PIX-1:0][COUT-1:0][23:0] sums;
    logic set_valid, frame_issued, running, busy, stall_weights, stall_input, stall_output;

    sequencer #(.PIX(PIX), .CIN(CIN), .COUT(COUT), .TILE_WORDS(TILE_WORDS)) sequencer_i (
        .clk, .rst, .restart, .frame_begin, .header_rows(header.rows), .frame_issued,
        .fetch_req(f_req[0]), .fetch_index(f_index[0]), .fetch_done(f_done[0]), .fetch_instruction(f_instruction),
        .fetch_layer(f_layer), .fetch_source(f_source), .fetch_target(f_target),
        .record_valid, .record_ready, .record_instruction, .record_layer, .record_target,
        .tile_ready, .tile_release(tile_done), .row_stored, .credit_valid, .credit,
        .output_idle, .logit_space, .group_sent,
        .raddr, .tile_raddr(tile_wanted), .rotate, .mask, .step_valid, .step_first, .step_last,
        .running, .busy, .stall_weights, .stall_input, .stall_output
    );

    // Weights meet their operands, and a tile is released when its last word has been read.
    localparam int OPERANDS_LATER = squeeze_pkg::OPERAND_LATENCY - 1;
    delay_line #(.STAGES(OPERANDS_LATER), .WIDTH(TILE_BITS)) tile_later (.clk, .in(tile_wanted), .out(tile_raddr));
    logic [OPERANDS_LATER:0] releases;
    assign releases[0] = tile_done;
    for (genvar n = 0; n < OPERANDS_LATER; n++) begin : release_later
        always_ff @(posedge clk) releases[n+1] <= releases[n] && !flush;
    end
    assign tile_release = releases[OPERANDS_LATER];

    weight_tile #(.CIN(CIN), .COUT(COUT), .TILE_WORDS(TILE_WORDS)) weight_tile_i (
        .clk, .rst, .tw_valid, .tw_buffer, .tw_word, .tw_output, .tw_half, .tw_data, .raddr(tile_raddr), .rdata(tile_rdata)
    );

    operand_stage #(.PIX(PIX), .CIN(CIN)) operand_stage_i (
        .clk, .rst(flush), .bank_data(rdata), .rotate, .mask, .valid(step_valid), .first(step_first), .last(step_last),
        .act, .act_valid, .act_first, .act_last
    );

    mac_array #(.PIX(PIX), .CIN(CIN), .COUT(COUT)) mac_array_i (
        .clk, .rst(flush), .act, .weights(tile_rdata), .in_valid(act_valid), .in_first(act_first), .in_last(act_last),
        .sums, .set_valid
    );

    // ---- output path ----
    logic [1:0] param_slot;
    logic param_half;
    logic [CW_BITS-1:0] param_word;
    logic [CIN-1:0][23:0] param_bias;
    logic [CIN-1:0][15:0] param_multiplier;
    logic [CIN-1:0][3:0] param_offset;
    logic [5:0] param_shift;
    logic logit_valid, logit_ready, fifo_ready;
    logic [31:0] logit_data;

    param_tile #(.CIN(CIN), .COUT(COUT)) param_tile_i (
        .clk, .rw_valid, .rw_slot, .rw_half, .rw_channel, .rw_data, .rw_shift,
        .slot(param_slot), .half(param_half), .word(param_word),
        .bias(param_bias), .multiplier(param_multiplier), .offset(param_offset), .shift(param_shift)
    );

    output_stage #(.PIX(PIX), .CIN(CIN), .COUT(COUT), .CARRY_WORDS(CARRY_WORDS)) output_stage_i (
        .clk, .rst(flush), .record_valid, .record_ready, .record_instruction, .record_layer, .record_target,
        .set_valid, .set_sums(sums), .param_slot, .param_half, .param_word, .param_bias, .param_multiplier,
        .param_offset, .param_shift, .ow_valid, .ow_bank, .ow_addr, .ow_data,
        .logit_valid, .logit_data, .logit_ready, .group_sent, .idle(output_idle)
    );

    // Channels that fill up the last group are no classes; the frame lasts until they have passed, too.
    logic is_class;
    assign is_class = classes_left != '0;
    assign logit_ready = fifo_ready || !is_class;
    always_ff @(posedge clk) begin
        if (flush || (group_sent && !is_class)) classes_left <= header.classes;
        else if (logit_valid && logit_ready && is_class) classes_left <= classes_left - 16'd1;
    end

    logit_stream #(.COUT(COUT)) logit_stream_i (
        .clk, .rst, .close(restart), .logit_valid(logit_valid && is_class), .logit_ready(fifo_ready), .logit_data,
        .logit_last(classes_left == 16'd1), .space(logit_space),
        .m_axis_tdata(m_axis_out_tdata), .m_axis_tkeep(m_axis_out_tkeep), .m_axis_tlast(m_axis_out_tlast),
        .m_axis_tvalid(m_axis_out_tvalid), .m_axis_tready(m_axis_out_tready)
    );
    assign logits_out = m_axis_out_tvalid && m_axis_out_tready && m_axis_out_tlast && busy_frame;

    // ---- registers ----
    logic [31:0] frames, total_cycles, busy_cycles, weights_cycles, input_cycles, output_cycles;
    perf_counters perf_counters_i (
        .clk, .rst, .running(busy_frame), .busy, .wait_weights(stall_weights), .wait_input(stall_input),
        .frame_end(frame_done), .frame_clear(restart),
        .frames, .total(total_cycles), .busy_cycles, .stall_weights(weights_cycles), .stall_input(input_cycles),
        .stall_output(output_cycles)
    );

    logic [REGISTERS-1:0][31:0] values;
    assign values = {
        output_cycles, input_cycles, weights_cycles, busy_cycles, total_cycles, frames,
        30'd0, store_valid || STREAMED, program_valid,
        weights_ok && !STREAMED ? header.weights_crc : 32'd0, program_crc, ENGINE_ID, 28'd0, error
    };

    control_registers #(.VALUES(REGISTERS)) control_registers_i (
        .clk, .rst,
        .s_axi_control_awaddr, .s_axi_control_awvalid, .s_axi_control_awready,
        .s_axi_control_wdata, .s_axi_control_wstrb, .s_axi_control_wvalid, .s_axi_control_wready,
        .s_axi_control_bresp, .s_axi_control_bvalid, .s_axi_control_bready,
        .s_axi_control_araddr, .s_axi_control_arvalid, .s_axi_control_arready,
        .s_axi_control_rdata, .s_axi_control_rresp, .s_axi_control_rvalid, .s_axi_control_rready,
        .irq(interrupt), .ap_start, .ap_ready(ap_done), .ap_done, .ap_idle, .values
    );

    // verilator lint_off UNUSEDSIGNAL
    wire unused = &{1'b0, s_axis_in_tkeep, s_axis_weights_tkeep, running, stall_output, frame_issued, STREAMED ? 1'b0 : &{
        s_axis_weights_tdata, s_axis_weights_tvalid, s_axis_weights_tlast, ws_ready}, sw_valid, sw_addr, sw_data, store_raddr};
    // verilator lint_on UNUSEDSIGNAL
endmodule

`default_nettype wire
