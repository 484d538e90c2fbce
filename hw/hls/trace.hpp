// Hooks of C simulation: a record of every activation word that the output stage writes, and a watchdog.
#pragma once

#include "state.hpp"

#ifndef __SYNTHESIS__
#include <stdio.h>
#endif

namespace squeeze {

#ifndef __SYNTHESIS__
// Where to record; null: nowhere.  A record is u16 instruction, u16 bank, u32 address, CIN bytes.
inline FILE*& trace_file() {
    static FILE* file = 0;
    return file;
}

inline void trace(unsigned pc, const Write& write) {
    if (!write.valid || !trace_file()) {
        return;
    }
    struct {
        uint16_t pc, bank;
        uint32_t address;
        uint8_t bytes[CIN];
    } record = {uint16_t(pc), uint16_t(write.bank.to_uint()), write.address.to_uint(), {}};
    for (int i = 0; i < CIN; i++) {
        record.bytes[i] = write.word.byte[i];
    }
    fwrite(&record, sizeof record, 1, trace_file());
}

// Ends a simulation in which nothing moves: the program is wrong, or beats are missing.
inline void watch(bool moved, Stream& in, WeightsPort& weights) {
    static unsigned still = 0;
    static size_t beats = 0;
    const size_t waiting = in.size() + weights.size();
    still = moved || waiting != beats ? 0 : still + 1;
    beats = waiting;
    if (still > 100000) {
        fail("nothing moves: beats are missing or the program is wrong", still);
    }
}
#else
inline void trace(unsigned, const Write&) {}
inline void watch(bool, Stream&, WeightsPort&) {}
#endif

}  // namespace squeeze
