"""Quantized networks as the tests write them: in QONNX, and with QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from tests.frontend.build import Builder
from tests.frontend.compare import onnxruntime_logits, qonnx_logits

QONNX = "qonnx.custom_op.general"
Quantize = Callable[..., str]


class Qonnx:
    """Writes quantizers as QONNX (and Brevitas) does."""

    opset = 13
    run = staticmethod(qonnx_logits)

    def __init__(self, **options: object) -> None:
        self.bits, self.signed, self.narrow = options.get("bits", 6), options.get("signed", 0), options.get("narrow", 0)

    def weights(self, b: Builder, w: np.ndarray) -> str:
        top = 2 ** (self.bits - 1) - 1
        scale = np.abs(w).max(axis=(1, 2, 3), keepdims=True) / top
        inputs = (b.const(w), b.const(scale), b.const(0.0), b.const(self.bits))
        return b.node(f"{QONNX}.Quant", *inputs, signed=1, narrow=self.narrow, rounding_mode="ROUND")

    def bias(self, b: Builder, values: np.ndarray) -> str:
        inputs = (b.const(values), b.const(2.0**-12), b.const(0.0), b.const(24.0))
        return b.node(f"{QONNX}.Quant", *inputs, signed=1, narrow=0, rounding_mode="ROUND")

    def activation(self, b: Builder, x: str, top: float, bits: int = 8) -> str:
        steps = 2 ** (bits - self.signed) - 1
        inputs = (x, b.const(top / steps), b.const(0.0), b.const(bits))
        return b.node(f"{QONNX}.Quant", *inputs, signed=self.signed, narrow=0, rounding_mode="ROUND")


class Qdq:
    """Writes quantizers as QuantizeLinear and DequantizeLinear."""

    opset = 21
    run = staticmethod(onnxruntime_logits)

    def __init__(self, **options: object) -> None:
        self.int8 = options.get("int8", False)  # activations as int8 with zero point -128
        self.fake = options.get("fake", False)  # weights stored as floats in front of both nodes

    def weights(self, b: Builder, w: np.ndarray) -> str:
        scale = (np.abs(w).max(axis=(1, 2, 3)) / 31).astype(np.float32)
        zero = b.const(np.zeros(len(w)), np.int8)
        name = b.const(scale)
        if self.fake:
            q = b.node("QuantizeLinear", b.const(w), name, zero, axis=0)
        else:
            q = b.const(np.clip(np.rint(w / scale[:, None, None, None]), -32, 31), np.int8)
        return b.node("DequantizeLinear", q, name, zero, axis=-4)

    def bias(self, b: Builder, values: np.ndarray) -> str:
        scale = b.const(np.full(len(values), 2.0**-12))
        return b.node("DequantizeLinear", b.const(np.rint(values * 2**12), np.int32), scale, axis=0)

    def activation(self, b: Builder, x: str, top: float, bits: int = 8, through: Quantize | None = None) -> str:
        kind, low = {8: (np.uint8, 0), 16: (np.uint16, 0)}[bits]
        if self.int8:
            kind, low = {8: (np.int8, -128), 16: (np.int16, -32768)}[bits]
        inputs = (b.const(top / (2**bits - 1)), b.const(low, kind))
        x = b.node("QuantizeLinear", x, *inputs)
        return b.node("DequantizeLinear", through(x) if through else x, *inputs)


class Qcdq(Qdq):
    """Clips integers between QuantizeLinear and DequantizeLinear, as Brevitas does, to ``bits`` (activations)."""

    def __init__(self, bits: int, **options: object) -> None:
        super().__init__(**options)
        self.bits = bits

    def weights(self, b: Builder, w: np.ndarray) -> str:
        scale = b.const((np.abs(w).max(axis=(1, 2, 3)) / 31).astype(np.float32))
        zero = b.const(np.zeros(len(w)), np.int8)
        q = b.node("QuantizeLinear", b.const(w), scale, zero, axis=0)
        q = b.node("Clip", q, b.const(-31, np.int8), b.const(31, np.int8))
        return b.node("DequantizeLinear", q, scale, zero, axis=0)

    def activation(self, b: Builder, x: str, top: float, bits: int = 8, through: Quantize | None = None) -> str:
        if bits != 8:
            return super().activation(b, x, top, bits, through)
        most = 2**self.bits - 1
        kind, low = (np.int8, -128) if self.int8 else (np.uint8, 0)
        inputs = (b.const(top / most), b.const(low, kind))
        x = b.node("QuantizeLinear", x, *inputs)
        x = b.node("Clip", x, b.const(low, kind), b.const(low + most, kind))
        return b.node("DequantizeLinear", through(x) if through else x, *inputs)


Dialect = Qonnx | Qdq


def network(
    q: Dialect, *, relu: bool = True, halves: bool = False, wide: bool = True, late: bool = False
) -> onnx.ModelProto:
    """conv1, pool, Fire, conv10; ``relu``: a ReLU in front of the quantizers (which clip at 0 themselves);
    ``halves``: the halves of the concatenation are quantized, not the whole; ``wide``: 16 bits before the average;
    ``late``: quantizers after pooling."""
    b = Builder(opset=q.opset)

    def conv(x: str, *shape: int, name: str, **attributes: object) -> str:
        bias = q.bias(b, b.rng.normal(0, 0.3, shape[0]))
        y = b.conv(x, q.weights(b, b.weights(*shape)), name=name, bias=bias, **attributes)
        return b.node("Relu", y, name=f"{name}/relu") if relu else y

    def pool(x: str) -> str:
        return b.node("MaxPool", x, name="pool1", kernel_shape=[3, 3], strides=[2, 2])

    x = conv("x", 6, 3, 3, 3, name="conv1", strides=[2, 2])
    x = q.activation(b, pool(x), 2.5) if late else pool(q.activation(b, x, 2.5))
    x = q.activation(b, conv(x, 4, 6, 1, 1, name="squeeze"), 2.0)
    left, right = conv(x, 5, 4, 1, 1, name="left"), conv(x, 3, 4, 3, 3, name="right", pads=[1, 1, 1, 1])
    if halves:
        left, right = q.activation(b, left, 1.5), q.activation(b, right, 1.5)
    x = b.node("Concat", left, right, name="concat", axis=1)
    x = x if halves else q.activation(b, x, 1.5)
    x = conv(x, 7, 8, 1, 1, name="conv10")
    x = q.activation(b, x, 1.2, 16) if wide else x
    return b.model(b.node("Flatten", b.node("GlobalAveragePool", x, name="average"), name="flatten"))
