// The output stage: requantizes finished accumulators, pools, averages, and writes activation words.
//
// One word of CIN channels a cycle: lane by lane, in each lane word by word.
#pragma once

#include "memory.hpp"
#include "record.hpp"
#include "walker.hpp"

namespace squeeze {

// clamp((acc + bias) * M + 2^(S-1) >> S, 0, top), as squeeze_hls/network/arith.py defines it.
inline Value requantize(Accumulator acc, ap_uint<44> param, ap_uint<6> layer_shift, ap_uint<16> top) {
    HLS_INLINE
    Record<fields::param::WORDS> record;
    record.words[0] = uint64_t(param);
    const ap_int<24> bias = record.get<fields::param::bias>();
    const ap_uint<17> multiplier = record.get<fields::param::multiplier>() + ap_uint<17>(1 << 16);
    const ap_uint<6> shift = layer_shift - record.get<fields::param::offset>();
    const ap_int<24> sum = acc + bias;
    const ap_int<43> product = sum * multiplier;
    const ap_int<43> half = ap_int<43>(1) << (shift - 1);
    const ap_int<43> scaled = (product + half) >> shift;
    return scaled < 0 ? ap_int<43>(0) : scaled > top ? ap_int<43>(top) : scaled;
}

// What is known of a finished set of accumulators.
struct Set {
    bool half_b;
    bool first;           // of its group
    ap_uint<3> lanes;     // pixels that exist; the next lane is the border pixel, if there is one
    Words group;
};

// Where a half stands in its map.
struct HalfCursor {
    Cursor target;
    Coordinate x, y;
    ap_uint<16> carry;
};

struct OutputStage {
    static const int SLOTS = 2;

    // of the instruction
    LayerRecord layer;
    Buffer target;
    Cursor first_target;
    Coordinate first_row;
    // sets
    Accumulator held[SLOTS][PIX][COUT];  // the holding registers
    Set sets[SLOTS];
    ap_uint<1> front;
    ap_uint<2> count;
    ap_uint<3> lane;
    ap_uint<4> part;  // word of the lane
    HalfCursor halves[2];
    uint8_t horizontal[2][SET_WORDS][CIN];  // running maximum along each half's row
    ap_uint<16> carried_at;  // the carry word written last
    Word carried;
    // average
    ap_int<32> sums[COUT];
    Value edge[COUT];  // value of the border pixel

    void begin_instruction(const Instruction& instruction) {
        HLS_INLINE
        layer = instruction.layer;
        target = instruction.target;
        first_target.ptr = instruction.own.get<I::target_ptr>();
        first_target.mod = instruction.own.get<I::target_mod>();
        first_row = instruction.own.get<I::row>();
    }

    void clear() {
        HLS_INLINE
        count = 0;
        lane = 0;
        part = 0;
    }

    bool full() const {
        HLS_INLINE
        return count == SLOTS;
    }

    void push(const Accumulator acc[PIX][COUT], const Walker& walker, Words group) {
        HLS_INLINE
        const ap_uint<1> slot = front + count;
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            for (int o = 0; o < COUT; o++) {
                HLS_UNROLL
                held[slot][l][o] = acc[l][o];
            }
        }
        sets[slot].half_b = walker.in_b;
        sets[slot].first = walker.left == walker.pixels;
        sets[slot].lanes = walker.lanes();
        sets[slot].group = group;
        count++;
    }

    // One cycle: one word of the front set.
    Write step(const ParamMemory& params, CarryMemory& carry) {
        HLS_INLINE
        Write write;
        write.valid = false;
        write.bank = 0;
        write.address = 0;
        if (count == 0) {
            return write;
        }
        const Set& set = sets[front];
        Value values[CIN];
        requantize_word(set, params, values);
        const Words word = set.group * SET_WORDS + part;
        const bool exists = word < (set.half_b ? layer.get<L::words_b>() : layer.get<L::words_a>());
        if (layer.get<L::average>()) {
            add_to_sums(set, values, exists);
        } else {
            HalfCursor& half = halves[set.half_b];
            if (set.first && lane == 0 && part == 0) {
                begin_group(set, half);
            }
            const Words offset = set.half_b ? layer.get<L::offset_b>() : layer.get<L::offset_a>();
            write.bank = half.target.mod;
            write.address = target.base + wrapped(half.target.ptr, offset + word, target.depth);
            const bool used = exists && lane < set.lanes;
            const bool complete = pool(set.half_b, values, used, carry, write.word);
            write.valid = used && complete;
            if (part == SET_WORDS - 1) {
                next_pixel(set, half, complete);
            }
        }
        advance();
        return write;
    }

    void requantize_word(const Set& set, const ParamMemory& params, Value values[CIN]) const {
        HLS_INLINE
        const ap_uint<16> first = set.half_b ? layer.get<L::params_b>() : layer.get<L::params_a>();
        const Params records = params.read(first / CIN + set.group * SET_WORDS + part);
        const ap_uint<6> shift = set.half_b ? layer.get<L::shift_b>() : layer.get<L::shift_a>();
        const ap_uint<16> top = set.half_b ? ap_uint<16>(layer.get<L::top_b>()) : ap_uint<16>(layer.get<L::top_a>());
    requantizers:
        for (int i = 0; i < CIN; i++) {
            HLS_UNROLL
            values[i] = requantize(held[front][lane][part * CIN + i], records.record[i], shift, top);
        }
    }

