// Walks the taps of an instruction: which activation word and which tile word each cycle multiplies.
//
// The nest of docs/program.md (blocks, halves, phases, tap rows, tap columns, words) as counters that step
// once a cycle.  Counters count down to a flag, and where a pointer goes next is known before it goes.
#pragma once

#include "memory.hpp"
#include "record.hpp"

namespace squeeze {

typedef fields::layer L;
typedef fields::instruction I;

// Does a tile hold half A (B)?
inline bool has_a(const LayerRecord& layer, Words group) {
    HLS_INLINE
    return layer.get<L::half_a>() && group < layer.get<L::groups_a>();
}
inline bool has_b(const LayerRecord& layer, Words group) {
    HLS_INLINE
    return layer.get<L::half_b>() && group < layer.get<L::groups_b>();
}
inline Words groups_of(const LayerRecord& layer) {
    HLS_INLINE
    const Words a = layer.get<L::half_a>() ? layer.get<L::groups_a>() : Words(0);
    const Words b = layer.get<L::half_b>() ? layer.get<L::groups_b>() : Words(0);
    return a > b ? a : b;
}
// Tile words of half A (half B has `words`).
inline ap_uint<16> depth_of_a(const LayerRecord& layer) {
    HLS_INLINE
    const ap_uint<5> rows = layer.get<L::rows0>() + layer.get<L::rows1>();
    return layer.get<L::words>() * (rows * layer.get<L::columns>());
}

// How many are still to come after this one.
struct Countdown {
    ap_uint<12> left;
    bool last;  // none

    static Countdown of(ap_uint<12> count) {
        HLS_INLINE
        Countdown result;
        result.left = count - 1;
        result.last = count == 1;
        return result;
    }
    void step() {
        HLS_INLINE
        last = left == 1;
        left--;
    }
};

// The first tap of a block of pixels, and that of the block after it.
struct BlockPointer {
    Offset now, next;

    static BlockPointer of(Offset ptr, const RingStep& pitch) {
        HLS_INLINE
        BlockPointer result;
        result.now = ptr;
        result.next = stepped(ptr, pitch);
        return result;
    }
    void advance(const RingStep& pitch) {
        HLS_INLINE
        now = next;
        next = stepped(next, pitch);
    }
};

// Carried from step to step, in ns (docs/hls.md says from what):
//  - pointer: its two sums 2.0 -> choice by the sign 1.2 -> do bank numbers wrap? 1.2 -> next column, row or block
//    1.2 -> is there a step? 1.2, and 0.6 of registers: 7.4.
//  - bank number: sum 1.6 -> comparison 1.6 -> the last three choices 3.6, 0.6: 7.4.
//  - is this the last? four registers joined 1.2 -> is a holding register free? 1.2 -> all choices 2.4, 0.6: 5.4.
//  - coordinates: two sums 2.0 -> choice 1.2 -> end of a block? 1.2 -> step? 1.2, 0.6: 6.2.
struct Walker {
    // of the instruction
    LayerRecord layer;
    Buffer source;
    RingStep pitch, row, row_wrapping;  // from pixel to pixel of a bank, from row to row of taps
    Bank first_mod, center_mod;         // of the first tap, and of half B's
    BlockPointer first_tap, first_phase1, first_center;  // of block 0
    Countdown words, columns, rows0, rows1;
    bool two_phases;
    ap_int<18> pixels;
    ap_int<18> final_pixels;  // with so many or fewer the next block is the final one
    ap_int<12> x_back;        // the x step less the width
    Coordinate first_y;
    // of the tile
    bool half_a, half_b;
    // position
    bool active;
    bool in_b;
    bool first;               // of its set
    bool final_block;
    ap_uint<1> phase;
    ap_uint<4> tap_row, tap_column;
    Words word;
    Countdown words_left, columns_left, rows_left;
    ap_uint<16> tile_word;
    BlockPointer block_tap, block_phase1, block_center;
    Cursor tap;
    ap_int<18> left;  // pixels of this and the following blocks
    Coordinate x[PIX], y[PIX];

    void begin_instruction(const Instruction& instruction) {
        HLS_INLINE
        layer = instruction.layer;
        source = instruction.source;
        const Address depth = source.depth;
        const Words pixel = layer.get<L::pitch>();
        pitch = ring_step(pixel, depth);
        row = ring_step(layer.get<L::row_ptr>(), depth);
        row_wrapping = ring_step(wrapped(layer.get<L::row_ptr>(), pixel, depth), depth);
        Cursor center;
        center.ptr = instruction.own.get<I::source_ptr>();
        center.mod = instruction.own.get<I::source_mod>();
        first_mod = center.mod;
        first_tap = BlockPointer::of(center.ptr, pitch);
        first_phase1 = BlockPointer::of(wrapped(center.ptr, layer.get<L::words>(), depth), pitch);
        const Offset to_center = layer.get<L::center_ptr>();
        center.advance(layer.get<L::center_mod>(), ring_step(to_center, depth),
                       ring_step(wrapped(to_center, pixel, depth), depth));
        center_mod = center.mod;
        first_center = BlockPointer::of(center.ptr, pitch);
        words = Countdown::of(layer.get<L::words>());
        columns = Countdown::of(layer.get<L::columns>());
        rows0 = Countdown::of(layer.get<L::rows0>());
        rows1 = Countdown::of(layer.get<L::rows1>());
        two_phases = layer.get<L::rows1>() > 0;
        pixels = instruction.own.get<I::pixels>();
        final_pixels = 2 * PIX - (layer.get<L::border>() > 0 ? 1 : 0);
        x_back = ap_int<12>(layer.get<L::x_step>()) - ap_int<12>(layer.get<L::width>());
        first_y = instruction.own.get<I::row>();
    }

