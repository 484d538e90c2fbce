// Number types and constants that follow from the engine's parameters (config.hpp, generated).
#pragma once

#include <stdint.h>

#include "ap_int.h"
#include "config.hpp"
#include "pragmas.hpp"

namespace squeeze {

static_assert(CIN == 4 || CIN == 8 || CIN == 16, "an activation word holds 4, 8 or 16 channels");
static_assert(COUT % CIN == 0, "the outputs of a tile are whole activation words: COUT is a multiple of CIN");
static_assert(PIX >= 1 && PIX <= 7, "bank numbers have 3 bits");
static_assert(PARAM_DEPTH % CIN == 0, "the CIN requantizers each have an equal part of the records");
static_assert(CODED_CHUNK_BITS <= 72, "a store word a cycle is enough for a chunk a cycle");
static_assert(KERNEL_MAX >= 2 && KERNEL_MAX <= 15, "kernels have 4 bits");

static const int CHUNK = CIN < 8 ? CIN : 8;          // weights expanded a cycle, all of one output
static const int CHUNKS = CIN / CHUNK;               // chunks of one output in a tile word
static const int SET_WORDS = COUT / CIN;             // activation words that a lane's accumulators give
static const int STATE_BITS = fields::entry::base::WIDTH;  // of a lane's state in the entropy code
static const int STATES = 1 << STATE_BITS;           // entries of a table
static const int STORE_BYTES = 9;                    // of a word of the weight store
static const int PARAM_BYTES = (fields::param::offset::LOW + fields::param::offset::WIDTH + 7) / 8;
static const int ENTRY_BYTES = (fields::entry::value::LOW + fields::entry::value::WIDTH + 7) / 8;
static const int WINDOW_BYTES = 3 * KERNEL_MAX;      // widest gathered image pixel
static const int GATHER_WORDS_MAX = (WINDOW_BYTES + CIN - 1) / CIN;

typedef ap_uint<3> Bank;            // also a lane, and a pixel index mod PIX
typedef ap_uint<16> Offset;         // address in a ring
typedef ap_uint<17> Address;        // address in a bank
typedef ap_uint<12> Words;          // activation words of a pixel
typedef ap_uint<11> Coordinate;
typedef ap_int<6> Weight;
typedef ap_int<24> Accumulator;     // exact: arith.accumulator_bound holds for every network that is planned
typedef ap_uint<16> Value;          // u8, or u16 where an average follows

// A word of a memory as its bytes, least significant first.
template <unsigned BYTES>
struct Bytes {
    uint8_t byte[BYTES];
};

// One word of an activation bank: CIN channels of one pixel.
typedef Bytes<CIN> Word;

// One write to the activation banks.
struct Write {
    bool valid;
    Bank bank;
    Address address;
    Word word;
};

// `ptr + step` in a ring of `depth` words.  Both are below or equal to the depth, so one subtraction is enough.
inline Offset wrapped(Offset ptr, Address step, Address depth) {
    HLS_INLINE
    const ap_uint<18> sum = ptr + step;
    return sum >= depth ? ap_uint<18>(sum - depth) : sum;
}

// A step in a ring, and what it is less the ring's depth: so both sums are there at once, and the sign of the second
// chooses.  In a carried loop that is one addition and a choice, where `wrapped` compares what it has added.
struct RingStep {
    Address forward;  // at most the depth
    ap_int<18> back;
};

inline RingStep ring_step(Address forward, Address depth) {
    HLS_INLINE
    RingStep step;
    step.forward = forward;
    step.back = ap_int<18>(forward) - ap_int<18>(depth);
    return step;
}

// `ptr`, below the depth, a step further.
inline Offset stepped(Offset ptr, const RingStep& step) {
    HLS_INLINE
    const ap_uint<18> sum = ptr + step.forward;
    const ap_int<19> less = ptr + step.back;
    return less >= 0 ? Offset(less) : Offset(sum);
}

// A pixel of a ring: where its word 0 stands.
struct Cursor {
    Offset ptr;
    Bank mod;

    // The next pixel; `pitch` is one pixel of a bank.
    void next_pixel(const RingStep& pitch) {
        HLS_INLINE
        const bool carry = mod == PIX - 1;
        mod = carry ? ap_uint<4>(0) : ap_uint<4>(mod + 1);
        ptr = carry ? stepped(ptr, pitch) : ptr;
    }

    // Go `pixels` further: `step` words of a bank, and where bank numbers wrap, `wrapping_step`.
    void advance(Bank pixels, const RingStep& step, const RingStep& wrapping_step) {
        HLS_INLINE
        const ap_uint<4> sum = mod + pixels;
        const bool carry = sum >= PIX;
        mod = carry ? ap_uint<4>(sum - PIX) : sum;
        ptr = carry ? stepped(ptr, wrapping_step) : stepped(ptr, step);
    }
};

}  // namespace squeeze
