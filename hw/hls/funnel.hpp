// Store words on their way to the expander: a queue, and the funnel that cuts items out of them.
#pragma once

#include "types.hpp"

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
    const ap_uint<72>& front() const {
        HLS_INLINE
        return words[head];
    }
    // `popped` is known late: it only chooses among sums that are there already.
    void end_cycle(bool popped) {
        HLS_INLINE
        const ap_uint<3> next_head = head + 1;
        const ap_uint<4> fewer = held - 1;
        head = popped ? next_head : head;
        held = popped ? fewer : held;
        free += returned[RETURN_DELAY - 1];
        returned = returned << 1 | ap_uint<RETURN_DELAY>(popped);
    }
};

// Two words of the bit string, and where the next item begins in the first of them.
//
// The carried loop is position -> length of the item -> position, once an iteration.  A bitmap chunk's length stands in
// its mask, so where the chunk after it would begin is worked out for every place of a word when the word arrives, and
// the loop only chooses.  Tags, dense and bitmap chunks have even lengths, so that they begin at 36 places.
//
// Cutting out is no part of the loop: `item` depends on the position, and nothing of the next iteration on its value
// but for a tag.
struct Funnel {
    static const int WORD = 72;
    static const int PLACES = WORD / 2;

    // A bit of the first word; `wraps`: of the word after it.
    struct Place {
        bool wraps;
        ap_uint<7> bit;
    };

    ap_uint<2 * WORD> window;
    ap_uint<2> words;     // of the bit string in the window
    ap_uint<7> position;  // 0 to 71
    Place after[PLACES];  // a bitmap chunk that begins at each pair of bits

    void clear() {
        HLS_INLINE
        words = 0;
        position = 0;
    }

    // Are there two words, so that every item is whole?
    bool primed() const {
        HLS_INLINE
        return words == 2;
    }

    ap_uint<WORD> item() const {
        HLS_INLINE
        return ap_uint<WORD>(window >> position);
    }

    // The lowest bit of the item: carried, so it is chosen from a word, and not shifted out of the window.
    bool tag() const {
        HLS_INLINE
        return ap_uint<WORD>(window)[position];
    }

    Place place(ap_uint<8> bit) const {
        HLS_INLINE
        Place result;
        result.wraps = bit >= WORD;
        result.bit = result.wraps ? ap_uint<8>(bit - WORD) : bit;
        return result;
    }

    Place after_bits(ap_uint<7> length) const {
        HLS_INLINE
        return place(position + length);
    }
    Place after_bitmap() const {
        HLS_INLINE
        return after[position >> 1];
    }
    // The next whole word, unless one begins here.
    Place next_word() const {
        HLS_INLINE
        Place result;
        result.wraps = position > 0;
        result.bit = 0;
        return result;
    }

    void take(const ap_uint<WORD>& word) {
        HLS_INLINE
        window = window >> WORD | ap_uint<2 * WORD>(word) << WORD;
        words = words == 0 ? 1 : 2;
        // Masks that begin near the end reach into the second word.
        const ap_uint<64> low = ap_uint<64>(window), high = ap_uint<64>(window >> 16);
    places:
        for (int p = 0; p < PLACES; p++) {
            HLS_UNROLL
            const ap_uint<CHUNK> mask = 2 * p + CHUNK <= 64 ? low >> 2 * p : high >> (2 * p - 16);
            int ones = 0;
            for (int i = 0; i < CHUNK; i++) {
                HLS_UNROLL
                ones += mask[i];
            }
            after[p] = place(2 * p + CHUNK + 6 * ones);
        }
    }
};

}  // namespace squeeze
