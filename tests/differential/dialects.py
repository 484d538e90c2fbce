"""How a model says that it is quantized: not at all here; see qdq.py and qonnx.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.differential import forms
from tests.differential.routes import routed
from tests.differential.writer import Map, Steps, Writer


class Dialect:
    """A float model."""

    name = "float"
    opsets: tuple[int, ...] = (13, 11, 17, 12, 9, 7, 6, 8, 10, 14, 15, 16, 18, 19, 20, 21, 22)
    bn = 2.0  # how often convolutions have batch normalizations
    quantizes = False  # activations

    def __init__(self, w: Writer) -> None:
        self.w, self.c = w, w.c

    def picture(self, x: Map) -> Map:
        """The picture, maybe quantized."""
        return x

    def weights(self, site: str, values: np.ndarray) -> tuple[str, np.ndarray | None]:
        """A tensor with (nearly) these values, and its scale per output channel where they are quantized."""
        return routed(self.w, f"{site}/weights", values), None

    def bias(self, site: str, values: np.ndarray, x: Map, scale: np.ndarray | None) -> str:
        return routed(self.w, f"{site}/bias", values, weight=1)

    def steps(self, site: str, size: float, *, last: bool = False) -> Steps | None:
        """A quantizer for values of about this size behind a ReLU; None for none."""
        return None

    def quantize(self, site: str, x: Map, steps: Steps | None) -> Map:
        return x

    def read_again(self, site: str, x: Map) -> Map:
        """The map, maybe with a dequantizer of its own."""
        return x

    def activation(self, site: str, y: Map, steps: Steps | None) -> Map:
        """A ReLU and a quantizer, in an order that somebody's exporter writes."""
        if steps is None:
            return self._float_activation(site, y)
        order = self.c.mostly(
            f"{site}/order", ("relu q", "q", "q relu", "relu q q", "relu q coarser", "relu q relu"), 0.9
        )
        if order == "q relu":
            return forms.relu(self.w, site, self.quantize(site, y, self._both_signs(steps)))
        y = y if order == "q" else self._float_activation(site, y)
        y = self.quantize(site, y, steps)
        if order == "relu q q":
            y = self.quantize(f"{site}/again", y, steps)
        if order == "relu q coarser":
            y = self.quantize(
                f"{site}/again", y, replace(steps, scale=steps.scale * self.c.pick(f"{site}/by", (1.5, 2.0, 1.01)))
            )
        return replace(forms.relu(self.w, f"{site}/late", y), steps=y.steps) if order == "relu q relu" else y

    def _float_activation(self, site: str, y: Map) -> Map:
        c = self.c
        if not c.rare(f"{site}/odd activation", 2):
            return forms.relu(self.w, site, y)
        kinds = (
            "none",
            "relu6",
            "low",
            "high only",
            "negative low",
            "empty",
            "leaky",
            "sigmoid",
            "hardswish",
            "low only",
        )
        kind = c.pick(f"{site}/activation", kinds)
        if kind == "none":
            return y
        if kind == "leaky":
            return y.to(self.w.op("LeakyRelu", y.name, alpha=0.1))
        if kind == "sigmoid":
            return y.to(self.w.op("Sigmoid", y.name))
        if kind == "hardswish":
            return y.to(self.w.op("HardSigmoid", y.name))
        bounds = {"relu6": (0.0, 1.5), "low": (0.25, 2.0), "high only": (None, 1.0), "negative low": (-1.0, 1.0)}
        low, high = (bounds | {"empty": (1.0, 0.5), "low only": (0.5, None)})[kind]
        return y.to(forms.clip(self.w, y.name, low, high))

    def _both_signs(self, steps: Steps) -> Steps:
        """The same steps for negative values, too."""
        return replace(steps, kind=np.int8, zero=0, low=-128, high=127, signed=True, bits=8, narrow=False)


class Quantizing(Dialect):
    """What QDQ and QONNX have in common."""

    bn = 0.7
    quantizes = True
    WEIGHT_TOPS = (31, 7, 3, 1, 15)  # largest integer weight
    TOP_WEIGHTS = (70, 10, 4, 3, 8)

    def weight_scale(self, site: str, values: np.ndarray, top: int) -> np.ndarray:
        """Per output channel, or one for all."""
        reach = np.abs(values).reshape(len(values), -1).max(axis=1)
        if self.c.below(f"{site}/per tensor", 2, (75, 25)):
            reach[:] = reach.max()
        reach = np.where(reach > 0, reach, 1e-3 if reach.max() == 0 else reach.max() * 0.1)
        if self.c.rare(f"{site}/weights clip", 2):
            reach *= 0.6
        return (reach / top).astype(np.float32)

    def reach(self, site: str, size: float) -> float:
        """The largest value that a quantizer of activations holds."""
        if self.c.rare(f"{site}/range", 2):
            return size * self.c.pick(f"{site}/range is", (0.5, 40.0, 1e-3))
        return float(size * self.c.numbers(f"{site}/range").uniform(2.0, 4.0))

    def scale(self, site: str, reach: float, levels: float) -> float:
        scale = reach / levels
        if self.c.below(f"{site}/power of two", 2, (75, 25)):
            scale = 2.0 ** round(float(np.log2(scale)))
        return float(np.float32(scale))
