"""What concerns the whole model: preprocessing and where it is said, the picture's size, the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.differential.case import Said
from tests.differential.choices import Choices

KEYS = ("channels", "mean", "scale")


@dataclass(frozen=True, kw_only=True)
class Settings:
    given: str | Said | None  # --preprocess
    carried: Said | None  # in the metadata
    size: tuple[int, int]
    batch: int | str
    shape: tuple[int | str, ...]  # as the model declares it
    layout: str  # NCHW, NHWC, or NCHW of bytes


def settings(c: Choices, quantized: bool) -> Settings:
    given, carried = _preprocess(c, quantized)
    height = int(c.pick("height", (14, 8, 11, 17, 24, 6), (30, 10, 20, 20, 15, 5)))
    width = int(c.pick("width", (14, 9, 10, 19, 23, 6), (30, 10, 20, 20, 15, 5)))
    batch = c.pick("batch", ("N", 1, 4, 0), (45, 48, 5, 2))
    dims: tuple[int | str, ...] = (batch or "?", 3, height, width)
    if c.rare("dynamic size", 4):
        dims = (*dims[:2], "H", "W")
        if c.mostly("size is said", (True, False), 0.9):
            said = {"input": [height, width]}
            if isinstance(given, dict) or carried is None:
                given = {**given, **said} if isinstance(given, dict) else said
            else:
                carried = {**carried, **said}
    layout = c.pick("layout is", ("NHWC", "bytes")) if c.rare("layout", 2) else "NCHW"
    if layout == "NHWC":
        dims = (dims[0], *dims[2:], dims[1])
    if layout == "bytes":  # which only pixels as they are fit
        raw = {"mean": [0.0] * 3, "scale": [1.0] * 3}
        given = {**given, **raw} if isinstance(given, dict) else {**raw, "channels": "RGB"}
    return Settings(given=given, carried=carried, size=(height, width), batch=batch or "?", shape=dims, layout=layout)


def _preprocess(c: Choices, quantized: bool) -> tuple[str | Said | None, Said | None]:
    """Whole in one place mostly; otherwise by name, in parts, in both, or nowhere."""
    whole = _whole(c, quantized)
    where = c.pick("preprocess", ("file", "metadata", "caffe", "torchvision", "nothing", "parts"), (45, 30, 6, 5, 3, 6))
    if where == "file":
        return whole, None
    if where == "metadata":
        return None, whole
    if where in ("caffe", "torchvision"):
        return where, _whole(c, quantized, "other ") if c.rare("preprocess/and metadata", 4) else None
    if where == "nothing":
        return None, None
    given = {k: v for k, v in whole.items() if c.below(f"preprocess/given {k}", 2)}
    carried = {k: v for k, v in _whole(c, quantized, "other ").items() if c.below(f"preprocess/carried {k}", 2)}
    return given, carried if c.below("preprocess/carried", 2) else None


def _whole(c: Choices, quantized: bool, which: str = "") -> dict[str, Any]:
    kinds = {
        "half": 50,
        "zero": 15,
        "fractions": 8,
        "large": 8,
        "colours": 3 if quantized else 12,
        "outside": 1,
        "bgr": 15,
    }
    kind = c.pick(f"{which}preprocess/kind", list(kinds), list(kinds.values()))
    mean, scale = [128.0] * 3, [1 / 64] * 3
    if kind == "zero":
        mean, scale = [0.0] * 3, [1 / 255] * 3
    if kind == "fractions":
        mean, scale = [127.5, 110.3, 99.9], [1 / 127.5] * 3
    if kind == "large":
        mean, scale = [104.0, 117.0, 123.0], [1.0] * 3
    if kind == "colours":
        mean, scale = [123.0, 116.0, 104.0], [1 / 58, 1 / 57, 1 / 61]
    if kind == "outside":
        mean, scale = [-20.0, 128.0, 300.0], [1 / 64] * 3
    if kind == "bgr":
        mean, scale = [100.0, 110.0, 120.0], [1 / 60] * 3
    return {"channels": "BGR" if kind == "bgr" else "RGB", "mean": mean, "scale": scale}


def spread(scale: tuple[float, ...]) -> float:
    """What the network's input is about."""
    return float(74 * np.mean(scale))
