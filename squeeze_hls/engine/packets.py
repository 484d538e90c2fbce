"""The packets of docs/program.md as 64-bit words; driver, C simulation and RTL benches share them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from squeeze_hls.engine.config import STORE_WORD_BITS, EngineConfig
from squeeze_hls.engine.fields import IMAGE, PACKET, PACKET_MAGIC, PROGRAM, WEIGHTS
from squeeze_hls.engine.program import Program, identity24, program_crc
from squeeze_hls.errors import InputError

BEAT_BYTES = 8


@dataclass(frozen=True, eq=False)
class Packet:
    """Beats of one transfer: header word first, TLAST on the last."""

    words: np.ndarray  # uint64 (n,)

    @property
    def data(self) -> bytes:
        return self.words.astype("<u8").tobytes()


def _packet(kind: int, identity: int, payload: bytes) -> Packet:
    body = padded(payload)
    length = len(body) // BEAT_BYTES
    if length > PACKET.limit("length"):
        raise InputError(f"a packet of {len(payload):,} bytes is too long; the format ends at {PACKET.limit('length')}")
    head = PACKET.pack({"magic": PACKET_MAGIC, "type": kind, "identity": identity24(identity), "length": length})
    return Packet(np.concatenate([np.array(head, np.uint64), np.frombuffer(body, "<u8").astype(np.uint64)]))


def padded(data: bytes) -> bytes:
    """``data``, zeros added up to a whole beat."""
    return data + bytes(-len(data) % BEAT_BYTES)


def image_packet(image: np.ndarray, program: bytes) -> Packet:
    """A u8 (H, W, 3) image for the program with this payload."""
    return _packet(IMAGE, program_crc(program), np.ascontiguousarray(image, np.uint8).tobytes())


def weights_packet(weights: bytes, engine: EngineConfig) -> Packet:
    """The weight store of an engine; ``weights`` is ``weights.bin``."""
    body = padded(weights)
    return _packet(WEIGHTS, engine.identity, body + zlib.crc32(body).to_bytes(BEAT_BYTES, "little"))


def program_packet(program: bytes, engine: EngineConfig) -> Packet:
    """A program for an engine; ``program`` is ``program.bin``."""
    return _packet(PROGRAM, engine.identity, program)


def stream_packet(stream: bytes, program: bytes) -> Packet:
    """What ``s_axis_weights`` brings for one frame; ``stream`` is 9 bytes a store word."""
    if len(stream) % (STORE_WORD_BITS // 8):
        raise InputError(f"{len(stream)} bytes are not whole words of {STORE_WORD_BITS} bits")
    return _packet(WEIGHTS, program_crc(program), stream)


def streamed_words(program: Program, weights: bytes) -> bytes:
    """What is streamed for one frame: the words of an instruction's layer, for one instruction after the other."""
    word_bytes = STORE_WORD_BITS // 8
    starts = [layer.weights * word_bytes for layer in program.layers]
    ends = [min((other for other in starts if other > start), default=len(weights)) for start in starts]
    return b"".join(weights[starts[i.layer] : ends[i.layer]] for i in program.instructions)


def parse_logits(words: np.ndarray, classes: int) -> np.ndarray:
    """int32 (classes,) of the 64-bit beats that ``m_axis_out`` gave for a frame.

    Raises InputError where their number is not that of the classes.
    """
    if len(words) != -(-classes // 2):
        raise InputError(f"{len(words)} beats came out, {-(-classes // 2)} were expected for {classes} classes")
    return words.astype("<u8").view("<i4")[:classes].astype(np.int32)
