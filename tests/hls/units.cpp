// Single units of the engine: reads int32 values, writes int32 values.
//
//   units NAME IN OUT
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

#include "engine.hpp"

using namespace squeeze;

typedef std::vector<int32_t> Values;

static Memories memories;
static State state;

// Takes values one after the other.
struct Input {
    const Values& values;
    size_t at;
    int32_t next() { return values.at(at++); }
    uint64_t next64() {
        const uint64_t low = uint32_t(next());
        return uint64_t(uint32_t(next())) << 32 | low;
    }
    template <int WORDS>
    void record(Record<WORDS>& record) {
        for (int i = 0; i < WORDS; i++) {
            record.words[i] = next64();
        }
    }
};

// COUT x CIN weights, PIX x CIN operands, repeated -> PIX x COUT sums
static Values mac(Input in, size_t count) {
    Values out;
    while (in.at < count) {
        Weight weights[COUT][CIN];
        Word operands[PIX];
        Accumulator acc[PIX][COUT];
        for (int i = 0; i < COUT * CIN; i++) {
            weights[i / CIN][i % CIN] = in.next();
        }
        for (int i = 0; i < PIX * CIN; i++) {
            operands[i / CIN].byte[i % CIN] = in.next();
        }
        multiply_accumulate(weights, operands, true, acc);
        multiply_accumulate(weights, operands, false, acc);
        for (int i = 0; i < PIX * COUT; i++) {
            out.push_back(acc[i / COUT][i % COUT].to_int());
        }
    }
    return out;
}

// Every pair of weights with every operand, in a chain with itself: the number of wrong results.
static Values mac_exhaustive() {
    int32_t wrong = 0;
    for (int upper = -32; upper < 32; upper++) {
        for (int lower = -32; lower < 32; lower++) {
            for (int a = 0; a < 256; a++) {
                Pair pair[CIN];
                Operand operand[CIN];
                for (int i = 0; i < CIN; i++) {
                    pair[i] = pack(upper, lower);
                    operand[i] = a;
                }
                Dot high, low;
                packed_dot(pair, operand, high, low);
                wrong += high != CIN * upper * a || low != CIN * lower * a;
            }
        }
    }
    return {wrong};
}

// (acc, bias, multiplier, shift, offset, top) -> value
static Values requantizer(Input in, size_t count) {
    Values out;
    while (in.at < count) {
        const int32_t acc = in.next(), bias = in.next(), multiplier = in.next();
        const int32_t shift = in.next(), offset = in.next(), top = in.next();
        const uint64_t bits = (uint64_t(bias) & 0xFFFFFF) | uint64_t(multiplier - 65536) << 24 | uint64_t(offset) << 40;
        out.push_back(requantize(acc, ap_uint<44>(bits), shift, top).to_int());
    }
    return out;
}

// layer, number of entries of the entropy code, entries, store beats -> of each group's tile: cycles, weights
static Values expander(Input in, size_t count) {
    LayerRecord layer;
    in.record(layer);
    const int32_t entries = in.next();
    for (int32_t i = 0; i < entries; i++) {
        CodeEntry entry;
        entry.bits = in.next();
        memories.codes.write(i, entry);
    }
    Unpacker unpacker;
    unpacker.clear();
#if SQUEEZE_STREAMED
    Stream port;
    uint32_t beats = 0;
    for (; in.at < count; beats++) {
        const uint64_t beat = in.next64();
        send(port, beat, 0xFF, in.at == count);
    }
    state.expander.stream.begin(beats);
#else
    WeightsPort port;
    unsigned address = 0;
    while (in.at < count) {
        ap_uint<72> word;
        if (unpacker.push(in.next64(), word)) {
            memories.store.write(address++, word);
        }
    }
#endif
    Values out;
    state.expander.restart();
    for (unsigned group = 0; group < groups_of(layer); group++) {
        const unsigned slot = group % 2;
        state.expander.begin_tile(layer, group, slot, group == 0);
        int32_t cycles = 0;
        for (; state.expander.busy() && cycles < 1000000; cycles++) {
            begin_iteration();
            state.expander.step(memories.store, port, memories.codes, memories.tiles);
        }
        end_loop();
        out.push_back(cycles);
        const unsigned words = (has_a(layer, group) ? depth_of_a(layer).to_uint() : 0) +
                               (has_b(layer, group) ? layer.get<L::words>().to_uint() : 0);
        for (unsigned k = 0; k < words; k++) {
            Weight weights[COUT][CIN];
            memories.tiles.read(slot * TILE_WORDS + k, weights);
            for (int i = 0; i < COUT * CIN; i++) {
                out.push_back(weights[i / CIN][i % CIN].to_int());
            }
        }
    }
    return out;
}

