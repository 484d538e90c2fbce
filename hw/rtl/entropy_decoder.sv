// Decodes the entropy code of the weight store (docs/entropy.md): finds how many bits a chunk takes, and makes weights of them.
//
// Contract
//   pw_*         writes of section 4: entry pw_index of the tables, in any cycle in which nothing is decoded.
//   begin_layer  pulse: the next chunk that is cut is the first of a layer.
//   look         level: look up the chunks that come next, in their lanes' states.  Low: what was looked up is forgotten.
//   first        level, while `look`: the items are those of first states, 6 bits in each lane.
//   table_       the table of the chunks looked up, stable while `look`.
//   found, take  the next chunk takes so many bits.  Two cycles behind `look`, then for a chunk in each cycle.
//   cut          the next chunk is cut in this cycle; only while `found`.
//   item         the chunk's bits, in the cycle after its cut.
//   weights      in the third cycle after its cut, not registered.
// Throughput: a chunk a cycle.  Back-pressure: lookups wait for `cut`; a chunk that was cut never waits.
//
// The loop from a state to the next one of its set takes SETS = 5 cycles: lookup, lengths, cut, item, lanes.  States and tables are
// LUTRAM, the tables in every lane.  INIT_FILE, unless empty: initial contents of the tables.
`default_nettype none

module entropy_decoder #(
    parameter int CHUNK = 8,
    parameter int TABLES = 4,
    parameter INIT_FILE = "",
    localparam int ITEM = CHUNK == 8 ? 72 : 44
) (
    input wire logic clk,
    input wire logic pw_valid,
    input wire logic [2:0] pw_section,
    input wire logic [15:0] pw_index,
    input wire logic [63:0] pw_data,

    input wire logic begin_layer,
    input wire logic look,
    input wire logic first,
    input wire logic [2:0] table_,
    output logic found,
    output logic [6:0] take,
    input wire logic cut,
    input wire logic [ITEM-1:0] item,
    output logic [CHUNK*6-1:0] weights
);
  initial if (CHUNK != 4 && CHUNK != 8) $fatal(1, "entropy_decoder: CHUNK must be 4 or 8");
  initial if (TABLES != 1 && TABLES != 2 && TABLES != 4 && TABLES != 8) $fatal(1, "entropy_decoder: TABLES must be 1, 2, 4 or 8");

  localparam logic [2:0] LAST_SET = 3'd4;
  localparam int ENTRY = squeeze_pkg::ENTRY_BITS;
  localparam int ADDRESS = $clog2(TABLES) + 6;
  localparam int LANE = 11;  // bits of an item at most
  localparam int QUADS = CHUNK / 4;

  function automatic logic [2:0] set_after(input logic [2:0] set);
    set_after = set == LAST_SET ? 3'd0 : set + 3'd1;
  endfunction

  // --- lookup: states, then entries ---
  logic advance, looking;
  logic [2:0] cut_set, look_set;
  logic [CHUNK-1:0][5:0] states, states_next;
  logic [CHUNK-1:0][ENTRY-1:0] entries_read, entries_look, entries_found, entries_cut, entries_lane, entries_last;
  logic [2:0] set_cut, set_lane;
  logic lane_valid, cut_valid;

  ram_lut #(
      .DEPTH(8),
      .WIDTH(CHUNK * 6)
  ) state_memory (
      .clk,
      .we(lane_valid),
      .waddr(set_lane),
      .wdata(states_next),
      .raddr(look_set),
      .rdata(states)
  );

  for (genvar j = 0; j < CHUNK; j++) begin : lanes
    ram_lut #(
        .DEPTH(64 * TABLES),
        .WIDTH(ENTRY),
        .INIT_FILE(INIT_FILE)
    ) entry_memory (
        .clk,
        .we(pw_valid && pw_section == 3'd4),
        .waddr(pw_index[ADDRESS-1:0]),
        .wdata(pw_data[ENTRY-1:0]),
        .raddr(ADDRESS'({table_, states[j]})),
        .rdata(entries_read[j])
    );
  end

  assign advance = !found || cut;

  always_ff @(posedge clk) begin
    if (begin_layer) cut_set <= 3'd0;  // any set would do, were it one of the five
    else if (cut) cut_set <= set_after(cut_set);
    if (!look) begin
      looking <= 1'b0;
      found <= 1'b0;
      look_set <= cut_set;
    end else if (advance) begin
      looking <= 1'b1;
      found <= looking;
      look_set <= set_after(look_set);
    end
  end

  // --- lengths: of lanes and pairs of lanes with the lookup, then of all ---
  logic [CHUNK-1:0][ENTRY-1:0] entries;
  logic [CHUNK-1:0][3:0] length;
  logic [CHUNK/2-1:0][4:0] pair_look;
  logic [QUADS-1:0][5:0] quad;
  logic [6:0] sum;
  logic [CHUNK/2-1:0][3:0] even_look, even_found, even_cut, even_lane;  // lengths of lanes 0, 2, ...
  logic [QUADS-1:0][4:0] pair_found, pair_cut, pair_lane;  // of the lower pair of each four lanes
  logic [5:0] quad_found, quad_cut;  // of the lower four lanes

  always_comb begin
    for (int j = 0; j < CHUNK; j++) begin
      entries[j] = first ? ENTRY'(6) : entries_read[j];
      length[j] = {1'b0, entries[j][2:0]} + {1'b0, entries[j][11:9]};
    end
    for (int j = 0; j < QUADS; j++) quad[j] = {1'b0, pair_look[2*j]} + {1'b0, pair_look[2*j+1]};
    sum = {1'b0, quad[0]} + (CHUNK == 8 ? {1'b0, quad[QUADS-1]} : 7'd0);
  end

  always_ff @(posedge clk) begin
    if (advance) begin
      entries_look <= entries;
      for (int j = 0; j < CHUNK / 2; j++) begin
        even_look[j] <= length[2*j];
        pair_look[j] <= {1'b0, length[2*j]} + {1'b0, length[2*j+1]};
      end
      entries_found <= entries_look;
      even_found <= even_look;
      take <= sum > 7'd72 ? 7'd72 : sum;
      quad_found <= quad[0];
      for (int j = 0; j < QUADS; j++) pair_found[j] <= pair_look[2*j];
    end
  end

  // --- cut: the funnel shifts the item to bit 0; then the lanes' parts are shifted apart ---
  logic [QUADS-1:0][4*LANE-1:0] quads, quads_lane;

  always_comb begin
    quads = '0;
    quads[0] = item[4*LANE-1:0];
    if (CHUNK == 8) quads[QUADS-1] = (4 * LANE)'(item >> quad_cut);
  end

  always_ff @(posedge clk) begin
    cut_valid <= cut;
    lane_valid <= cut_valid;
    set_cut <= cut_set;
    set_lane <= set_cut;
    quad_cut <= quad_found;
    {pair_lane, pair_cut} <= {pair_cut, pair_found};
    {even_lane, even_cut} <= {even_cut, even_found};
    {entries_last, entries_lane, entries_cut} <= {entries_lane, entries_cut, entries_found};
    quads_lane <= quads;
  end

  // --- lanes: next states, then weights ---
  logic [CHUNK/2-1:0][2*LANE-1:0] pairs;
  logic [CHUNK-1:0][LANE-1:0] parts, parts_last;

  always_comb begin
    for (int j = 0; j < QUADS; j++) begin
      pairs[2*j] = quads_lane[j][2*LANE-1:0];
      pairs[2*j+1] = (2 * LANE)'(quads_lane[j] >> pair_lane[j]);
    end
    for (int j = 0; j < CHUNK / 2; j++) begin
      parts[2*j] = pairs[j][LANE-1:0];
      parts[2*j+1] = LANE'(pairs[j] >> even_lane[j]);
    end
    for (int j = 0; j < CHUNK; j++)
      states_next[j] = entries_lane[j][8:3] + (parts[j][5:0] & ~(6'h3f << entries_lane[j][2:0]));
  end

  always_ff @(posedge clk) parts_last <= parts;

  logic [CHUNK-1:0][4:0] rest;  // sign, and what is added to the magnitude
  logic [CHUNK-1:0][5:0] magnitude;

  always_comb begin
    for (int j = 0; j < CHUNK; j++) begin
      rest[j] = 5'(parts_last[j] >> entries_last[j][2:0]) & ~(5'h1f << entries_last[j][11:9]);
      magnitude[j] = entries_last[j][17:12] + {2'd0, rest[j][4:1]};
      weights[6*j+:6] = rest[j][0] ? -magnitude[j] : magnitude[j];
    end
  end

  wire logic unused = &{1'b0, pw_index, pw_data, table_};
endmodule

`default_nettype wire
