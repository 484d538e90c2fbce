"""``model.sqz``: all that a running engine needs for another network, in one checked file.

Layout, little-endian (docs/model-sqz.md):

=========  ==================================================================
8 bytes    ``SQUEEZE`` and a zero byte
u32        version of the format, 1 or 2
u32        length of the description
           description: UTF-8 JSON with sorted keys
           program: the payload of a program packet
           weights: the words of the weight store, 9 bytes each
32 bytes   SHA-256 of everything before it
=========  ==================================================================

The file comes from strangers: reading checks length, version and checksum before anything is parsed, and
every field of the description after.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from typing import Any

from squeeze_hls.errors import InputError
from squeeze_hls.network.ir import Levels, Sides, side_or_pair

MAGIC = b"SQUEEZE\0"
VERSIONS = (1, 2)  # 2: with levels, or resized to no square, which readers of version 1 would not notice
MAX_BYTES = 64 * 2**20
MAX_CLASSES = 65_536
MAX_LABEL = 1_000
MAX_SIDE = 65_536  # of a resized picture
_HEAD = struct.Struct("<8sII")
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class DeployModel:
    """What a ``model.sqz`` holds."""

    name: str
    engine: str  # identity of the engine it was planned for, 8 hexadecimal digits
    input_shape: tuple[int, int, int]  # height, width, 3: raw RGB pixels
    resize: Sides  # rows and columns to which pictures are resized, then centre-cropped to the input
    classes: int
    logit_scale: float  # real value of one unit of the logits
    labels: tuple[str, ...]  # one for each class, or none
    program: bytes
    weights: bytes
    levels: Levels | None = None  # tables that replace the values of the cropped picture


def pack_model(model: DeployModel) -> bytes:
    """The file's bytes; the same model always gives the same bytes."""
    description: dict[str, Any] = {
        "name": model.name,
        "engine": model.engine,
        "input_shape": list(model.input_shape),
        "resize": side_or_pair(model.resize),
        "classes": model.classes,
        "logit_scale": model.logit_scale,
        "labels": list(model.labels),
        "program_bytes": len(model.program),
        "weights_bytes": len(model.weights),
    }
    if model.levels is not None:
        description["levels"] = [list(table) for table in model.levels]
    version = VERSIONS[model.levels is not None or model.resize[0] != model.resize[1]]
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    body = _HEAD.pack(MAGIC, version, len(text)) + text + model.program + model.weights
    return body + hashlib.sha256(body).digest()


def read_model(data: bytes, where: str = "model.sqz") -> DeployModel:
    """The inverse of ``pack_model``; raises InputError, beginning with ``where``, for anything else."""
    if len(data) > MAX_BYTES:
        raise InputError(f"{where}: {len(data)} bytes are too many for a model")
    if len(data) < _HEAD.size + _DIGEST_BYTES or data[:8] != MAGIC:
        raise InputError(f"{where}: not a squeeze-hls model")
    _, version, length = _HEAD.unpack_from(data)
    if version not in VERSIONS:
        raise InputError(f"{where}: format version {version}; this version of squeeze-hls reads {VERSIONS[-1]}")
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise InputError(f"{where}: the checksum differs: the file is cut off or altered; copy it again")
    if length > len(body) - _HEAD.size:
        raise InputError(f"{where}: the description is longer than the file")
    payload = body[_HEAD.size + length :]
    try:
        description = json.loads(body[_HEAD.size : _HEAD.size + length])
        return _parse(description, payload)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{where}: the description is malformed ({type(error).__name__}: {error})") from error


def _parse(description: dict[str, Any], payload: bytes) -> DeployModel:
    """Raises ValueError, KeyError or TypeError for a description that is not what ``pack_model`` writes."""
    program_bytes = _integer(description, "program_bytes", 0, len(payload))
    if program_bytes + _integer(description, "weights_bytes", 0, len(payload)) != len(payload):
        raise ValueError("program and weights do not fill the file")
    height, width, channels = description["input_shape"]
    shape = {"height": height, "width": width, "channels": channels}
    labels = description["labels"]
    classes = _integer(description, "classes", 1, MAX_CLASSES)
    if not isinstance(labels, list) or len(labels) not in (0, classes):
        raise ValueError(f"{classes} classes need {classes} labels or none")
    scale = description["logit_scale"]
    if not isinstance(scale, float) or not math.isfinite(scale) or scale <= 0:
        raise ValueError("logit_scale must be a positive number")
    engine = _text(description["engine"], 8)
    if len(engine) != 8 or any(c not in "0123456789abcdef" for c in engine):
        raise ValueError("engine must be 8 hexadecimal digits")
    return DeployModel(
        name=_text(description["name"], MAX_LABEL),
        engine=engine,
        input_shape=(
            _integer(shape, "height", 1, 4096),
            _integer(shape, "width", 1, 4096),
            _integer(shape, "channels", 3, 3),
        ),
        resize=_resize(description["resize"]),
        classes=classes,
        logit_scale=scale,
        labels=tuple(_text(label, MAX_LABEL) for label in labels),
        program=payload[:program_bytes],
        weights=payload[program_bytes:],
        levels=_levels(description["levels"]) if "levels" in description else None,
    )


def _resize(value: Any) -> Sides:
    rows, columns = value if isinstance(value, list) else (value, value)
    sides = {"rows": rows, "columns": columns}
    return _integer(sides, "rows", 1, MAX_SIDE), _integer(sides, "columns", 1, MAX_SIDE)


def _levels(value: Any) -> Levels:
    red, green, blue = (bytes(_integer({"level": v}, "level", 0, 255) for v in table) for table in value)
    if not len(red) == len(green) == len(blue) == 256:
        raise ValueError("levels must be three lists of 256 values")
    return red, green, blue


def _integer(table: dict[str, Any], key: str, low: int, high: int) -> int:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{key} must be a whole number from {low} to {high}")
    return value


def _text(value: Any, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise ValueError(f"a text has more than {limit} characters or is none")
    return value
