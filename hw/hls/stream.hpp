// The 64-bit AXI streams.
#pragma once

#include "hls_stream.h"
#include "ports.hpp"
#include "types.hpp"

#if defined(__SYNTHESIS__) || defined(SQUEEZE_VENDOR_AXI)
#include "ap_axi_sdata.h"
#else
// The same members as in the vendor's header, which the open headers lack.
template <int D, int U, int TI, int TD>
struct ap_axiu {
    ap_uint<D> data;
    ap_uint<(D + 7) / 8> keep;
    ap_uint<(D + 7) / 8> strb;
    ap_uint<1> last;
};
#endif

namespace squeeze {

typedef ap_axiu<64, 0, 0, 0> Beat;
typedef hls::stream<Beat> Stream;

// s_axis_weights, which only exists where the weights are streamed.
#if SQUEEZE_STREAMED
typedef Stream WeightsPort;
#else
struct WeightsPort {
    unsigned size() const { return 0; }
};
#endif

struct Received {
    uint64_t data;
    bool last;
};

// Waits for a beat.  In C simulation an empty stream would be waited for without end, so it is an error.
inline Received receive(Stream& stream) {
    HLS_INLINE
#ifndef __SYNTHESIS__
    if (stream.empty()) {
        fail("the engine waits for a beat that never comes", 0);
    }
#endif
    const Beat beat = stream.read();
    Received received;
    received.data = uint64_t(beat.data);
    received.last = beat.last;
    return received;
}

// Reads and forgets what is left of a packet.
inline void discard(Stream& stream) {
    bool last = false;
discard:
    while (!last) {
        HLS_PIPELINE(1)  // one beat a cycle; the only carried value is `last`
        last = receive(stream).last;
    }
}

inline void send(Stream& stream, uint64_t data, ap_uint<8> keep, bool last) {
    HLS_INLINE
    Beat beat;
    beat.data = data;
    beat.keep = keep;
    beat.strb = keep;
    beat.last = last;
    stream.write(beat);
}

// Cuts 64-bit beats into 72-bit words: 9 beats give 8 words.
struct Unpacker {
    uint64_t rest;        // bytes that are not yet part of a word
    ap_uint<4> bytes;     // how many, 0 to 8

    void clear() {
        HLS_INLINE
        rest = 0;
        bytes = 0;
    }

    // Takes a beat; true where it completes a word.
    bool push(uint64_t beat, ap_uint<72>& word) {
        HLS_INLINE
        const unsigned held = 8 * bytes;
        const ap_uint<136> joined = ap_uint<136>(rest) | ap_uint<136>(beat) << held;
        const bool complete = bytes > 0;
        word = joined.range(71, 0);
        rest = complete ? uint64_t(ap_uint<64>(joined >> 72)) : beat;
        bytes = complete ? ap_uint<4>(bytes - 1) : ap_uint<4>(8);
        return complete;
    }
};

// zlib's CRC-32 after 8 bytes of zeros, bit by bit.
constexpr uint32_t crc32_of_zeros(uint64_t state) {
    for (int bit = 0; bit < 64; bit++) {
        state = state >> 1 ^ (state & 1 ? 0xEDB88320u : 0u);
    }
    return uint32_t(state);
}

// The same as a matrix over GF(2): bit `i` of the result is the parity of the state's bits in `row[i]`.
struct CrcMatrix {
    uint64_t row[32];
};
constexpr CrcMatrix crc_matrix() {
    CrcMatrix matrix = {};
    for (int column = 0; column < 64; column++) {
        const uint32_t bits = crc32_of_zeros(uint64_t(1) << column);
        for (int i = 0; i < 32; i++) {
            matrix.row[i] |= uint64_t(bits >> i & 1) << column;
        }
    }
    return matrix;
}

// zlib's CRC-32 of 8 bytes more, a little-endian word: as hardware 32 parities of up to 64 bits, three levels of LUTs
// (64 inputs in LUTs of 6), instead of 64 steps one after the other.
inline uint32_t crc32_update(uint32_t crc, uint64_t word) {
    HLS_INLINE
    constexpr CrcMatrix matrix = crc_matrix();
    const uint64_t state = word ^ crc;
    uint32_t next = 0;
crc_bits:
    for (int i = 0; i < 32; i++) {
        HLS_UNROLL
        next |= uint32_t(ap_uint<64>(state & matrix.row[i]).xor_reduce()) << i;
    }
    return next;
}

// The same of the lowest `count` bytes, 1 to 8: a byte an iteration.
inline uint32_t crc32_bytes(uint32_t crc, uint64_t word, unsigned count) {
    HLS_INLINE
crc_bytes:
    for (unsigned i = 0; i < count; i++) {
        crc ^= uint8_t(word >> 8 * i);
    crc_byte:
        for (int bit = 0; bit < 8; bit++) {
            HLS_UNROLL
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
        }
    }
    return crc;
}
static const uint32_t CRC_START = 0xFFFFFFFFu;  // the result is the complement of the last state

}  // namespace squeeze
