"""Reads ``model.sqz``: a network planned for an engine.

The file may come from a stranger: magic, version, checksum, lengths and every field are checked before anything
is used, and a file that is not right as a whole raises BadModel.  Layout, little-endian: ``SQUEEZE`` and a zero
byte; u32 format version; u32 length of the description; the description (UTF-8 JSON); program; weight store;
SHA-256 of everything before it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np

from ._generated import FORMAT_VERSION, WORDS
from .errors import BadModel
from .packets import BEAT_BYTES, MAX_WORDS, STORE_WORD_BYTES, field

MAGIC = b"SQUEEZE\0"
VERSIONS = (1, 2)
MAX_BYTES = 64 * 2**20
MAX_CLASSES = 65536
MAX_TEXT = 1000
MAX_PIXELS = 4096
MAX_SIDE = 65536  # of a resized picture
_HEAD = struct.Struct("<8sII")
_DIGEST_BYTES = 32


class Model(NamedTuple):
    """A network, and what is needed to feed pictures and read results."""

    name: str
    engine_id: int  # identity of the engine it was planned for
    input_shape: tuple[int, int, int]  # height, width, 3
    resize: tuple[int, int]  # rows and columns to which pictures are resized before they are cropped
    classes: int
    logit_scale: float
    labels: tuple[str, ...]  # one for each class, or none
    program: bytes
    weights: bytes
    stream: bytes  # weights that every image needs anew; empty where they stay in the engine
    levels: tuple[bytes, bytes, bytes] | None  # R, G, B tables of 256 bytes that replace the values of cropped pictures

    @property
    def program_crc(self) -> int:
        """CRC-32 of the program: its last word."""
        return int.from_bytes(self.program[-8:-4], "little")

    @property
    def weights_crc(self) -> int:
        """CRC-32 of the weight store."""
        return zlib.crc32(self.weights)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file; raises BadModel, naming the file, for anything that is not whole and right."""
    where = os.fspath(path)
    try:
        with open(where, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadModel(f"{where}: cannot be read: {error.strerror or error}") from error
    return parse_model(data, where)


def parse_model(data: bytes, where: str = "model.sqz") -> Model:
    """The model in the bytes of a file."""
    if len(data) > MAX_BYTES:
        raise BadModel(f"{where}: more than {MAX_BYTES} bytes are too many for a model")
    if len(data) < _HEAD.size + _DIGEST_BYTES or data[: len(MAGIC)] != MAGIC:
        raise BadModel(f"{where}: not a squeeze-hls model")
    _, version, length = _HEAD.unpack_from(data)
    if version not in VERSIONS:
        raise BadModel(f"{where}: format version {version}; this driver reads {VERSIONS[-1]}")
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise BadModel(f"{where}: the checksum differs: the file is cut off or altered; copy it again")
    if length > len(body) - _HEAD.size:
        raise BadModel(f"{where}: the description is longer than the file")
    try:
        return _parse(json.loads(body[_HEAD.size : _HEAD.size + length]), body[_HEAD.size + length :])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadModel(f"{where}: malformed ({type(error).__name__}: {error})") from error


def _parse(description: dict[str, Any], payload: bytes) -> Model:
    """Raises ValueError, KeyError or TypeError for a description that is not what the compiler writes."""
    program_bytes = _integer(description["program_bytes"], 0, len(payload))
    weights_bytes = _integer(description["weights_bytes"], 0, len(payload))
    if program_bytes + weights_bytes != len(payload):
        raise ValueError("program and weights do not fill the file")
    height, width, channels = description["input_shape"]
    labels = description["labels"]
    classes = _integer(description["classes"], 1, MAX_CLASSES)
    if not isinstance(labels, list) or len(labels) not in (0, classes):
        raise ValueError(f"{classes} classes need {classes} labels or none")
    scale = description["logit_scale"]
    if not isinstance(scale, float) or not math.isfinite(scale) or scale <= 0:
        raise ValueError("logit_scale must be a positive number")
    engine = _text(description["engine"])
    if len(engine) != 8 or any(c not in "0123456789abcdef" for c in engine):
        raise ValueError("engine must be 8 hexadecimal digits")
    model = Model(
        name=_text(description["name"]),
        engine_id=int(engine, 16),
        input_shape=(_integer(height, 1, MAX_PIXELS), _integer(width, 1, MAX_PIXELS), _integer(channels, 3, 3)),
        resize=_resize(description["resize"]),
        classes=classes,
        logit_scale=scale,
        labels=tuple(_text(label) for label in labels),
        program=payload[:program_bytes],
        weights=payload[program_bytes:],
        stream=b"",
        levels=_levels(description["levels"]) if "levels" in description else None,
    )
    return model._replace(stream=_check_program(model))


def _check_program(model: Model) -> bytes:
    """The program must be that of the description; returns what is streamed for each image."""
    size = BEAT_BYTES * WORDS["header"]
    if len(model.program) % BEAT_BYTES or len(model.program) < size + BEAT_BYTES:
        raise ValueError("the program is cut off")
    if struct.pack("<Q", zlib.crc32(model.program[:-BEAT_BYTES])) != model.program[-BEAT_BYTES:]:
        raise ValueError("the program's checksum is wrong")
    words = np.frombuffer(model.program[:-BEAT_BYTES], "<u8").tolist()
    height, width, _ = model.input_shape
    for name, expected in (
        ("version", FORMAT_VERSION),
        ("engine", model.engine_id),
        ("height", height),
        ("width", width),
        ("classes", model.classes),
        ("weights_crc", model.weights_crc),
    ):
        value = field("header", name, words)
        if value != expected:
            raise ValueError(f"the program's {name} is {value}, not {expected}")
    stream_words = field("header", "stream_words", words)
    if not stream_words:
        return b""
    stream = _streamed(words, model.weights)
    if len(stream) != stream_words * STORE_WORD_BYTES:
        raise ValueError(f"{len(stream)} bytes are streamed for an image, not {stream_words} words")
    return stream


def _streamed(words: list[int], weights: bytes) -> bytes:
    """The store words of each instruction's layer, one instruction after the other."""
    layers, buffers, instructions = (field("header", name, words) for name in ("layers", "buffers", "instructions"))
    first = WORDS["header"]
    behind = first + layers * WORDS["layer"] + buffers * WORDS["buffer"]
    end = behind + instructions * WORDS["instruction"]
    if end > len(words):
        raise ValueError("the program's tables are longer than the program")
    starts = [
        STORE_WORD_BYTES * field("layer", "weights", words[at : at + WORDS["layer"]])
        for at in range(first, first + layers * WORDS["layer"], WORDS["layer"])
    ]
    ends = [min([other for other in starts if other > start] or [len(weights)]) for start in starts]
    order = [
        field("instruction", "layer", words[at : at + WORDS["instruction"]])
        for at in range(behind, end, WORDS["instruction"])
    ]
    if any(layer >= layers for layer in order):
        raise ValueError("an instruction's layer does not exist")
    if sum(max(0, ends[layer] - starts[layer]) for layer in order) > BEAT_BYTES * MAX_WORDS:
        raise ValueError("more is streamed for an image than a packet holds")
    return b"".join(weights[starts[layer] : ends[layer]] for layer in order)


def _resize(value: Any) -> tuple[int, int]:
    """One number for a square, or rows and columns."""
    rows, columns = value if isinstance(value, list) else (value, value)
    return _integer(rows, 1, MAX_SIDE), _integer(columns, 1, MAX_SIDE)


def _levels(value: Any) -> tuple[bytes, bytes, bytes]:
    red, green, blue = (bytes(_integer(level, 0, 255) for level in table) for table in value)
    if not len(red) == len(green) == len(blue) == 256:
        raise ValueError("levels must be three lists of 256 values")
    return red, green, blue


def _integer(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{value!r:.40} is no whole number from {low} to {high}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(f"a text has more than {MAX_TEXT} characters or is none")
    return value
