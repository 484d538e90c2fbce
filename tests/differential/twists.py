"""What may stand between two layers of a network: from nothing at all to what nobody should write."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from tests.differential import forms
from tests.differential.convs import average_pool
from tests.differential.writer import Map, Writer

Twist = Callable[[Writer, str, Map], Map]


def between(w: Writer, site: str, x: Map, weight: float = 3.0) -> Map:
    """The map itself, or one or two twists of it."""
    while w.c.rare(f"{site}/twist", weight):
        names = list(TWISTS)
        name = w.c.pick(f"{site}/twist is", names, [TWISTS[n][0] for n in names])
        x = TWISTS[name][1](w, f"{site}/{name}", x)
    return x


def _identity(w: Writer, site: str, x: Map) -> Map:
    return x.to(w.op("Identity", x.name))


def _dropout(w: Writer, site: str, x: Map) -> Map:
    return x.to(forms.dropout(w, site, x.name))


def _cast_back(w: Writer, site: str, x: Map) -> Map:
    """To another type and back; integers lose the fractions."""
    kinds = (
        TensorProto.DOUBLE,
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.INT32,
        TensorProto.UINT8,
        TensorProto.BOOL,
    )
    kind = w.c.pick(f"{site}/type", kinds, (4, 2, 3, 1, 0.5, 0.2))
    w.half |= kind == TensorProto.FLOAT16
    return x.to(w.op("Cast", w.op("Cast", x.name, to=kind), to=w.own_type))


def _reshape(w: Writer, site: str, x: Map) -> Map:
    """To the same shape, or to one with as many values."""
    channels, rows, columns = x.shape
    batch = 0 if isinstance(w.batch, str) else w.batch
    target, shape = w.c.pick(
        f"{site}/shape",
        [
            ([batch, channels, rows, columns], x.shape),
            ([0, 0, 0, 0], x.shape),
            ([0, 0, rows, -1], x.shape),
            ([batch, channels, columns, rows], (channels, columns, rows)),
            ([batch, rows, channels, columns], (rows, channels, columns)),
            ([batch, channels, 1, rows * columns], (channels, 1, rows * columns)),
            ([batch, channels * rows, 1, columns], (channels * rows, 1, columns)),
        ],
    )
    return x.to(forms.reshape(w, x.name, target), shape)


def _reshape_back(w: Writer, site: str, x: Map) -> Map:
    """Flat, and back: to its own shape, or with height and width exchanged."""
    channels, rows, columns = x.shape
    batch = 0 if isinstance(w.batch, str) else w.batch
    flat = w.c.pick(f"{site}/flat", ([0, 0, -1], [0, -1]))
    y = forms.reshape(w, x.name, flat)
    shape = w.c.pick(f"{site}/back", (x.shape, (channels, columns, rows)))
    return x.to(forms.reshape(w, y, [batch, *shape]), shape)


def _flatten_back(w: Writer, site: str, x: Map) -> Map:
    batch = 0 if isinstance(w.batch, str) else w.batch
    return x.to(forms.reshape(w, w.op("Flatten", x.name), [batch, *x.shape]))


def _squeezed(w: Writer, site: str, x: Map) -> Map:
    axis = w.c.pick(f"{site}/axis", (0, 2, 4, 1))
    return x.to(forms.squeeze(w, forms.unsqueeze(w, x.name, [axis]), [axis]))


def _transpose(w: Writer, site: str, x: Map) -> Map:
    """One that exchanges axes, and stays so."""
    perm = w.c.pick(f"{site}/perm", ((0, 1, 3, 2), (0, 2, 1, 3), (0, 3, 1, 2), (0, 1, 2, 3)))
    shape = tuple(x.shape[p - 1] for p in perm[1:])
    return x.to(w.op("Transpose", x.name, perm=perm), shape)


def _transposes(w: Writer, site: str, x: Map) -> Map:
    """To NHWC and back, maybe with something in between, maybe not quite back."""
    y = w.op("Transpose", x.name, perm=[0, 2, 3, 1])
    if w.c.below(f"{site}/relu between", 2):
        y = w.op("Relu", y)
    back, shape = w.c.mostly(
        f"{site}/back", (([0, 3, 1, 2], x.shape), ([0, 3, 2, 1], (x.shape[0], *x.shape[:0:-1]))), 0.8
    )
    return x.to(w.op("Transpose", y, perm=back), shape)


def _arithmetic(w: Writer, site: str, x: Map) -> Map:
    """Add, Sub, Mul or Div with a constant, of every shape that broadcasts."""
    c, rng = w.c, w.c.numbers(site)
    op = c.pick(f"{site}/op", forms.ARITHMETIC, (4, 2, 4, 2))
    channels, rows, columns = x.shape
    shapes = [(), (channels, 1, 1), (1,), (rows, columns), (columns,), (1, rows, 1), (channels, rows, columns)]
    shape = c.pick(f"{site}/shape", shapes, (6, 6, 2, 1, 1, 1, 1))
    kind = c.pick(f"{site}/values", ("random", "neutral", "negative", "large"), (6, 3, 1, 0.5))
    value = np.asarray(rng.uniform(0.3, 1.5, shape))
    if kind == "neutral":
        value = np.full(shape, 0.0 if op in ("Add", "Sub") else 1.0)
    value = value * {"negative": -1.0, "large": 50.0}.get(kind, 1.0)
    size = {"Mul": x.size * abs(value).mean(), "Div": x.size / max(abs(value).mean(), 1e-3)}.get(op, x.size + 0.5)
    first = op in ("Sub", "Div", "Add") and c.rare(f"{site}/constant first", 3)
    return x.to(forms.with_constant(w, op, x, value, first=first), size=float(size))


def _relu(w: Writer, site: str, x: Map) -> Map:
    return x.to(w.op("Relu", x.name))


def _clip(w: Writer, site: str, x: Map) -> Map:
    bounds = (
        (0.0, 6.0),
        (None, 2.0),
        (0.0, 0.5),
        (-1.0, None),
        (0.1, 3.0),
        (None, None),
        (0.0, None),
        (2.0, 1.0),
        (None, -1.0),
    )
    return x.to(forms.clip(w, x.name, *w.c.pick(f"{site}/bounds", bounds)))


def _batch_norm(w: Writer, site: str, x: Map) -> Map:
    return forms.batch_norm(w, site, x)


def _pad(w: Writer, site: str, x: Map) -> Map:
    """Rows and columns, mostly zero; also others, and negative ones, which cut."""
    c = w.c
    pads = c.pick(
        f"{site}/pads", ((1, 1, 1, 1), (0, 0, 1, 1), (1, 0, 0, 0), (2, 2, 2, 2), (-1, 0, 0, -1), (0, 0, 0, 0))
    )
    value = c.mostly(f"{site}/value", (None, 0.0, 1.0), 0.6)
    mode = c.mostly(f"{site}/mode", (None, "constant", "reflect", "edge"), 0.8)
    channel = int(c.rare(f"{site}/channels"))
    shape = (x.channels + channel, x.rows + pads[0] + pads[2], x.columns + pads[1] + pads[3])
    if min(shape) < 1 or mode == "reflect" and min(x.shape[1:]) < 3:
        return x
    return x.to(forms.pad(w, x.name, [0, 0, *pads[:2], 0, channel, *pads[2:]], value, mode), shape)


def _one(op: str) -> Twist:
    """An operator of one or more inputs, of one: it changes nothing."""

    def twist(w: Writer, site: str, x: Map) -> Map:
        return x.to(w.op(op, x.name, axis=1) if op == "Concat" else w.op(op, x.name))

    return twist


def _tiny_pool(w: Writer, site: str, x: Map) -> Map:
    op = w.c.pick(f"{site}/op", ("MaxPool", "AveragePool"))
    return x.to(w.op(op, x.name, kernel_shape=[1, 1]))


def _average(w: Writer, site: str, x: Map) -> Map:
    return average_pool(w, site, x)


def _unary(w: Writer, site: str, x: Map) -> Map:
    ops = (
        "Abs",
        "Neg",
        "Sqrt",
        "Exp",
        "Sigmoid",
        "Tanh",
        "Elu",
        "Softplus",
        "Floor",
        "Ceil",
        "Sign",
        "Softmax",
        "HardSigmoid",
    )
    return x.to(w.op(w.c.pick(f"{site}/op", ops), x.name))


def _cut(w: Writer, site: str, x: Map) -> Map:
    """A slice of the map, in any direction."""
    axis = w.c.pick(f"{site}/axis", (2, 3, 1))
    size = x.shape[axis - 1]
    if size < 2 or w.opset < 10:
        return x
    start, end, step = w.c.pick(
        f"{site}/range", ((0, size, 1), (1, size, 1), (0, size - 1, 1), (0, size, 2), (-1, -size - 1, -1))
    )
    shape = list(x.shape)
    shape[axis - 1] = len(range(size)[start if start >= 0 else size - 1 : None if end < 0 else end : step])
    inputs = [w.ints(v) for v in (start, end, axis, step)]
    return x.to(w.op("Slice", x.name, *inputs), shape)


def _gather(w: Writer, site: str, x: Map) -> Map:
    """Channels in another order."""
    order = w.c.numbers(site).permutation(x.channels)
    return x.to(w.op("Gather", x.name, w.const(order, np.int64), axis=1))


def _split(w: Writer, site: str, x: Map) -> Map:
    """In two halves, and together again, maybe the other way round."""
    if x.channels % 2 or not 2 <= w.opset < 18:
        return x
    first, second = w.ops("Split", x.name, outputs=2, axis=1)
    if w.c.below(f"{site}/exchanged", 2):
        first, second = second, first
    return x.to(w.op("Concat", first, second, axis=1))


def _with_itself(w: Writer, site: str, x: Map) -> Map:
    """The sum of a map and itself, or another function of both."""
    op = w.c.pick(f"{site}/op", ("Add", "Sum", "Mul", "Max", "Sub", "Concat"))
    if op == "Concat":
        return x.to(w.op("Concat", x.name, x.name, axis=1), (2 * x.channels, *x.shape[1:]))
    return x.to(w.op(op, x.name, x.name), size=2 * x.size)


def _channel_shuffle(w: Writer, site: str, x: Map) -> Map:
    if x.channels % 2 or isinstance(w.batch, int) and w.batch > 1:
        return x
    groups = [x.channels // 2, 2] if w.c.below(f"{site}/halves", 2) else [2, x.channels // 2]
    y = forms.reshape(w, x.name, [0, *groups, x.rows, x.columns] if w.opset >= 5 else [1, *groups, x.rows, x.columns])
    y = w.op("Transpose", y, perm=[0, 2, 1, 3, 4])
    return x.to(forms.reshape(w, y, [0, x.channels, x.rows, x.columns]))


def _random(w: Writer, site: str, x: Map) -> Map:
    """Attention over channels: the map times a function of its own average."""
    gate = w.op("Sigmoid", w.op("GlobalAveragePool", x.name))
    return x.to(w.op("Mul", x.name, gate))


TWISTS: dict[str, tuple[float, Twist]] = {
    "identity": (8, _identity),
    "dropout": (8, _dropout),
    "cast": (5, _cast_back),
    "reshape": (5, _reshape),
    "reshape back": (4, _reshape_back),
    "flatten back": (1, _flatten_back),
    "squeeze": (3, _squeezed),
    "transpose": (2, _transpose),
    "transposes": (4, _transposes),
    "arithmetic": (10, _arithmetic),
    "relu": (6, _relu),
    "clip": (7, _clip),
    "batch norm": (4, _batch_norm),
    "pad": (8, _pad),
    "sum of one": (2, _one("Sum")),
    "concat of one": (3, _one("Concat")),
    "max of one": (1, _one("Max")),
    "tiny pool": (3, _tiny_pool),
    "average pool": (3, _average),
    "unary": (2, _unary),
    "slice": (2, _cut),
    "gather": (1.5, _gather),
    "split": (1.5, _split),
    "with itself": (3, _with_itself),
    "shuffle": (1, _channel_shuffle),
    "gate": (0.7, _random),
}