// program header, depth, every how many cycles bank 0 is taken, beats of an image -> error, then the banks' bytes
static Values gatherer(Input in, size_t count) {
    ProgramHeader header;
    in.record(header);
    Buffer ring;
    ring.base = 0;
    ring.depth = in.next();
    const int32_t taken = in.next();
    Stream stream;
    while (in.at < count) {
        const uint64_t beat = in.next64();
        send(stream, beat, 0xFF, in.at == count);
    }
    Loader& loader = state.loader;
    loader.begin_program(header, ring, 0);
    loader.begin_image();
    for (int cycle = 0; !loader.ahead && !loader.failed() && cycle < 1000000; cycle++) {
        Write output;
        output.valid = taken && cycle % taken == 0;
        output.bank = 0;
        const Write write = loader.step(stream, output);
        if (write.valid && output.valid && write.bank == 0) {
            fail("the loader writes to a bank that is taken", cycle);
        }
        if (write.valid) {
            memories.banks.write(write.bank, write.address, write.word);
        }
    }
    Values out = {int32_t(loader.error)};
    for (int b = 0; b < PIX; b++) {
        for (unsigned a = 0; a < ring.depth; a++) {
            const Word word = memories.banks.read(b, a);
            for (int i = 0; i < CIN; i++) {
                out.push_back(word.byte[i]);
            }
        }
    }
    return out;
}

// layer, instruction, target base and depth, pixel blocks, then sets (half A, B) of every group and block
// -> (bank, address, bytes) of every write.  All records are the identity.
static Values output_stage(Input in, size_t count) {
    Instruction instruction;
    in.record(instruction.layer);
    in.record(instruction.own);
    instruction.target.base = in.next();
    instruction.target.depth = in.next();
    instruction.source = instruction.target;
    for (int i = 0; i < PARAM_DEPTH / CIN; i++) {
        Params identity;
        for (int c = 0; c < CIN; c++) {
            identity.record[c] = 0;
        }
        memories.params.write(i, identity);
    }
    Walker walker;
    walker.begin_instruction(instruction);
    state.output.clear();
    state.output.begin_instruction(instruction);
    Values out;
    for (int group = 0; in.at < count; group++) {
        walker.begin_tile(group);
        while (walker.active) {
            Accumulator acc[PIX][COUT];
            for (int i = 0; i < PIX * COUT; i++) {
                acc[i / COUT][i % COUT] = in.next();
            }
            state.output.push(acc, walker, group);
            walker.end_half();
            while (state.output.count > 0) {
                begin_iteration();
                const Write write = state.output.step(memories.params, memories.carry);
                if (write.valid) {
                    out.push_back(write.bank.to_int());
                    out.push_back(write.address.to_int());
                    for (int i = 0; i < CIN; i++) {
                        out.push_back(write.word.byte[i]);
                    }
                }
            }
            end_loop();
        }
    }
    return out;
}

// bytes of the last word, words -> CRC-32
static Values crc(Input in, size_t count) {
    const int32_t tail = in.next();
    uint32_t value = CRC_START;
    while (in.at < count) {
        const uint64_t word = in.next64();
        value = in.at < count ? crc32_update(value, word) : crc32_bytes(value, word, tail);
    }
    return {int32_t(~value)};
}

// Reads the carry memory twice in an iteration: with SQUEEZE_COUNT_PORTS that must fail.
static Values two_reads() {
    begin_iteration();
    memories.carry.read(0);
    memories.carry.read(1);
    return {};
}

int main(int, char** argv) {
    const std::string name = argv[1];
    Values values;
    FILE* file = fopen(argv[2], "rb");
    int32_t value;
    while (fread(&value, sizeof value, 1, file) == 1) {
        values.push_back(value);
    }
    fclose(file);
    const Input in = {values, 0};
    const size_t count = values.size();
    Values out = name == "mac"              ? mac(in, count)
                 : name == "mac_exhaustive" ? mac_exhaustive()
                 : name == "requantize"     ? requantizer(in, count)
                 : name == "expander"       ? expander(in, count)
                 : name == "gatherer"       ? gatherer(in, count)
                 : name == "output"         ? output_stage(in, count)
                 : name == "crc"            ? crc(in, count)
                                            : two_reads();
    file = fopen(argv[3], "wb");
    fwrite(out.data(), sizeof out[0], out.size(), file);
    fclose(file);
    return 0;
}
