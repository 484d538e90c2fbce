// Expands the next weight tile from the store while the present one is multiplied, one chunk a cycle.
//
// store (or s_axis_weights) -> queue of 72-bit words -> funnel -> chunk of weights -> tile
//
// A chunk takes at most CHUNK + 6 * CHUNK = 56 bits, and 72 where it is entropy-coded.  The funnel is topped up
// whenever it holds FUNNEL_LOW bits or less and then has enough for any chunk, so one store word a cycle is always
// enough.
//
// The bit string of an entropy-coded layer runs through its tiles: funnel, queue and the decoder's states are kept from
// tile to tile, and begin anew only with the layer.
#pragma once

#include "entropy.hpp"
#include "stream.hpp"
#include "walker.hpp"

namespace squeeze {

// The store words on their way to the funnel.
//
// A word is asked for only where the queue has a free place.  Places that the funnel frees are counted
// RETURN_DELAY cycles late: so the decision to read does not depend on the outcome of the last reads, and a store
// with registered outputs can be read every cycle.
struct StoreQueue {
    static const int PLACES = 8;
    static const int RETURN_DELAY = 5;

    ap_uint<72> words[PLACES];
    ap_uint<3> head, tail;
    ap_uint<4> held;
    ap_uint<4> free;
    ap_uint<RETURN_DELAY> returned;  // one bit a cycle: a place was freed
    ap_uint<24> next;                // next word of the store

    void restart(ap_uint<24> first) {
        HLS_INLINE
        head = tail = 0;
        held = 0;
        free = PLACES;
        returned = 0;
        next = first;
    }
    void push(const ap_uint<72>& word) {
        HLS_INLINE
        words[tail] = word;
        tail++;
        held++;
        free--;
    }
    ap_uint<72> pop() {
        HLS_INLINE
        const ap_uint<72> word = words[head];
        head++;
        held--;
        return word;
    }
    void end_cycle(bool popped) {
        HLS_INLINE
        free += returned[RETURN_DELAY - 1];
        returned = returned << 1 | ap_uint<RETURN_DELAY>(popped);
    }
};

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
    ap_uint<FUNNEL_BITS> funnel;
    ap_uint<8> bits;
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
            funnel = 0;
            bits = 0;
            first_states = STATE_SETS;
            decoder.begin_layer();
        }
    }

    // All that is fetched but not used is forgotten; `begin_tile` follows.
    void restart() {
        HLS_INLINE
        queue.restart(0);
        funnel = 0;
        bits = 0;
        state = IDLE;
    }

    bool busy() const {
        HLS_INLINE
        return state != IDLE;
    }

    // One cycle.  Returns false where it waited for weights.
    bool step(const WeightStore& store, WeightsPort& weights, const CodeTables& codes, WeightTiles& tiles) {
        HLS_INLINE
        const bool popped = bits <= FUNNEL_LOW && queue.held > 0;
        if (popped) {
            funnel |= ap_uint<FUNNEL_BITS>(queue.pop()) << bits;
            bits += 72;
        }
        const bool worked = state == IDLE || consume(codes, tiles);
        fetch(store, weights);
        queue.end_cycle(popped);
        return worked;
    }

    void fetch(const WeightStore& store, WeightsPort& weights) {
        HLS_INLINE
        if (queue.free == 0) {
            return;
        }
#if SQUEEZE_STREAMED
        (void)store;
        ap_uint<72> word;
        if (stream.take(weights, word)) {
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

    // The bits that this cycle takes leave the funnel as soon as it has them.
    bool consume(const CodeTables& codes, WeightTiles& tiles) {
        HLS_INLINE
        Weight values[CHUNK];
        ap_uint<STATE_BITS> following[CHUNK];
        ap_uint<7> taken = 0;
        if (coded) {
            decoder.cut(funnel, values, following);
            if (state == FIRST_STATES || state == CHUNKS_OF_HALF) {
                taken = decoder.length;
            }
        } else if (state == ALIGN) {  // a tile begins with a whole word: drop the rest of the one before
            taken = bits >= 72 ? ap_uint<8>(bits - 72) : bits;
        } else if (state == TAG) {
            taken = TAG_BITS;
        } else {
            taken = cut_values(values);
        }
        if (bits < taken) {
            return false;
        }
        const bool tag = funnel[0];
        funnel >>= taken;
        bits -= taken;
        if (coded && (state == FIRST_STATES || state == CHUNKS_OF_HALF)) {
            decoder.shift(following);
        }
        if (coded && (state == FIRST_LOOK_UP || state == SECOND_LOOK_UP || state == CHUNKS_OF_HALF)) {
            decoder.look_up(codes, half_b ? table_b : table_a, state != FIRST_LOOK_UP);
        }
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
        return true;
    }

    // The next dense or bitmap chunk; how many bits it takes.
    ap_uint<7> cut_values(Weight values[CHUNK]) const {
        HLS_INLINE
        const uint64_t window = uint64_t(ap_uint<64>(funnel));
        ap_uint<7> taken = bitmap ? CHUNK : 0;
    values:
        for (int i = 0; i < CHUNK; i++) {
            HLS_UNROLL
            const bool present = !bitmap || (window >> i & 1);
            values[i] = present ? Weight(window >> taken) : Weight(0);
            taken += present ? 6 : 0;
        }
        return taken;
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
        words_left--;
        if (words_left == 0) {
            words_left = words_b;
            half_b = true;
            state = !more ? IDLE : coded ? FIRST_LOOK_UP : TAG;
            more = false;
        }
    }
};

}  // namespace squeeze
