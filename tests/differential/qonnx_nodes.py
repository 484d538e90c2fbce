"""Models with the Quant nodes of QONNX."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.differential import forms
from tests.differential.dialects import Quantizing
from tests.differential.routes import moved, routed
from tests.differential.writer import QONNX, Map, Steps


class Qonnx(Quantizing):
    """Quant nodes."""

    name = "qonnx"
    opsets = (13, 11, 9, 17, 12, 14)
    ROUNDINGS = ("ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN", "FLOOR", "CEIL", "UP", "DOWN", "round")

    def node(self, site: str, x: str, steps: Steps, scale: Any) -> str:
        w = self.w
        inputs = (w.const(scale, hint="scale"), w.const(steps.zero), w.const(float(steps.bits)))
        rounding = (
            None if steps.rounding == "ROUND" and self.c.below(f"{site}/no rounding", 2, (8, 2)) else steps.rounding
        )
        return w.op(
            f"{QONNX}.Quant", x, *inputs, signed=int(steps.signed), narrow=int(steps.narrow), rounding_mode=rounding
        )

    def picture(self, x: Map) -> Map:
        kind = self.c.pick("picture quantizer", ("none", "as pixels", "8 bits", "clipped", "4 bits"), (80, 6, 8, 3, 3))
        if kind == "none":
            return x
        bits = 4 if kind == "4 bits" else 8
        reach = 2.2 * x.size * (0.6 if kind == "clipped" else 1)
        steps = Steps(
            scale=reach / 2 ** (bits - 1),
            zero=0,
            low=-(2 ** (bits - 1)),
            high=2 ** (bits - 1) - 1,
            bits=bits,
            signed=True,
        )
        if kind == "as pixels":
            steps = replace(steps, scale=self.pixel)
        steps = replace(steps, rounding=self.c.mostly("picture rounding", self.ROUNDINGS))
        return self.quantize("picture", x, steps)

    pixel = 1 / 64

    def weights(self, site: str, values: np.ndarray) -> tuple[str, np.ndarray | None]:
        c = self.c
        bits = c.pick(f"{site}/bits", (6, 4, 3, 2, 5, 8, 1), (60, 12, 6, 6, 6, 0.8, 0.3))
        scale = self.weight_scale(site, values, max(2 ** (bits - 1) - 1, 1))
        shape = (len(values), *(1,) * (values.ndim - 1))
        if (scale == scale[0]).all():
            shape = c.pick(f"{site}/scale shape", ((), (1,), (1, 1, 1, 1), shape))
        zero = c.pick(f"{site}/zero", (0.0, 0.5, 2.0), (99, 0.5, 0.5))
        steps = Steps(
            scale=0, zero=zero, low=0, high=0, bits=bits, signed=not c.rare(f"{site}/unsigned"),
            narrow=bool(c.below(f"{site}/narrow", 2)), rounding=c.mostly(f"{site}/rounding", self.ROUNDINGS),
        )  # fmt: skip
        if bits == 1 and c.below(f"{site}/bipolar", 2):
            bipolar = self.w.op(f"{QONNX}.BipolarQuant", self.w.const(values), self.w.const(np.resize(scale, shape)))
            return bipolar, scale
        if values.ndim == 4 and c.rare(f"{site}/turned", 2):
            return self._turned(site, values, steps, scale), scale
        source = routed(self.w, f"{site}/floats", values, weight=1)
        return moved(self.w, site, self.node(site, source, steps, np.resize(scale, shape)), values), scale

    def _turned(self, site: str, values: np.ndarray, steps: Steps, scale: np.ndarray) -> str:
        """Weights quantized with their axes in another order, or flat, and brought back."""
        if self.c.below(f"{site}/flat", 2):
            flat = self.node(site, self.w.const(values.reshape(len(values), -1)), steps, scale[:, None])
            return forms.reshape(self.w, flat, values.shape)
        q = self.node(site, self.w.const(values.transpose(2, 3, 1, 0)), steps, scale)
        return self.w.op("Transpose", q, perm=[3, 2, 0, 1])

    def bias(self, site: str, values: np.ndarray, x: Map, scale: np.ndarray | None) -> str:
        name = routed(self.w, f"{site}/bias", values, weight=1)
        if self.c.below(f"{site}/bias form", 2, (7, 3)) and scale is not None:
            unit = scale * (x.steps.scale if x.steps else 2.0**-7)
            steps = Steps(
                scale=0, zero=0, low=0, high=0, bits=self.c.pick(f"{site}/bias bits", (24, 16, 32)), signed=True
            )
            name = self.node(f"{site}/bias", name, steps, unit)
        return name

    def steps(self, site: str, size: float, *, last: bool = False) -> Steps | None:
        c = self.c
        if last and c.below(f"{site}/free", 2, (70, 30)):
            return None
        bits = c.pick(f"{site}/bits", (8, 4, 2, 3, 6, 7, 5), (60, 12, 4, 4, 8, 4, 4))
        if last and c.below(f"{site}/wide", 2):
            bits = 16
        signed = bool(c.below(f"{site}/signed", 2, (75, 25)))
        narrow = bool(c.below(f"{site}/narrow", 2, (85, 15)))
        zero = c.pick(f"{site}/zero", (0.0, 1.0, 0.5, -1.0), (98, 1, 0.5, 0.5))
        low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1 - narrow)
        rounding = c.mostly(f"{site}/rounding", self.ROUNDINGS, 0.97)
        scale = self.scale(site, self.reach(site, size), max(high - zero, 1))
        return Steps(
            scale=scale, zero=zero, low=low, high=high, bits=bits, signed=signed, narrow=narrow, rounding=rounding
        )

    def quantize(self, site: str, x: Map, steps: Steps | None) -> Map:
        if steps is None:
            return x
        shape = self.c.mostly(f"{site}/scale shape", ((), (1,), (1, 1, 1, 1), (1, x.channels, 1, 1)))
        name = self.node(site, x.name, steps, np.full(shape, steps.scale))
        return replace(x.to(name, size=min(x.size, steps.reach)), steps=steps)


class WeightsOnly(Qonnx):
    """Quantized weights, activations in float."""

    name = "weights only"
    quantizes = False

    def steps(self, site: str, size: float, *, last: bool = False) -> Steps | None:
        return None

    def picture(self, x: Map) -> Map:
        return x
