// Takes the packets of s_axis_in: images go to the loader, programs and weights into their memories (docs/program.md, Packets).
//
// Contract
//   run, busy_frame  a start is pending; a frame is being computed.  busy_frame rises at most SETTLE = 6 cycles after frame_begin, run falls at
//                    most as late after frame_begin or packet_done; busy_frame is low for at least a cycle between two frames.
//   frame_begin      pulse: a start has taken an image: program and weights are valid, its header is right.  An image that arrives while
//                    busy_frame is high is taken ahead: its beats are offered at once, frame_begin follows when run is high and
//                    busy_frame low.  Every other packet waits for that before its header is taken.
//   img_*            beats of the image, img_first with the first of them; img_valid does not depend on img_ready.
//   packet_done      pulse: a program or weights packet is complete, or any packet failed: `error` (registered, until the next one) is its
//                    code.  Images that succeed do not pulse it.  Nothing of the engine's state but this module's may depend on a failed load.
//   frame_abort      pulse with packet_done: an image failed after its first beat.  It comes at least a cycle after that image's frame_begin.
//                    The loader must then be made to forget the image; this module is already at the next packet, do not reset it.
//   img_drop         pulse: the frame in work is given up for another reason (its weight stream failed). An image in transfer is discarded
//                    without a report; one that was taken ahead fails with error 12 when its start is given.
//   header           of the program, while program_valid.  weights_ok: the store is valid and that of the program (or streamed).
//   pw_*, sw_*       registered writes, never stalled.
// After an error the rest of the packet is discarded up to TLAST.  After a reset in the middle of a packet its rest is discarded
// too, a beat in four cycles, as far as it comes before the next start; otherwise it is an error of that start.
// s_axis_tready is registered; a beat a cycle, except three cycles at a packet's header and three behind a program's.
// program_valid, store_valid and the header are not reset, as the memories are not: loading clears them.  *_INIT are those of a bitstream
// with initial memory contents.
`default_nettype none

module receiver #(
    parameter int CIN = 8,
    parameter int ACT_DEPTH = 5120,
    parameter int STORE_WORDS = 51200,
    parameter int PARAM_DEPTH = 4096,
    parameter int PROGRAM_DEPTH = 256,
    parameter int LAYER_DEPTH = 32,
    parameter int BUFFER_DEPTH = 32,
    parameter int KERNEL_MAX = 7,
    parameter int TABLES = 0,
    parameter logic [31:0] ENGINE_ID = 32'd0,
    parameter bit PROGRAM_INIT = 1'b0,
    parameter bit STORE_INIT = 1'b0,
    parameter logic [383:0] HEADER_INIT = '0,
    parameter logic [31:0] PROGRAM_CRC_INIT = '0,
    parameter logic [31:0] STORE_CRC_INIT = '0
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic [63:0] s_axis_tdata,
    input wire logic s_axis_tvalid,
    output logic s_axis_tready,
    input wire logic s_axis_tlast,

    input wire logic run,
    input wire logic busy_frame,
    output logic frame_begin,
    output logic frame_abort,
    output logic packet_done,
    output logic [3:0] error,

    output logic [63:0] img_data,
    output logic img_valid,
    input wire logic img_ready,
    output logic img_first,
    input wire logic img_drop,

    output squeeze_pkg::header_t header,
    output logic [31:0] program_crc,
    output logic program_valid,
    output logic store_valid,
    output logic weights_ok,

    output logic pw_valid,
    output logic [2:0] pw_section,
    output logic [15:0] pw_index,
    output logic [2:0] pw_word,
    output logic [63:0] pw_data,

    output logic sw_valid,
    output logic [23:0] sw_addr,
    output logic [71:0] sw_data
);
  initial if (STORE_WORDS > (1 << 24) - 1) $fatal(1, "receiver: STORE_WORDS must fit 24 bits");

  localparam int WEIGHT_BEATS_MAX = (9 * STORE_WORDS + 7) / 8;  // without the CRC word
  localparam int SETTLE = 6;
  typedef enum logic [3:0] {
    NONE = 4'd0,
    BAD_MAGIC = 4'd1,
    BAD_TYPE = 4'd2,
    BAD_LENGTH = 4'd3,
    BAD_IDENTITY = 4'd4,
    BAD_PROGRAM_CRC = 4'd5,
    BAD_WEIGHTS_CRC = 4'd6,
    NO_PROGRAM = 4'd7,
    NO_WEIGHTS = 4'd8,
    TOO_LARGE = 4'd9,
    EARLY_LAST = 4'd10,
    LATE_LAST = 4'd11,
    BAD_STREAM = 4'd12
  } error_t;
  typedef enum logic [2:0] {HEADER, CHECK, DECIDE, IMAGE, PROGRAM, WEIGHTS, FINISH, DISCARD} state_t;

  // --- the stream ---
  logic [63:0] beat_data;
  logic beat_last, beat_valid, beat_ready, beat;

  stream_register #(
      .WIDTH(65)
  ) slice (
      .clk,
      .rst,
      .in_data({s_axis_tlast, s_axis_tdata}),
      .in_valid(s_axis_tvalid),
      .in_ready(s_axis_tready),
      .out_data({beat_last, beat_data}),
      .out_valid(beat_valid),
      .out_ready(beat_ready)
  );

  state_t state;
  logic free, take_image, take, drop;

  // What a reset interrupts: deliberately not reset itself.
  logic in_packet;
  initial in_packet = 1'b0;
  logic stale;  // the next beat may be one from the middle of a packet
  logic dropped;  // others were
  always @(posedge clk) begin  // plain: an initial block writes it, too
    if (s_axis_tvalid && s_axis_tready) in_packet <= !s_axis_tlast;
    if (rst) stale <= in_packet;
    else if (state == DECIDE && beat && (take || beat_last)) stale <= 1'b0;
    dropped <= stale && (dropped || drop);
  end

  // --- the packet's header ---
  squeeze_pkg::packet_t packet;
  logic packet_last;
  error_t verdict, checked;
  logic image, is_program, weights, streamed;
  logic ahead;  // the image in transfer, or received, belongs to the start after the frame in work
  logic [2:0] settle;
  logic [30:0] image_words;
  logic image_words_known;

  assign streamed = STORE_WORDS == 0;
  assign image = packet.type_ == squeeze_pkg::PACKET_IMAGE;
  assign weights = packet.type_ == squeeze_pkg::PACKET_WEIGHTS && !streamed;
  assign is_program = packet.type_ == squeeze_pkg::PACKET_PROGRAM;

  always_comb begin
    checked = packet_last ? EARLY_LAST : NONE;
    if (packet.magic != squeeze_pkg::PACKET_MAGIC) checked = BAD_MAGIC;
    else if (image) begin
      if (!program_valid) checked = NO_PROGRAM;
      else if (31'(packet.length) != image_words || packet.length == 24'd0) checked = BAD_LENGTH;
      else if (packet.identity != program_crc[23:0]) checked = BAD_IDENTITY;
      else if (!weights_ok) checked = NO_WEIGHTS;
    end else if (weights || is_program) begin
      if (packet.length == 24'd0) checked = BAD_LENGTH;
      else if (packet.identity != ENGINE_ID[23:0]) checked = BAD_IDENTITY;
      else if (!packet_last && weights && (packet.length < 24'd3 || 32'(packet.length) > WEIGHT_BEATS_MAX + 1)) checked = BAD_LENGTH;
      else if (!packet_last && is_program && packet.length < 24'(squeeze_pkg::HEADER_WORDS + 2)) checked = BAD_LENGTH;
    end else checked = BAD_TYPE;
  end

  assign free = run && !busy_frame;
  assign take_image = state == DECIDE && image && verdict == NONE && (free || busy_frame);
  assign take = take_image || (state == DECIDE && free);
  assign drop = state == DECIDE && !take && stale && (verdict == BAD_MAGIC || verdict == BAD_TYPE || (dropped && verdict != NONE));

  // --- payload ---
  logic [23:0] left;  // beats, with this one
  logic last_left, first, payload;
  logic early, late, complete;
  logic [31:0] crc;
  logic crc_right;
  logic program_ready, refused, exceeds;
  logic [3:0] refused_code;
  logic finish, weights_done, odd;
  logic [31:0] exact_crc;

  assign payload = state == IMAGE || state == PROGRAM || state == WEIGHTS;
  always_comb begin
    case (state)
      DECIDE: beat_ready = take || drop;
      IMAGE: beat_ready = img_ready;
      PROGRAM: beat_ready = program_ready && !refused;
      WEIGHTS, DISCARD: beat_ready = 1'b1;
      default: beat_ready = 1'b0;
    endcase
  end
  assign beat = beat_valid && beat_ready;
  assign early = payload && beat && beat_last && !last_left;
  assign late = payload && beat && !beat_last && last_left;
  assign complete = payload && beat && beat_last && last_left;

  assign img_data = beat_data;
  assign img_valid = state == IMAGE && beat_valid;
  assign img_first = first;

  crc32 #(
      .BITS(64)
  ) checksum (
      .clk,
      .load(state == DECIDE),
      .start(32'hFFFF_FFFF),
      .valid(beat),
      .data(beat_data),
      .state(crc)
  );

  program_loader #(
      .CIN(CIN),
      .ACT_DEPTH(ACT_DEPTH),
      .STORE_WORDS(STORE_WORDS),
      .PARAM_DEPTH(PARAM_DEPTH),
      .PROGRAM_DEPTH(PROGRAM_DEPTH),
      .LAYER_DEPTH(LAYER_DEPTH),
      .BUFFER_DEPTH(BUFFER_DEPTH),
      .KERNEL_MAX(KERNEL_MAX),
      .TABLES(TABLES),
      .ENGINE_ID(ENGINE_ID),
      .HEADER_INIT(HEADER_INIT)
  ) program_ (
      .clk,
      .rst,
      .begin_load(take && is_program && verdict == NONE),
      .packet_length(packet.length),
      .beat_data,
      .beat_valid(beat && state == PROGRAM && !last_left),
      .beat_ready(program_ready),
      .refused,
      .refused_code,
      .exceeds,
      .header,
      .image_words,
      .image_words_known,
      .pw_valid,
      .pw_section,
      .pw_index,
      .pw_word,
      .pw_data
  );

  weights_loader weights_ (
      .clk,
      .rst,
      .begin_load(take && weights && verdict == NONE),
      .beat_data,
      .beat_valid(beat && state == WEIGHTS && !last_left),
      .crc_before(crc),
      .finish,
      .done(weights_done),
      .odd,
      .store_crc(exact_crc),
      .sw_valid,
      .sw_addr,
      .sw_data
  );

  always_ff @(posedge clk) begin
    if (state == HEADER) begin
      packet <= squeeze_pkg::packet_t'(beat_data);
      packet_last <= beat_last;
    end
    if (state == CHECK) verdict <= checked;
    if (state == DECIDE) begin
      left <= packet.length;
      last_left <= packet.length == 24'd1;
      first <= 1'b1;
    end else if (payload && beat) begin
      left <= left - 24'd1;
      last_left <= left == 24'd2;
      first <= 1'b0;
    end
    if (payload && beat && last_left) crc_right <= beat_data == {32'd0, ~crc};
  end

  // --- what happened ---
  logic failed, succeeded;
  logic report, abort, adopt;
  error_t report_code;
  error_t code;

  always_comb begin
    failed = 1'b1;
    code = NONE;
    succeeded = 1'b0;
    if (img_drop && (state == IMAGE || ahead)) begin
      failed = ahead && !report;
      code = BAD_STREAM;
    end else if (take && verdict != NONE) code = verdict;
    else if (state == PROGRAM && refused) code = error_t'(refused_code);
    else if (early) code = EARLY_LAST;
    else if (late) code = LATE_LAST;
    else begin
      failed = 1'b0;
      if (state == FINISH && is_program) begin
        succeeded = crc_right && !exceeds;
        failed = !succeeded;
        code = !crc_right ? BAD_PROGRAM_CRC : exceeds ? TOO_LARGE : NONE;
      end else if (state == FINISH && weights_done) begin
        succeeded = crc_right && !odd;
        failed = !succeeded;
        code = odd ? BAD_LENGTH : !crc_right ? BAD_WEIGHTS_CRC : NONE;
      end
    end
  end

  always_ff @(posedge clk) begin
    finish <= complete && state == WEIGHTS;
    if (rst) begin
      state <= HEADER;
      finish <= 1'b0;
    end else begin
      case (state)
        HEADER: if (beat_valid && !ahead && !report && !packet_done && !frame_begin && settle == 3'd0) state <= CHECK;
        CHECK: if (image_words_known || !(image && program_valid)) state <= DECIDE;
        DECIDE:
        if (drop) state <= HEADER;  // beat after beat, since the packet's end may never come
        else if (take && verdict != NONE) state <= beat_last ? HEADER : DISCARD;
        else if (take) state <= image ? IMAGE : is_program ? PROGRAM : WEIGHTS;
        DISCARD: if (beat && beat_last) state <= HEADER;
        FINISH: if (failed || succeeded) state <= HEADER;
        default: begin
          if (img_drop && state == IMAGE) state <= beat && beat_last ? HEADER : DISCARD;
          else if (late || (state == PROGRAM && refused)) state <= DISCARD;
          else if (early) state <= HEADER;
          else if (complete) state <= state == IMAGE ? HEADER : FINISH;
        end
      endcase
    end
  end

  // A report waits until the start that it belongs to has been given.
  assign adopt = ahead && free;

  always_ff @(posedge clk) begin
    if (rst) begin
      ahead <= 1'b0;
      report <= 1'b0;
      frame_begin <= 1'b0;
      frame_abort <= 1'b0;
      packet_done <= 1'b0;
      settle <= 3'd0;
    end else begin
      if (take_image) ahead <= busy_frame;
      else if (adopt) ahead <= 1'b0;
      frame_begin <= (take_image && !busy_frame) || adopt;

      if (failed || succeeded) report <= 1'b1;
      else if (!ahead) report <= 1'b0;
      packet_done <= report && !ahead;
      frame_abort <= report && !ahead && abort;

      if (frame_begin || packet_done) settle <= 3'(SETTLE);
      else if (settle != 3'd0) settle <= settle - 3'd1;
    end
    if (failed || succeeded) begin
      report_code <= code;
      abort <= state == IMAGE || img_drop;
    end
    if (report && !ahead) error <= report_code;
  end

  // --- what is valid ---
  logic program_is_valid, store_is_valid;
  logic [31:0] crc_of_store;
  initial begin
    program_is_valid = PROGRAM_INIT;
    store_is_valid = STORE_INIT;
    program_crc = PROGRAM_CRC_INIT;
    crc_of_store = STORE_CRC_INIT;
  end

  always_ff @(posedge clk) begin
    if (!rst) begin
      // Also where the length is none that such a packet can have, as long as it is a packet for this engine.
      if (take && (verdict == NONE || (verdict == BAD_LENGTH && packet.length != 24'd0))) begin
        if (is_program) program_is_valid <= 1'b0;
        if (weights) store_is_valid <= 1'b0;
      end
      if (succeeded && is_program) program_is_valid <= 1'b1;
      if (succeeded && weights) store_is_valid <= 1'b1;
    end
    if (state == PROGRAM && complete) program_crc <= ~crc;
    if (weights_done) crc_of_store <= exact_crc;
    weights_ok <= streamed || (store_is_valid && crc_of_store == header.weights_crc);
  end

  assign program_valid = program_is_valid;
  assign store_valid = store_is_valid || streamed;
endmodule

`default_nettype wire
