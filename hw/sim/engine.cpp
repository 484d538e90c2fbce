// The Verilated engine behind a few C functions: two DMA channels in, one out, registers by AXI4-Lite, a clock.
//
// Compiled by squeeze_hls/sim/verilate.py together with what Verilator makes of hw/rtl (or of a netlist with the same
// ports, then without SQUEEZE_OBSERVE).  squeeze_hls/sim/rtl_engine.py is the other side and describes each function.
// Streams are numbered 0 s_axis_in, 1 s_axis_weights, 2 m_axis_out.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vsqueeze_engine.h"
#include "verilated.h"
#ifdef SQUEEZE_OBSERVE
#include "observer.hpp"
#endif
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Waves = VerilatedFstC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Waves = VerilatedVcdC;
#endif

// What a module reports by $fatal, or Verilator by itself, becomes an error of the call instead of the process's end.
void vl_fatal(const char* file, int line, const char*, const char* message) {
    throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + message);
}

namespace {

enum Stream { IN, WEIGHTS, OUT, STREAMS };
enum Until { INTERRUPT = 1, IN_EMPTY = 2, WEIGHTS_EMPTY = 4, PACKET_OUT = 8 };
constexpr int ANSWER_LIMIT = 1000;  // cycles that a register access may take
constexpr double WHOLE = 4294967296.0;

struct Beat {
    uint64_t data;
    uint8_t keep;
    bool last;
    uint64_t cycle;  // in which it was sent (m_axis_out)
};

struct Stamp {
    uint64_t first, last;  // cycles in which a packet's first and last beats passed
};

// Cycles in which a stream pauses, by chance: a xorshift of its own for each stream.
struct Pauses {
    uint32_t threshold = 0;
    uint64_t state = 1;

    bool now() {
        if (threshold == 0) {
            return false;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return uint32_t(state >> 16) < threshold;
    }
};

class Engine {
public:
    Engine() {
        context.traceEverOn(VM_TRACE);  // before the first eval
        top.reset(new Vsqueeze_engine(&context));
        top->ap_rst_n = 1;
        top->ap_clk = 0;
        top->eval();
    }

    ~Engine() {
        use();
        close_waves();
        top->final();
        top.reset();  // while its context is the thread's
    }

    // Several engines share a thread, whose context Verilator goes by in places, also when one is destroyed.
    void use() { Verilated::threadContextp(&context); }

    void cycle() {
        drive(IN, top->s_axis_in_tdata, top->s_axis_in_tkeep, top->s_axis_in_tvalid, top->s_axis_in_tlast);
        drive(WEIGHTS, top->s_axis_weights_tdata, top->s_axis_weights_tkeep, top->s_axis_weights_tvalid,
              top->s_axis_weights_tlast);
        top->m_axis_out_tready = room != 0 && !pauses[OUT].now();
        top->ap_clk = 0;
        top->eval();
        dump();
        const bool in_taken = top->s_axis_in_tvalid && top->s_axis_in_tready;
        const bool weights_taken = top->s_axis_weights_tvalid && top->s_axis_weights_tready;
        if (in_taken) take(IN);
        if (weights_taken) take(WEIGHTS);
        if (top->m_axis_out_tvalid && top->m_axis_out_tready) {
            queues[OUT].push_back(
                {top->m_axis_out_tdata, uint8_t(top->m_axis_out_tkeep), bool(top->m_axis_out_tlast), now});
            stamp(OUT, top->m_axis_out_tlast);
            if (room > 0) room = top->m_axis_out_tlast ? 0 : room - 1;
        }
        const bool ar = top->s_axi_control_arvalid && top->s_axi_control_arready;
        const bool aw = top->s_axi_control_awvalid && top->s_axi_control_awready;
        const bool w = top->s_axi_control_wvalid && top->s_axi_control_wready;
        if (top->s_axi_control_rvalid && top->s_axi_control_rready) {
            answered = true;
            answer = top->s_axi_control_rdata;
        }
        if (top->s_axi_control_bvalid && top->s_axi_control_bready) {
            answered = true;
        }
#ifdef SQUEEZE_OBSERVE
        if (observing) {
            observer.sample(*top->rootp);
        }
#endif
        top->ap_clk = 1;
        top->eval();
        now++;
        dump();
        // What was taken is no longer offered behind the edge.
        if (in_taken) top->s_axis_in_tvalid = 0;
        if (weights_taken) top->s_axis_weights_tvalid = 0;
        if (ar) top->s_axi_control_arvalid = 0;
        if (aw) top->s_axi_control_awvalid = 0;
        if (w) top->s_axi_control_wvalid = 0;
    }

