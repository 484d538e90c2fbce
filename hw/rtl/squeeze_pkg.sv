// Rendered from squeeze_hls/engine/fields.py and latencies.py by squeeze_hls/emit/rtl.py; do not edit.
//
// Records as packed structs: bit n of 64-bit word w of a record is bit 64 w + n of its struct, whose width is
// 64 * *_WORDS; *_BITS counts the bits up to the last field.  Fields whose names are SystemVerilog keywords
// carry an underscore at the end.
`default_nettype none

package squeeze_pkg;
    // A module takes what it needs from here, never everything.
    /* verilator lint_off UNUSEDPARAM */  // nobody needs every constant

    // Packets on s_axis_in.
    localparam logic [7:0] PACKET_MAGIC = 8'd165;
    localparam logic [7:0] PACKET_IMAGE = 8'd1;
    localparam logic [7:0] PACKET_WEIGHTS = 8'd2;
    localparam logic [7:0] PACKET_PROGRAM = 8'd3;
    localparam logic [15:0] FORMAT_VERSION = 16'd3;

    // Latencies in cycles, from the one table (docs/timing.md); the first four may be larger.
    localparam int OPERAND_LATENCY = 1;  // operand_stage: bank_data to act
    localparam int MAC_OUTPUT_LATENCY = 0;  // mac_array: registers after the accumulators
    localparam int REQUANT_LATENCY = 6;  // requantizer: in_valid to out_valid
    localparam int WRITE_LATENCY = 0;  // output_stage: registers on the way to the activation memory
    localparam int OUTPUT_FLUSH = 12;  // output_stage: between the sets of two instructions
    localparam int SEND_LATENCY = 9;  // output_stage: from a group's last word to its first logit

    // mac_array: in_last to set_valid. The first tap takes 3 cycles (pair, product, sum), every further one 1, the
    // accumulator 1.
    function automatic integer mac_latency(input integer cin);
        mac_latency = cin + 3 + MAC_OUTPUT_LATENCY;
    endfunction

    // An offset in a ring of `depth` addresses; `value` is below twice that.
    function automatic logic [16:0] wrap(input logic [17:0] value, input logic [16:0] depth);
        wrap = 17'(value >= 18'(depth) ? value - 18'(depth) : value);
    endfunction

    localparam int PACKET_WORDS = 1;
    localparam int PACKET_BITS = 64;
    typedef struct packed {
        logic [23:0] length;  // 64-bit words that follow
        logic [23:0] identity;  // image: low bits of the program's CRC; weights, program: of the engine identity
        logic [7:0] type_;  // 1 image, 2 weights, 3 program
        logic [7:0] magic;  // 0xA5
    } packet_t;

    localparam int HEADER_WORDS = 6;
    localparam int HEADER_BITS = 360;
    typedef struct packed {
        logic [23:0] reserved0;
        logic [7:0] tables;  // tables of the entropy code
        logic [15:0] classes;  // logits
        logic [7:0] pad_blue;  // pixel value outside the image
        logic [7:0] pad_green;  // pixel value outside the image
        logic [7:0] pad_red;  // pixel value outside the image
        logic [15:0] credit;  // image rows the loader may fetch before the first instruction
        logic [7:0] gather_words;  // activation words a gathered pixel: ceil(3 * kernel / CIN)
        logic [7:0] stride;  // first convolution's stride, 1 or 2
        logic [7:0] kernel;  // first convolution's kernel
        logic [7:0] pad_left;  // padding columns left of the image
        logic [7:0] pad_top;  // padding rows above the image
        logic [15:0] columns;  // gathered pixels a row: output columns of the first convolution
        logic [15:0] rows;  // rows, padding included, that the first convolution reads
        logic [15:0] width;  // image columns
        logic [15:0] height;  // image rows
        logic [7:0] gather_buffer;  // buffer of gathered image rows
        logic [31:0] stream_words;  // 72-bit words streamed for each frame (0: resident)
        logic [23:0] store_words;  // 72-bit words of the weight store
        logic [31:0] weights_crc;  // CRC-32 of the weight store's bytes
        logic [31:0] engine;  // identity of the engine the program was planned for
        logic [15:0] params;  // requantization records
        logic [15:0] instructions;  // instruction records
        logic [7:0] buffers;  // buffer records
        logic [7:0] layers;  // layer records
        logic [15:0] version;  // format version
    } header_t;

    localparam int LAYER_WORDS = 6;
    localparam int LAYER_BITS = 373;
    typedef struct packed {
        logic [10:0] reserved4;
        logic [2:0] table_b;  // table of half B
        logic [2:0] table_a;  // table of half A
        logic [0:0] entropy;  // its weights are entropy-coded
        logic [15:0] border;  // border pixels whose value is that of the bias alone
        logic [7:0] top_b;  // largest output of half B, at least 1; half B is never averaged
        logic [15:0] top_a;  // largest output of half A, at least 1; at most 255 without average
        logic [5:0] shift_b;  // S_layer of half B
        logic [1:0] reserved3;
        logic [5:0] shift_a;  // S_layer of half A
        logic [15:0] params_b;  // first requantization record of half B
        logic [15:0] params_a;  // first requantization record of half A
        logic [23:0] weights;  // first word in the weight store
        logic [19:0] reserved2;
        logic [15:0] carry_half;  // words between the carry rows of half A and of half B
        logic [15:0] carry;  // first word of the layer's pooling carry rows
        logic [11:0] offset_b;  // first word of half B in the destination pixel
        logic [11:0] offset_a;  // first word of half A in the destination pixel
        logic [11:0] words_b;  // words that half B writes per pixel
        logic [11:0] words_a;  // words that half A writes per pixel
        logic [11:0] out_words;  // words per destination pixel
        logic [15:0] center_ptr;  // the same step: (pixels div PIX) * pitch
        logic [0:0] reserved1;
        logic [2:0] center_mod;  // from the first tap of half A to the tap of half B: pixels mod PIX
        logic [15:0] row_ptr;  // the same step: (pixels div PIX) * pitch
        logic [2:0] row_mod;  // from the last tap of a row to the first of the next: pixels mod PIX
        logic [3:0] y_step;  // PIX div width
        logic [2:0] x_step;  // PIX mod width
        logic [10:0] height;  // rows of the convolution's output
        logic [10:0] width;  // columns of the convolution's output
        logic [11:0] groups_b;  // output groups of half B
        logic [6:0] reserved0;
        logic [11:0] groups_a;  // output groups of COUT channels of half A
        logic [11:0] pitch;  // words from one source pixel to the next of the same bank: words, or stride * words if gathered
        logic [11:0] words;  // words read per source pixel and tap
        logic [3:0] columns;  // tap columns of half A
        logic [3:0] rows1;  // tap rows of half A in phase 1 (gathered rows, stride 2; else 0)
        logic [3:0] rows0;  // tap rows of half A (gathered rows: of phase 0)
        logic [0:0] pad;  // taps start one row above and one column left of the pixel and are masked at the edges
        logic [0:0] residual;  // adds the residual operand after requantization
        logic [0:0] ceil;  // cut-off last pooling windows count
        logic [1:0] pool;  // 0, or the kernel of a stride-2 max pooling
        logic [0:0] average;  // u16 results are summed over the pixels of each channel and sent as logits
        logic [0:0] half_b;  // has half B: the 1x1 half of an expand layer
        logic [0:0] half_a;  // has half A: the 3x3 half, or the only convolution
        logic [0:0] gather;  // reads gathered image rows: a kernel x 1 convolution over one or two row phases
    } layer_t;

    localparam int BUFFER_WORDS = 1;
    localparam int BUFFER_BITS = 34;
    typedef struct packed {
        logic [29:0] reserved0;
        logic [16:0] depth;  // addresses; the ring wraps at base + depth
        logic [16:0] base;  // first address, the same in every bank
    } buffer_t;

    localparam int INSTRUCTION_WORDS = 2;
    localparam int INSTRUCTION_BITS = 126;
    typedef struct packed {
        logic [1:0] reserved0;
        logic [2:0] residual_mod;  // bank of the first residual pixel
        logic [15:0] residual_ptr;  // ring offset of the first residual pixel
        logic [4:0] residual;  // buffer of the residual operand
        logic [7:0] credit;  // further image rows the loader may fetch once this instruction is reached
        logic [10:0] need;  // image rows of this frame that must have been loaded
        logic [2:0] target_mod;  // bank of the first destination pixel
        logic [15:0] target_ptr;  // ring offset of the first destination pixel
        logic [4:0] target;  // destination buffer
        logic [4:0] source;  // source buffer
        logic [0:0] last;  // last instruction of a frame
        logic [0:0] wait_;  // starts only when everything before it has been written
        logic [2:0] source_mod;  // bank of the first tap of the first pixel
        logic [15:0] source_ptr;  // ring offset of the first tap of the first pixel
        logic [10:0] row;  // first output row of the convolution
        logic [15:0] pixels;  // output pixels of the convolution in this band
        logic [5:0] layer;  // layer record
    } instruction_t;

    localparam int PARAM_WORDS = 1;
    localparam int PARAM_BITS = 44;
    typedef struct packed {
        logic [19:0] reserved0;
        logic [3:0] offset;  // S = S_layer - offset
        logic [15:0] multiplier;  // M - 2**16
        logic [23:0] bias;  // two's complement
    } param_t;

    localparam int ENTRY_WORDS = 1;
    localparam int ENTRY_BITS = 18;
    typedef struct packed {
        logic [45:0] reserved0;
        logic [5:0] value;  // weight, or its least magnitude where there are extra bits
        logic [2:0] extra;  // bits that complete the weight: sign, then magnitude - value
        logic [5:0] base;  // next state, less these bits
        logic [2:0] bits;  // bits read for the next state
    } entry_t;
    /* verilator lint_on UNUSEDPARAM */
endpackage

`default_nettype wire
