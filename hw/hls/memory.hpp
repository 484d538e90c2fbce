// Memories as power-of-two pieces.
//
// Synthesis rounds an array up to a power of two addresses, so a memory of 5,120 words is 4,096 + 1,024.
// The pieces stand largest first: a piece's addresses begin at a multiple of its size, and the decoder is a
// comparison of upper bits.  Every piece has one read and one write port and is read in every access; the
// decoder chooses among the outputs.
//
// The arrays are plain ones, which memories.hpp declares and the top function binds to a kind of memory.  A word is
// `BYTES` elements in a row, which a pragma there joins: what a loop over them reads or writes is one access.
#pragma once

#include "memories.hpp"
#include "ports.hpp"
#include "types.hpp"

namespace squeeze {

template <unsigned SIZE, unsigned BYTES>
Bytes<BYTES> read_word(unsigned address, const uint8_t (&piece)[SIZE][BYTES]) {
    HLS_INLINE
    check_address(address, SIZE);
    Bytes<BYTES> word;
read_word:
    for (unsigned i = 0; i < BYTES; i++) {
        HLS_UNROLL
        word.byte[i] = piece[address][i];
    }
    return word;
}

template <unsigned SIZE, unsigned BYTES, typename... REST>
Bytes<BYTES> read_word(unsigned address, const uint8_t (&piece)[SIZE][BYTES], const REST&... rest) {
    HLS_INLINE
    return address < SIZE ? read_word(address, piece) : read_word(address - SIZE, rest...);
}

template <unsigned SIZE, unsigned BYTES>
void write_word(unsigned address, const Bytes<BYTES>& word, uint8_t (&piece)[SIZE][BYTES]) {
    HLS_INLINE
    check_address(address, SIZE);
write_word:
    for (unsigned i = 0; i < BYTES; i++) {
        HLS_UNROLL
        piece[address][i] = word.byte[i];
    }
}

template <unsigned SIZE, unsigned BYTES, typename... REST>
void write_word(unsigned address, const Bytes<BYTES>& word, uint8_t (&piece)[SIZE][BYTES], REST&... rest) {
    HLS_INLINE
    if (address < SIZE) {
        write_word(address, word, piece);
    } else {
        write_word(address - SIZE, word, rest...);
    }
}

// --- the engine's memories: how each array is read and written, through counted ports ---

#if SQUEEZE_STREAMED
struct WeightStore {};  // the words arrive on s_axis_weights
#else
struct WeightStore {
    mutable PortCounter ports;
    ap_uint<72> read(unsigned address) const {
        HLS_INLINE
        ports.read();
        const Bytes<STORE_BYTES> word = read_word(address, SQUEEZE_STORE);
        uint64_t low = 0;
    store_bytes:
        for (int i = 0; i < STORE_BYTES - 1; i++) {
            HLS_UNROLL
            low |= uint64_t(word.byte[i]) << 8 * i;
        }
        return ap_uint<72>(word.byte[STORE_BYTES - 1]) << 64 | ap_uint<72>(low);
    }
    void write(unsigned address, const ap_uint<72>& word) {
        HLS_INLINE
        ports.write();
        Bytes<STORE_BYTES> bytes;
    store_bytes:
        for (int i = 0; i < STORE_BYTES; i++) {
            HLS_UNROLL
            bytes.byte[i] = uint8_t(ap_uint<8>(word >> 8 * i));
        }
        write_word(address, bytes, SQUEEZE_STORE);
    }
};
#endif

struct ActivationBanks {
    mutable PortCounter ports[PIX];
    Word read(unsigned bank, unsigned address) const {
        HLS_INLINE
        ports[bank].read();
        return read_word(address, SQUEEZE_BANK(bank));
    }
    void write(unsigned bank, unsigned address, const Word& word) {
        HLS_INLINE
        ports[bank].write();
        write_word(address, word, SQUEEZE_BANK(bank));
    }
};

struct CarryMemory {
    mutable PortCounter ports;
    Word read(unsigned address) const {
        HLS_INLINE
        ports.read();
        return read_word(address, carry_memory);
    }
    void write(unsigned address, const Word& word) {
        HLS_INLINE
        ports.write();
        write_word(address, word, carry_memory);
    }
};

// The requantization records of CIN channels, one for each requantizer; `fields::param` lays them out.
struct Params {
    ap_uint<44> record[CIN];
};

struct ParamMemory {
    mutable PortCounter ports;
    Params read(unsigned address) const {
        HLS_INLINE
        ports.read();
        const Bytes<CIN * PARAM_BYTES> word = read_word(address, param_memory);
        Params params;
    params_of_channels:
        for (int c = 0; c < CIN; c++) {
            HLS_UNROLL
            uint64_t record = 0;
            for (int i = 0; i < PARAM_BYTES; i++) {
                HLS_UNROLL
                record |= uint64_t(word.byte[c * PARAM_BYTES + i]) << 8 * i;
            }
            params.record[c] = record;
        }
        return params;
    }
    void write(unsigned address, const Params& params) {
        HLS_INLINE
        ports.write();
        Bytes<CIN * PARAM_BYTES> word;
    params_of_channels:
        for (int i = 0; i < CIN * PARAM_BYTES; i++) {
            HLS_UNROLL
            word.byte[i] = uint8_t(uint64_t(params.record[i / PARAM_BYTES]) >> 8 * (i % PARAM_BYTES));
        }
        write_word(address, word, param_memory);
    }
};

// Two weight tiles.  One is read, a whole word of CIN * COUT weights a cycle, while the other is filled, a
// chunk a cycle.  Outputs and chunks are memories of their own, so that a chunk is a whole word of one.
struct WeightTiles {
    mutable PortCounter ports;
    void read(unsigned address, Weight word[COUT][CIN]) const {
        HLS_INLINE
        ports.read();
        check_address(address, 2 * TILE_WORDS);
    tile_outputs:
        for (int o = 0; o < COUT; o++) {
            HLS_UNROLL
            for (int i = 0; i < CIN; i++) {
                HLS_UNROLL
                word[o][i] = tile_memory[o * CHUNKS + i / CHUNK][address][i % CHUNK];
            }
        }
    }
    void write(unsigned address, unsigned output, unsigned chunk, const Weight values[CHUNK]) {
        HLS_INLINE
        ports.write();
        check_address(address, 2 * TILE_WORDS);
    tile_chunk:
        for (int i = 0; i < CHUNK; i++) {
            HLS_UNROLL
            tile_memory[output * CHUNKS + chunk][address][i] = values[i];
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
#if SQUEEZE_TABLES
struct CodeTables {
    mutable PortCounter ports[CHUNK];
    CodeEntry read(int lane, unsigned address) const {
        HLS_INLINE
        ports[lane].read();
        const Bytes<ENTRY_BYTES> word = read_word(address, code_memory[lane]);
        CodeEntry entry;
        entry.bits = word.byte[0] | word.byte[1] << 8 | word.byte[2] << 16;
        return entry;
    }
    void write(unsigned address, const CodeEntry& entry) {
        HLS_INLINE
        const Bytes<ENTRY_BYTES> word = {
            {uint8_t(entry.bits), uint8_t(entry.bits >> 8), uint8_t(entry.bits >> 16)}};
    code_copies:
        for (int lane = 0; lane < CHUNK; lane++) {
            HLS_UNROLL
            ports[lane].write();
            write_word(address, word, code_memory[lane]);
        }
    }
};
#else
struct CodeTables {
    void write(unsigned, const CodeEntry&) {}
};
#endif

}  // namespace squeeze
