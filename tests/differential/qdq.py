"""Models with QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.differential import forms
from tests.differential.dialects import Quantizing
from tests.differential.routes import moved, routed
from tests.differential.writer import MICROSOFT, Map, Steps


class Qdq(Quantizing):
    """QuantizeLinear and DequantizeLinear."""

    name = "qdq"
    opsets = (21, 13, 17, 19, 22, 15)
    clip_bits = False  # with Clip between both, as Brevitas exports narrow integers

    def picture(self, x: Map) -> Map:
        kind = self.c.pick("picture quantizer", ("none", "as pixels", "8 bits", "clipped", "4 bits"), (80, 6, 8, 3, 3))
        if kind == "none":
            return x
        reach = 2.2 * x.size * (0.6 if kind == "clipped" else 1)
        levels = 15 if kind == "4 bits" else 255
        steps = Steps(scale=float(np.float32(2 * reach / levels)), zero=levels // 2, low=0, high=levels)
        if kind == "as pixels":
            steps = replace(steps, scale=float(np.float32(self.pixel)), zero=self.black)
        if kind == "4 bits":
            steps = self._four_bits(steps)
        return self.quantize("picture", x, steps)

    pixel, black = 1 / 64, 128  # step and zero point at which a quantizer of the picture changes nothing

    def _four_bits(self, steps: Steps) -> Steps:
        return replace(steps, kind=TensorProto.UINT4) if self.w.opset >= 21 and not self.clip_bits else steps

    def weights(self, site: str, values: np.ndarray) -> tuple[str, np.ndarray | None]:
        c, w = self.c, self.w
        top = c.pick(f"{site}/weight top", (*self.WEIGHT_TOPS, 127), (*self.TOP_WEIGHTS, 0.8))
        scale = self.weight_scale(site, values, top)
        shaped = scale.reshape(-1, *(1,) * (values.ndim - 1))
        low = -top if c.below(f"{site}/narrow", 2, (6, 4)) else -top - 1
        integers = np.clip(np.rint(values / shaped), low, top)
        per_tensor = bool((scale == scale[0]).all())
        kind: Any = np.int8
        if top == 7 and w.opset >= 21 and c.below(f"{site}/int4", 2):
            kind = TensorProto.INT4
        zero, offset = self._weight_zero(site, kind, per_tensor, len(scale))
        kind = np.uint8 if offset else kind
        axis = None if per_tensor else c.pick(f"{site}/axis", (0, -4, None), (80, 17, 1))
        scale_name = routed(w, f"{site}/scale", scale[0] if per_tensor else scale, weight=0.5)
        how = c.pick(f"{site}/stored", ("integers", "floats", "clipped"), (60, 40, 20 if self.clip_bits else 0))
        if how == "integers" or kind == TensorProto.INT4 or not per_tensor and axis is None:
            q = routed(w, f"{site}/integers", integers + offset, kind)
        else:
            floats = values if how == "clipped" else np.clip(values, low * shaped, top * shaped)
            signed = zero or w.const(np.zeros(() if per_tensor else len(scale)), np.int8, "zero")
            q = w.op("QuantizeLinear", routed(w, f"{site}/floats", floats), scale_name, signed, axis=axis)
            if how == "clipped":
                q = w.op("Clip", q, w.const(low + offset, kind), w.const(top + offset, kind))
        operands = (scale_name, *([zero] if zero else []))
        if how == "integers" and not isinstance(kind, int) and c.rare(f"{site}/turned", 3):
            return self._turned(site, integers + offset, kind, operands, per_tensor), scale
        name = w.op("DequantizeLinear", q, *operands, axis=axis)
        return moved(w, site, name, values), scale

    def _turned(self, site: str, integers: np.ndarray, kind: Any, operands: tuple[str, ...], per_tensor: bool) -> str:
        """Weights stored with their axes in another order, as TensorFlow has them, or flat, and brought back."""
        perm = self.c.pick(f"{site}/perm", ((2, 3, 1, 0), (1, 0, 2, 3), (0, 2, 3, 1)))
        if integers.ndim != 4:
            perm = tuple(range(integers.ndim))[::-1]
        axis = None if per_tensor else perm.index(0)
        q = self.w.const(integers.transpose(perm), kind, "turned")
        if not per_tensor and axis == integers.ndim - 1 and self.c.below(f"{site}/flat", 2):
            turned = integers.transpose(perm)
            q = self.w.const(turned.reshape(-1, len(integers)), kind, "flat")
            name = self.w.op("DequantizeLinear", q, *operands, axis=1)
            name = forms.reshape(self.w, name, turned.shape)
        else:
            name = self.w.op("DequantizeLinear", q, *operands, axis=axis)
        return self.w.op("Transpose", name, perm=np.argsort(perm).tolist())

    def _weight_zero(self, site: str, kind: Any, per_tensor: bool, count: int) -> tuple[str, int]:
        """The name of the zero point ("" for none) and, where weights are stored as uint8, its value."""
        which = self.c.pick(f"{site}/zero", ("zeros", "none", "uint8"), (70, 25, 3))
        if which == "none" or kind != np.int8 and which == "uint8":
            return "", 0
        offset = 128 if which == "uint8" else 0
        stored = np.uint8 if offset else kind
        return self.w.const(np.full((() if per_tensor else count), offset), stored, "zero"), offset

    def bias(self, site: str, values: np.ndarray, x: Map, scale: np.ndarray | None) -> str:
        form = self.c.pick(f"{site}/bias form", ("float", "int32"), (55, 45))
        if form == "float" or scale is None or np.abs(values).max() > 100:
            return routed(self.w, f"{site}/bias", values, weight=1)
        unit = (scale * (x.steps.scale if x.steps else 2.0**-7)).astype(np.float32)
        q = routed(
            self.w, f"{site}/bias integers", np.clip(np.rint(values / unit), -(2**30), 2**30), np.int32, weight=0.5
        )
        zero = [self.w.const(np.zeros(len(unit)), np.int32)] * self.c.below(f"{site}/bias zero", 2)
        return self.w.op("DequantizeLinear", q, self.w.const(unit), *zero, axis=0)

    def steps(self, site: str, size: float, *, last: bool = False) -> Steps | None:
        c = self.c
        if last and c.below(f"{site}/free", 2, (70, 30)):
            return None
        wide = last and bool(c.below(f"{site}/8 bits", 2, (50, 50)) == 0)
        reach = self.reach(site, size)
        bits = 16 if wide else 8
        # integers that are there, and the zero point among them
        choices: list[tuple[Any, int, int, int]] = [
            (np.uint8, 0, 255, 0), (np.int8, -128, 127, -128), (np.int8, -128, 127, 0), (np.uint8, 0, 255, 3),
            (np.int8, -128, 127, -100), (np.uint8, 0, 255, 128),
        ]  # fmt: skip
        if wide:
            choices = [(np.uint16, 0, 65535, 0), (np.int16, -32768, 32767, -32768), (np.int16, -32768, 32767, 0)]
        elif self.w.opset >= 21:
            choices += [(TensorProto.UINT4, 0, 15, 0), (TensorProto.INT4, -8, 7, -8), (np.uint16, 0, 65535, 0)]
        kind, low, high, zero = c.mostly(f"{site}/type", choices, 0.6)
        if self.clip_bits and kind in (np.uint8, np.int8):  # what ONNX Runtime can clip
            used = c.pick(f"{site}/bits", (8, 4, 6, 2, 3, 7))
            high = min(high, low + 2**used - 1) if zero == low else min(high, zero + 2 ** (used - 1) - 1)
            low = low if zero == low else max(low, zero - 2 ** (used - 1))
        return Steps(
            scale=self.scale(site, reach, max(high - zero, 1)), zero=zero, low=low, high=high, kind=kind, bits=bits
        )

    def quantize(self, site: str, x: Map, steps: Steps | None) -> Map:
        if steps is None:
            return x
        scale, zero = self.names(site, steps)
        odd = self.c.rare(f"{site}/odd scales", 1)
        if odd and self.c.below(f"{site}/per channel", 2) and x.channels > 1:
            factors = np.ones(x.channels) if self.c.below(f"{site}/all the same", 2) else np.arange(1, x.channels + 1)
            scale = self.w.const(steps.scale * factors, hint="scales")
            zero = self.w.const(np.full(x.channels, steps.zero), steps.kind, "zeros")
            odd = False
        q = self.between(site, self.quantize_only(x.name, steps, scale, zero), steps)
        if odd:
            scale = self.w.const(steps.scale * 1.5, hint="scale")
        return self.dequantize(x, q, steps, scale, zero)

    def names(self, site: str, steps: Steps) -> tuple[str, str]:
        left_out = steps.kind == np.uint8 and steps.zero == 0 and bool(self.c.below(f"{site}/no zero", 2, (8, 2)))
        scale = self.w.const(steps.scale, hint="scale")
        return scale, "" if left_out else self.w.const(steps.zero, steps.kind, "zero")

    def read_again(self, site: str, x: Map) -> Map:
        if not x.integers or x.steps is None or not self.c.rare(f"{site}/own dequantizer", 3):
            return x
        return self.dequantize(x, x.integers, x.steps, *self.names(site, x.steps))

    def quantize_only(self, x: str, steps: Steps, scale: str, zero: str) -> str:
        domain = f"{MICROSOFT}." if steps.bits == 16 and self.w.opset < 21 else ""
        return self.w.op(f"{domain}QuantizeLinear", x, scale, *([zero] if zero else []), hint="q")

    def between(self, site: str, q: str, steps: Steps) -> str:
        """What stands between both nodes: a Clip where fewer integers are used than the type has."""
        whole = {np.uint8: 255, np.int8: 255, np.uint16: 65535, np.int16: 65535}.get(steps.kind, 15)
        if steps.high - steps.low == whole:
            return q
        return self.w.op("Clip", q, self.w.const(steps.low, steps.kind), self.w.const(steps.high, steps.kind))

    def dequantize(self, x: Map, q: str, steps: Steps, scale: str, zero: str) -> Map:
        domain = f"{MICROSOFT}." if steps.bits == 16 and self.w.opset < 21 else ""
        name = self.w.op(f"{domain}DequantizeLinear", q, scale, *([zero] if zero else []), hint="dq")
        return replace(x.to(name, size=min(x.size, steps.reach)), steps=steps, integers=q)


class Qcdq(Qdq):
    """With a Clip of the integers, as Brevitas writes for less than 8 bits."""

    name = "qcdq"
    opsets = (13, 17, 21, 15)
    clip_bits = True


class ActivationsOnly(Qdq):
    """Quantizers of feature maps, weights in float."""

    name = "activations only"

    def weights(self, site: str, values: np.ndarray) -> tuple[str, np.ndarray | None]:
        return routed(self.w, f"{site}/weights", values), None


class Float8(Qdq):
    """Weights in float8."""

    name = "float8"
    opsets = (21, 19)

    def weights(self, site: str, values: np.ndarray) -> tuple[str, np.ndarray | None]:
        w = self.w
        scale = np.float32(2.0 ** np.round(np.log2(np.abs(values).max() / 8 + 1e-6)))
        name, flat = w.name("float8"), (values / scale).astype(np.float32).reshape(-1).tolist()
        w.constants[name] = helper.make_tensor(name, TensorProto.FLOAT8E4M3FN, values.shape, flat)
        return w.op("DequantizeLinear", name, w.const(scale)), None
