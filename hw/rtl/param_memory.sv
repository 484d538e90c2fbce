// Requantization records of all output channels: bias, multiplier and offset of the shift, 44 bits each.
//
// Contract: pw_* of section 3 writes record pw_index.  `rdata` follows `raddr` by two cycles; a read every cycle.
// Bits 23:0 bias, 39:24 multiplier - 2^16, 43:40 offset: the lower bits of param_t.  Nothing is reset.
`default_nettype none

module param_memory #(
    parameter int PARAM_DEPTH = 4096,
    parameter INIT_PREFIX = ""
) (
    input wire logic clk,
    input wire logic pw_valid,
    input wire logic [2:0] pw_section,
    input wire logic [15:0] pw_index,
    input wire logic [63:0] pw_data,
    input wire logic [15:0] raddr,
    output logic [43:0] rdata
);
  initial if (PARAM_DEPTH < 2 || PARAM_DEPTH > 65536) $fatal(1, "param_memory: PARAM_DEPTH must be 2 to 65536");

  localparam int ADDRESS_BITS = $clog2(PARAM_DEPTH);

  split_memory #(
      .DEPTH(PARAM_DEPTH),
      .WIDTH(44),
      .INIT_PREFIX(INIT_PREFIX)
  ) memory (
      .clk,
      .we(pw_valid && pw_section == 3'd3),
      .waddr(pw_index[ADDRESS_BITS-1:0]),
      .wdata(pw_data[43:0]),
      .raddr(raddr[ADDRESS_BITS-1:0]),
      .rdata
  );

  wire logic unused = &{1'b0, pw_index, pw_data, raddr};
endmodule

`default_nettype wire
