// Gearbox: 72-bit words, packed 9 bytes each, from a stream of 64-bit beats.
//
// Contract: 8 words leave for 9 beats; `clear` begins anew with the next beat, which is byte 0 of a word.  out_valid and out_data are
// registered, a word appears one cycle after its last byte was taken; one beat a cycle sustained.
// Back-pressure: in_ready follows out_ready in the same cycle.  `phase` is the number of beats taken, modulo 9.
//
// Of beat p (modulo 9) the upper p bytes of a word come from the low bytes of the beat; what is left of the beat begins the next word.
// Both are the same rotation of the beat by 9 - p bytes, so one rotator serves them.
`default_nettype none

module word_unpacker (
    input wire logic clk,
    input wire logic rst,
    input wire logic clear,
    input wire logic [63:0] in_data,
    input wire logic in_valid,
    output logic in_ready,
    output logic [71:0] out_data,
    output logic out_valid,
    input wire logic out_ready,
    output logic [3:0] phase
);
  logic [8:0][7:0] held;  // the low 9 - phase bytes are those of the next word
  logic [8:0][7:0] rotated;
  logic [8:0][7:0] word;

  always_comb begin
    rotated = {8'd0, in_data};
    for (int p = 1; p < 9; p++) begin
      if (phase == 4'(p)) rotated = 72'({8'd0, in_data} << 8 * (9 - p)) | (72'(in_data) >> 8 * p);
    end
    for (int i = 0; i < 9; i++) word[i] = 4'(i) < 4'd9 - phase ? held[i] : rotated[i];
  end

  assign in_ready = !out_valid || out_ready;

  always_ff @(posedge clk) begin
    if (in_valid && in_ready) begin
      held <= rotated;
      out_data <= word;
    end
    if (in_ready) out_valid <= in_valid && phase != 4'd0;
    if (in_valid && in_ready) phase <= phase == 4'd8 ? 4'd0 : phase + 4'd1;
    if (clear) phase <= 4'd0;
    if (rst || clear) out_valid <= 1'b0;
    if (rst) phase <= 4'd0;
  end
endmodule

`default_nettype wire
