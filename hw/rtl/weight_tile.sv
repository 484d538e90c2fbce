// Weight tile: two tiles of up to TILE_WORDS words of CIN x COUT weights in distributed RAM.
//
// One memory for each output and chunk of CHUNK = min(8, CIN) channels, with a write enable of its own, since the expander
// delivers a chunk a cycle.  A memory has 2 * TILE_WORDS words: word k of tile b stands at b * TILE_WORDS + k.
//
// Contract
//   tw_valid writes weights of channels 8 * tw_half .. of output tw_output in word tw_word of tile tw_buffer; a chunk a
//   cycle, no back-pressure.  Writes are registered: a read sees the chunk where raddr comes 2 cycles later or more.
//   rdata is the word of raddr one cycle later, a new one every cycle.  Nothing but the write enable is reset.
`default_nettype none

module weight_tile #(
    parameter int CIN = 8,
    parameter int COUT = 16,
    parameter int TILE_WORDS = 80,
    localparam int CHUNK = CIN < 8 ? CIN : 8,
    localparam int CHUNKS = CIN / CHUNK,
    localparam int WORD_BITS = TILE_WORDS > 1 ? $clog2(TILE_WORDS) : 1,
    localparam int OUTPUT_BITS = COUT > 1 ? $clog2(COUT) : 1,
    localparam int TILE_BITS = $clog2(2 * TILE_WORDS)
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic tw_valid,
    input wire logic tw_buffer,
    input wire logic [WORD_BITS-1:0] tw_word,
    input wire logic [OUTPUT_BITS-1:0] tw_output,
    input wire logic tw_half,  // CIN 16: which 8 channels; else ignored
    input wire logic [CHUNK*6-1:0] tw_data,

    input wire logic [TILE_BITS-1:0] raddr,
    output logic [COUT-1:0][CIN*6-1:0] rdata
);
    if ((CIN != 4 && CIN != 8 && CIN != 16) || TILE_WORDS < 1) begin : bad_shape
        $error("weight_tile: CIN must be 4, 8 or 16, TILE_WORDS positive");
    end

    // Whole groups of 64 words fill RAM64M; a rest of up to 32 words takes RAM32M, which is half as large.
    localparam int REST = (2 * TILE_WORDS) % 64;
    localparam int WHOLE = REST == 0 || REST > 32 ? ((2 * TILE_WORDS + 63) / 64) * 64 : 2 * TILE_WORDS - REST;

    logic [COUT-1:0][CHUNKS-1:0] we;
    logic [TILE_BITS-1:0] waddr;
    logic [CHUNK*6-1:0] wdata;

    always_ff @(posedge clk) begin
        for (int o = 0; o < COUT; o++) begin
            for (int c = 0; c < CHUNKS; c++) begin
                we[o][c] <= !rst && tw_valid && tw_output == OUTPUT_BITS'(o) && (CHUNKS == 1 || tw_half == 1'(c));
            end
        end
        waddr <= (tw_buffer ? TILE_BITS'(TILE_WORDS) : '0) + TILE_BITS'(tw_word);
        wdata <= tw_data;
    end

    for (genvar o = 0; o < COUT; o++) begin : outputs
        for (genvar c = 0; c < CHUNKS; c++) begin : chunks
            logic [CHUNK*6-1:0] word;

            if (WHOLE == 0 || WHOLE >= 2 * TILE_WORDS) begin : one
                ram_lut #(.DEPTH(2 * TILE_WORDS), .WIDTH(CHUNK * 6)) memory (
                    .clk, .we(we[o][c]), .waddr, .wdata, .raddr, .rdata(word)
                );
            end else begin : both
                localparam int LOW_BITS = $clog2(WHOLE);
                localparam int REST_BITS = REST > 1 ? $clog2(REST) : 1;
                logic [CHUNK*6-1:0] low, high;

                ram_lut #(.DEPTH(WHOLE), .WIDTH(CHUNK * 6)) memory (
                    .clk, .we(we[o][c] && waddr < TILE_BITS'(WHOLE)), .waddr(waddr[LOW_BITS-1:0]), .wdata,
                    .raddr(raddr[LOW_BITS-1:0]), .rdata(low)
                );
                ram_lut #(.DEPTH(REST), .WIDTH(CHUNK * 6)) rest (
                    .clk, .we(we[o][c] && waddr >= TILE_BITS'(WHOLE)), .waddr(waddr[REST_BITS-1:0]), .wdata,
                    .raddr(raddr[REST_BITS-1:0]), .rdata(high)
                );
                assign word = raddr >= TILE_BITS'(WHOLE) ? high : low;
            end

            always_ff @(posedge clk) rdata[o][c*CHUNK*6+:CHUNK*6] <= word;
        end
    end

    logic unused;
    assign unused = tw_half;
endmodule

`default_nettype wire
