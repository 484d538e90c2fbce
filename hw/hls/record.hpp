// Records of the program: 64-bit words whose fields stand in config.hpp, generated from engine/fields.py.
#pragma once

#include "types.hpp"

namespace squeeze {

template <int WORDS>
struct Record {
    uint64_t words[WORDS];

    template <class FIELD>
    ap_uint<FIELD::WIDTH> get() const {
        HLS_INLINE
        return ap_uint<FIELD::WIDTH>(words[FIELD::WORD] >> FIELD::LOW);
    }
};

typedef Record<fields::packet::WORDS> PacketHeader;
typedef Record<fields::header::WORDS> ProgramHeader;
typedef Record<fields::layer::WORDS> LayerRecord;
typedef Record<fields::instruction::WORDS> InstructionRecord;
typedef Record<fields::param::WORDS> ParamRecord;

// A ring.
struct Buffer {
    Address base;
    Address depth;
};

// An instruction with all that it refers to.
struct Instruction {
    InstructionRecord own;
    LayerRecord layer;
    Buffer source;
    Buffer target;
};

template <int WORDS>
Record<WORDS> fetch_record(const uint64_t* table, unsigned index) {
    HLS_INLINE
    Record<WORDS> record;
fetch_record:
    for (int i = 0; i < WORDS; i++) {
        HLS_PIPELINE(1)  // one word of the table a cycle, no carried dependence
        record.words[i] = table[index * WORDS + i];
    }
    return record;
}

inline Buffer to_buffer(uint64_t word) {
    HLS_INLINE
    Record<fields::buffer::WORDS> record;
    record.words[0] = word;
    Buffer buffer;
    buffer.base = record.get<fields::buffer::base>();
    buffer.depth = record.get<fields::buffer::depth>();
    return buffer;
}

}  // namespace squeeze
