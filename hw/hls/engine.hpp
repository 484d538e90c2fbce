// The engine: each start consumes one packet.
#pragma once

#include "frame.hpp"
#include "packets.hpp"

namespace squeeze {

// Tells the loader about a program that was loaded, or that the bitstream brought.
inline void announce_program(const Loaded& loaded, State& state) {
    HLS_INLINE
    ProgramHeader header;
    for (int i = 0; i < fields::header::WORDS; i++) {
        HLS_UNROLL
        header.words[i] = loaded.header[i];
    }
    const Buffer ring = to_buffer(buffer_memory[header.get<H::gather_buffer>()]);
    state.loader.begin_program(header, ring, loaded.program_crc);
    state.programmed = true;
}

// What is wrong with an image's header.
inline Error check_image(const PacketHeader& packet, bool last, const Loaded& loaded, const State& state) {
    HLS_INLINE
    const Loader& loader = state.loader;
    if (!loaded.program_valid) {
        return NO_PROGRAM;
    }
    if (packet.get<P::length>() != loader.length) {
        return BAD_LENGTH;
    }
    if (packet.get<P::identity>() != loader.identity) {
        return BAD_IDENTITY;
    }
    if (!SQUEEZE_STREAMED &&
        (!loaded.store_valid || loaded.store_crc != uint32_t(loader.header.get<H::weights_crc>()))) {
        return NO_WEIGHTS;
    }
    return last ? EARLY_LAST : NONE;
}

// What is wrong with the header of weights or of a program.
inline Error check_update(const PacketHeader& packet, bool last) {
    HLS_INLINE
    if (packet.get<P::length>() == 0) {
        return BAD_LENGTH;
    }
    if (packet.get<P::identity>() != (ENGINE_IDENTITY & 0xFFFFFF)) {
        return BAD_IDENTITY;
    }
    return last ? EARLY_LAST : NONE;
}

#if SQUEEZE_STREAMED
// Reads the header of a frame's weights.
inline Error begin_stream(WeightsPort& weights, State& state) {
    const Received received = receive(weights);
    PacketHeader packet;
    packet.words[0] = received.data;
    const ap_uint<40> bytes = state.loader.header.get<H::stream_words>() * 9;
    const ap_uint<40> beats = (bytes + 7) >> 3;
    if (received.last || packet.get<P::magic>() != PACKET_MAGIC || packet.get<P::type>() != PACKET_WEIGHTS ||
        packet.get<P::identity>() != state.loader.identity || packet.get<P::length>() != beats) {
        if (!received.last) {
            discard(weights);
        }
        return BAD_STREAM;
    }
    state.expander.stream.begin(packet.get<P::length>());
    return NONE;
}
#endif

// The image that the loader has begun, to its end or to the first error.
inline Error run_image(Memories& memories, State& state, Stream& in, Stream& out, WeightsPort& weights) {
    Counters& counters = state.counters;
    counters.cycles = counters.busy = 0;
    counters.stall_weights = counters.stall_input = counters.stall_output = 0;
    Error error = NONE;
#if SQUEEZE_STREAMED
    error = begin_stream(weights, state);
#endif
    if (error == NONE) {
        error = run_frame(memories, state, in, out, weights);
    }
#if SQUEEZE_STREAMED
    WeightStream& stream = state.expander.stream;
    if (stream.open) {  // the program used fewer words, or the frame was given up
        discard(weights);
        stream.open = false;
        error = error == NONE ? BAD_STREAM : error;
    }
#endif
    if (error == NONE) {
        state.loader.end_frame();
        counters.frames++;
        return NONE;
    }
    state.loader.give_up(in);
    state.walker.active = false;
    return error;
}

// A reset in the middle of a packet: discard its rest and begin anew.
inline void recover(State& state, Stream& in, WeightsPort& weights) {
    if (state.loader.open || (state.loader.state == Loader::HELD && !state.loader.held.last)) {
        discard(in);
    }
#if SQUEEZE_STREAMED
    if (state.expander.stream.open) {
        discard(weights);
        state.expander.stream.open = false;
    }
#endif
    state.walker.active = false;
    state.loader.restart();
}

// Receives a header and does what it says, except for an image: `computes` says that the loader has begun one.
inline Error take_packet(Memories& memories, Loaded& loaded, State& state, Stream& in, bool& computes) {
    HLS_INLINE
    Loader& loader = state.loader;
    const Received header = loader.state == Loader::HELD ? loader.held : receive(in);
    loader.state = Loader::WAITING;
    PacketHeader packet;
    packet.words[0] = header.data;
    const unsigned type = packet.get<P::type>();
    Error error = NONE;
    if (packet.get<P::magic>() != PACKET_MAGIC) {
        error = BAD_MAGIC;
    } else if (type == PACKET_IMAGE) {
        error = check_image(packet, header.last, loaded, state);
    } else if (type == PACKET_PROGRAM || (type == PACKET_WEIGHTS && !SQUEEZE_STREAMED)) {
        error = check_update(packet, header.last);
    } else {
        error = BAD_TYPE;
    }
    loader.open = !header.last;
    if (error != NONE) {
        if (loader.open) {
            discard(in);
        }
    } else if (type == PACKET_IMAGE) {
        loader.begin_image();
        computes = true;
        return NONE;
    } else if (type == PACKET_PROGRAM) {
        state.programmed = false;  // the next start announces it
        error = load_program(memories, loaded, in, packet.get<P::length>());
    } else {
#if !SQUEEZE_STREAMED
        error = load_weights(memories.store, loaded, in, packet.get<P::length>());
#endif
    }
    loader.open = false;
    return error;
}

// One start.  Images are computed at one place, so that there is one array.
inline Error run_packet(Memories& memories, Loaded& loaded, State& state, Stream& in, Stream& out, WeightsPort& weights) {
    Loader& loader = state.loader;
    if (loaded.program_valid && !state.programmed) {
        announce_program(loaded, state);
    }
    if (state.running) {
        recover(state, in, weights);
    }
    state.running = true;
    Error error = NONE;
    bool computes = false;
    if (loader.state == Loader::COMPLETE) {
        loader.state = Loader::WAITING;
        loader.ahead = true;
        computes = true;
#if SQUEEZE_STREAMED
    } else if (loader.state == Loader::DROPPED) {
        error = loader.error;
        loader.restart();
        if (!receive(weights).last) {
            discard(weights);
        }
#endif
    } else if (loader.state == Loader::ROWS || loader.state == Loader::TAIL) {
        computes = true;
    } else {
        error = take_packet(memories, loaded, state, in, computes);
    }
    if (computes) {
        error = run_image(memories, state, in, out, weights);
    }
    state.running = false;
    return error;
}

}  // namespace squeeze