    void reset(uint64_t cycles) {
        top->ap_rst_n = 0;
        for (uint64_t i = 0; i < cycles; i++) {
            cycle();
        }
        top->ap_rst_n = 1;
    }

    void clear(int stream) {
        queues[stream].clear();
        stamps[stream].clear();
        inside[stream] = false;
        if (stream == IN) top->s_axis_in_tvalid = 0;
        if (stream == WEIGHTS) top->s_axis_weights_tvalid = 0;
    }

    // Which of the wanted things is true, after as many cycles as that takes; 0 where `limit` cycles do not suffice.
    uint32_t run(uint64_t limit, uint32_t wanted) {
        for (uint64_t end = now + limit; !state(wanted) && now < end;) {
            cycle();
        }
        return state(wanted);
    }

    bool read(uint32_t address, uint32_t* value) {
        top->s_axi_control_araddr = address;
        top->s_axi_control_arvalid = top->s_axi_control_rready = 1;
        const bool good = wait();
        top->s_axi_control_arvalid = top->s_axi_control_rready = 0;
        *value = answer;
        return good;
    }

    bool write(uint32_t address, uint32_t value) {
        top->s_axi_control_awaddr = address;
        top->s_axi_control_wdata = value;
        top->s_axi_control_wstrb = 15;
        top->s_axi_control_awvalid = top->s_axi_control_wvalid = top->s_axi_control_bready = 1;
        const bool good = wait();
        top->s_axi_control_awvalid = top->s_axi_control_wvalid = top->s_axi_control_bready = 0;
        return good;
    }

    void open_waves(const char* path) {
#if VM_TRACE
        close_waves();
        waves.reset(new Waves);
        top->trace(waves.get(), 99);
        waves->open(path);
        if (!waves->isOpen()) {
            waves.reset();
            throw std::runtime_error("the waveform file cannot be written");
        }
#else
        (void)path;
        throw std::runtime_error("compiled without waves");
#endif
    }

    void close_waves() {
#if VM_TRACE
        if (waves) {
            waves->close();
            waves.reset();
        }
#endif
    }

    VerilatedContext context;
    std::unique_ptr<Vsqueeze_engine> top;
    std::deque<Beat> queues[STREAMS];
    std::deque<Stamp> stamps[STREAMS];
    Pauses pauses[STREAMS];
    int64_t room = -1;  // beats that m_axis_out may still send before it has to wait; negative: always ready
    uint64_t now = 0;
    bool observing = false;
    std::string error;
#ifdef SQUEEZE_OBSERVE
    Observer observer;
#endif

private:
    // A beat that was offered stays until it is taken.
    template <class Data, class Keep, class Valid, class Last>
    void drive(Stream stream, Data& data, Keep& keep, Valid& valid, Last& last) {
        if (valid || queues[stream].empty()) {
            return;
        }
        valid = !pauses[stream].now();
        if (valid) {
            const Beat& beat = queues[stream].front();
            data = beat.data;
            keep = beat.keep;
            last = beat.last;
        }
    }

    void take(Stream stream) {
        stamp(stream, queues[stream].front().last);
        queues[stream].pop_front();
    }

    void stamp(Stream stream, bool last) {
        if (!inside[stream]) {
            opened[stream] = now;
        }
        inside[stream] = !last;
        if (last) {
            stamps[stream].push_back({opened[stream], now});
        }
    }

    uint32_t state(uint32_t wanted) const {
        uint32_t found = 0;
        if (top->__SYM__interrupt) found |= INTERRUPT;
        if (queues[IN].empty()) found |= IN_EMPTY;
        if (queues[WEIGHTS].empty()) found |= WEIGHTS_EMPTY;
        if (!stamps[OUT].empty()) found |= PACKET_OUT;
        return found & wanted;
    }

    bool wait() {
        answered = false;
        for (int i = 0; i < ANSWER_LIMIT && !answered; i++) {
            cycle();
        }
        return answered;
    }

