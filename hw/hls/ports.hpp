// Checks that only C simulation makes; in hardware nothing of this exists.
//
// With SQUEEZE_COUNT_PORTS every memory and stream counts its accesses in each iteration of a pipelined
// loop: a second read, or a second write, would cost a second cycle, and ends the simulation.
#pragma once

#ifndef __SYNTHESIS__
#include <stdio.h>
#include <stdlib.h>
#endif

namespace squeeze {

#ifndef __SYNTHESIS__
inline void fail(const char* what, unsigned value) {
    fprintf(stderr, "C simulation: error: %s (%u)\n", what, value);
    exit(3);
}
inline void check_address(unsigned address, unsigned size) {
    if (address >= size) {
        fail("address beyond a memory's end", address);
    }
}
#else
inline void check_address(unsigned, unsigned) {}
#endif

#if defined(SQUEEZE_COUNT_PORTS) && !defined(__SYNTHESIS__)
struct Iteration {
    static unsigned long& number() {
        static unsigned long value = 0;  // 0: outside of pipelined loops
        return value;
    }
};
inline void begin_iteration() {
    static unsigned long count = 0;
    Iteration::number() = ++count;
}
inline void end_loop() { Iteration::number() = 0; }
struct PortCounter {
    unsigned long iteration;
    unsigned reads, writes;
    void renew() {
        if (iteration != Iteration::number()) {
            iteration = Iteration::number();
            reads = writes = 0;
        }
    }
    void read() {
        renew();
        if (iteration && ++reads > 1) {
            fail("a memory is read twice in one iteration", reads);
        }
    }
    void write() {
        renew();
        if (iteration && ++writes > 1) {
            fail("a memory is written twice in one iteration", writes);
        }
    }
};
#else
inline void begin_iteration() {}
inline void end_loop() {}
struct PortCounter {
    void read() {}
    void write() {}
};
#endif

}  // namespace squeeze