    void begin_tile(Words group) {
        HLS_INLINE
        half_a = has_a(layer, group);
        half_b = has_b(layer, group);
        active = true;
        left = pixels;
        final_block = pixels + PIX <= final_pixels;
        block_tap = first_tap;
        block_phase1 = first_phase1;
        block_center = first_center;
        Coordinate next_x = 0, next_y = first_y;
    first_lanes:
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            x[l] = next_x;
            y[l] = next_y;
            const bool wraps = next_x + 1 == layer.get<L::width>();
            next_x = wraps ? Coordinate(0) : Coordinate(next_x + 1);
            next_y = wraps ? Coordinate(next_y + 1) : next_y;
        }
        tile_word = 0;
        begin_half(!half_a, half_a ? block_tap.now : block_center.now);
    }

    void begin_half(bool b, Offset ptr) {
        HLS_INLINE
        in_b = b;
        first = true;
        phase = 0;
        begin_taps(rows0);
        begin_word();
        tap.mod = b ? center_mod : first_mod;
        tap.ptr = ptr;
    }

    void begin_taps(const Countdown& rows) {
        HLS_INLINE
        tap_row = 0;
        rows_left = rows;
        begin_row();
    }
    void begin_row() {
        HLS_INLINE
        tap_column = 0;
        columns_left = columns;
    }
    void begin_word() {
        HLS_INLINE
        word = 0;
        words_left = words;
    }

    // Pixels of the block that exist.
    ap_uint<3> lanes() const {
        HLS_INLINE
        return left >= PIX ? ap_int<18>(PIX) : left < 0 ? ap_int<18>(0) : left;
    }

    bool first_word() const {
        HLS_INLINE
        return first;
    }
    bool last_tap() const {
        HLS_INLINE
        return in_b || (columns_left.last && rows_left.last && (phase == 1 || !two_phases));
    }
    // Is this the last product of a set?
    bool last_word() const {
        HLS_INLINE
        return words_left.last && last_tap();
    }

    // Reads PIX consecutive pixels, one from each bank, and masks what lies outside the map.
    void read(const ActivationBanks& banks, Word operands[PIX]) const {
        HLS_INLINE
        const Offset word_ptr = wrapped(tap.ptr, word, source.depth);
        const Offset beyond = stepped(word_ptr, pitch);
        Word data[PIX];
        HLS_PARTITION(data, 0)
    read_banks:
        for (int b = 0; b < PIX; b++) {
            HLS_UNROLL
            data[b] = banks.read(b, source.base + (b < tap.mod ? beyond : word_ptr));
        }
        const ap_uint<3> count = lanes();
    rotate:
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            const ap_uint<4> sum = tap.mod + l;
            const ap_uint<4> bank = sum >= PIX ? ap_uint<4>(sum - PIX) : sum;
            const bool used = l < count && !outside(l);
        mask:
            for (int i = 0; i < CIN; i++) {
                HLS_UNROLL
                operands[l].byte[i] = used ? data[bank].byte[i] : uint8_t(0);
            }
        }
    }

    bool outside(int lane) const {
        HLS_INLINE
        const ap_int<13> read_x = ap_int<13>(x[lane]) + tap_column - 1;
        const ap_int<13> read_y = ap_int<13>(y[lane]) + tap_row - 1;
        const bool in_map = read_x >= 0 && read_x < layer.get<L::width>() && read_y >= 0 &&
                            read_y < layer.get<L::height>();
        return !in_b && layer.get<L::pad>() && !in_map;
    }

    // One step of the nest.
    void step() {
        HLS_INLINE
        tile_word++;
        if (last_word()) {
            end_half();
            return;
        }
        first = false;
        if (!words_left.last) {
            word++;
            words_left.step();
            return;
        }
        begin_word();
        if (!columns_left.last) {
            tap_column++;
            columns_left.step();
            tap.next_pixel(pitch);
        } else if (!rows_left.last) {
            tap_row++;
            rows_left.step();
            begin_row();
            tap.advance(layer.get<L::row_mod>(), row, row_wrapping);
        } else {
            phase = 1;
            begin_taps(rows1);
            tap.mod = first_mod;
            tap.ptr = block_phase1.now;
        }
    }

    void end_half() {
        HLS_INLINE
        if (!in_b && half_b) {
            begin_half(true, block_center.now);
            return;
        }
        tile_word = 0;
        begin_half(!half_a, half_a ? block_tap.next : block_center.next);
        active = !final_block;
        final_block = left <= final_pixels;
        left -= PIX;
        block_tap.advance(pitch);
        block_phase1.advance(pitch);
        block_center.advance(pitch);
    next_lanes:
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            const ap_uint<12> sum = x[l] + layer.get<L::x_step>();
            const ap_int<13> less = x[l] + x_back;
            const bool wraps = less >= 0;
            x[l] = wraps ? Coordinate(less) : Coordinate(sum);
            y[l] += layer.get<L::y_step>() + (wraps ? 1 : 0);
        }
    }
};

}  // namespace squeeze
