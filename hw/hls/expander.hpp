// Expands the next weight tile from the store while the present one is multiplied, one chunk a cycle.
//
// store (or s_axis_weights) -> queue of 72-bit words -> funnel -> chunk of weights -> tile
//
// A chunk takes at most CHUNK + 6 * CHUNK = 56 bits, and 72 where it is entropy-coded, so one store word a cycle is
// always enough.
//
// The bit string of an entropy-coded layer runs through its tiles: funnel, queue and the decoder's states are kept from
// tile to tile, and begin anew only with the layer.
#pragma once

#include "entropy.hpp"
#include "funnel.hpp"
#include "stream.hpp"
#include "walker.hpp"

namespace squeeze {

// One packet of streamed weights a frame.
struct WeightStream {
    bool open;  // the packet's TLAST has not been read
    ap_uint<24> beats;
    bool failed;
    Unpacker unpacker;

    void begin(ap_uint<24> length) {
        HLS_INLINE
        open = true;
        failed = false;
        beats = length;
        unpacker.clear();
    }

    // Takes one beat where there is one; true where it completes a word.
    bool take(Stream& stream, ap_uint<72>& word) {
        HLS_INLINE
        Beat beat;
        if (beats == 0 || failed || !stream.read_nb(beat)) {
            return false;
        }
        beats--;
        open = !beat.last;
        failed = (beats == 0) != bool(beat.last);
        return unpacker.push(uint64_t(beat.data), word);
    }
};

struct Expander {
    // Tiles of tagged halves: ALIGN, then TAG and CHUNKS_OF_HALF for each half.  Entropy-coded: ALIGN, FIRST_STATES
    // at the layer's start, then both look-ups and CHUNKS_OF_HALF for each half, whose table is another one.
    enum State { IDLE, ALIGN, TAG, FIRST_STATES, FIRST_LOOK_UP, SECOND_LOOK_UP, CHUNKS_OF_HALF };
    static const int TAG_BITS = 2;

    StoreQueue queue;
    WeightStream stream;
    EntropyDecoder decoder;
    Funnel funnel;
    State state;
    bool coded;
    ap_uint<3> table_a, table_b;
    ap_uint<3> first_states;  // sets still to be read
    bool bitmap;
    bool half_b;
    bool more;               // half B follows
    ap_uint<16> words_a, words_b;
    ap_uint<16> words_left;  // of the half
    ap_uint<16> address;     // tile word
    ap_uint<8> output;
    ap_uint<2> chunk;

    // `fresh`: the tile is the first of an instruction, its words begin at the layer's start.
    void begin_tile(const LayerRecord& layer, Words group, ap_uint<1> slot, bool fresh) {
        HLS_INLINE
        words_a = has_a(layer, group) ? depth_of_a(layer) : ap_uint<16>(0);
        words_b = has_b(layer, group) ? ap_uint<16>(layer.get<L::words>()) : ap_uint<16>(0);
        address = slot ? TILE_WORDS : 0;
        state = ALIGN;
        coded = TABLES > 0 && layer.get<L::entropy>();
        table_a = layer.get<L::table_a>();
        table_b = layer.get<L::table_b>();
        first_states = 0;
        if (fresh && !SQUEEZE_STREAMED) {
            queue.restart(layer.get<L::weights>());
            funnel.clear();
            first_states = STATE_SETS;
            decoder.begin_layer();
        }
    }

    // All that is fetched but not used is forgotten; `begin_tile` follows.
    void restart() {
        HLS_INLINE
        queue.restart(0);
        funnel.clear();
        state = IDLE;
    }

    bool busy() const {
        HLS_INLINE
        return state != IDLE;
    }

    // One cycle.  Returns false where it waited for weights: a step needs a third word, which the funnel takes where
    // the item ends in the second.
    //
    // Carried, in ns (docs/hls.md says from what): position -> `after[position]`, one of 36, 2.8 -> choice by the kind
    // of item 1.2 -> is a word taken? 1.2 -> choice of window, places, queue 1.2, and 0.6 of registers: 7.0.  Other
    // items have a sum of position and length 1.6 and its comparison with 72 1.6 in place of the 2.8: 7.4.  A tag is one
    // of 72 bits 4.0 -> choice 1.2 -> is there a step? 1.2, and 0.6: 7.0.
    bool step(const WeightStore& store, WeightsPort& weights, const CodeTables& codes, WeightTiles& tiles) {
        HLS_INLINE
        const bool there = queue.held > 0;
        const bool filling = !funnel.primed();
        const bool idle = state == IDLE;
        const bool steps = !idle && !filling && there;
        const ap_uint<72> word = queue.front();
        bool popped = there && filling;
        fetch(store, weights);
        if (steps) {
            popped = consume(codes, tiles);
        }
        if (popped) {
            funnel.take(word);
        }
        queue.end_cycle(popped);
        return idle || steps;
    }

