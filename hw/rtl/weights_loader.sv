// Unpacks a weights packet into the store, and its CRC-32 without the padding.
//
// Contract
//   begin_load  pulse: the next beat is the first of a weights packet.
//   beat_*      payload beats without the CRC word, always taken.
//   crc_before  state of the CRC-32 over the payload before this beat.
//   finish      pulse, at least one cycle after the last beat.  `done` is a pulse at most 11 cycles later; with it, and until the next
//               begin_load, store_crc is the CRC-32 of exactly 9 bytes a store word, and `odd` tells that the last beat belongs to no word.
//   sw_*        registered writes of the store, one cycle behind the beat that completes the word.
// Nine bytes a word seldom end with a beat: the CRC state before the last beat is kept, and the beat's bytes that belong to
// a word are added one a cycle.
`default_nettype none

module weights_loader (
    input wire logic clk,
    input wire logic rst,
    input wire logic begin_load,
    input wire logic [63:0] beat_data,
    input wire logic beat_valid,
    input wire logic [31:0] crc_before,
    input wire logic finish,
    output logic done,
    output logic odd,
    output logic [31:0] store_crc,

    output logic sw_valid,
    output logic [23:0] sw_addr,
    output logic [71:0] sw_data
);
  logic [3:0] phase;
  logic unpacker_ready;

  word_unpacker unpacker (
      .clk,
      .rst,
      .clear(begin_load),
      .in_data(beat_data),
      .in_valid(beat_valid),
      .in_ready(unpacker_ready),
      .out_data(sw_data),
      .out_valid(sw_valid),
      .out_ready(1'b1),
      .phase
  );

  always_ff @(posedge clk) begin
    if (begin_load) sw_addr <= 24'd0;
    else if (sw_valid) sw_addr <= sw_addr + 24'd1;
  end

  // The number of words is sw_addr now; modulo 8 it is the number of bytes that the last beat contributes.
  logic [31:0] last_before, state;
  logic [63:0] last;
  logic [3:0] bytes;  // of `last`, still to be added
  logic adding;

  crc32 #(
      .BITS(8)
  ) tail (
      .clk,
      .load(finish),
      .start(last_before),
      .valid(adding && bytes != 4'd0),
      .data(last[7:0]),
      .state
  );

  assign store_crc = ~state;
  assign odd = phase == 4'd1;
  assign done = adding && bytes == 4'd0;

  always_ff @(posedge clk) begin
    if (beat_valid) begin
      last <= beat_data;
      last_before <= crc_before;
    end else if (adding) begin
      last <= last >> 8;
    end
    if (finish) bytes <= sw_addr[2:0] == 3'd0 ? 4'd8 : {1'b0, sw_addr[2:0]};
    else if (bytes != 4'd0) bytes <= bytes - 4'd1;
    if (rst || begin_load) adding <= 1'b0;
    else if (finish) adding <= 1'b1;
    else if (done) adding <= 1'b0;
  end

  wire logic unused = &{1'b0, unpacker_ready};
endmodule

`default_nettype wire
