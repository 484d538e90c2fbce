// Control registers: AXI4-Lite slave with the register layout of Vitis HLS (ap_ctrl_hs).
//
//   0x00  ap_ctrl  bit 0 ap_start (set by writing 1, cleared when the engine takes it), bit 1 ap_done and bit 3 ap_ready (cleared by
//                  reading), bit 2 ap_idle, bit 7 auto_restart (read, write), bit 9 interrupt
//   0x04  GIE      bit 0: `irq` is enabled
//   0x08  IER      bit 0: ap_done, bit 1: ap_ready raise the bit of ISR
//   0x0C  ISR      writing 1 toggles a bit
//   FIRST + 16 i      values[i], read only
//   FIRST + 16 i + 4  bit 0: values[i] was renewed by an ap_done since this word was read last (cleared by reading)
// Other addresses read 0.  Writes to them and to read-only registers do nothing; every response is OKAY.
//
// Contract
//   ap_start  level: starts are wanted. ap_ready (pulse) takes one: ap_start falls, or stays with auto_restart.
//   ap_done   pulse: a start is finished.  ap_idle: nothing runs.
//   values    registers that are renewed with, or shortly behind, ap_done.
//   A write takes effect in the cycle in which address and data are taken, both in one cycle; one write and one read are in
//   flight.  Read data are registered: 1 cycle.  Every response waits for its ready.  A write and a read each
//   take 2 cycles at best.  An event in the cycle of a clearing read is kept for the next read.
//   irq is registered.
`default_nettype none

module control_registers #(
    parameter int VALUES = 11,
    parameter int FIRST = 'h40,
    parameter int ADDR_BITS = 8
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic [ADDR_BITS-1:0] s_axi_control_awaddr,
    input wire logic s_axi_control_awvalid,
    output logic s_axi_control_awready,
    input wire logic [31:0] s_axi_control_wdata,
    input wire logic [3:0] s_axi_control_wstrb,
    input wire logic s_axi_control_wvalid,
    output logic s_axi_control_wready,
    output logic [1:0] s_axi_control_bresp,
    output logic s_axi_control_bvalid,
    input wire logic s_axi_control_bready,
    input wire logic [ADDR_BITS-1:0] s_axi_control_araddr,
    input wire logic s_axi_control_arvalid,
    output logic s_axi_control_arready,
    output logic [31:0] s_axi_control_rdata,
    output logic [1:0] s_axi_control_rresp,
    output logic s_axi_control_rvalid,
    input wire logic s_axi_control_rready,
    output logic irq,

    output logic ap_start,
    input wire logic ap_ready,
    input wire logic ap_done,
    input wire logic ap_idle,
    input wire logic [VALUES-1:0][31:0] values
);
    localparam int WORD_BITS = ADDR_BITS - 2;
    typedef logic [WORD_BITS-1:0] word_t;  // word address
    localparam word_t CTRL = word_t'(0), GIE = word_t'(1), IER = word_t'(2), ISR = word_t'(3);

    if (FIRST % 16 != 0 || FIRST < 16) begin : check_first
        $error("control_registers: FIRST must be a multiple of 16 behind the control words");
    end
    if (FIRST + 16 * VALUES > 2 ** ADDR_BITS) begin : check_space
        $error("control_registers: the registers exceed the address space");
    end

    logic auto_restart, done, ready, idle, global_enable;
    logic [1:0] enable, status;
    logic [VALUES-1:0] renewed;

    // --- writes ---
    // The reset is registered, so nothing may be taken in its last cycle, when a master may begin already.
    wire logic write = s_axi_control_awvalid && s_axi_control_wvalid && !s_axi_control_bvalid && !rst;
    wire word_t waddr = s_axi_control_awaddr[ADDR_BITS-1:2];
    assign s_axi_control_awready = write;
    assign s_axi_control_wready  = write;
    assign s_axi_control_bresp   = 2'b00;

    // All writable bits are in the lowest byte.
    wire logic write_low = write && s_axi_control_wstrb[0];
    wire logic [1:0] toggled = write_low && waddr == ISR ? s_axi_control_wdata[1:0] : 2'b00;

    // --- reads ---
    wire logic read = s_axi_control_arvalid && s_axi_control_arready;
    wire word_t raddr = s_axi_control_araddr[ADDR_BITS-1:2];
    assign s_axi_control_arready = !s_axi_control_rvalid && !rst;
    assign s_axi_control_rresp   = 2'b00;

    logic [31:0] rdata;
    always_comb begin
        rdata = '0;
        case (raddr)
            CTRL: rdata = {22'd0, irq, 1'b0, auto_restart, 3'd0, ready, idle, done, ap_start};
            GIE: rdata = {31'd0, global_enable};
            IER: rdata = {30'd0, enable};
            ISR: rdata = {30'd0, status};
            default: begin
                for (int i = 0; i < VALUES; i++) begin
                    if (raddr == word_t'(FIRST / 4 + 4 * i)) rdata = values[i];
                    if (raddr == word_t'(FIRST / 4 + 4 * i + 1)) rdata = {31'd0, renewed[i]};
                end
            end
        endcase
    end

    always_ff @(posedge clk) begin
        if (read) s_axi_control_rdata <= rdata;

        if (write) s_axi_control_bvalid <= 1'b1;
        else if (s_axi_control_bready) s_axi_control_bvalid <= 1'b0;
        if (read) s_axi_control_rvalid <= 1'b1;
        else if (s_axi_control_rready) s_axi_control_rvalid <= 1'b0;

        if (write_low && waddr == CTRL && s_axi_control_wdata[0]) ap_start <= 1'b1;
        else if (ap_ready) ap_start <= auto_restart;
        if (write_low && waddr == CTRL) auto_restart <= s_axi_control_wdata[7];
        if (write_low && waddr == GIE) global_enable <= s_axi_control_wdata[0];
        if (write_low && waddr == IER) enable <= s_axi_control_wdata[1:0];

        if (ap_done) done <= 1'b1;
        else if (read && raddr == CTRL) done <= 1'b0;
        if (ap_ready) ready <= 1'b1;
        else if (read && raddr == CTRL) ready <= 1'b0;
        idle <= ap_idle && !ap_start;  // a start that nothing has taken yet is not idle

        // As in Vitis HLS, an event wins over a toggle.
        status <= (status ^ toggled) | ({ap_ready, ap_done} & enable);
        irq <= global_enable && status != 2'b00;

        for (int i = 0; i < VALUES; i++) begin
            if (ap_done) renewed[i] <= 1'b1;
            else if (read && raddr == word_t'(FIRST / 4 + 4 * i + 1)) renewed[i] <= 1'b0;
        end

        if (rst) begin
            s_axi_control_bvalid <= 1'b0;
            s_axi_control_rvalid <= 1'b0;
            ap_start             <= 1'b0;
            auto_restart         <= 1'b0;
            global_enable        <= 1'b0;
            enable               <= 2'b00;
            status               <= 2'b00;
            done                 <= 1'b0;
            ready                <= 1'b0;
            idle                 <= 1'b0;
            irq                  <= 1'b0;
            renewed              <= '0;
        end
    end

    // The bytes above the lowest hold no writable bit, and addresses are those of words.
    wire logic unused = &{1'b0, s_axi_control_wdata[31:8], s_axi_control_wdata[6:2], s_axi_control_wstrb[3:1],
                          s_axi_control_awaddr[1:0], s_axi_control_araddr[1:0]};
endmodule

`default_nettype wire
