"""The packets that the engine takes: a header word of 64 bits, then the payload, zeros up to a whole word.

All functions return u8 arrays whose length is a multiple of 8, ready for a DMA buffer.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ._generated import FIELDS, IMAGE, PACKET_MAGIC, PROGRAM, WEIGHTS

BEAT_BYTES = 8
STORE_WORD_BYTES = 9
UNKNOWN_TYPE = 0xFF
MAX_WORDS = (1 << FIELDS["packet"]["length"][2]) - 1


def field(record: str, name: str, words: list[int]) -> int:
    """One field of a record, given the record's 64-bit words."""
    word, low, width = FIELDS[record][name]
    return words[word] >> low & (1 << width) - 1


def header(kind: int, identity: int, length: int, magic: int = PACKET_MAGIC) -> bytes:
    """A packet's first word; ``identity`` is cut to its low bits, ``length`` counts the words that follow."""
    if not 0 <= length <= MAX_WORDS:
        raise ValueError(f"a packet of {length} words is too long")
    values = {"magic": magic, "type": kind, "identity": identity, "length": length}
    word = 0
    for name, (_, low, width) in FIELDS["packet"].items():
        word |= (values[name] & (1 << width) - 1) << low
    return struct.pack("<Q", word)


def padded(data: bytes) -> bytes:
    """``data`` with zeros up to a whole word."""
    return data + bytes(-len(data) % BEAT_BYTES)


def _packet(kind: int, identity: int, payload: bytes) -> np.ndarray:
    body = padded(payload)
    return np.frombuffer(header(kind, identity, len(body) // BEAT_BYTES) + body, np.uint8)


def image_packet(image: np.ndarray, program_crc: int) -> np.ndarray:
    """A u8 (H, W, 3) image for the program with this CRC."""
    return _packet(IMAGE, program_crc, np.ascontiguousarray(image, np.uint8).tobytes())


def program_packet(program: bytes, engine_id: int) -> np.ndarray:
    """The program of a model; it carries its own checksum."""
    return _packet(PROGRAM, engine_id, program)


def weights_packet(weights: bytes, engine_id: int) -> np.ndarray:
    """The weight store of a model, and its checksum."""
    body = padded(weights)
    return _packet(WEIGHTS, engine_id, body + struct.pack("<Q", zlib.crc32(body)))


def stream_packet(stream: bytes, program_crc: int) -> np.ndarray:
    """What the engine with streamed weights takes beside every image."""
    return _packet(WEIGHTS, program_crc, stream)


def probe_packets() -> list[tuple[int, np.ndarray]]:
    """Packets of one word that change nothing, each with the error code that it is answered by.

    They end a packet that was cut off, and show that the engine is in step again.
    """
    unknown = header(UNKNOWN_TYPE, 0, 0)
    no_magic = header(IMAGE, 0, 0, magic=PACKET_MAGIC ^ 0xFF)
    return [(2, np.frombuffer(unknown, np.uint8)), (1, np.frombuffer(no_magic, np.uint8))]


def last_word() -> np.ndarray:
    """A word that ends whatever packet of weights it comes in, and by itself is none."""
    return np.frombuffer(header(UNKNOWN_TYPE, 0, 0), np.uint8)


def parse_logits(data: np.ndarray, classes: int) -> np.ndarray:
    """int32 (classes,) of the bytes that came out for a frame."""
    return np.frombuffer(data.tobytes(), "<i4")[:classes].astype(np.int32)
