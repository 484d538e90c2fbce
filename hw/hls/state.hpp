// What lives between calls of the engine: memories and registers.
#pragma once

#include "expander.hpp"
#include "loader.hpp"
#include "memory.hpp"
#include "output.hpp"
#include "walker.hpp"

namespace squeeze {

// The ports of the memories; the words stand in the arrays of memories.hpp.
struct Memories {
    WeightStore store;
    ParamMemory params;
    CodeTables codes;
    ActivationBanks banks;
    WeightTiles tiles;
    CarryMemory carry;
};

// What is loaded; a bitstream may begin with a program and its weights.
struct Loaded {
    uint32_t program_valid, program_crc;
    uint32_t store_valid, store_crc;
    uint64_t header[fields::header::WORDS];
};

struct Counters {
    uint32_t frames;
    uint32_t cycles;         // of the last frame, as all that follow
    uint32_t busy;           // products were computed
    uint32_t stall_weights;  // waited for: the expander,
    uint32_t stall_input;    // image rows,
    uint32_t stall_output;   // the output stage
};

struct State {
    Walker walker;
    Expander expander;
    OutputStage output;
    Loader loader;
    Accumulator acc[PIX][COUT];
    Counters counters;
    bool programmed;  // the loader knows the program
    bool running;     // set between start and end of a call: found set, a reset came between
};

}  // namespace squeeze
