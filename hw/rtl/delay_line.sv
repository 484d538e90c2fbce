// Delay of a fixed number of cycles, STAGES >= 0; nothing is reset, so that it may become shift-register LUTs.
`default_nettype none

module delay_line #(
    parameter int STAGES = 1,
    parameter int WIDTH = 8
) (
    input wire logic clk,
    input wire logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
    if (STAGES == 0) begin : wires
        assign out = in;
        logic unused;
        assign unused = clk;
    end else begin : registers
        logic [STAGES*WIDTH-1:0] stages;  // the oldest on top

        always_ff @(posedge clk) stages <= (STAGES * WIDTH)'({stages, in});
        assign out = stages[STAGES*WIDTH-1-:WIDTH];
    end
endmodule

`default_nettype wire
