// Takes image packets beat by beat, gathers rows for the first convolution and stores them.
//
// beats -> bytes -> pixels (padding included) -> window of `kernel` pixels -> gathered words -> banks
//
// A cycle handles one beat, one pixel and one word at most.  Rows are stored as credits allow, so that the next
// frame's first rows arrive while the present one is computed.
#pragma once

#include "memory.hpp"
#include "record.hpp"
#include "stream.hpp"

namespace squeeze {

typedef fields::header H;
typedef fields::packet P;

enum Error {
    NONE = 0,
    BAD_MAGIC = 1,
    BAD_TYPE = 2,
    BAD_LENGTH = 3,
    BAD_IDENTITY = 4,
    BAD_PROGRAM_CRC = 5,
    BAD_WEIGHTS_CRC = 6,
    NO_PROGRAM = 7,
    NO_WEIGHTS = 8,
    TOO_LARGE = 9,
    EARLY_LAST = 10,
    LATE_LAST = 11,
    BAD_STREAM = 12
};

// A gathered pixel on its way into the banks.
struct Gathered {
    ap_uint<8> bytes[GATHER_WORDS_MAX * CIN];
    ap_uint<4> left;  // words
    ap_uint<4> word;
    Cursor pixel;
    bool phase;
    bool ends_row;
};

struct Loader {
    // WAITING: for the next header.  ROWS, TAIL: an image; what its rows need, then the rest.
    // COMPLETE: a whole image ahead of the present frame.  HELD: a packet for the next start to deal with.
    // DROPPED: an image that came in while the frame before was given up; the next start reports `error`.
    enum State { WAITING, ROWS, TAIL, COMPLETE, HELD, DROPPED };
    // With fewer bytes than two pixels have there is room for a beat, whether or not one of them leaves: what is taken
    // in does not wait for what goes out.
    static const int ROOM_BELOW = 6;
    static const int BUFFER_BYTES = ROOM_BELOW - 1 + 8;

    // of the program
    ProgramHeader header;
    Buffer ring;
    ap_uint<24> identity;
    ap_uint<24> length;     // beats of an image
    ap_uint<17> columns;    // padded columns that are read
    ap_uint<17> row_columns;// the same, and image columns that are dropped
    // of the stream
    State state;
    bool ahead;             // the image that comes in belongs to the next frame
    bool open;              // a packet was begun and its TLAST not read
    Received held;          // state HELD: its header
    Error error;            // of the image that comes in
    ap_uint<24> beats;      // still to come
    ap_uint<8 * BUFFER_BYTES> buffer;
    ap_uint<4> bytes;
    ap_uint<16> credit;     // rows that may be begun
    ap_uint<16> stored;     // rows of the image that stand in the banks
    // position
    ap_uint<16> row;
    bool image_row;         // `row` is a row of the image, and no padding
    ap_uint<17> column;
    ap_uint<16> gathered_columns;
    ap_uint<4> until;       // columns before the window is complete
    Cursor pixel[2];        // next gathered pixel of each row phase
    bool phase;
    ap_uint<8> window[WINDOW_BYTES];
    Gathered gathered;

    // A new program: the stream of frames begins anew.
    void begin_program(const ProgramHeader& program, const Buffer& buffer, ap_uint<24> program_identity) {
        HLS_INLINE
        header = program;
        ring = buffer;
        identity = program_identity;
        const ap_uint<32> pixels = program.get<H::height>() * program.get<H::width>();
        length = (pixels * 3 + 7) >> 3;
        columns = (program.get<H::columns>() - 1) * program.get<H::stride>() + program.get<H::kernel>();
        const ap_uint<17> image = program.get<H::pad_left>() + program.get<H::width>();
        row_columns = image > columns ? image : columns;
        restart();
    }

    void restart() {
        HLS_INLINE
        state = WAITING;
        ahead = false;
        open = false;
        error = NONE;
        credit = header.get<H::credit>();
        stored = 0;
        gathered.left = 0;
    }

