// Walks the program ahead of the expander: one description a weight tile, in program order, frame after frame.
//
// Contract: idle after reset; `begin_walk` starts at instruction 0, from anywhere.  fetch_* is fetch port 1 of program_memory.
// tile_* describes the next tile while tile_valid; it is stable until tile_take, which may come in any such cycle.
// The next tile of the same instruction is described in the next cycle; that of the next instruction after its fetch and a cycle for each tap
// (the depth of the tile is summed up, so that no multiplier is built).  Both usually pass while a tile is expanded.
//   tile_first          first tile of the instruction; tile_frame: and of the frame
//   tile_weights        store word at which the layer begins
//   tile_a, tile_b      the halves that the tile has
//   tile_end_a, _end_b  last tile word of each half; half B follows half A
//   tile_coded          the layer's weights are entropy-coded, by these tables (tile_table_*)
//   tile_params_*       first requantization record of this group
`default_nettype none

module tile_walker #(
    parameter int COUT = 16,
    parameter int TILE_WORDS = 80,
    localparam int WORD_BITS = $clog2(TILE_WORDS)
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic begin_walk,

    output logic fetch_req,
    output logic [15:0] fetch_index,
    input wire logic fetch_done,
    input wire squeeze_pkg::instruction_t fetch_instruction,
    input wire squeeze_pkg::layer_t fetch_layer,

    output logic tile_valid,
    input wire logic tile_take,
    output logic tile_first,
    output logic tile_frame,
    output logic [23:0] tile_weights,
    output logic tile_a,
    output logic tile_b,
    output logic tile_coded,
    output logic [2:0] tile_table_a,
    output logic [2:0] tile_table_b,
    output logic [WORD_BITS-1:0] tile_end_a,
    output logic [WORD_BITS-1:0] tile_end_b,
    output logic [15:0] tile_params_a,
    output logic [15:0] tile_params_b,
    output logic [5:0] tile_shift_a,
    output logic [5:0] tile_shift_b
);
  initial if (COUT < 1 || TILE_WORDS < 2) $fatal(1, "tile_walker: COUT or TILE_WORDS is too small");

  typedef enum logic [2:0] {IDLE, FETCH, TAPS, ENDS, TILE} state_t;
  state_t state;

  logic last;
  logic [11:0] left_a, left_b;  // groups
  logic [4:0] rows;  // of taps, still to be added
  logic [3:0] columns, columns_left;
  logic [WORD_BITS-1:0] words, depth_a;

  // Most fields of the records are for the other ports.
  wire logic unused = &{1'b0, fetch_instruction, fetch_layer};

  assign fetch_req = state == FETCH && !begin_walk;
  assign tile_valid = state == TILE;
  assign tile_a = left_a != 12'd0;
  assign tile_b = left_b != 12'd0;

  // Depths are kept modulo 2 ** WORD_BITS: one less than the depth of any tile that fits is right.
  always_ff @(posedge clk) begin
    case (state)
      FETCH: begin
        last <= fetch_instruction.last;
        left_a <= fetch_layer.half_a ? fetch_layer.groups_a : 12'd0;
        left_b <= fetch_layer.half_b ? fetch_layer.groups_b : 12'd0;
        rows <= fetch_layer.half_a ? 5'(fetch_layer.rows0) + 5'(fetch_layer.rows1) : 5'd0;
        columns <= fetch_layer.columns;
        columns_left <= fetch_layer.columns;
        words <= WORD_BITS'(fetch_layer.words);
        depth_a <= '0;
        tile_first <= 1'b1;
        tile_frame <= fetch_index == 16'd0;
        tile_weights <= fetch_layer.weights;
        tile_coded <= fetch_layer.entropy;
        tile_table_a <= fetch_layer.table_a;
        tile_table_b <= fetch_layer.table_b;
        tile_params_a <= fetch_layer.params_a;
        tile_params_b <= fetch_layer.params_b;
        tile_shift_a <= fetch_layer.shift_a;
        tile_shift_b <= fetch_layer.shift_b;
      end
      TAPS: begin
        depth_a <= depth_a + words;
        columns_left <= columns_left == 4'd1 ? columns : columns_left - 4'd1;
        if (columns_left == 4'd1) rows <= rows - 5'd1;
      end
      ENDS: begin
        tile_end_a <= depth_a - WORD_BITS'(1);
        tile_end_b <= (tile_a ? depth_a : '0) + words - WORD_BITS'(1);
      end
      TILE: begin
        if (tile_take) begin
          tile_first <= 1'b0;
          tile_frame <= 1'b0;
          if (tile_a) left_a <= left_a - 12'd1;
          if (tile_b) left_b <= left_b - 12'd1;
          // A tile that no longer has half A begins with half B's words.
          if (left_a == 12'd1) tile_end_b <= words - WORD_BITS'(1);
          tile_params_a <= tile_params_a + 16'(COUT);
          tile_params_b <= tile_params_b + 16'(COUT);
        end
      end
      default: ;
    endcase
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= IDLE;
    end else if (begin_walk) begin
      state <= FETCH;
      fetch_index <= 16'd0;
    end else begin
      case (state)
        FETCH: if (fetch_done) state <= TAPS;
        TAPS: if (rows == 5'd0 || (rows == 5'd1 && columns_left == 4'd1)) state <= ENDS;
        ENDS: state <= TILE;
        TILE:
        if (tile_take && left_a <= 12'd1 && left_b <= 12'd1) begin
          state <= FETCH;
          fetch_index <= last ? 16'd0 : fetch_index + 16'd1;
        end
        default: ;
      endcase
    end
  end
endmodule

`default_nettype wire
