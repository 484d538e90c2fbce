// Activation memory: PIX banks of CIN-byte words, one read and one write port each.
//
// Contract
//   raddr, rdata  every bank reads in every cycle; the word is there 2 cycles later (memory, output register).
//   ow_*          the output stage's word, always taken.
//   lw_*          the loader's word; lw_ready is low, combinationally, only while the output stage writes the same bank.
// A word is written at the end of the cycle in which it is taken: a read issued in the next cycle finds it.  A read and a
// write of one address in one cycle: the read returns the old word or the new one.
`default_nettype none

module activation_memory #(
    parameter int PIX = 3,
    parameter int CIN = 8,
    parameter int DEPTH = 5120
) (
    input wire logic clk,

    input wire logic [PIX-1:0][16:0] raddr,
    output logic [PIX-1:0][CIN*8-1:0] rdata,

    input wire logic ow_valid,
    input wire logic [2:0] ow_bank,
    input wire logic [16:0] ow_addr,
    input wire logic [CIN*8-1:0] ow_data,

    input wire logic lw_valid,
    input wire logic [2:0] lw_bank,
    input wire logic [16:0] lw_addr,
    input wire logic [CIN*8-1:0] lw_data,
    output logic lw_ready
);
    localparam int ADDR_BITS = $clog2(DEPTH);

    if (PIX < 1 || PIX > 7) begin : check_pix
        $error("activation_memory: PIX must be 1 to 7");
    end
    if (DEPTH < 2 || ADDR_BITS > 17) begin : check_depth
        $error("activation_memory: DEPTH must be 2 to 131072");
    end

    assign lw_ready = !(ow_valid && ow_bank == lw_bank);

    for (genvar b = 0; b < PIX; b++) begin : banks
        wire logic from_output = ow_valid && ow_bank == 3'(b);
        wire logic from_loader = lw_valid && lw_bank == 3'(b);

        split_memory #(
            .DEPTH(DEPTH),
            .WIDTH(CIN * 8)
        ) memory (
            .clk,
            .we(from_output || from_loader),
            .waddr(ADDR_BITS'(from_output ? ow_addr : lw_addr)),
            .wdata(from_output ? ow_data : lw_data),
            .raddr(ADDR_BITS'(raddr[b])),
            .rdata(rdata[b])
        );
    end
endmodule

`default_nettype wire
