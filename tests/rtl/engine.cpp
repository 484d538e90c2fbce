// Runs the Verilated engine on a script, as a driver and two DMA channels would.
//
//   engine SCRIPT RESULTS GAPS LIMIT
//
// SCRIPT is what sim/csim.py writes: records of (kind, count): 0 beats for s_axis_in, 1 for s_axis_weights, each
// (low, high, last); 2 one start.  RESULTS gets for each start (error, cycles from the first beat taken to the last logit
// sent, the five counters, beats), then the beats; error 255 is a start that did not end within LIMIT cycles.
// GAPS 0 to 3: quarters of the cycles in which no beat is offered, and none is taken at the output.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "Vsqueeze_engine.h"

namespace {

struct Beat {
    uint64_t data;
    bool last;
};

Vsqueeze_engine* engine;
std::deque<Beat> image_beats, weight_beats;
std::vector<uint64_t> logits;
uint64_t now = 0, first_taken = 0, last_sent = 0;
bool waiting_for_first = false;
unsigned gaps = 0;
uint32_t random_state = 1;

bool gap() {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 24) % 4 < gaps;
}

void cycle() {
    // A beat that was offered stays until it is taken.
    engine->s_axis_in_tvalid = !image_beats.empty() && (engine->s_axis_in_tvalid || !gap());
    if (!image_beats.empty()) {
        engine->s_axis_in_tdata = image_beats.front().data;
        engine->s_axis_in_tlast = image_beats.front().last;
    }
    engine->s_axis_weights_tvalid = !weight_beats.empty() && (engine->s_axis_weights_tvalid || !gap());
    if (!weight_beats.empty()) {
        engine->s_axis_weights_tdata = weight_beats.front().data;
        engine->s_axis_weights_tlast = weight_beats.front().last;
    }
    engine->m_axis_out_tready = !gap();
    engine->eval();
    const bool taken = engine->s_axis_in_tvalid && engine->s_axis_in_tready;
    const bool weights_taken = engine->s_axis_weights_tvalid && engine->s_axis_weights_tready;
    if (taken && waiting_for_first) {
        first_taken = now;
        waiting_for_first = false;
    }
    if (engine->m_axis_out_tvalid && engine->m_axis_out_tready) {
        logits.push_back(engine->m_axis_out_tdata);
        if (engine->m_axis_out_tlast) {
            last_sent = now;
        }
    }
    engine->ap_clk = 1;
    engine->eval();
    engine->ap_clk = 0;
    engine->eval();
    now++;
    if (taken) {
        image_beats.pop_front();
        engine->s_axis_in_tvalid = 0;
    }
    if (weights_taken) {
        weight_beats.pop_front();
        engine->s_axis_weights_tvalid = 0;
    }
}

uint32_t read_register(unsigned address) {
    engine->s_axi_control_araddr = address;
    engine->s_axi_control_arvalid = 1;
    engine->s_axi_control_rready = 1;
    for (int i = 0; i < 100; i++) {
        engine->eval();
        const bool accepted = engine->s_axi_control_arvalid && engine->s_axi_control_arready;
        const bool answered = engine->s_axi_control_rvalid;
        const uint32_t value = engine->s_axi_control_rdata;
        cycle();
        if (accepted) {
            engine->s_axi_control_arvalid = 0;
        }
        if (answered) {
            return value;
        }
    }
    std::abort();
}

void write_register(unsigned address, uint32_t value) {
    engine->s_axi_control_awaddr = address;
    engine->s_axi_control_wdata = value;
    engine->s_axi_control_wstrb = 15;
    engine->s_axi_control_awvalid = engine->s_axi_control_wvalid = engine->s_axi_control_bready = 1;
    for (int i = 0; i < 100; i++) {
        engine->eval();
        const bool address_taken = engine->s_axi_control_awvalid && engine->s_axi_control_awready;
        const bool data_taken = engine->s_axi_control_wvalid && engine->s_axi_control_wready;
        const bool answered = engine->s_axi_control_bvalid;
        cycle();
        if (address_taken) {
            engine->s_axi_control_awvalid = 0;
        }
        if (data_taken) {
            engine->s_axi_control_wvalid = 0;
        }
        if (answered) {
            return;
        }
    }
    std::abort();
}

// One start, to its ap_done.
bool start(FILE* results, uint64_t limit) {
    logits.clear();
    waiting_for_first = true;
    write_register(0x00, 1);
    const uint64_t end = now + limit;
    bool done = false;
    while (!done && now < end) {
        done = read_register(0x00) & 2;
    }
    for (int i = 0; i < 8; i++) {
        cycle();  // the counters settle
    }
    uint32_t head[8] = {done ? read_register(0x40) : 255, uint32_t(last_sent - first_taken)};
    for (int i = 0; i < 5; i++) {
        head[2 + i] = read_register(0xA0 + 0x10 * i);
    }
    head[7] = uint32_t(logits.size());
    fwrite(head, 4, 8, results);
    fwrite(logits.data(), 8, logits.size(), results);
    return done;
}

}  // namespace

int main(int, char** arguments) {
    FILE* script = fopen(arguments[1], "rb");
    FILE* results = fopen(arguments[2], "wb");
    gaps = unsigned(atoi(arguments[3]));
    const uint64_t limit = strtoull(arguments[4], nullptr, 10);
    engine = new Vsqueeze_engine;
    engine->ap_rst_n = 0;
    for (int i = 0; i < 5; i++) {
        cycle();
    }
    engine->ap_rst_n = 1;
    uint32_t head[2];
    while (fread(head, 4, 2, script) == 2) {
        if (head[0] == 2) {
            if (!start(results, limit)) {
                break;
            }
            continue;
        }
        for (uint32_t i = 0; i < head[1]; i++) {
            uint32_t beat[3];
            if (fread(beat, 4, 3, script) != 3) {
                return 1;
            }
            (head[0] == 0 ? image_beats : weight_beats).push_back({uint64_t(beat[1]) << 32 | beat[0], beat[2] != 0});
        }
    }
    fclose(results);
    return 0;
}
