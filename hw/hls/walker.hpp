// Walks the taps of an instruction: which activation word and which tile word each cycle multiplies.
//
// The nest of docs/program.md (blocks, halves, phases, tap rows, tap columns, words) as counters that step
// once a cycle.  All pointers advance by addition and one conditional subtraction.
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

struct Walker {
    // of the instruction
    LayerRecord layer;
    Buffer source;
    Cursor first_tap;    // of block 0
    Cursor first_center; // tap of half B
    ap_int<18> pixels;
    Coordinate row;
    // of the tile
    bool half_a, half_b;
    // position
    bool active;
    bool in_b;
    ap_uint<1> phase;
    ap_uint<4> tap_row, tap_column;
    Words word;
    ap_uint<16> tile_word;
    Cursor block_tap, block_center;  // of this block
    Cursor tap;
    Offset word_ptr;
    ap_int<18> left;  // pixels of this and the following blocks
    Coordinate x[PIX], y[PIX];

    void begin_instruction(const Instruction& instruction) {
        HLS_INLINE
        layer = instruction.layer;
        source = instruction.source;
        pixels = instruction.own.get<I::pixels>();
        row = instruction.own.get<I::row>();
        first_tap.ptr = instruction.own.get<I::source_ptr>();
        first_tap.mod = instruction.own.get<I::source_mod>();
        first_center = first_tap;
        first_center.advance(layer.get<L::center_mod>(), layer.get<L::center_ptr>(), layer.get<L::pitch>(),
                             source.depth);
    }

    void begin_tile(Words group) {
        HLS_INLINE
        half_a = has_a(layer, group);
        half_b = has_b(layer, group);
        active = true;
        left = pixels;
        block_tap = first_tap;
        block_center = first_center;
        Coordinate next_x = 0, next_y = row;
    first_lanes:
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            x[l] = next_x;
            y[l] = next_y;
            const bool wraps = next_x + 1 == layer.get<L::width>();
            next_x = wraps ? Coordinate(0) : Coordinate(next_x + 1);
            next_y = wraps ? Coordinate(next_y + 1) : next_y;
        }
        begin_block();
    }

    void begin_block() {
        HLS_INLINE
        tile_word = 0;
        begin_half(!half_a);
    }

    void begin_half(bool b) {
        HLS_INLINE
        in_b = b;
        phase = 0;
        tap_row = 0;
        tap_column = 0;
        word = 0;
        tap = b ? block_center : block_tap;
        word_ptr = tap.ptr;
    }

    // Pixels of the block that exist.
    ap_uint<3> lanes() const {
        HLS_INLINE
        return left >= PIX ? ap_int<18>(PIX) : left < 0 ? ap_int<18>(0) : left;
    }

    bool first_word() const {
        HLS_INLINE
        return word == 0 && (in_b || (phase == 0 && tap_row == 0 && tap_column == 0));
    }
    bool last_tap() const {
        HLS_INLINE
        const bool last_phase = phase == 1 || layer.get<L::rows1>() == 0;
        return in_b || (last_phase && last_row() && last_column());
    }
    bool last_row() const {
        HLS_INLINE
        return tap_row + 1 == (phase ? layer.get<L::rows1>() : layer.get<L::rows0>());
    }
    bool last_column() const {
        HLS_INLINE
        return tap_column + 1 == layer.get<L::columns>();
    }
    // Is this the last product of a set?
    bool last_word() const {
        HLS_INLINE
        return word + 1 == layer.get<L::words>() && last_tap();
    }

    // Reads PIX consecutive pixels, one from each bank, and masks what lies outside the map.
    void read(const ActivationBanks& banks, Word operands[PIX]) const {
        HLS_INLINE
        const Offset beyond = wrapped(word_ptr, layer.get<L::pitch>(), source.depth);
        Word data[PIX];
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
        const Words pitch = layer.get<L::pitch>();
        tile_word++;
        if (word + 1 != layer.get<L::words>()) {
            word++;
            word_ptr = wrapped(word_ptr, 1, source.depth);
        } else if (last_tap()) {
            end_half();
        } else {
            if (!last_column()) {
                tap_column++;
                tap.advance(1, 0, pitch, source.depth);
            } else if (!last_row()) {
                tap_column = 0;
                tap_row++;
                tap.advance(layer.get<L::row_mod>(), layer.get<L::row_ptr>(), pitch, source.depth);
            } else {  // on to phase 1
                tap_column = 0;
                tap_row = 0;
                phase = 1;
                tap.mod = block_tap.mod;
                tap.ptr = wrapped(block_tap.ptr, layer.get<L::words>(), source.depth);
            }
            word = 0;
            word_ptr = tap.ptr;
        }
    }

    void end_half() {
        HLS_INLINE
        if (!in_b && half_b) {
            begin_half(true);
            return;
        }
        active = left + (layer.get<L::border>() > 0 ? 1 : 0) > PIX;
        left -= PIX;
        block_tap.ptr = wrapped(block_tap.ptr, layer.get<L::pitch>(), source.depth);
        block_center.ptr = wrapped(block_center.ptr, layer.get<L::pitch>(), source.depth);
    next_lanes:
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            const ap_uint<12> sum = x[l] + layer.get<L::x_step>();
            const bool wraps = sum >= layer.get<L::width>();
            x[l] = wraps ? ap_uint<12>(sum - layer.get<L::width>()) : sum;
            y[l] += layer.get<L::y_step>() + (wraps ? 1 : 0);
        }
        begin_block();
    }
};

}  // namespace squeeze
