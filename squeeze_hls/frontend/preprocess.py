"""Preprocessing and class names: their JSON form, and where they come from.

The JSON form, the value of the ONNX metadata property ``squeeze_hls.preprocess`` and of a file given to
``--preprocess``::

    {"channels": "BGR", "mean": [104, 117, 123], "scale": [1, 1, 1], "resize": 256}

Mean and scale are in the model's channel order, for pixels 0..255: ``x = (pixel - mean) * scale``.
``"input": [height, width]`` may be added: the size at which the network is compiled.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.limits import MAX_CLASSES, MAX_SIDE, MAX_TEXT_BYTES
from squeeze_hls.frontend.onnx_file import read_bytes
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.ir import CAFFE, TORCHVISION, Preprocess

PREPROCESS_KEY = "squeeze_hls.preprocess"  # ONNX metadata property: JSON object
LABELS_KEY = "squeeze_hls.labels"  # ONNX metadata property: JSON list of strings
NAMED = {"caffe": CAFFE, "torchvision": TORCHVISION}

_LABEL_LENGTH = 200
_SYNSET = re.compile(r"n\d{8} ")
_HINT = 'Write {"channels": "RGB", "mean": [..3..], "scale": [..3..], "resize": 256}.'

Size = tuple[int, int]  # height, width


def preprocess_to_json(preprocess: Preprocess) -> str:
    """The JSON form; ``preprocess_from_json`` gives back exactly ``preprocess``."""
    return json.dumps(
        {
            "channels": preprocess.channels,
            "mean": list(preprocess.mean),
            "scale": list(preprocess.scale),
            "resize": preprocess.resize,
        }
    )


def preprocess_from_json(text: str, where: str = "preprocessing") -> Preprocess:
    """Parse the JSON form; raises InputError that begins with ``where``."""
    return preprocess_and_size(text, where)[0]


def preprocess_and_size(text: str, where: str) -> tuple[Preprocess, Size | None]:
    """Like ``preprocess_from_json``, with the input size where one is given."""
    value = _json(text, where)
    if not isinstance(value, dict):
        raise InputError(f"{where}: not a JSON object. {_HINT}")
    unknown = sorted(set(value) - {"channels", "mean", "scale", "resize", "input"})
    if unknown:
        raise InputError(f"{where}: unknown key '{safe_name(unknown[0])}'. {_HINT}")
    channels = value.get("channels", "RGB")
    if channels not in ("RGB", "BGR"):
        raise InputError(f'{where}: channels must be "RGB" or "BGR". {_HINT}')
    resize = value.get("resize", 256)
    if not _is_integer(resize) or not 1 <= resize <= MAX_SIDE:
        raise InputError(f"{where}: resize must be a whole number from 1 to {MAX_SIDE}. {_HINT}")
    scale = _three(value.get("scale", [1, 1, 1]), "scale", where)
    if min(scale) <= 0:
        raise InputError(f"{where}: scale must be positive. {_HINT}")
    mean = _three(value.get("mean", [0, 0, 0]), "mean", where)
    return Preprocess(channels=channels, mean=mean, scale=scale, resize=resize), _size(value.get("input"), where)


def _size(value: Any, where: str) -> Size | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_integer, value))):
        raise InputError(f"{where}: input must be [height, width].")
    return value[0], value[1]


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


def read_preprocess(source: str) -> tuple[Preprocess, Size | None]:
    """What ``--preprocess`` names: ``caffe``, ``torchvision`` or a JSON file."""
    if source in NAMED:
        return NAMED[source], None
    if not source.lower().endswith(".json"):
        raise InputError(f"--preprocess '{safe_name(source)}': give caffe, torchvision or a .json file.")
    return preprocess_and_size(_text(Path(source)), safe_name(source))


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