    // The frame is given up; what came in behind it belongs to the next start.
    void give_up(Stream& in) {
        HLS_INLINE
        const bool kept = state == HELD;
        const bool dropped = ahead && (state == ROWS || state == TAIL || state == COMPLETE);
        const Error reason = ahead && error != NONE ? error : BAD_STREAM;
        if (open) {
            discard(in);
        }
        restart();
        if (kept) {
            state = HELD;
        } else if (dropped) {
            state = DROPPED;
            error = reason;
        }
    }

    // The header of an image was accepted.
    void begin_image() {
        HLS_INLINE
        state = ROWS;
        open = true;
        beats = length;
        buffer = 0;
        bytes = 0;
        stored = 0;
        row = 0;
        phase = false;
        pixel[0].ptr = 0;
        pixel[0].mod = 0;
        pixel[1] = pixel[0];
        begin_row();
    }

    void begin_row() {
        HLS_INLINE
        const ap_uint<17> first_row = header.get<H::pad_top>();
        image_row = row >= first_row && row < first_row + header.get<H::height>();
        column = 0;
        gathered_columns = 0;
        until = header.get<H::kernel>() - 1;
    }

    // The frame is done: what came in ahead becomes the present image.
    void end_frame() {
        HLS_INLINE
        ahead = false;
    }

    bool accepts(const Received& beat) const {
        HLS_INLINE
        PacketHeader packet;
        packet.words[0] = beat.data;
        return packet.get<P::magic>() == PACKET_MAGIC && packet.get<P::type>() == PACKET_IMAGE &&
               packet.get<P::identity>() == identity && packet.get<P::length>() == length && !beat.last;
    }

    // Rows of the present frame in the banks.
    ap_uint<16> rows() const {
        HLS_INLINE
        return ahead ? ap_uint<16>(header.get<H::rows>()) : stored;
    }
    bool failed() const {
        HLS_INLINE
        return error != NONE && !ahead;
    }

    // One cycle.  `output` is what the output stage writes: it has priority on its bank.
    //
    // Decisions are made by registers, none by what another of the same cycle has done.  Carried, in ns (docs/hls.md
    // says from what):
    //  - buffer: may a beat be read? 2.4 -> is there one? 1.2, beside it its shift 3.0 -> joined 1.2 -> does a pixel
    //    leave? 1.2, and 0.6 of registers: 6.6.
    //  - column: comparisons with the image's 2.0 -> joined 1.2 -> are there bytes? 1.2 -> is there room? 1.2 -> end of
    //    the row? 1.2 -> choice 1.2, 0.6: 8.6.
    //  - row: sum 2.0 -> is it the image's? 3.2 -> end of the row? 1.2 -> choice 1.2, 0.6: 8.2.
    Write step(Stream& in, const Write& output) {
        HLS_INLINE
        const bool gathers = state == ROWS;
        const bool ends = state == TAIL && beats == 0 && gathered.left == 0 && error == NONE;
        const bool enough = bytes >= 3;
        const bool last_word = gathered.left == 1, no_word = gathered.left == 0;
        const Write write = write_word(output);
        if (ends) {
            end_image();
        } else {
            take_beat(in);
        }
        if (gathers) {
            take_pixel(enough, no_word || (last_word && write.valid));
        }
        return write;
    }

    Write write_word(const Write& output) {
        HLS_INLINE
        const Words pitch = header.get<H::stride>() * header.get<H::gather_words>();
        Write write;
        write.valid = gathered.left > 0 && !(output.valid && output.bank == gathered.pixel.mod);
        write.bank = gathered.pixel.mod;
        const Words word = (gathered.phase ? Words(header.get<H::gather_words>()) : Words(0)) + gathered.word;
        write.address = ring.base + wrapped(gathered.pixel.ptr, word, ring.depth);
        for (int i = 0; i < CIN; i++) {
            HLS_UNROLL
            write.word.byte[i] = gathered.bytes[i];
        }
        if (write.valid) {
        next_word:
            for (int i = 0; i < GATHER_WORDS_MAX * CIN; i++) {
                HLS_UNROLL
                gathered.bytes[i] = i + CIN < GATHER_WORDS_MAX * CIN ? gathered.bytes[i + CIN] : ap_uint<8>(0);
            }
            gathered.word++;
            gathered.left--;
            if (gathered.left == 0 && gathered.ends_row) {
                stored++;
            }
        }
        return write;
    }

