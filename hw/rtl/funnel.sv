// Cuts the bit string of the weight store into weights: a chunk of CHUNK weights a cycle (docs/program.md, Weight store).
//
// Contract
//   flush         forget all words; the next one begins a bit string. Chunks taken before still come out.
//   word_*        72-bit words, bit 0 first; a word is taken in the cycle of word_pop, which needs word_valid.
//   step, mode    take one item: a tag, a chunk (dense or bitmap), or align to the next whole word.  The step is done in the cycle
//                 in which `ready` is high; until then it is repeated.  Aligning where `aligned` is high is no step.
//   tag           the lower bit of the tag, in the cycle of its step: 0 dense, 1 bitmap.
//   coded, take   (CODED only) the step takes `take` bits, at most 72, whatever the mode: an entropy-coded chunk if the mode is that of a
//                 chunk.  `item` has its bits in the next cycle, and `decoded` is what they mean, two cycles later.
//   chunk_*       the weights, registered, LATENCY cycles after the chunk's step; no back-pressure there.
// Two words beyond the first bit's word must be there for `ready`: who feeds the last word of a stream supplies two more, of any value.
// Throughput: a step every cycle while words come; an item takes at most 72 bits, as many as a word has.
//
// The loop that limits the clock is position -> length of the chunk -> position.  All items but entropy-coded ones have even lengths,
// so the position counts pairs of bits (and `odd` one more) and a bitmap chunk's mask can begin in 36 places of a word.  The length of a bitmap chunk at each of
// them is worked out when the word arrives; the loop is then a choice of 36, an adder and a comparison.  Cutting out the values
// is no part of the loop: it follows in four register stages.
`default_nettype none

module funnel #(
    parameter int CHUNK = 8,
    parameter bit CODED = 1'b0,
    localparam int ITEM = !CODED ? CHUNK * 7 : CHUNK == 8 ? 72 : 44,  // bits of the longest item
    localparam int LATENCY = 4
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic flush,

    input wire logic [71:0] word,
    input wire logic word_valid,
    output logic word_pop,

    input wire logic step,
    input wire logic [1:0] mode,
    output logic ready,
    output logic aligned,
    output logic tag,

    input wire logic coded,
    input wire logic [6:0] take,
    output logic [ITEM-1:0] item,
    input wire logic [CHUNK*6-1:0] decoded,

    output logic chunk_valid,
    output logic [CHUNK*6-1:0] chunk_data
);
  initial if (CHUNK != 4 && CHUNK != 8) $fatal(1, "funnel: CHUNK must be 4 or 8");

  localparam logic [1:0] ALIGN = 2'd0, TAG = 2'd1, DENSE = 2'd2;  // 3: bitmap
  localparam int PLACES = 36;  // pairs of bits in a word
  localparam int DENSE_PAIRS = CHUNK * 3;
  localparam int CHUNK_ITEM = CHUNK * 7;  // bits of a bitmap chunk at most

  logic [71:0] first, second;  // the bit string begins in `first`
  logic have_second, primed;  // `primed`: both are there
  logic [5:0] position;  // next pair of bits in `first`
  logic odd;  // but for its lower bit
  logic [PLACES-1:0][4:0] lengths;  // pairs of bits of a bitmap chunk at each place of `first`

  // --- the loop ---
  logic [5:0] length;
  logic [7:0] sum;  // bits, at most 71 + 72
  logic [6:0] wrapped;
  logic wrap;

  always_comb begin
    case (mode)
      ALIGN: length = aligned ? 6'd0 : 6'(PLACES) - position;
      TAG: length = 6'd1;
      DENSE: length = 6'(DENSE_PAIRS);
      default: length = {1'b0, lengths[position]};
    endcase
    sum = {1'b0, position, odd} + (CODED && coded ? {1'b0, take} : {1'b0, length, 1'b0});
    wrap = sum >= 8'(2 * PLACES);
    wrapped = 7'(sum - 8'(2 * PLACES));
  end

  assign aligned = position == 6'd0;
  assign ready = primed && word_valid;
  assign tag = first[{position, 1'b0}];
  assign word_pop = word_valid && !flush && (!primed || (step && wrap));

  always_ff @(posedge clk) begin
    if (rst || flush) begin
      position <= 6'd0;
      odd <= 1'b0;
      have_second <= 1'b0;
      primed <= 1'b0;
    end else begin
      if (step && ready) {position, odd} <= wrap ? wrapped : sum[6:0];
      if (word_pop) begin
        have_second <= 1'b1;
        primed <= have_second;
      end
    end
  end

  // Masks that begin near the end of `second` reach into the word behind it.  Both halves of a mask of 8 are counted once for
  // all masks that they belong to.  The functions are tables of 4 and 6 inputs, a LUT for each bit.
  function automatic logic [2:0] ones(input logic [3:0] bits);
    case (bits)
      4'd0: ones = 3'd0;
      4'd1, 4'd2, 4'd4, 4'd8: ones = 3'd1;
      4'd3, 4'd5, 4'd6, 4'd9, 4'd10, 4'd12: ones = 3'd2;
      4'd7, 4'd11, 4'd13, 4'd14: ones = 3'd3;
      default: ones = 3'd4;
    endcase
  endfunction

  function automatic logic [4:0] pairs(input logic [5:0] counts);  // of a chunk: its mask, and 3 for each weight
    case (4'(counts[2:0]) + 4'(counts[5:3]))
      4'd0: pairs = 5'(CHUNK / 2);
      4'd1: pairs = 5'(CHUNK / 2 + 3);
      4'd2: pairs = 5'(CHUNK / 2 + 6);
      4'd3: pairs = 5'(CHUNK / 2 + 9);
      4'd4: pairs = 5'(CHUNK / 2 + 12);
      4'd5: pairs = 5'(CHUNK / 2 + 15);
      4'd6: pairs = 5'(CHUNK / 2 + 18);
      4'd7: pairs = 5'(CHUNK / 2 + 21);
      default: pairs = 5'(CHUNK / 2 + 24);
    endcase
  endfunction

  logic [77:0] ahead;
  logic [PLACES+1:0][2:0] quads;  // ones among the 4 bits at each place
  logic [PLACES-1:0][4:0] lengths_ahead;
  assign ahead = {word[5:0], second};
  for (genvar p = 0; p < PLACES + 2; p++) begin : quad_places
    assign quads[p] = ones(ahead[2*p+:4]);
  end
  for (genvar p = 0; p < PLACES; p++) begin : places
    assign lengths_ahead[p] = pairs({CHUNK == 8 ? quads[p+2] : 3'd0, quads[p]});
  end

  always_ff @(posedge clk) begin
    if (word_pop) begin
      first <= second;
      second <= word;
      lengths <= lengths_ahead;
    end
  end

  // --- cutting out: coarse shift, fine shift, places of the values, values ---
  logic [143:0] window;
  logic [ITEM+30:0] shifted32;
  logic [ITEM+6:0] shifted8, coarse;
  logic [CHUNK_ITEM-1:0] chunk_item;
  logic [2:0] fine;
  logic coarse_dense, item_dense;
  logic [2:0] was_coded;
  logic [LATENCY-1:0] valid;
  logic [CHUNK-1:0] mask, nonzero;
  logic [CHUNK-1:0][2:0] place_next, place;
  logic [7:0] wide_mask;
  logic [CHUNK-1:0][5:0] values;

  assign window = {second, first};

  always_comb begin
    case (position[5:4])
      2'd0: shifted32 = window[ITEM+30:0];
      2'd1: shifted32 = window[32+:ITEM+31];
      default: shifted32 = (ITEM + 31)'(window[143:64]);
    endcase
    case (position[3:2])
      2'd0: shifted8 = shifted32[ITEM+6:0];
      2'd1: shifted8 = shifted32[8+:ITEM+7];
      2'd2: shifted8 = shifted32[16+:ITEM+7];
      default: shifted8 = shifted32[24+:ITEM+7];
    endcase
    item = ITEM'(coarse >> fine);
    mask = item_dense ? '1 : chunk_item[CHUNK-1:0];
    wide_mask = 8'(mask);
    for (int i = 0; i < CHUNK; i++) begin
      // Values before weight i: of the lower four, and of those above.
      place_next[i] = i < 5 ? ones(wide_mask[3:0] & 4'((1 << (i < 4 ? i : 4)) - 1))
                            : ones(wide_mask[3:0]) + ones(wide_mask[7:4] & 4'((1 << (i - 4)) - 1));
    end
  end

  always_ff @(posedge clk) begin
    if (rst) valid <= '0;  // a flush leaves the chunks that were taken before
    else valid <= {valid[LATENCY-2:0], step && ready && mode[1]};
    coarse <= shifted8;
    fine <= {position[1:0], odd};
    coarse_dense <= mode == DENSE;
    chunk_item <= item[CHUNK_ITEM-1:0];
    item_dense <= coarse_dense;
    nonzero <= mask;
    place <= place_next;
    values <= item_dense ? chunk_item[CHUNK*6-1:0] : chunk_item[CHUNK_ITEM-1:CHUNK];
    was_coded <= {was_coded[1:0], CODED && coded};
    for (int i = 0; i < CHUNK; i++) chunk_data[6*i+:6] <= nonzero[i] ? values[place[i]] : 6'd0;
    if (was_coded[2]) chunk_data <= decoded;
  end

  assign chunk_valid = valid[LATENCY-1];

  wire logic unused = &{1'b0, coded, take, decoded};
endmodule

`default_nettype wire
