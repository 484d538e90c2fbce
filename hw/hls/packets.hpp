// Receives weights and programs.
#pragma once

#include "state.hpp"

namespace squeeze {

// Reads the words of a packet, the last of which is the CRC-32 of those before.  The stream is an argument of whatever
// reads: a member that refers to a port would exist only until it is inlined.
struct PacketReader {
    ap_uint<24> beats;  // still to come
    uint32_t crc;
    uint32_t crc_before;  // of all words but the last one read
    bool open;
    Error error;

    explicit PacketReader(ap_uint<24> length)
        : beats(length), crc(CRC_START), crc_before(CRC_START), open(true), error(NONE) {}

    // The next word; 0 once something was wrong.
    uint64_t next(Stream& in) {
        HLS_INLINE
        if (error != NONE || beats == 0) {
            return 0;
        }
        const Received received = receive(in);
        beats--;
        open = !received.last;
        crc_before = crc;
        crc = crc32_update(crc, received.data);
        if (received.last && beats > 0) {
            error = EARLY_LAST;
        } else if (!received.last && beats == 0) {
            error = LATE_LAST;
        }
        return received.data;
    }

    // Reads the CRC word; the packet's error, or `mismatch` where the CRC is another one.
    Error finish(Stream& in, Error mismatch) {
        HLS_INLINE
        const uint32_t expected = ~crc;
        const uint64_t word = next(in);
        return error != NONE ? error : word == expected ? NONE : mismatch;
    }
};

// Reads what is left of a packet after an error.
inline Error close(Stream& in, const PacketReader& reader, Error error) {
    HLS_INLINE
    if (error != NONE && reader.open) {
        discard(in);
    }
    return error;
}

#if !SQUEEZE_STREAMED
inline Error load_weights(WeightStore& store, Loaded& loaded, Stream& in, ap_uint<24> length) {
    PacketReader reader(length);
    loaded.store_valid = 0;
    const unsigned payload = length - 1;
    const unsigned words = payload * 8 / 9;  // of 72 bits; what remains, below 8 bytes, is padding
    if (length < 3 || words > unsigned(STORE_WORDS) || payload != (words * 9 + 7) / 8) {
        return close(in, reader, BAD_LENGTH);
    }
    Unpacker unpacker;
    unpacker.clear();
    unsigned address = 0;
    uint64_t last = 0;
load_weights:
    for (unsigned i = 0; i < payload; i++) {
        HLS_PIPELINE(1)  // one beat and at most one store word an iteration; the CRC is one level of logic trees
        last = reader.next(in);
        ap_uint<72> word;
        if (unpacker.push(last, word)) {
            store.write(address, word);
            address++;
        }
    }
    // The program names its weights by the CRC without padding.
    const uint32_t exact = ~crc32_bytes(reader.crc_before, last, words * 9 - (payload - 1) * 8);
    const Error error = reader.finish(in, BAD_WEIGHTS_CRC);
    loaded.store_crc = exact;
    loaded.store_valid = error == NONE;
    return close(in, reader, error);
}
#endif

inline void load_table(uint64_t* table, unsigned words, Stream& in, PacketReader& reader) {
    HLS_INLINE
load_table:
    for (unsigned i = 0; i < words; i++) {
        HLS_PIPELINE(1)  // one beat, one write
        table[i] = reader.next(in);
    }
}

// What is wrong with a program's header, before its tables are read.
inline Error check_program(const ProgramHeader& header, ap_uint<24> length) {
    HLS_INLINE
    const unsigned layers = header.get<H::layers>(), buffers = header.get<H::buffers>();
    const unsigned instructions = header.get<H::instructions>(), params = header.get<H::params>();
    const unsigned tables = header.get<H::tables>();
    if (header.get<H::version>() != FORMAT_VERSION) {
        return TOO_LARGE;
    }
    if (header.get<H::engine>() != ENGINE_IDENTITY) {
        return BAD_IDENTITY;
    }
    if (layers > unsigned(LAYER_DEPTH) || buffers > unsigned(BUFFER_DEPTH) ||
        instructions > unsigned(PROGRAM_DEPTH) || params > unsigned(PARAM_DEPTH) || params % CIN != 0 || layers == 0 ||
        buffers == 0 || instructions == 0 || params == 0 || tables > unsigned(TABLES) ||
        header.get<H::kernel>() > KERNEL_MAX || header.get<H::gather_words>() > GATHER_WORDS_MAX ||
        (!SQUEEZE_STREAMED && header.get<H::store_words>() > unsigned(STORE_WORDS))) {
        return TOO_LARGE;
    }
    const unsigned words = fields::header::WORDS + layers * fields::layer::WORDS +
                           buffers * fields::buffer::WORDS + instructions * fields::instruction::WORDS +
                           params * fields::param::WORDS + tables * STATES * fields::entry::WORDS + 1;
    return length == words ? NONE : BAD_LENGTH;
}

// Whether a layer asks for what the engine does not have: a residual operand, a table of the entropy code that was not
// loaded, a largest output that its type cannot be.
inline bool layer_exceeds(const LayerRecord& layer, unsigned tables) {
    HLS_INLINE
    static_assert(int(L::residual::WORD) == 0 && int(L::average::WORD) == 0 && int(L::half_a::WORD) == 0 &&
                      int(L::half_b::WORD) == 0 && int(L::entropy::WORD) == int(fields::layer::WORDS) - 1 &&
                      int(L::table_a::WORD) == int(L::entropy::WORD) && int(L::table_b::WORD) == int(L::entropy::WORD) &&
                      int(L::top_a::WORD) == int(L::entropy::WORD) && int(L::top_b::WORD) == int(L::entropy::WORD),
                  "the first and the last word of a layer record are looked at");
    const unsigned top_a = layer.get<L::top_a>(), top_b = layer.get<L::top_b>();
    const bool no_table =
        layer.get<L::entropy>() && (layer.get<L::table_a>() >= tables || layer.get<L::table_b>() >= tables);
    const bool no_top = (layer.get<L::half_a>() && (top_a == 0 || (top_a > 255 && !layer.get<L::average>()))) ||
                        (layer.get<L::half_b>() && top_b == 0);
    return layer.get<L::residual>() || no_table || no_top;
}

inline Error load_program(Memories& memories, Loaded& loaded, Stream& in, ap_uint<24> length) {
    PacketReader reader(length);
    loaded.program_valid = 0;
    ProgramHeader header;
    load_table(header.words, fields::header::WORDS, in, reader);
    if (reader.error != NONE) {
        return close(in, reader, reader.error);
    }
    Error error = check_program(header, length);
    if (error != NONE) {
        return close(in, reader, error);
    }
    const unsigned layers = header.get<H::layers>();
    load_table(layer_memory, layers * fields::layer::WORDS, in, reader);
    load_table(buffer_memory, header.get<H::buffers>() * fields::buffer::WORDS, in, reader);
    load_table(instruction_memory, header.get<H::instructions>() * fields::instruction::WORDS, in, reader);
    const unsigned params = header.get<H::params>();
    Params records;
load_params:
    for (unsigned i = 0; i < params; i++) {
        HLS_PIPELINE(1)  // one beat; one write, of CIN records at once
        records.record[i % CIN] = reader.next(in);
        if (i % CIN == CIN - 1) {
            memories.params.write(i / CIN, records);
        }
    }
    const unsigned tables = header.get<H::tables>();
load_codes:
    for (unsigned i = 0; i < tables * STATES; i++) {
        HLS_PIPELINE(1)  // one beat; one write in every copy
        CodeEntry entry;
        entry.bits = reader.next(in);
        memories.codes.write(i, entry);
    }
    loaded.program_crc = ~reader.crc;
    error = reader.finish(in, BAD_PROGRAM_CRC);
    LayerRecord layer;
layers_in_engine:
    for (unsigned i = 0; i < 2 * layers; i++) {
        HLS_PIPELINE(1)  // one word of the table a cycle: the first of a layer, then its last
        const unsigned word = i % 2 == 0 ? 0 : int(fields::layer::WORDS) - 1;
        layer.words[word] = layer_memory[i / 2 * fields::layer::WORDS + word];
        if (error == NONE && i % 2 == 1 && layer_exceeds(layer, tables)) {
            error = TOO_LARGE;
        }
    }
buffers_in_memory:
    for (unsigned i = 0; i < header.get<H::buffers>(); i++) {
        HLS_PIPELINE(1)  // one word of the table a cycle
        const Buffer buffer = to_buffer(buffer_memory[i]);
        if (error == NONE && unsigned(buffer.base) + unsigned(buffer.depth) > unsigned(ACT_DEPTH)) {
            error = TOO_LARGE;
        }
    }
    for (int i = 0; i < fields::header::WORDS; i++) {
        HLS_UNROLL
        loaded.header[i] = header.words[i];
    }
    loaded.program_valid = error == NONE;
    return close(in, reader, error);
}

}  // namespace squeeze
