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

// zlib's CRC-32, `count` bytes of a little-endian word at once; as hardware, a tree of exclusive ors.
inline uint32_t crc32_update(uint32_t crc, uint64_t word, unsigned count) {
    HLS_INLINE
crc_bytes:
    for (unsigned i = 0; i < 8; i++) {
        HLS_UNROLL
        if (i < count) {
            crc ^= uint8_t(word >> 8 * i);
        crc_bits:
            for (int bit = 0; bit < 8; bit++) {
                HLS_UNROLL
                crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
            }
        }
    }
    return crc;
}
static const uint32_t CRC_START = 0xFFFFFFFFu;  // the result is the complement of the last state

}  // namespace squeeze