    // `enough`: the buffer held a pixel when the cycle began; `room`: for a gathered pixel.
    void take_pixel(bool enough, bool room) {
        HLS_INLINE
        const ap_uint<17> first_column = header.get<H::pad_left>();
        const bool inside = image_row && column >= first_column && column < first_column + header.get<H::width>();
        const bool completes = until == 0 && gathered_columns < header.get<H::columns>();
        if ((column == 0 && credit == 0) || (inside && !enough) || (completes && !room)) {
            return;
        }
        if (column == 0) {
            credit--;
        }
        ap_uint<24> colours = header.get<H::pad_red>() | ap_uint<24>(header.get<H::pad_green>()) << 8 |
                              ap_uint<24>(header.get<H::pad_blue>()) << 16;
        if (inside) {
            colours = buffer.range(23, 0);
            buffer >>= 24;
            bytes -= 3;
        }
        shift_window(colours);
        if (completes) {
            emit();
        }
        until = completes ? ap_uint<4>(header.get<H::stride>() - 1) : until == 0 ? until : ap_uint<4>(until - 1);
        const bool last_of_image = column == ap_uint<17>(row_columns - 1);
        const bool last_of_padding = column == ap_uint<17>(columns - 1);
        column++;
        if (image_row ? last_of_image : last_of_padding) {
            end_row();
        }
    }

    void shift_window(ap_uint<24> colours) {
        HLS_INLINE
        const ap_uint<4> newest = header.get<H::kernel>() - 1;
    shift_window:
        for (int p = 0; p < KERNEL_MAX; p++) {
            HLS_UNROLL
            for (int c = 0; c < 3; c++) {
                HLS_UNROLL
                const ap_uint<8> older = p + 1 < KERNEL_MAX ? window[3 * (p + 1) + c] : ap_uint<8>(0);
                const ap_uint<8> fresh = colours >> 8 * c;
                window[3 * p + c] = p < newest ? older : p == newest ? fresh : ap_uint<8>(0);
            }
        }
    }

    void emit() {
        HLS_INLINE
    emit:
        for (int i = 0; i < GATHER_WORDS_MAX * CIN; i++) {
            HLS_UNROLL
            gathered.bytes[i] = i < WINDOW_BYTES ? window[i] : ap_uint<8>(0);
        }
        gathered.left = header.get<H::gather_words>();
        gathered.word = 0;
        gathered.pixel = pixel[phase];
        gathered.phase = phase;
        gathered_columns++;
        gathered.ends_row = gathered_columns == header.get<H::columns>();
        pixel[phase].next_pixel(ring_step(header.get<H::stride>() * header.get<H::gather_words>(), ring.depth));
    }

    void end_row() {
        HLS_INLINE
        row++;
        begin_row();
        phase = header.get<H::stride>() == 2 && !phase;
        if (row == header.get<H::rows>()) {
            state = TAIL;
        }
    }

    void end_image() {
        HLS_INLINE
        state = ahead ? COMPLETE : WAITING;
        ahead = true;
    }

    void take_beat(Stream& in) {
        HLS_INLINE
        const bool wanted = error == NONE && (state == WAITING || (state == ROWS && bytes < ROOM_BELOW && beats > 0) ||
                                              (state == TAIL && beats > 0));
        Beat beat;
        if (!wanted || !in.read_nb(beat)) {
            return;
        }
        Received received;
        received.data = uint64_t(beat.data);
        received.last = beat.last;
        if (state == WAITING) {
            if (accepts(received)) {
                begin_image();
            } else {
                held = received;
                state = HELD;
            }
            return;
        }
        beats--;
        open = !received.last;
        buffer |= ap_uint<8 * BUFFER_BYTES>(received.data) << (8 * bytes);
        bytes += 8;
        if (state == TAIL) {
            bytes = 0;
        }
        if (received.last && beats > 0) {
            error = EARLY_LAST;
        } else if (!received.last && beats == 0) {
            error = LATE_LAST;
        }
    }
};

}  // namespace squeeze
