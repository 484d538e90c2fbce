"""Operators in the forms that the operator sets give them, and a ReLU in the forms that it is found in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import helper

from tests.differential.writer import Map, Writer

LARGEST = float(np.finfo(np.float32).max)


def clip(w: Writer, x: str, low: float | None, high: float | None) -> str:
    """Clip; None is a missing bound."""
    if w.opset < 11:
        return w.op("Clip", x, min=low, max=high)
    bounds = ["" if bound is None else w.const(bound, hint="bound") for bound in (low, high)]
    while bounds and not bounds[-1]:
        bounds.pop()
    return w.op("Clip", x, *bounds)


def pad(w: Writer, x: str, pads: Sequence[int], value: float | None = None, mode: str | None = None) -> str:
    if w.opset < 11:
        return w.op("Pad", x, pads=list(pads), value=value, mode=mode)
    inputs = [x, w.ints(*pads, hint="pads")] + ([] if value is None else [w.const(value)])
    return w.op("Pad", *inputs, mode=mode)


def _with_axes(w: Writer, op: str, x: str, axes: Sequence[int] | None, since: int, **attributes: object) -> str:
    if axes is None:
        return w.op(op, x, **attributes)
    if w.opset < since:
        return w.op(op, x, axes=list(axes), **attributes)
    return w.op(op, x, w.ints(*axes, hint="axes"), **attributes)


def squeeze(w: Writer, x: str, axes: Sequence[int] | None) -> str:
    return _with_axes(w, "Squeeze", x, axes, 13)


def unsqueeze(w: Writer, x: str, axes: Sequence[int]) -> str:
    return _with_axes(w, "Unsqueeze", x, axes, 13)


def reduce(w: Writer, op: str, x: str, axes: Sequence[int] | None, **attributes: object) -> str:
    return _with_axes(w, op, x, axes, 13 if op == "ReduceSum" else 18, **attributes)


def reshape(w: Writer, x: str, shape: Sequence[int], allow_zero: int | None = None) -> str:
    return w.op("Reshape", x, w.ints(*shape), allowzero=allow_zero if w.opset >= 14 else None)


def dropout(w: Writer, site: str, x: str) -> str:
    """Dropout at inference; its mask may be written, and nobody reads it."""
    outputs = 2 if w.c.rare(f"{site}/mask", 2) else 1
    if w.opset < 7:
        return w.ops("Dropout", x, outputs=outputs, is_test=1, ratio=0.5)[0]
    if w.opset < 12:
        return w.ops("Dropout", x, outputs=outputs, ratio=0.5)[0]
    inputs = w.c.pick(f"{site}/inputs", ((), (w.const(0.5),), (w.const(0.5), w.const(False, np.bool_))), (6, 2, 2))
    return w.ops("Dropout", x, *inputs, outputs=outputs)[0]


def softmax(w: Writer, x: str, axis: int | None, log: bool = False) -> str:
    return w.op("LogSoftmax" if log else "Softmax", x, axis=axis)


def batch_norm(w: Writer, site: str, x: Map) -> Map:
    """Batch normalization with odd parameters now and then."""
    c, rng = w.c, w.c.numbers(f"{site}/bn")
    count = x.channels
    gamma = rng.uniform(0.5, 1.5, count)
    sign = c.mostly(f"{site}/bn signs", ("positive", "mixed", "one is zero"))
    if sign == "mixed":
        gamma *= np.where(np.arange(count) % 2, -1, 1)
    if sign == "one is zero":
        gamma[0] = 0
    spread = x.size**2 * rng.uniform(0.5, 2, count)
    values = (gamma, rng.normal(0, 0.3, count), rng.normal(0, 0.3 * x.size, count), spread)
    epsilon = c.mostly(f"{site}/bn epsilon", (None, 1e-3, 0.1))
    extra: dict[str, int] = {}
    if w.opset < 7:
        extra = {"is_test": 1}
    elif w.opset >= 14 and c.rare(f"{site}/bn training"):
        extra = {"training_mode": 1}
    names = [w.const(v, hint="bn") for v in values]
    return x.to(w.op("BatchNormalization", x.name, *names, epsilon=epsilon, **extra), size=1.2)


ARITHMETIC = ("Add", "Sub", "Mul", "Div")


def with_constant(w: Writer, op: str, x: Map, value: np.ndarray, *, first: bool = False) -> str:
    """``x op value``; ``first`` turns the operands round.  ``value`` broadcasts to (N, C, H, W) in any operator set."""
    if w.opset >= 7:
        operands = (w.const(value), x.name) if first else (x.name, w.const(value))
        return w.op(op, *operands)
    if value.ndim == 3 and value.shape[1:] == (1, 1):
        return w.op(op, x.name, w.const(value.reshape(-1)), broadcast=1, axis=1)
    return w.op(op, x.name, w.const(value), broadcast=1)


RELUS = (
    "Relu",
    "Clip from 0",
    "Clip to the largest",
    "Max with 0",
    "LeakyRelu 0",
    "PRelu 0",
    "ThresholdedRelu 0",
    "Where",
    "a function",
)


def relu(w: Writer, site: str, x: Map) -> Map:
    """A ReLU as somebody writes it."""
    form = w.c.pick(f"{site}/relu", RELUS, (94, 2, 1.5, 0.5, 0.2, 0.2, 0.1, 0.1, 0.2))
    size = 0.75 * x.size
    if form == "Clip from 0":
        return x.to(clip(w, x.name, 0.0, None), size=size)
    if form == "Clip to the largest" and not w.half:
        return x.to(clip(w, x.name, 0.0, LARGEST), size=size)
    if form == "Max with 0" and w.opset >= 8:
        return x.to(w.op("Max", x.name, w.const(0.0)), size=size)
    if form == "LeakyRelu 0":
        return x.to(w.op("LeakyRelu", x.name, alpha=0.0), size=size)
    if form == "PRelu 0" and w.opset >= 9:
        return x.to(w.op("PRelu", x.name, w.const(np.zeros((x.channels, 1, 1)))), size=size)
    if form == "ThresholdedRelu 0" and w.opset >= 10:
        return x.to(w.op("ThresholdedRelu", x.name, alpha=0.0), size=size)
    if form == "Where" and w.opset >= 9:
        zero = w.const(0.0)
        return x.to(w.op("Where", w.op("Greater", x.name, zero), x.name, zero), size=size)
    if form == "a function" and w.opset >= 13:
        return x.to(w.op(f"{_local_relu(w)}.Rectify", x.name), size=size)
    return x.to(w.op("Relu", x.name), size=size)


def _local_relu(w: Writer) -> str:
    """The domain of a function of the model itself that is a ReLU."""
    domain = "local.functions"
    if not w.functions:
        node = helper.make_node("Relu", ["a"], ["b"])
        opsets = [helper.make_opsetid("", w.opset)]
        w.functions.append(helper.make_function(domain, "Rectify", ["a"], ["b"], [node], opsets))
    return domain
