// The MAC array: PIX x CIN x COUT products a cycle, two of them in each DSP slice.
#pragma once

#include "types.hpp"

namespace squeeze {

// The widths that hardware needs.  C simulation computes the same in machine words, ten times as fast;
// tests/hls proves both equal to the plain sum of products.
#if defined(__SYNTHESIS__) || defined(SQUEEZE_EXACT_WIDTHS)
typedef ap_int<25> Pair;      // w1 * 2^18 + w0: the wider port of a DSP48E1
typedef ap_uint<8> Operand;
typedef ap_int<33> Product;
typedef ap_int<42> Chain;
typedef ap_int<18> Dot;       // a sum of up to 16 products of 6 and 8 bits
#else
typedef int32_t Pair;
typedef int64_t Operand;
typedef int64_t Product;
typedef int64_t Chain;
typedef int32_t Dot;
#endif

inline Pair pack(Weight upper, Weight lower) {
    HLS_INLINE
    return Pair(upper) * (1 << 18) + Pair(lower);  // the DSP slice's pre-adder
}

// Two dot products of CIN terms in one chain of multipliers: sum of (w1 * 2^18 + w0) * a.
//
// At 2^19 the operand would have 26 bits.  The low field holds its sum exactly: 16 * 32 * 255 < 2^17.  Where that
// is negative it has borrowed one from the upper field, so bit 17 is added there: the carry-in of the adder
// that accumulates it.
//
// A function of its own in hardware: in the pipeline of its caller, where it would be inlined, the order of the sum
// would be csynth's choice, and a tree of adders costs LUTs.
inline void packed_dot(const Pair pair[CIN], const Operand operand[CIN], Dot& upper, Dot& lower) {
    HLS_INLINE_OFF
    HLS_PIPELINE_CALLS(1)
    HLS_IN_ORDER
    HLS_PARTITION(pair, 1)
    HLS_PARTITION(operand, 1)
    Chain chain = 0;  // a cascade of DSP slices, hence no adder tree
packed_dot:
    for (int i = 0; i < CIN; i++) {
        HLS_UNROLL
        const Product product = pair[i] * operand[i];
        chain += product;
    }
    const int64_t sum = int64_t(chain);
    const int64_t borrow = sum >> 17 & 1;
    lower = Dot((sum & 0x3FFFF) - (borrow << 18));
    upper = Dot((sum >> 18) + borrow);
}

// acc[l][o] = (clear ? 0 : acc[l][o]) + sum of weights[o][i] * operands[l].byte[i]
inline void multiply_accumulate(const Weight weights[COUT][CIN], const Word operands[PIX], bool clear,
                                Accumulator acc[PIX][COUT]) {
    HLS_INLINE
    static_assert(COUT % 2 == 0, "two outputs share a multiplier: COUT is even");
    Operand bytes[PIX][CIN];
    HLS_PARTITION(bytes, 0)
mac_operands:
    for (int l = 0; l < PIX; l++) {
        HLS_UNROLL
        for (int i = 0; i < CIN; i++) {
            HLS_UNROLL
            bytes[l][i] = operands[l].byte[i];
        }
    }
mac_outputs:
    for (int o = 0; o < COUT; o += 2) {
        HLS_UNROLL
        Pair pair[CIN];  // packed once for all lanes
        HLS_PARTITION(pair, 0)
    mac_pack:
        for (int i = 0; i < CIN; i++) {
            HLS_UNROLL
            pair[i] = pack(weights[o + 1][i], weights[o][i]);
        }
    mac_lanes:
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            Dot upper, lower;
            packed_dot(pair, bytes[l], upper, lower);
            acc[l][o] = (clear ? Accumulator(0) : acc[l][o]) + lower;
            acc[l][o + 1] = (clear ? Accumulator(0) : acc[l][o + 1]) + upper;
        }
    }
}

}  // namespace squeeze
