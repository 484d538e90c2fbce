// What happens inside the engine, cycle by cycle: activation writes and the work of each instruction.
//
// Reads the few signals that observe.vlt makes public.  Instructions are told apart as the hardware does it: the
// sequencer hands a record to the output stage (record_valid, with pc), which takes it into use later (take_next).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vsqueeze_engine___024root.h"

class Observer {
public:
    static constexpr int CAUSES = 4;  // busy, weights, input, output

    // Called in every cycle, all signals settled, before the clock edge.
    void sample(const Vsqueeze_engine___024root& root) {
        count(root);
        write(root);
        walk(root);
    }

    // Takes whole records of (pc u16, bank u16, address u32, data bytes): hw/hls/trace.hpp.  Returns the bytes held.
    uint64_t take_writes(uint64_t room, uint8_t* records) {
        const uint64_t held = writes.size();
        if (records && room >= held) {
            std::memcpy(records, writes.data(), held);
            writes.clear();
        }
        return held;
    }

    // Takes the counts of instructions 0 to n - 1, CAUSES each.  Returns how many instructions were counted.
    uint64_t take_activity(uint64_t n, uint64_t* counts) {
        const uint64_t held = activity.size();
        if (counts) {
            for (uint64_t i = 0; i < n; i++) {
                for (int cause = 0; cause < CAUSES; cause++) {
                    counts[i * CAUSES + cause] = i < held ? activity[i][cause] : 0;
                }
            }
            activity.clear();
        }
        return held;
    }

private:
    using Root = Vsqueeze_engine___024root;

    // The levels are registers: they tell of the cycle before, and so does `owner`.
    void count(const Root& root) {
        if (!root.squeeze_engine__DOT__busy_frame) {
            return;
        }
        if (activity.size() <= owner) {
            activity.resize(owner + 1);
        }
        const int cause = root.squeeze_engine__DOT__busy            ? 0
                          : root.squeeze_engine__DOT__stall_weights ? 1
                          : root.squeeze_engine__DOT__stall_input   ? 2
                                                                    : 3;
        activity[owner][cause]++;
    }

    void write(const Root& root) {
        if (!root.squeeze_engine__DOT__ow_valid) {
            return;
        }
        const uint16_t bank = root.squeeze_engine__DOT__ow_bank;
        const uint32_t address = root.squeeze_engine__DOT__ow_addr;
        const auto& data = root.squeeze_engine__DOT__ow_data;
        const size_t at = writes.size();
        writes.resize(at + 8 + sizeof data);
        std::memcpy(&writes[at], &writing, 2);
        std::memcpy(&writes[at + 2], &bank, 2);
        std::memcpy(&writes[at + 4], &address, 4);
        std::memcpy(&writes[at + 8], &data, sizeof data);
    }

    void walk(const Root& root) {
        const uint16_t pc = root.squeeze_engine__DOT__sequencer_i__DOT__pc;
        if (root.squeeze_engine__DOT__flush) {
            handed.clear();
            writing = started = owner = 0;
            fresh = true;
            return;
        }
        if (root.squeeze_engine__DOT__output_stage_i__DOT__take_next && !handed.empty()) {
            writing = handed.front();
            handed.pop_front();
        }
        if (root.squeeze_engine__DOT__frame_begin) {
            fresh = true;
        }
        // A cycle between two instructions belongs to the one that is waited for, behind the last one to the last.
        owner = root.squeeze_engine__DOT__sequencer_i__DOT__in_use || (pc == 0 && !fresh) ? started : pc;
        if (root.squeeze_engine__DOT__record_valid) {
            handed.push_back(pc);
            started = pc;
            fresh = false;
        }
    }

    std::vector<uint8_t> writes;
    std::vector<std::array<uint64_t, CAUSES>> activity;
    std::deque<uint16_t> handed;  // to the output stage, not yet in use there
    uint16_t writing = 0;         // instruction of the output stage
    uint16_t started = 0;         // instruction that the sequencer started last
    uint16_t owner = 0;
    bool fresh = true;  // no instruction of this frame has started
};