    void fetch(const WeightStore& store, WeightsPort& weights) {
        HLS_INLINE
        if (queue.free == 0) {
            return;
        }
#if SQUEEZE_STREAMED
        (void)store;
        ap_uint<72> word = 0;  // after the packet's last word: of any value
        if (stream.beats == 0 || stream.take(weights, word)) {
            queue.push(word);
        }
#else
        (void)weights;
        // Tiles that do not end with the store come from no encoder; they are given what stands at its beginning.
        const unsigned address = queue.next < STORE_WORDS ? unsigned(queue.next) : 0u;
        queue.push(store.read(address));
        queue.next = address + 1;
#endif
    }

    // Takes one item; true where the funnel wants another word.
    bool consume(const CodeTables& codes, WeightTiles& tiles) {
        HLS_INLINE
        const ap_uint<72> item = funnel.item();
        const bool tag = funnel.tag();
        const Funnel::Place end = item_end();
        Weight values[CHUNK];
        HLS_PARTITION(values, 0)
        if (coded) {
            ap_uint<STATE_BITS> following[CHUNK];
            HLS_PARTITION(following, 0)
            decoder.cut(item, values, following);
            if (takes_coded()) {
                decoder.shift(following);
            }
            if (state == FIRST_LOOK_UP || state == SECOND_LOOK_UP || state == CHUNKS_OF_HALF) {
                decoder.look_up(codes, half_b ? table_b : table_a, state != FIRST_LOOK_UP);
            }
        } else {
            cut_values(uint64_t(ap_uint<64>(item)), values);
        }
        funnel.position = end.bit;
        switch (state) {
            case ALIGN:
                half_b = words_a == 0;
                more = words_a > 0 && words_b > 0;
                words_left = words_a > 0 ? words_a : words_b;
                output = 0;
                chunk = 0;
                state = !coded ? TAG : first_states > 0 ? FIRST_STATES : FIRST_LOOK_UP;
                break;
            case FIRST_STATES:
                first_states--;
                state = first_states > 0 ? FIRST_STATES : FIRST_LOOK_UP;
                break;
            case FIRST_LOOK_UP:
                state = SECOND_LOOK_UP;
                break;
            case SECOND_LOOK_UP:
                state = CHUNKS_OF_HALF;
                break;
            case TAG:
                bitmap = tag;
                state = CHUNKS_OF_HALF;
                break;
            default:
                tiles.write(address, output, chunk, values);
                next_chunk();
        }
        return end.wraps;
    }

    // Does this step take an entropy-coded chunk, or states?
    bool takes_coded() const {
        HLS_INLINE
        return state == FIRST_STATES || state == CHUNKS_OF_HALF;
    }

    // Where the next item begins.
    Funnel::Place item_end() const {
        HLS_INLINE
        if (coded) {
            return funnel.after_bits(takes_coded() ? ap_uint<7>(decoder.length) : ap_uint<7>(0));
        }
        switch (state) {
            case ALIGN:  // a tile begins with a whole word: drop the rest of the one before
                return funnel.next_word();
            case TAG:
                return funnel.after_bits(TAG_BITS);
            default:
                return bitmap ? funnel.after_bitmap() : funnel.after_bits(6 * CHUNK);
        }
    }

    // A dense or bitmap chunk, in the lowest bits of `window`.
    void cut_values(uint64_t window, Weight values[CHUNK]) const {
        HLS_INLINE
        unsigned at = bitmap ? CHUNK : 0;
    values:
        for (int i = 0; i < CHUNK; i++) {
            HLS_UNROLL
            const bool present = !bitmap || (window >> i & 1);
            values[i] = present ? Weight(window >> at) : Weight(0);
            at += present ? 6 : 0;
        }
    }

    void next_chunk() {
        HLS_INLINE
        if (chunk + 1 < CHUNKS) {
            chunk++;
            return;
        }
        chunk = 0;
        if (output + 1 < COUT) {
            output++;
            return;
        }
        output = 0;
        address++;
        const bool last = words_left == 1;
        words_left--;
        if (last) {
            words_left = words_b;
            half_b = true;
            state = !more ? IDLE : coded ? FIRST_LOOK_UP : TAG;
            more = false;
        }
    }
};

}  // namespace squeeze
