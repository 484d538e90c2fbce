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
        logic [STAGES-1:0][WIDTH-1:0] stages;

        always_ff @(posedge clk) begin
            stages[0] <= in;
            for (int s = 1; s < STAGES; s++) stages[s] <= stages[s-1];
        end
        assign out = stages[STAGES-1];
    end
endmodule

`default_nettype wire
