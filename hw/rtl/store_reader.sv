// Reads the weight store forward from an address, ahead of who takes the words.
//
// Contract: `flush` drops everything and begins at `flush_address`, which is read in that very cycle.  `raddr` is followed by `rdata`
// two cycles later (split_memory).  The first word is offered three cycles after the flush, then one each cycle.  word_valid does not
// depend on word_pop; a word stays until it is popped, and reading pauses while DEPTH words are on their way or waiting.
// It reads beyond the layer's last word; such words are dropped by the next flush.  Nothing is read before the first one.
`default_nettype none

module store_reader (
    input wire logic clk,
    input wire logic rst,
    input wire logic flush,
    input wire logic [23:0] flush_address,
    output logic [23:0] raddr,
    input wire logic [71:0] rdata,
    output logic [71:0] word,
    output logic word_valid,
    input wire logic word_pop
);
  localparam int DEPTH = 8;

  logic [71:0] fifo[DEPTH];
  logic [2:0] head, tail;
  logic [3:0] waiting;  // words in the FIFO
  logic [3:0] reserved;  // the same, and those on their way
  logic [1:0] coming;
  logic [23:0] address;
  logic issue;

  assign raddr = flush ? flush_address : address;
  assign issue = flush || reserved != 4'(DEPTH);
  assign word = fifo[head];
  assign word_valid = waiting != 4'd0;

  always_ff @(posedge clk) begin
    if (rst || flush) begin
      head <= 3'd0;
      tail <= 3'd0;
      waiting <= 4'd0;
      reserved <= rst ? 4'(DEPTH) : 4'd1;
      coming <= {1'b0, !rst};
    end else begin
      coming <= {coming[0], issue};
      reserved <= reserved + 4'(issue) - 4'(word_pop);
      waiting <= waiting + 4'(coming[1]) - 4'(word_pop);
      if (coming[1]) tail <= tail + 3'd1;
      if (word_pop) head <= head + 3'd1;
    end
    if (coming[1]) fifo[tail] <= rdata;
    if (issue) address <= raddr + 24'd1;
  end
endmodule

`default_nettype wire
