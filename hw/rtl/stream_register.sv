// A register slice for a stream: cuts both the payload and the ready path.
//
// Contract: in_ready, out_valid and out_data are registered; a beat appears one cycle after it was taken; one beat a cycle
// sustained; two beats are held under back-pressure.  Reset empties it.
`default_nettype none

module stream_register #(
    parameter int WIDTH = 65
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic [WIDTH-1:0] in_data,
    input wire logic in_valid,
    output logic in_ready,
    output logic [WIDTH-1:0] out_data,
    output logic out_valid,
    input wire logic out_ready
);
  logic [WIDTH-1:0] spare_data;
  logic spare;  // a second beat is held; in_ready is its inverse except in reset

  always_ff @(posedge clk) begin
    if (rst) begin
      in_ready <= 1'b0;
      out_valid <= 1'b0;
      spare <= 1'b0;
    end else begin
      in_ready <= !spare || out_ready;
      if (out_ready || !out_valid) begin
        out_valid <= spare || (in_valid && in_ready);
        spare <= 1'b0;
      end else if (in_valid && in_ready) begin
        spare <= 1'b1;
        in_ready <= 1'b0;
      end
    end
    if (out_ready || !out_valid) out_data <= spare ? spare_data : in_data;
    if (in_ready) spare_data <= in_data;
  end
endmodule

`default_nettype wire
