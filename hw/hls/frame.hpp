// One frame: the tiles of all instructions, each in one pipelined loop.
//
// While the MAC array works on a tile, the same loop expands the next tile, writes finished sets and takes image
// beats.  A tile's loop ends when its products are issued and the next tile is there; at the end of an
// instruction (and of each averaged group) also when everything is written.  Hence `wait` of an instruction holds
// always, and no instruction reads what is still on its way.
#pragma once

#include "mac.hpp"
#include "state.hpp"
#include "trace.hpp"

namespace squeeze {

// A tile: one output group of one instruction.
struct Tile {
    bool valid;
    ap_uint<16> pc;
    Words group;
    Instruction instruction;
};

inline Instruction fetch_instruction(unsigned pc) {
    Instruction instruction;
    instruction.own = fetch_record<fields::instruction::WORDS>(instruction_memory, pc);
    instruction.layer = fetch_record<fields::layer::WORDS>(layer_memory, instruction.own.get<I::layer>());
    instruction.source = to_buffer(buffer_memory[instruction.own.get<I::source>()]);
    instruction.target = to_buffer(buffer_memory[instruction.own.get<I::target>()]);
    return instruction;
}

inline Tile successor(const Tile& tile) {
    Tile next = tile;
    if (tile.group + 1 < groups_of(tile.instruction.layer)) {
        next.group = tile.group + 1;
    } else if (tile.instruction.own.get<I::last>()) {
        next.valid = false;
    } else {
        next.pc = tile.pc + 1;
        next.group = 0;
        next.instruction = fetch_instruction(next.pc);
    }
    return next;
}

// What must be true before the loop of a tile may end, beside the products and the expansion.
struct Goal {
    bool drained;       // all sets are written
    bool packet;        // the image's packet is finished
    ap_uint<11> need;   // image rows stored
    ap_uint<8> credit;  // granted once the products are issued
};

// Products of one cycle; true unless the array waits for a holding register.
inline bool multiply(Memories& memories, State& state, const Tile& tile, ap_uint<1> slot, bool full) {
    HLS_INLINE
    Walker& walker = state.walker;
    if (walker.last_word() && full) {
        return false;
    }
    Weight weights[COUT][CIN];
    Word operands[PIX];
    HLS_PARTITION(weights, 0)
    HLS_PARTITION(operands, 0)
    memories.tiles.read((slot ? TILE_WORDS : 0) + walker.tile_word, weights);
    walker.read(memories.banks, operands);
    multiply_accumulate(weights, operands, walker.first_word(), state.acc);
    if (walker.last_word()) {
        state.output.push(state.acc, walker, tile.group);
    }
    walker.step();
    return true;
}

inline void count_cycle(Counters& counters, bool worked, bool multiplying, bool expanded, bool rows) {
    HLS_INLINE
    counters.cycles++;
    if (worked) {
        counters.busy++;
    } else if (multiplying) {
        counters.stall_output++;
    } else if (!expanded) {
        counters.stall_weights++;
    } else if (!rows) {
        counters.stall_input++;
    } else {
        counters.stall_output++;
    }
}

// II = 1.  Memory ports an iteration: each activation bank one read (walker) and one write (output stage, else
// loader); tiles one wide read and one chunk write, of different slots; store, records, carry and each copy of
// the code tables one read, carry one write; each stream one beat.
// Carried values are registers, but for
//  - the accumulators: one addition an iteration;
//  - the decoder's states, read SETS iterations after the ones before them (entropy.hpp);
//  - banks: an iteration may write a word, none of the same loop reads it: loops of different instructions are
//    separated by a drain, and no instruction reads its own output or a row before `need` says that it is stored;
//  - tiles: read and written slot differ throughout the loop;
//  - carry: a word written for a pooled column is read again one row later, where rows have two pixels or more;
//    what was written in the iteration before comes from a register.
inline Error run_tile(Memories& memories, State& state, Stream& in, WeightsPort& weights, const Tile& tile,
                      ap_uint<1> slot, const Goal& goal) {
    HLS_INLINE
    Loader& loader = state.loader;
    Walker& walker = state.walker;
    Expander& expander = state.expander;
    OutputStage& output = state.output;
    Error error = NONE;
    ap_uint<8> grant = goal.credit;
cycles:
    while (true) {
        HLS_PIPELINE(1)
        SQUEEZE_INDEPENDENT_BANKS
        HLS_INDEPENDENT(tile_memory)
        HLS_DISTANCE(carry_memory, 2)
        const bool multiplying = walker.active;
        const bool expanded = !expander.busy();
        const bool rows = loader.rows() >= goal.need && (!goal.packet || loader.ahead);
        const bool drained = output.count == 0 || !goal.drained;
        if (loader.failed()) {
            error = loader.error;
        } else if (SQUEEZE_STREAMED && expander.stream.failed) {
            error = BAD_STREAM;
        }
        if (error != NONE || (!multiplying && expanded && rows && drained)) {
            break;
        }
        begin_iteration();
        const bool full = output.full();
        const Write finished = output.step(memories.params, memories.carry);
        const bool worked = multiplying && multiply(memories, state, tile, slot, full);
        const bool moved = expander.step(memories.store, weights, memories.codes, memories.tiles);
        if (!multiplying) {
            loader.credit += grant;
            grant = 0;
        }
        const Write gathered = loader.step(in, finished);
    write_banks:
        for (int b = 0; b < PIX; b++) {
            HLS_UNROLL
            const Write& write = finished.valid && finished.bank == b ? finished : gathered;
            if (write.valid && write.bank == b) {
                memories.banks.write(b, write.address, write.word);
            }
        }
        trace(tile.pc, finished);
        watch(worked || finished.valid || gathered.valid || (moved && !expanded), in, weights);
        count_cycle(state.counters, worked, multiplying, expanded, rows);
    }
    loader.credit += grant;
    end_loop();
    return error;
}

// Computes the image that the loader receives and sends its logits.
inline Error run_frame(Memories& memories, State& state, Stream& in, Stream& out, WeightsPort& weights) {
    const ap_uint<16> classes = state.loader.header.get<H::classes>();
    Tile now, next;
    now.valid = false;
    now.pc = 0;
    now.group = 0;
    next.valid = true;
    next.pc = 0;
    next.group = 0;
    next.instruction = fetch_instruction(0);
    state.expander.restart();
    state.output.clear();
    state.walker.active = false;
    ap_uint<1> slot = 0;  // of the tile that is multiplied; the other one is filled
    bool sending = false;
    Error error = NONE;
tiles:
    while (now.valid || next.valid) {
        const bool averaged = now.valid && now.instruction.layer.get<L::average>();
        const bool boundary = !next.valid || next.group == 0;
        Goal goal;
        goal.drained = boundary || averaged;
        goal.packet = !next.valid;
        goal.need = next.valid && boundary ? next.instruction.own.get<I::need>() : ap_uint<11>(0);
        goal.credit = next.valid && boundary ? next.instruction.own.get<I::credit>() : ap_uint<8>(0);
        if (next.valid) {
            state.expander.begin_tile(next.instruction.layer, next.group, !slot, boundary);
        }
        if (now.valid) {
            state.walker.begin_tile(now.group);
        }
        error = run_tile(memories, state, in, weights, now, slot, goal);
        if (error != NONE) {
            break;
        }
        if (averaged) {
            sending = !state.output.send_logits(out, now.group, classes);
        }
        now = next;
        slot = !slot;
        if (now.valid) {
            if (boundary) {
                state.walker.begin_instruction(now.instruction);
                state.output.begin_instruction(now.instruction);
            }
            next = successor(now);
        }
    }
    if (error != NONE && sending) {
        send(out, 0, 0, true);  // close the packet that was begun
    }
    return error;
}

}  // namespace squeeze