    void dump() {
#if VM_TRACE
        if (waves) {
            waves->dump(top->ap_clk ? 2 * now - 1 : 2 * now);
        }
#endif
    }

    bool answered = false;
    uint32_t answer = 0;
    bool inside[STREAMS] = {};
    uint64_t opened[STREAMS] = {};
#if VM_TRACE
    std::unique_ptr<Waves> waves;
#endif
};

std::string refusal;  // why engine_new gave none

// Runs what may throw; the message is kept for engine_error.
template <class Call>
int64_t guarded(Engine* engine, Call call) {
    try {
        engine->use();
        return int64_t(call());
    } catch (const std::exception& error) {
        engine->error = error.what();
        return -1;
    }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Engine* engine_new() {
    try {
        return new Engine;
    } catch (const std::exception& error) {
        refusal = error.what();
        return nullptr;
    }
}

EXPORT void engine_delete(Engine* engine) { delete engine; }

// Of the last call that returned -1; without an engine, of engine_new.
EXPORT const char* engine_error(Engine* engine) { return (engine ? engine->error : refusal).c_str(); }

EXPORT void engine_queue(Engine* engine, int stream, const uint64_t* data, const uint8_t* last, uint8_t keep,
                         uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        engine->queues[stream].push_back({data[i], keep, last[i] != 0, 0});
    }
}

EXPORT void engine_clear(Engine* engine, int stream) { engine->clear(stream); }

EXPORT uint64_t engine_waiting(Engine* engine, int stream) { return engine->queues[stream].size(); }

EXPORT void engine_pauses(Engine* engine, int stream, double probability, uint64_t seed) {
    engine->pauses[stream].threshold = uint32_t(std::min(probability * WHOLE, WHOLE - 1));
    engine->pauses[stream].state = seed * 0x9E3779B97F4A7C15u | 1u;
}

EXPORT void engine_accept(Engine* engine, int64_t beats) { engine->room = beats; }

EXPORT int64_t engine_reset(Engine* engine, uint64_t cycles) {
    return guarded(engine, [&] { engine->reset(cycles); return 0; });
}

EXPORT int64_t engine_run(Engine* engine, uint64_t limit, uint32_t until) {
    return guarded(engine, [&] { return engine->run(limit, until); });
}

EXPORT int64_t engine_read(Engine* engine, uint32_t address, uint32_t* value) {
    return guarded(engine, [&] { return engine->read(address, value); });
}

EXPORT int64_t engine_write(Engine* engine, uint32_t address, uint32_t value) {
    return guarded(engine, [&] { return engine->write(address, value); });
}

EXPORT uint64_t engine_now(Engine* engine) { return engine->now; }

EXPORT uint64_t engine_take(Engine* engine, uint64_t most, uint64_t* data, uint8_t* keep, uint8_t* last, uint64_t* cycle) {
    auto& queue = engine->queues[OUT];
    const uint64_t count = std::min<uint64_t>(most, queue.size());
    for (uint64_t i = 0; i < count; i++) {
        const Beat& beat = queue.front();
        data[i] = beat.data;
        keep[i] = beat.keep;
        last[i] = beat.last;
        cycle[i] = beat.cycle;
        queue.pop_front();
    }
    return count;
}

EXPORT uint64_t engine_stamps(Engine* engine, int stream, uint64_t most, uint64_t* first, uint64_t* last) {
    auto& stamps = engine->stamps[stream];
    const uint64_t count = std::min<uint64_t>(most, stamps.size());
    for (uint64_t i = 0; i < count; i++) {
        first[i] = stamps.front().first;
        last[i] = stamps.front().last;
        stamps.pop_front();
    }
    return count;
}

EXPORT int64_t engine_waves(Engine* engine, const char* path) {
    return guarded(engine, [&] {
        if (path) {
            engine->open_waves(path);
        } else {
            engine->close_waves();
        }
        return 0;
    });
}

#ifdef SQUEEZE_OBSERVE
EXPORT void engine_observe(Engine* engine, int on) { engine->observing = on; }

EXPORT uint64_t engine_writes(Engine* engine, uint64_t bytes, uint8_t* records) {
    return engine->observer.take_writes(bytes, records);
}

EXPORT uint64_t engine_activity(Engine* engine, uint64_t instructions, uint64_t* counts) {
    return engine->observer.take_activity(instructions, counts);
}
#endif
