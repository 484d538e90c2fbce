// Simple dual-port memory of any depth, made of power-of-two pieces.
//
// Synthesis tools round one array up to a power of two addresses, so that 5120 words in one piece would cost 8192.
// There is one ram_1w1r for each set bit of DEPTH, the largest first.
//
// Contract
//   rdata holds the word of raddr two cycles later (a new one every cycle): the memory, then an output register
//   behind the multiplexer of the pieces.  Reading the address that is being written returns the old word or the
//   new one; nobody may rely on it.  Addresses from DEPTH up are not written and read as anything.  Nothing is reset.
//   INIT_PREFIX, where not empty: the piece of 2^b words starts with $readmemh of INIT_PREFIX, two digits of b, ".mem".
`default_nettype none

module split_memory #(
    parameter int DEPTH = 5120,
    parameter int WIDTH = 72,
    parameter INIT_PREFIX = "",
    parameter RAM_STYLE = "block",
    localparam int ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire logic clk,
    input wire logic we,
    input wire logic [ADDR_BITS-1:0] waddr,
    input wire logic [WIDTH-1:0] wdata,
    input wire logic [ADDR_BITS-1:0] raddr,
    output logic [WIDTH-1:0] rdata
);
    if (DEPTH < 2 || DEPTH % 2 != 0) begin : bad_depth
        $error("split_memory: DEPTH must be even and positive");
    end

    localparam int BITS = $clog2(DEPTH + 1);  // pieces of 2^0 .. 2^(BITS - 1) words are possible

    logic [BITS-1:0] selected;  // the piece that raddr of the cycle before stands in
    logic [BITS-1:0][WIDTH-1:0] words;
    logic [WIDTH-1:0] word;

    for (genvar b = 0; b < BITS; b++) begin : pieces
        if ((DEPTH >> b) % 2 == 1) begin : piece
            // The piece begins where the larger ones end: at DEPTH without its bits up to b.
            localparam int PAGE = (DEPTH >> (b + 1)) * 2;
            wire logic written = (waddr >> b) == ADDR_BITS'(PAGE);

            always_ff @(posedge clk) selected[b] <= (raddr >> b) == ADDR_BITS'(PAGE);

            if (INIT_PREFIX != "") begin : loaded
                ram_1w1r #(
                    .DEPTH(1 << b),
                    .WIDTH(WIDTH),
                    .INIT_FILE({INIT_PREFIX, 8'(48 + b / 10), 8'(48 + b % 10), ".mem"}),
                    .RAM_STYLE(RAM_STYLE)
                ) memory (
                    .clk, .we(we && written), .waddr(waddr[b-1:0]), .wdata,
                    .raddr(raddr[b-1:0]), .rdata(words[b])
                );
            end else begin : blank
                ram_1w1r #(
                    .DEPTH(1 << b),
                    .WIDTH(WIDTH),
                    .RAM_STYLE(RAM_STYLE)
                ) memory (
                    .clk, .we(we && written), .waddr(waddr[b-1:0]), .wdata,
                    .raddr(raddr[b-1:0]), .rdata(words[b])
                );
            end
        end else begin : none
            assign selected[b] = 1'b0;
            assign words[b] = '0;
        end
    end

    always_comb begin
        word = '0;
        for (int b = 0; b < BITS; b++) word |= words[b] & {WIDTH{selected[b]}};
    end

    always_ff @(posedge clk) rdata <= word;
endmodule

`default_nettype wire
