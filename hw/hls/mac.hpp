// The MAC array: PIX x CIN x COUT products a cycle, two of them in each DSP slice.
#pragma once

#include "types.hpp"

namespace squeeze {

// Two dot products of CIN terms in one chain of multipliers: sum of (w1 * 2^18 + w0) * a.
//
// The operand w1 * 2^18 + w0 has 25 bits (at 2^19 it would have 26 and leave the 25 x 18 multiplier).  The low
// field holds the sum of up to 16 products exactly: 16 * 32 * 255 < 2^17.  Where it is negative it has borrowed
// one from the upper field, so bit 17 is added there: a carry-in of the adder that accumulates it.
inline void packed_dot(const ap_int<25> pair[CIN], const Word& operand, ap_int<18>& upper, ap_int<18>& lower) {
    HLS_INLINE
    ap_int<42> chain = 0;  // a cascade of DSP slices, hence no adder tree
packed_dot:
    for (int i = 0; i < CIN; i++) {
        HLS_UNROLL
        const ap_int<33> product = pair[i] * operand.byte[i];
        chain += product;
    }
    lower = ap_int<18>(chain);
    upper = ap_int<18>(ap_int<24>(chain >> 18) + ap_int<2>(chain[17]));
}

// acc[l][o] = (clear ? 0 : acc[l][o]) + sum of weights[o][i] * operands[l].byte[i]
inline void multiply_accumulate(const Weight weights[COUT][CIN], const Word operands[PIX], bool clear,
                                Accumulator acc[PIX][COUT]) {
    HLS_INLINE
#ifdef SQUEEZE_PLAIN_MAC  // for fast C simulation; tests/hls proves both equal
    for (int l = 0; l < PIX; l++) {
        short a[CIN];
        for (int i = 0; i < CIN; i++) {
            a[i] = operands[l].byte[i].to_int();
        }
        for (int o = 0; o < COUT; o++) {
            int sum = clear ? 0 : acc[l][o].to_int();
            for (int i = 0; i < CIN; i++) {
                sum += weights[o][i].to_int() * a[i];
            }
            acc[l][o] = sum;
        }
    }
#else
    static_assert(COUT % 2 == 0, "two outputs share a multiplier: COUT is even");
mac_outputs:
    for (int o = 0; o < COUT; o += 2) {
        HLS_UNROLL
        ap_int<25> pair[CIN];  // packed once for all lanes
    mac_pack:
        for (int i = 0; i < CIN; i++) {
            HLS_UNROLL
            pair[i] = (ap_int<25>(weights[o + 1][i]) << 18) + weights[o][i];
        }
    mac_lanes:
        for (int l = 0; l < PIX; l++) {
            HLS_UNROLL
            ap_int<18> upper, lower;
            packed_dot(pair, operands[l], upper, lower);
            acc[l][o] = (clear ? Accumulator(0) : acc[l][o]) + lower;
            acc[l][o + 1] = (clear ? Accumulator(0) : acc[l][o + 1]) + upper;
        }
    }
#endif
}

}  // namespace squeeze
