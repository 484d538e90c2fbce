// C simulation of one engine configuration: reads a script of beats and starts, writes what comes out.
//
//   csim SCRIPT RESULTS [TRACE]
//
// SCRIPT: u32 words.  0 n: n beats for s_axis_in; 1 n: n beats for s_axis_weights (each beat u32 low, u32 high,
// u32 last); 2 0: a start.
// RESULTS, for every start: u32 error, six counters, trace records so far, n, then n beats (u32 low, high,
// keep, last).
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "engine.hpp"

static squeeze::Memories memories;
static squeeze::Loaded loaded;
static squeeze::State state;

static FILE* open_file(const char* name, const char* mode) {
    FILE* file = fopen(name, mode);
    if (!file) {
        perror(name);
        exit(2);
    }
    return file;
}

static bool read_words(FILE* file, uint32_t* words, size_t count) {
    return fread(words, sizeof *words, count, file) == count;
}

static void write_words(FILE* file, const std::vector<uint32_t>& words) {
    fwrite(words.data(), sizeof words[0], words.size(), file);
}

static void push_beats(FILE* script, squeeze::Stream& stream, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t words[3];
        if (!read_words(script, words, 3)) {
            exit(2);
        }
        squeeze::Beat beat;
        beat.data = uint64_t(words[1]) << 32 | words[0];
        beat.keep = beat.strb = 0xFF;
        beat.last = words[2];
        stream.write(beat);
    }
}

static void start(squeeze::Stream& in, squeeze::Stream& out, squeeze::WeightsPort& weights, FILE* results) {
    const squeeze::Error error = squeeze::run_packet(memories, loaded, state, in, out, weights);
    const squeeze::Counters& c = state.counters;
    const size_t record = 8 + squeeze::CIN;
    const uint32_t traced = squeeze::trace_file() ? uint32_t(ftell(squeeze::trace_file()) / record) : 0;
    const uint32_t beats = uint32_t(out.size());
    write_words(results, {uint32_t(error), c.frames, c.cycles, c.busy, c.stall_weights, c.stall_input,
                          c.stall_output, traced, beats});
    while (!out.empty()) {
        const squeeze::Beat beat = out.read();
        const uint64_t data = uint64_t(beat.data);
        write_words(results, {uint32_t(data), uint32_t(data >> 32), beat.keep.to_uint(), beat.last.to_uint()});
    }
}

int main(int argc, char** argv) {
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: csim SCRIPT RESULTS [TRACE]\n");
        return 2;
    }
    FILE* script = open_file(argv[1], "rb");
    FILE* results = open_file(argv[2], "wb");
    squeeze::trace_file() = argc == 4 ? open_file(argv[3], "wb") : 0;
    squeeze::Stream in("s_axis_in"), out("m_axis_out");
    squeeze::WeightsPort weights;
    uint32_t command[2];
    while (read_words(script, command, 2)) {
        switch (command[0]) {
            case 0: push_beats(script, in, command[1]); break;
#if SQUEEZE_STREAMED
            case 1: push_beats(script, weights, command[1]); break;
#endif
            default: start(in, out, weights, results);
        }
    }
    if (squeeze::trace_file()) {
        fclose(squeeze::trace_file());
    }
    fclose(results);
    fflush(stdout);
    _Exit(0);  // beats that were left over on purpose need no warning
}
