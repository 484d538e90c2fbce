// Simple dual-port block RAM: one write port, one registered read port, one clock.
//
// Contract
//   rdata holds the word of raddr one cycle later (a new one every cycle).  Reading the address that is being
//   written returns the old word; nobody should rely on it.  Nothing is reset.  INIT_FILE, where not empty, is a
//   $readmemh file.  DEPTH is a power of two: synthesis tools would round it up.
`default_nettype none

module ram_1w1r #(
    parameter int DEPTH = 512,
    parameter int WIDTH = 72,
    parameter INIT_FILE = "",
    // verilator lint_off UNUSEDPARAM
    parameter RAM_STYLE = "block",  // or "ultra"; only synthesis reads it
    // verilator lint_on UNUSEDPARAM
    localparam int ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire logic clk,
    input wire logic we,
    input wire logic [ADDR_BITS-1:0] waddr,
    input wire logic [WIDTH-1:0] wdata,
    input wire logic [ADDR_BITS-1:0] raddr,
    output logic [WIDTH-1:0] rdata
);
    if (DEPTH < 2 || 1 << $clog2(DEPTH) != DEPTH) begin : bad_depth
        $error("ram_1w1r: DEPTH must be a power of two, at least 2");
    end

    (* ram_style = RAM_STYLE *)
    logic [WIDTH-1:0] words[DEPTH];

    if (INIT_FILE != "") begin : contents
        initial $readmemh(INIT_FILE, words);
    end

    always @(posedge clk) begin  // plain: an initial block writes it, too
        if (we) words[waddr] <= wdata;
    end

    always_ff @(posedge clk) begin
        rdata <= words[raddr];
    end
endmodule

`default_nettype wire
