// Expands the next weight tile from the store while the present one is multiplied, one chunk a cycle.
//
// store (or s_axis_weights) -> queue of 72-bit words -> funnel of 128 bits -> chunk of weights -> tile
//
// A chunk takes at most CHUNK + 6 * CHUNK = 56 bits and the funnel is topped up whenever it holds 56 or less,
// so one store word a cycle is always enough.
#pragma once

#include "memory.hpp"
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
    enum State { IDLE, ALIGN, TAG, CHUNKS_OF_HALF };

    StoreQueue queue;
    WeightStream stream;
    ap_uint<128> funnel;
    ap_uint<8> bits;
    State state;
    bool bitmap;
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
        if (fresh && !SQUEEZE_STREAMED) {
            queue.restart(layer.get<L::weights>());
            funnel = 0;
            bits = 0;
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

    void use(ap_uint<7> count) {
        HLS_INLINE
        funnel >>= count;
        bits -= count;
    }

    // One cycle.  Returns false where it waited for weights.
    bool step(const WeightStore& store, WeightsPort& weights, WeightTiles& tiles) {
        HLS_INLINE
        const bool popped = bits <= 56 && queue.held > 0;
        if (popped) {
            funnel |= ap_uint<128>(queue.pop()) << bits;
            bits += 72;
        }
        const bool worked = state == IDLE || consume(tiles);
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
        if (queue.next < STORE_WORDS) {
            const StoreWord word = store.read(queue.next);
            queue.push(ap_uint<72>(word.high) << 64 | ap_uint<72>(word.low));
            queue.next++;
        }
#endif
    }

    bool consume(WeightTiles& tiles) {
        HLS_INLINE
        switch (state) {
            case ALIGN:  // a tile begins with a whole word: drop the rest of the one before
                use(bits >= 72 ? ap_uint<8>(bits - 72) : bits);
                more = words_a > 0 && words_b > 0;
                words_left = words_a > 0 ? words_a : words_b;
                state = TAG;
                return true;
            case TAG:
                if (bits < 2) {
                    return false;
                }
                bitmap = funnel[0];
                use(2);
                output = 0;
                chunk = 0;
                state = CHUNKS_OF_HALF;
                return true;
            default:
                return expand_chunk(tiles);
        }
    }

    bool expand_chunk(WeightTiles& tiles) {
        HLS_INLINE
        const uint64_t window = uint64_t(ap_uint<64>(funnel));
        Weight values[CHUNK];
        ap_uint<7> taken = bitmap ? CHUNK : 0;
    values:
        for (int i = 0; i < CHUNK; i++) {
            HLS_UNROLL
            const bool present = !bitmap || (window >> i & 1);
            values[i] = present ? Weight(window >> taken) : Weight(0);
            taken += present ? 6 : 0;
        }
        if (bits < taken) {
            return false;
        }
        use(taken);
        tiles.write(address, output, chunk, values);
        next_chunk();
        return true;
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
            state = more ? TAG : IDLE;
            more = false;
        }
    }
};

}  // namespace squeeze
