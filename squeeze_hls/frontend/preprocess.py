"""Preprocessing and class names: their JSON form, and what a source says of them.

The JSON form, the value of the ONNX metadata property ``squeeze_hls.preprocess`` and of a file given to
``--preprocess``::

    {"channels": "BGR", "mean": [104, 117, 123], "scale": [1, 1, 1], "resize": 256}

Mean and scale are in the model's channel order, for pixels 0..255: ``x = (pixel - mean) * scale``.
``resize`` is the side of a square, or ``[rows, columns]``.  Two keys may be added: ``"input": [height, width]``, the
size at which the network is compiled, and ``"levels"``, three lists (red, green, blue) of 256 values that replace
those of the cropped picture.  Every key may be left out; see ``settled.py`` for what counts then.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.input_limits import MAX_CLASSES, MAX_TEXT_BYTES
from squeeze_hls.frontend.onnx_file import read_bytes
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.network.ir import CAFFE, MAX_RESIZE, TORCHVISION, Levels, Preprocess, Sides, side_or_pair

PREPROCESS_KEY = "squeeze_hls.preprocess"  # ONNX metadata property: JSON object
LABELS_KEY = "squeeze_hls.labels"  # ONNX metadata property: JSON list of strings
NAMED = {"caffe": CAFFE, "torchvision": TORCHVISION}

_LABEL_LENGTH = 200
_SYNSET = re.compile(r"n\d{8} ")
_HINT = 'Write {"channels": "RGB", "mean": [..3..], "scale": [..3..]}.'

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What one source says of preprocessing: the fields of ``Preprocess``, None where it says nothing."""

    channels: str | None = None
    mean: tuple[float, float, float] | None = None
    scale: tuple[float, float, float] | None = None
    resize: Sides | None = None
    levels: Levels | None = None
    input: Size | None = None  # the size at which the network is compiled


def stated(preprocess: Preprocess, size: Size | None = None) -> Stated:
    """All that there is to say."""
    return Stated(**vars(preprocess), input=size)


def preprocess_to_json(preprocess: Preprocess) -> str:
    """The JSON form; ``preprocess_from_json`` gives back all of ``preprocess``."""
    value: dict[str, Any] = {
        "channels": preprocess.channels,
        "mean": list(preprocess.mean),
        "scale": list(preprocess.scale),
    }
    if preprocess.resize is not None:
        value["resize"] = side_or_pair(preprocess.resize)
    if preprocess.levels is not None:
        value["levels"] = [list(table) for table in preprocess.levels]
    return json.dumps(value)


def preprocess_from_json(text: str, where: str = "preprocessing") -> Stated:
    """Parse the JSON form; raises InputError that begins with ``where``."""
    value = _json(text, where)
    if not isinstance(value, dict):
        raise InputError(f"{where}: not a JSON object. {_HINT}")
    unknown = sorted(set(value) - set(_READERS))
    if unknown:
        raise InputError(f"{where}: unknown key '{safe_name(unknown[0])}'. {_HINT}")
    return Stated(**{key: read(value[key], where) for key, read in _READERS.items() if key in value})


def _channels(value: Any, where: str) -> str:
    if value not in ("RGB", "BGR"):
        raise InputError(f'{where}: channels must be "RGB" or "BGR". {_HINT}')
    return str(value)


def _mean(value: Any, where: str) -> tuple[float, float, float]:
    return _three(value, "mean", where)


def _scale(value: Any, where: str) -> tuple[float, float, float]:
    scale = _three(value, "scale", where)
    if min(scale) <= 0:
        raise InputError(f"{where}: scale must be positive. {_HINT}")
    return scale


def _resize(value: Any, where: str) -> Sides:
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or not all(_is_integer(side) and 1 <= side <= MAX_RESIZE for side in sides):
        raise InputError(
            f"{where}: resize must be a whole number from 1 to {MAX_RESIZE}, or [rows, columns] of such. {_HINT}"
        )
    return sides[0], sides[1]


def _levels(value: Any, where: str) -> Levels:
    good = isinstance(value, list) and len(value) == 3
    if not good or not all(
        isinstance(t, list) and len(t) == 256 and all(_is_integer(v) and 0 <= v <= 255 for v in t) for t in value
    ):
        raise InputError(
            f"{where}: levels must be three lists (red, green, blue) of 256 whole numbers from 0 to 255 each."
        )
    red, green, blue = map(bytes, value)
    return red, green, blue


def _size(value: Any, where: str) -> Size | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_integer, value))):
        raise InputError(f"{where}: input must be [height, width].")
    return value[0], value[1]


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "channels": _channels,
    "mean": _mean,
    "scale": _scale,
    "resize": _resize,
    "levels": _levels,
    "input": _size,
}


def _json(text: str, where: str) -> Any:
    if len(text) > MAX_TEXT_BYTES:
        raise InputError(f"{where}: longer than the {MAX_TEXT_BYTES:,} characters accepted.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not valid JSON.") from None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _three(value: Any, key: str, where: str) -> tuple[float, float, float]:
    good = isinstance(value, list) and len(value) == 3
    if not good or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in value):
        raise InputError(f"{where}: {key} must be three numbers, one per channel. {_HINT}")
    try:
        first, second, third = (float(v) for v in value)
    except OverflowError:
        first = second = third = math.inf
    if not all(map(math.isfinite, (first, second, third))):
        raise InputError(f"{where}: {key} must be finite. {_HINT}")
    return first, second, third


def read_preprocess(source: str) -> Stated:
    """What ``--preprocess`` names: ``caffe``, ``torchvision`` or a JSON file."""
    if source in NAMED:
        return stated(NAMED[source])
    if not source.lower().endswith(".json"):
        raise InputError(f"--preprocess '{safe_name(source)}': give caffe, torchvision or a .json file.")
    return preprocess_from_json(_text(Path(source)), safe_name(source))


def _text(path: Path) -> str:
    try:
        return read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{safe_name(str(path))}: not a text file (UTF-8).") from None


def labels_from_json(text: str, where: str = "labels") -> tuple[str, ...]:
    """Class names from a JSON list of strings, made safe to print."""
    value = _json(text, where)
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InputError(f"{where}: not a JSON list of class names.")
    if len(value) > MAX_CLASSES:
        raise InputError(f"{where}: {len(value):,} class names, more than the {MAX_CLASSES:,} accepted.")
    return tuple(safe_name(v, _LABEL_LENGTH) for v in value)


def labels_to_json(labels: tuple[str, ...]) -> str:
    """The value of the metadata property ``squeeze_hls.labels``."""
    return json.dumps(list(labels), ensure_ascii=False)


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names from a file: a JSON list, or one name a line (WordNet ids in front are left out)."""
    text = _text(path)
    where = safe_name(str(path))
    if text.lstrip().startswith("["):
        return labels_from_json(text, where)
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) > MAX_CLASSES:
        raise InputError(f"{where}: {len(lines):,} class names, more than the {MAX_CLASSES:,} accepted.")
    if lines and all(_SYNSET.match(line) for line in lines):
        lines = [line[10:] for line in lines]
    return tuple(safe_name(line.strip(), _LABEL_LENGTH) for line in lines)