    void add_to_sums(const Set& set, const Value values[CIN], bool exists) {
        HLS_INLINE
        const bool start = set.first && lane == 0;
    add_to_sums:
        for (int i = 0; i < CIN; i++) {
            HLS_UNROLL
            const int o = part * CIN + i;
            if (exists && lane < set.lanes) {
                sums[o] = (start ? ap_int<32>(0) : sums[o]) + values[i];
            }
            if (exists && lane == set.lanes) {
                edge[o] = values[i];
            }
        }
    }

    void begin_group(const Set& set, HalfCursor& half) {
        HLS_INLINE
        half.target = first_target;
        half.x = 0;
        half.y = first_row;
        half.carry = carry_row(set);
    }

    // First carry word of the set's group and half.
    ap_uint<16> carry_row(const Set& set) const {
        HLS_INLINE
        const ap_uint<16> one = layer.get<L::carry_half>();
        const bool both = layer.get<L::half_a>() && layer.get<L::half_b>();
        const ap_uint<13> rows = both ? ap_uint<13>(set.group * 2) : ap_uint<13>(set.group);
        return layer.get<L::carry>() + one * (rows + set.half_b);
    }

    // Stride-2 max pooling; `word` is what leaves, true where a pooled pixel (or, unpooled, any) is complete.
    bool pool(bool half_b, const Value values[CIN], bool used, CarryMemory& carry, Word& word) {
        HLS_INLINE
        HalfCursor& half = halves[half_b];
        const ap_uint<2> kernel = layer.get<L::pool>();
        const Axis x = axis(half.x, layer.get<L::width>(), kernel);
        const Axis y = axis(half.y, layer.get<L::height>(), kernel);
        Word above;
        const bool joins = used && kernel != 0 && x.done;
        if (joins && !y.fresh) {
            // Maps of one column read the word just written, which the memory may not show yet.
            above = half.carry == carried_at ? carried : carry.read(half.carry);
        }
        Word kept;
    pool_channels:
        for (int i = 0; i < CIN; i++) {
            HLS_UNROLL
            const uint8_t value = values[i];
            const uint8_t left = horizontal[half_b][part][i];
            const uint8_t across = x.fresh || left < value ? value : left;
            horizontal[half_b][part][i] = x.even ? value : across;
            const uint8_t down = y.fresh || above.byte[i] < across ? across : above.byte[i];
            kept.byte[i] = y.even ? across : down;
            word.byte[i] = kernel == 0 ? value : down;
        }
        if (joins) {
            carry.write(half.carry, kept);
            carried_at = half.carry;
            carried = kept;
        }
        if (x.done) {
            half.carry++;
        }
        return kernel == 0 || (x.done && y.done);
    }

    // What a coordinate means for pooling along its axis.
    struct Axis {
        bool even;
        bool fresh;  // a window begins: nothing to join with
        bool done;   // a window ends
    };
    Axis axis(Coordinate at, Coordinate size, ap_uint<2> kernel) const {
        HLS_INLINE
        const bool cut = at + 1 == size && layer.get<L::ceil>();
        Axis result;
        result.even = at[0] == 0;
        result.fresh = kernel == 3 ? at == 0 : result.even;
        result.done = kernel == 3 ? (result.even ? at >= 2 : cut) : (!result.even || cut);
        return result;
    }

    void next_pixel(const Set& set, HalfCursor& half, bool complete) {
        HLS_INLINE
        const bool wraps = half.x + 1 == layer.get<L::width>();
        half.x = wraps ? Coordinate(0) : Coordinate(half.x + 1);
        if (wraps) {
            half.y++;
            half.carry = carry_row(set);
        }
        if (complete) {
            half.target.next_pixel(ring_step(layer.get<L::out_words>(), target.depth));
        }
    }

    void advance() {
        HLS_INLINE
        part = part == SET_WORDS - 1 ? ap_uint<4>(0) : ap_uint<4>(part + 1);
        if (part == 0) {
            lane = lane == PIX - 1 ? ap_uint<3>(0) : ap_uint<3>(lane + 1);
            if (lane == 0) {
                front++;
                count--;
            }
        }
    }

    // A sum over all pixels; the border pixel's value counts `border` times.
    ap_uint<32> logit(int o) const {
        HLS_INLINE
        const ap_uint<16> border = layer.get<L::border>();
        const ap_uint<32> edges = border * (border > 0 ? edge[o] : Value(0));
        return sums[o] + edges;
    }

    // Sends the group's logits, two a beat; true where these were the last.
    bool send_logits(Stream& out, Words group, ap_uint<16> classes) const {
        HLS_INLINE
    send_logits:
        for (int o = 0; o < COUT; o += 2) {
            HLS_PIPELINE(1)  // one beat a cycle, no carried dependence; two multipliers for the border
            const ap_uint<20> index = group * COUT + o;
            if (index < classes) {
                const uint32_t lower = logit(o), upper = logit(o + 1);
                const bool single = index + 1 == classes;
                send(out, single ? uint64_t(lower) : uint64_t(upper) << 32 | lower, single ? 0x0F : 0xFF,
                     index + 2 >= classes);
            }
        }
        return (group + 1) * COUT >= classes;
    }
};

}  // namespace squeeze
