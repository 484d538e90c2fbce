// Decodes the weights of entropy-coded layers, CHUNK a cycle (docs/entropy.md).
//
// A lane's item is known in length from the lane's state alone, so the lengths are looked up and added ahead of the
// cut.  `next` is the chunk that is cut next; on each cut everything moves one place on:
//
//   states[1] -> table entries of the chunk after next -> entries and places of the next chunk -> cut -> states[4]
//
// Dependences carried by the loop, all through registers:
//  - states of a lane: the bits of chunk n give the states of chunk n + 5, looked up while chunk n + 3 is cut.  Round
//    the circle it is SETS = 5 iterations from a state to its successor: three for cutting out the bits, masking and
//    adding, one for the tables, one for the sums of lengths.  The states stand in a line of registers that moves by
//    one place with each cut, so scheduling sees the distance itself; no DEPENDENCE pragma has to be believed.
//  - the funnel's position: a sum with `length`, a register that was computed an iteration before (distance 1).
// The tables are read only, by the loop; each lane has a copy of them with one read port.
#pragma once

#include "memory.hpp"

namespace squeeze {

#if SQUEEZE_TABLES
struct EntropyDecoder {
    static const int BLOCK = 4;  // lanes whose items are cut out of one part of the chunk, at most 4 * 14 bits

    ap_uint<STATE_BITS> states[STATE_SETS][CHUNK];  // [0]: of the next chunk, [1]: of the one behind it, ...
    CodeEntry entries[CHUNK];                       // looked up, of the chunk after next
    CodeEntry next[CHUNK];                          // of the next chunk
    ap_uint<6> start[CHUNK];                        // where its items begin, in their block
    ap_uint<6> upper;                               // where the second block begins
    ap_uint<7> length;                              // bits of the next chunk

    // What follows are the first states: chunks of plain states, without weights.
    void begin_layer() {
        HLS_INLINE
        for (int lane = 0; lane < CHUNK; lane++) {
            HLS_UNROLL
            entries[lane].bits = STATE_BITS << fields::entry::bits::LOW;
        }
        measure();
    }

    // Cuts the next chunk, the lowest bits of `chunk`, into weights and the states that follow in the same set.
    void cut(const ap_uint<72>& chunk, Weight values[CHUNK], ap_uint<STATE_BITS> following[CHUNK]) const {
        HLS_INLINE
        const uint64_t blocks[2] = {uint64_t(ap_uint<64>(chunk)), uint64_t(ap_uint<64>(chunk >> upper))};
    lanes:
        for (int lane = 0; lane < CHUNK; lane++) {
            HLS_UNROLL
            const CodeEntry& entry = next[lane];
            const ap_uint<14> item = blocks[lane / BLOCK] >> start[lane];
            const ap_uint<3> own = entry.get<E::bits>();
            following[lane] = entry.get<E::base>() + (item & ((1 << own) - 1));
            const ap_uint<7> rest = (item >> own) & ((1 << entry.get<E::extra>()) - 1);  // 0 without extra bits
            const ap_uint<6> magnitude = entry.get<E::value>() + (rest >> 1);
            values[lane] = rest[0] ? ap_uint<6>(-magnitude) : magnitude;
        }
    }

    // The next chunk was cut.
    void shift(const ap_uint<STATE_BITS> following[CHUNK]) {
        HLS_INLINE
    shift:
        for (int lane = 0; lane < CHUNK; lane++) {
            HLS_UNROLL
            for (int set = 0; set + 1 < STATE_SETS; set++) {
                HLS_UNROLL
                states[set][lane] = states[set + 1][lane];
            }
            states[STATE_SETS - 1][lane] = following[lane];
        }
    }

    // Moves what was looked up to the next chunk, and looks up by the states of chunk `ahead`, 0 or 1.
    void look_up(const CodeTables& tables, ap_uint<3> table, bool ahead) {
        HLS_INLINE
        measure();
    look_up:
        for (int lane = 0; lane < CHUNK; lane++) {
            HLS_UNROLL
            const ap_uint<STATE_BITS> state = ahead ? states[1][lane] : states[0][lane];
            entries[lane] = tables.read(lane, table * STATES + state);
        }
    }

    void measure() {
        HLS_INLINE
        ap_uint<7> sum[CHUNK + 1];  // of the lanes before
        sum[0] = 0;
    measure:
        for (int lane = 0; lane < CHUNK; lane++) {
            HLS_UNROLL
            next[lane] = entries[lane];
            start[lane] = sum[lane] - sum[lane / BLOCK * BLOCK];
            sum[lane + 1] = sum[lane] + entries[lane].get<E::bits>() + entries[lane].get<E::extra>();
        }
        upper = sum[BLOCK];
        // Longer ones come from no encoder: then the weights have no meaning, but the funnel always holds enough.
        length = sum[CHUNK] > CODED_CHUNK_BITS ? ap_uint<7>(CODED_CHUNK_BITS) : sum[CHUNK];
    }
};
#else

// An engine without tables has no decoder.
struct EntropyDecoder {
    static const int length = 0;
    void begin_layer() {}
    void cut(const ap_uint<72>&, Weight*, ap_uint<STATE_BITS>*) const {}
    void shift(const ap_uint<STATE_BITS>*) {}
    void look_up(const CodeTables&, ap_uint<3>, bool) {}
};
#endif

}  // namespace squeeze
