// Memories as power-of-two pieces.
//
// Synthesis rounds an array up to a power of two addresses, so a memory of 5,120 words is 4,096 + 1,024.
// The pieces stand largest first: a piece's addresses begin at a multiple of its size, and the decoder is a
// comparison of upper bits.  Every piece has one read and one write port and is read in every access; the
// decoder chooses among the outputs.
#pragma once

#include "ports.hpp"
#include "types.hpp"

namespace squeeze {

// One array in one kind of memory.  The pragma stands in the accessors because it concerns a member.
#define SQUEEZE_PIECE(NAME, KIND)              \
    template <typename T, unsigned SIZE>       \
    struct NAME {                              \
        T words[SIZE];                         \
        T read(unsigned address) const {       \
            HLS_INLINE                         \
            HLS_MEMORY(words, KIND)            \
            HLS_PACK(words)                    \
            return words[address];             \
        }                                      \
        void write(unsigned address, T word) { \
            HLS_INLINE                         \
            HLS_MEMORY(words, KIND)            \
            HLS_PACK(words)                    \
            words[address] = word;             \
        }                                      \
    };
SQUEEZE_PIECE(BlockRam, bram)
SQUEEZE_PIECE(UltraRam, uram)
SQUEEZE_PIECE(LutRam, lutram)

template <template <typename, unsigned> class PIECE, typename T, unsigned SIZE, unsigned... REST>
struct Pieces {
    PIECE<T, SIZE> first;
    Pieces<PIECE, T, REST...> rest;
    T read(unsigned address) const {
        HLS_INLINE
        return address < SIZE ? first.read(address) : rest.read(address - SIZE);
    }
    void write(unsigned address, T word) {
        HLS_INLINE
        if (address < SIZE) {
            first.write(address, word);
        } else {
            rest.write(address - SIZE, word);
        }
    }
};

template <template <typename, unsigned> class PIECE, typename T, unsigned SIZE>
struct Pieces<PIECE, T, SIZE> {
    PIECE<T, SIZE> first;
    T read(unsigned address) const {
        HLS_INLINE
        check_address(address, SIZE);
        return first.read(address);
    }
    void write(unsigned address, T word) {
        HLS_INLINE
        check_address(address, SIZE);
        first.write(address, word);
    }
};

// One read and one write port.
template <template <typename, unsigned> class PIECE, typename T, unsigned... SIZES>
struct Memory {
    Pieces<PIECE, T, SIZES...> pieces;
    mutable PortCounter ports;
    T read(unsigned address) const {
        HLS_INLINE
        ports.read();
        return pieces.read(address);
    }
    void write(unsigned address, T word) {
        HLS_INLINE
        ports.write();
        pieces.write(address, word);
    }
};

// --- the engine's memories ---

// A word of the weight store.  Plain integers, so that initial contents are constants and not constructor calls.
struct StoreWord {
    uint64_t low;  // bits 0 to 63
    uint8_t high;  // bits 64 to 71
};

// The requantization records of CIN channels, one for each requantizer; `fields::param` lays them out.
struct Params {
    ap_uint<44> record[CIN];
};

#if SQUEEZE_STREAMED
struct WeightStore {};  // the words arrive on s_axis_weights
#else
#if SQUEEZE_STORE_URAM
typedef Memory<UltraRam, StoreWord, SQUEEZE_STORE_PIECES> WeightStore;
#else
typedef Memory<BlockRam, StoreWord, SQUEEZE_STORE_PIECES> WeightStore;
#endif
#endif

typedef Memory<BlockRam, Word, SQUEEZE_ACT_PIECES> ActivationBank;
typedef Memory<LutRam, Word, CARRY_WORDS> CarryMemory;
typedef Memory<BlockRam, Params, PARAM_DEPTH / CIN> ParamMemory;

// Two weight tiles.  One is read, a whole word of CIN * COUT weights a cycle, while the other is filled, a
// chunk a cycle.  Outputs and chunks are memories of their own, so that a chunk is a whole word of one.
struct WeightTiles {
    Weight words[2 * TILE_WORDS][COUT][CHUNKS][CHUNK];
    mutable PortCounter ports;
    void read(unsigned address, Weight word[COUT][CIN]) const {
        HLS_INLINE
        ports.read();
        check_address(address, 2 * TILE_WORDS);
        for (int o = 0; o < COUT; o++) {
            HLS_UNROLL
            for (int i = 0; i < CIN; i++) {
                HLS_UNROLL
                word[o][i] = words[address][o][i / CHUNK][i % CHUNK];
            }
        }
    }
    void write(unsigned address, unsigned output, unsigned chunk, const Weight values[CHUNK]) {
        HLS_INLINE
        ports.write();
        check_address(address, 2 * TILE_WORDS);
        for (int i = 0; i < CHUNK; i++) {
            HLS_UNROLL
            words[address][output][chunk][i] = values[i];
        }
    }
};

typedef fields::entry E;

// What a table of the entropy code says about a state; `fields::entry` lays it out.
struct CodeEntry {
    ap_uint<fields::entry::value::LOW + fields::entry::value::WIDTH> bits;

    template <class FIELD>
    ap_uint<FIELD::WIDTH> get() const {
        HLS_INLINE
        return ap_uint<FIELD::WIDTH>(bits >> FIELD::LOW);
    }
};

// The tables of the entropy code.  Every lane of the decoder looks up another state, so every lane has a copy, with
// one read and one write port: COUNT * STATES words of 18 bits are so shallow that distributed RAM holds them, and
// the read needs no cycle of its own.  The copies are written together.
template <int COUNT>
struct CodeTables {
    Memory<LutRam, CodeEntry, COUNT * STATES> lanes[CHUNK];
    void write(unsigned address, CodeEntry entry) {
        HLS_INLINE
        for (int lane = 0; lane < CHUNK; lane++) {
            HLS_UNROLL
            lanes[lane].write(address, entry);
        }
    }
};
template <>
struct CodeTables<0> {
    void write(unsigned, CodeEntry) {}
};

struct Tables {
    uint64_t layers[LAYER_DEPTH * fields::layer::WORDS];
    uint64_t buffers[BUFFER_DEPTH * fields::buffer::WORDS];
    uint64_t instructions[PROGRAM_DEPTH * fields::instruction::WORDS];
};

}  // namespace squeeze
