// CRC-32 as zlib computes it (reflected, polynomial 0xEDB88320), BITS bits a cycle, the lowest bit first.
//
// Contract: `load` takes `start` as the new state, otherwise `valid` takes `data` into it.  `state` is registered and
// not inverted: begin with 0xFFFFFFFF, the CRC is ~state.  A step every cycle, no back-pressure.  Nothing is reset.
//
// The next state is linear in state and data: every bit of it is one XOR of at most BITS + 32 bits, whose choice is
// worked out at elaboration, so that no chain of BITS steps is left to synthesis.
`default_nettype none

module crc32 #(
    parameter int BITS = 64
) (
    input wire logic clk,
    input wire logic load,
    input wire logic [31:0] start,
    input wire logic valid,
    input wire logic [BITS-1:0] data,
    output logic [31:0] state
);
  initial if (BITS < 1 || BITS % 8 != 0) $fatal(1, "crc32: BITS must be a multiple of 8");

  localparam logic [31:0] POLYNOMIAL = 32'hEDB8_8320;

  // The bits of {data, state} whose XOR is bit `index` of the next state.  A serial step is
  // s' = (s >> 1) ^ ((s[0] ^ d) ? POLYNOMIAL : 0); this walks the steps backwards and keeps which bits of s count.
  function automatic logic [BITS+31:0] terms(input int index);
    logic [31:0] weight;
    logic [BITS-1:0] of_data;
    logic feedback;
    weight = 32'd1 << index;
    of_data = '0;
    for (int step = BITS - 1; step >= 0; step--) begin
      feedback = ^(weight & POLYNOMIAL);
      of_data[step] = feedback;
      weight = {weight[30:0], feedback};
    end
    terms = {of_data, weight};  // Yosys has no return statement
  endfunction

  logic [31:0] next;
  for (genvar i = 0; i < 32; i++) begin : bits
    localparam logic [BITS+31:0] TERMS = terms(i);
    assign next[i] = ^({data, state} & TERMS);
  end

  always_ff @(posedge clk) begin
    if (load) state <= start;
    else if (valid) state <= next;
  end
endmodule

`default_nettype wire
