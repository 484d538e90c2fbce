// Distributed RAM: one write port, one asynchronous read port.
//
// Contract
//   rdata is the word of raddr in the same cycle; a word written in cycle t reads new from t + 1.  Addresses from
//   DEPTH up are not written and read as anything.  Nothing is reset.  INIT_FILE, unless empty: initial contents.
`default_nettype none

module ram_lut #(
    parameter int DEPTH = 64,
    parameter int WIDTH = 48,
    parameter INIT_FILE = "",
    localparam int ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire logic clk,
    input wire logic we,
    input wire logic [ADDR_BITS-1:0] waddr,
    input wire logic [WIDTH-1:0] wdata,
    input wire logic [ADDR_BITS-1:0] raddr,
    output logic [WIDTH-1:0] rdata
);
    if (DEPTH < 1) begin : bad_depth
        $error("ram_lut: DEPTH must be positive");
    end

    (* ram_style = "distributed" *)
    logic [WIDTH-1:0] words[DEPTH];

    if (INIT_FILE != "") begin : initial_words
        initial $readmemh(INIT_FILE, words);
    end

    always @(posedge clk) begin  // plain: an initial block writes it, too
        if (we) words[waddr] <= wdata;
    end

    assign rdata = words[raddr];
endmodule

`default_nettype wire
