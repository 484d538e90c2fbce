"""Small networks, and constants, around one node with the value of a part."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.frontend.build import Builder, fire, tail
from tests.frontend.operator_case import Build, given

ROWS = [0, 0, 1, 0, 0, 0, 1, 1]  # padding of rows and columns


def first_conv(b: Builder, *, size: int = 3, **attributes: object) -> str:
    return b.conv("x", b.weights(6, 3, size, size), name="conv1", **attributes)


def start(b: Builder) -> str:
    """(1, 6, 9, 10), without negative values."""
    return b.node("Relu", first_conv(b))


def average(b: Builder) -> str:
    return b.node("GlobalAveragePool", start(b))


def rest(b: Builder, x: str, channels: int = 6) -> str:
    return tail(b, fire(b, x, channels))


def node_on(b: Builder, x: str, op: str, part: str, v: object, at: int | None, attributes: dict[str, Any]) -> str:
    """``op`` on ``x``; the value is an attribute, or input ``at``."""
    if at is None:
        return b.node(op, x, **attributes, **given(part, v))
    names = [x] if v is None else [x, *[""] * (at - 1), b.const(v, np.asarray(v).dtype)]
    return b.node(op, *names, **attributes)


def middle(op: str, part: str, at: int | None = None, **attributes: Any) -> Build:
    """Behind the ReLU of conv1."""
    return lambda b, v: rest(b, node_on(b, start(b), op, part, v, at, attributes))


def activation(op: str, part: str, at: int | None = None, **attributes: Any) -> Build:
    """In place of the ReLU of conv1."""
    return lambda b, v: rest(b, node_on(b, first_conv(b), op, part, v, at, attributes))


def clip_inputs(b: Builder, v: object) -> str:
    return rest(b, b.node("Clip", first_conv(b), b.const(0.0), *([] if v is None else [b.const(v)])))


def ending(op: str, part: str, at: int | None = None, **attributes: Any) -> Build:
    """In place of the global average."""
    return lambda b, v: node_on(b, start(b), op, part, v, at, attributes)


def softmax(op: str, part: str) -> Build:
    """Behind the global average, whose shape stays (1, 6, 1, 1)."""
    return lambda b, v: node_on(b, average(b), op, part, v, None, {})


def flatten_softmax(b: Builder, v: object) -> str:
    """Over the second axis of what Flatten makes."""
    return b.node("Softmax", b.node("Flatten", average(b), **given("axis", v)), axis=1)


def mean_softmax(b: Builder, v: object) -> str:
    """Over the last axis of what ReduceMean makes."""
    return b.node("Softmax", b.node("ReduceMean", start(b), axes=[2, 3], **given("keepdims", v)), axis=-1)


def conv1(part: str, size: int = 3, **attributes: object) -> Build:
    """The first convolution itself."""
    return lambda b, v: rest(b, b.node("Relu", first_conv(b, size=size, **attributes, **given(part, v))))


def groups(b: Builder, v: int) -> str:
    return rest(b, b.node("Relu", b.conv("x", b.weights(6, 3 // v, 3, 3), group=v)))


def biases(b: Builder, v: object) -> str:
    names = ["x", b.const(b.weights(6, 3, 3, 3)), *([] if v is None else [b.const(v)])]
    return rest(b, b.node("Relu", b.node("Conv", *names)))


def norm(part: str, **attributes: object) -> Build:
    """A batch normalization after conv1."""

    def build(b: Builder, v: object) -> str:
        parameters = [b.const(b.rng.uniform(0.3, 1.5, 6)) for _ in range(4)]
        x = b.node("BatchNormalization", first_conv(b), *parameters, **attributes, **given(part, v))
        return rest(b, b.node("Relu", x))

    return build


def norm_outputs(b: Builder, v: int) -> str:
    return norm("", outputs=tuple(f"y{i}" for i in range(v)))(b, None)


def norm_output_used(b: Builder, v: str | None) -> str:
    """A second normalization with the first one's running mean, or variance, as its factors."""
    parameters = [b.const(b.rng.uniform(0.3, 1.5, 6)) for _ in range(4)]
    outputs = ("y", "running_mean", "running_var") if v else ()
    x = b.node("BatchNormalization", first_conv(b), *parameters, outputs=outputs)
    x = b.conv(b.node("Relu", x), b.weights(6, 6, 1, 1))
    x = b.node("BatchNormalization", x, v or parameters[0], *parameters[1:])
    return rest(b, b.node("Relu", x))


def output_used(op: str, **attributes: object) -> Build:
    """The value says whether anything reads the second output, which is there."""

    def build(b: Builder, v: bool) -> str:
        x = b.node(op, start(b), outputs=("one", "two"), **attributes)
        if v:
            x = b.node("Concat", x, b.node("Cast", "two", to=1), axis=1)
        return rest(b, x, 12 if v else 6)

    return build


def concat(b: Builder, v: object) -> str:
    return tail(b, b.node("Concat", start(b), start(b), **given("axis", v)), 12)


def twice(b: Builder, v: object) -> str:
    x = start(b)
    return rest(b, b.node("Sum", x, x, **given("consumed_inputs", v)))


def noop_mean(b: Builder, v: object) -> str:
    return b.node("ReduceMean", average(b), **given("noop_with_empty_axes", v))


def pad(part: str, **attributes: object) -> Build:
    """Of the picture, by attributes."""
    return lambda b, v: padded(b, b.node("Pad", "x", **attributes, **given(part, v)))


def pad_amounts(b: Builder, v: object) -> str:
    """Of the picture, by an input."""
    return padded(b, b.node("Pad", "x", b.const(v, np.int64)))


def pad_value(b: Builder, v: object) -> str:
    return padded(b, b.node("Pad", "x", b.const(ROWS, np.int64), *([] if v is None else [b.const(v)])))


def pad_axes(b: Builder, v: object) -> str:
    amounts = ROWS if v is None else ROWS[2:4] + ROWS[6:]
    more = [] if v is None else ["", b.const(v, np.int64)]
    return padded(b, b.node("Pad", "x", b.const(amounts, np.int64), *more))


def padded(b: Builder, x: str) -> str:
    return rest(b, b.node("Relu", b.conv(x, b.weights(6, 3, 3, 3))))


# --- constants: the part stands in the last node ---


def array(*shape: int, dtype: object = np.float32) -> np.ndarray:
    return (np.arange(np.prod(shape)) * 7 % 11 - 4).reshape(shape).astype(dtype)


def fold(op: str, part: str, *arrays: Any, at: int | None = None, **attributes: object) -> Build:
    """A node of constants; the value is an attribute, or input ``at``."""

    def build(b: Builder, v: object) -> str:
        names = [b.const(a, np.asarray(a).dtype) for a in arrays]
        if at is None:
            return b.node(op, *names, **attributes, **given(part, v))
        if v is not None:
            names += [*[""] * (at - len(names)), b.const(v, np.asarray(v).dtype)]
        return b.node(op, *names, **attributes)

    return build


def constant(b: Builder, v: dict[str, Any]) -> str:
    return b.node("Constant", **v)


def unsqueezed(op: str) -> Build:
    """What ``axis`` 0 of the first operator sets means, in today's words."""

    def build(b: Builder, v: object) -> str:
        second = array(3, 3)[0].reshape((3, 1) if v == 0 else (3,))
        return b.node(op, b.const(array(3, 3)), b.const(second))

    return build


def cast_today(b: Builder, v: str) -> str:
    return b.node("Cast", b.const(array(3, 3)), to=onnx.TensorProto.DataType.Value(v))
