"""The end of a network: classifier, average, shape, and what stands behind the logits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tests.differential import forms
from tests.differential.convs import conv, max_pool
from tests.differential.dialects import Dialect
from tests.differential.routes import routed
from tests.differential.twists import between
from tests.differential.writer import Map, Writer


@dataclass(kw_only=True)
class End:
    """The output while it takes shape: dimensions behind the batch."""

    name: str
    dims: list[int]
    ending: list[str] = field(default_factory=list)
    away: float = 0.0  # how far a quantizer may round it


HEADS = (
    "conv average",
    "average",
    "average conv",
    "gemm",
    "matmul",
    "flatten gemm",
    "conv of all",
    "pool between",
    "sum of two",
    "no average",
)


def head(w: Writer, d: Dialect, x: Map) -> End:
    kind = w.c.mostly("head", HEADS, 0.9)
    classes = w.c.pick("classes", (5, 2, 7, 1, 12), (50, 15, 15, 2, 18))
    if kind == "average":
        return average(w, x)
    if kind in ("average conv", "gemm", "matmul", "flatten gemm"):
        return _linear(w, d, x, kind, classes)
    if kind == "conv of all":
        values = w.c.numbers("head/all").normal(0, 1 / math.sqrt(math.prod(x.shape)), (classes, *x.shape))
        name, scale = d.weights("head", values)
        y = w.op("Conv", x.name, name, d.bias("head", values[:, 0, 0, 0], x, scale), kernel_shape=x.shape[1:])
        return End(name=y, dims=[classes, 1, 1])
    x = between(w, "before classifier", x)
    pad = int(w.c.rare("conv10/pad", 4))
    y = conv(w, d, "conv10", x, classes, 1, pad=pad)
    y = d.activation("conv10", y, d.steps("conv10", 1.0, last=True))
    if kind == "sum of two":
        other = d.activation("other", conv(w, d, "other", x, y.channels, 1), d.steps("other", 1.0, last=True))
        if other.shape == y.shape:
            y = y.to(w.op("Add", y.name, other.name))
    if kind == "no average":
        return End(name=y.name, dims=list(y.shape))
    if kind == "pool between":
        y = max_pool(w, "before average", y)
    return average(w, between(w, "before average", y, 1.5))


def _linear(w: Writer, d: Dialect, x: Map, kind: str, classes: int) -> End:
    """A fully connected layer behind the average, or instead of it."""
    c = w.c
    end = End(name="", dims=[math.prod(x.shape)]) if kind == "flatten gemm" else average(w, x)
    end.name = end.name or w.op("Flatten", x.name)
    inputs = math.prod(end.dims)
    values = c.numbers("head/linear").normal(0, 1 / math.sqrt(inputs), (classes, inputs))
    bias = c.numbers("head/bias").normal(0, 0.3, classes)
    if kind == "average conv":
        if len(end.dims) != 3:
            end.name = forms.reshape(w, end.name, [0, inputs, 1, 1])
        name, scale = d.weights("head", values.reshape(classes, inputs, 1, 1))
        return End(name=w.op("Conv", end.name, name, d.bias("head", bias, x, scale)), dims=[classes, 1, 1])
    if len(end.dims) != 1:
        end.name = w.op("Flatten", end.name)
    if kind == "matmul":
        name, _ = d.weights("head", values.T)
        y = w.op("MatMul", end.name, name)
        return End(name=w.op("Add", y, w.const(bias)), dims=[classes])
    turned = c.below("head/transB", 2, (8, 2)) == 0
    name, _ = d.weights("head", values if turned else values.T)
    operands = [end.name, name, routed(w, "head/bias", bias)]
    if w.opset >= 11 and c.rare("head/no bias", 4):
        operands.pop()
    factors = {"alpha": 0.5} if c.rare("head/alpha", 4) else {}
    factors |= {"beta": 2.0} if c.rare("head/beta", 4) else {}
    return End(name=w.op("Gemm", *operands, transB=1 if turned else None, **factors), dims=[classes])


AVERAGES = {
    "GlobalAveragePool": 60, "AveragePool": 8, "mean": 10, "mean negative": 3, "two means": 1.5, "no keepdims": 5,
    "part": 1.5, "padded": 1, "padded include": 1, "mean all": 0.7, "mean with channels": 0.7, "no axes": 0.7,
    "sum": 0.7, "max": 0.7, "twice": 1, "larger": 0.7, "rows": 0.7, "reshaped": 1.5, "same": 0.7,
    "of the picture": 0.7,
}  # fmt: skip


def average(w: Writer, x: Map) -> End:
    """Over height and width, or nearly."""
    kind = w.c.pick("average", list(AVERAGES), list(AVERAGES.values()))
    if kind == "of the picture":
        assert w.picture is not None
        x = w.picture
    rows, columns = x.shape[1:]
    dims, reach = [x.channels, 1, 1], {"kernel_shape": [rows, columns]}
    if kind == "AveragePool":
        return End(
            name=w.op("AveragePool", x.name, strides=w.c.pick("average/strides", (None, [1, 1], [3, 3])), **reach),
            dims=dims,
        )
    if kind in ("mean", "mean negative", "no keepdims"):
        axes = w.c.pick("average/axes", ((2, 3), (3, 2)))
        if kind == "mean negative" and w.opset >= 11:
            axes = (-2, -1)
        keep = 0 if kind == "no keepdims" else w.c.pick("average/keepdims", (None, 1))
        return End(
            name=forms.reduce(w, "ReduceMean", x.name, axes, keepdims=keep), dims=dims if keep != 0 else dims[:1]
        )
    if kind == "two means":
        first = forms.reduce(w, "ReduceMean", x.name, (2,), keepdims=0)
        return End(name=forms.reduce(w, "ReduceMean", first, (2,), keepdims=0), dims=dims[:1])
    if kind == "part" and min(rows, columns) > 1:
        name = w.op("AveragePool", x.name, kernel_shape=[rows - 1, columns])
        return End(name=name, dims=[x.channels, 2, 1])
    if kind in ("padded", "padded include") and w.opset >= 7:
        include = 1 if kind == "padded include" else None
        name = w.op(
            "AveragePool", x.name, kernel_shape=[rows + 1, columns], pads=[1, 0, 0, 0], count_include_pad=include
        )
        return End(name=name, dims=dims)
    if kind == "same":
        name = w.op("AveragePool", x.name, auto_pad="SAME_UPPER", strides=[rows, columns], **reach)
        return End(name=name, dims=dims)
    if kind == "rows":
        return End(name=forms.reduce(w, "ReduceMean", x.name, (2,)), dims=[x.channels, 1, columns])
    if kind == "larger" and w.opset >= 10:
        name = w.op("AveragePool", x.name, kernel_shape=[rows, columns + 1], ceil_mode=1, pads=[0, 0, 0, 1])
        return End(name=name, dims=dims)
    if kind == "mean all":
        return End(name=forms.reduce(w, "ReduceMean", x.name, None), dims=[1, 1, 1])
    if kind == "mean with channels":
        return End(name=forms.reduce(w, "ReduceMean", x.name, (1, 2, 3)), dims=[1, 1, 1])
    if kind == "no axes" and w.opset >= 18:
        name = w.op(
            "ReduceMean", x.name, w.const(np.zeros(0), np.int64), noop_with_empty_axes=w.c.below("average/noop", 2)
        )
        return End(name=name, dims=[x.channels, rows, columns])
    if kind == "sum":
        return End(name=forms.reduce(w, "ReduceSum", x.name, (2, 3)), dims=dims)
    if kind == "max":
        return End(name=w.op("GlobalMaxPool", x.name), dims=dims)
    if kind == "reshaped":
        flat = forms.reshape(w, x.name, [0, 0, -1])
        return End(name=forms.reduce(w, "ReduceMean", flat, (2,), keepdims=0), dims=dims[:1])
    name = w.op("GlobalAveragePool", x.name)
    if kind == "twice":
        name = w.op("GlobalAveragePool", name)
    return End(name=name, dims=dims)


def tail(w: Writer, d: Dialect, end: End) -> End:
    """Shapes and functions of the logits."""
    c = w.c
    if d.quantizes and c.rare("logits/quantizer", 5):
        steps = d.steps("logits", c.pick("logits/range", (2.0, 0.3)))
        if steps is not None:
            end.name = d.quantize("logits", Map(name=end.name, shape=(end.dims[0], 1, 1)), steps).name
            end.away = steps.scale / 2
    for number in range(c.pick("tail", (1, 0, 2), (80, 12, 8))):
        _reshaped(w, f"tail{number}", end)
    if c.rare("logits/arithmetic", 3):
        _arithmetic(w, end)
    _ending(w, end)
    return end


def _reshaped(w: Writer, site: str, end: End) -> None:
    kinds = (
        "flatten",
        "reshape",
        "squeeze",
        "transpose",
        "identity",
        "dropout",
        "flatten 0",
        "flatten 2",
        "squeeze all",
        "cast",
    )
    kind = w.c.pick(f"{site}/shape", kinds, (50, 20, 8, 6, 4, 4, 1.5, 1.5, 2, 1.5))
    count, batch = math.prod(end.dims), 1 if isinstance(w.batch, str) else w.batch
    if kind == "flatten":
        end.name, end.dims = w.op("Flatten", end.name, axis=w.c.pick(f"{site}/axis", (None, 1))), [count]
    elif kind == "reshape" and w.opset >= 10 and w.c.below(f"{site}/computed shape", 2, (7, 3)):
        first = w.op("Gather", w.op("Shape", end.name), w.const(0, np.int64), axis=0)
        shape = w.op("Concat", forms.unsqueeze(w, first, [0]), w.ints(-1), axis=0)
        end.name, end.dims = w.op("Reshape", end.name, shape), [count]
    elif kind == "reshape":
        target, dims = w.c.pick(
            f"{site}/to",
            [([0, -1], [count]), ([batch, count], [count]), ([-1, count], [count]), ([0, 0], [count]),
             ([1, -1], [count]), ([0, count, 1, 1], [count, 1, 1]), ([0, 1, count], [1, count]), ([-1], [])],
        )  # fmt: skip
        end.name, end.dims = forms.reshape(w, end.name, target), dims
    elif kind == "squeeze" and len(end.dims) == 3 and end.dims[1:] == [1, 1]:
        axes = w.c.pick(f"{site}/axes", ((2, 3), (-1, -2) if w.opset >= 11 else (3, 2)))
        end.name, end.dims = forms.squeeze(w, end.name, axes), [count]
    elif kind == "squeeze all":
        end.name, end.dims = forms.squeeze(w, end.name, None), []
    elif kind == "transpose" and end.dims:
        rank = len(end.dims) + 1
        perm = w.c.pick(
            f"{site}/perm",
            ([0, *range(2, rank), 1], [*range(rank)], [0, *range(rank - 1, 0, -1)], [*range(rank)][::-1]),
        )
        end.name, end.dims = w.op("Transpose", end.name, perm=perm), [end.dims[p - 1] for p in perm if p]
    elif kind in ("flatten 0", "flatten 2") and len(end.dims) > 1:
        end.name, end.dims = w.op("Flatten", end.name, axis=int(kind[-1])), []
    elif kind == "dropout":
        end.name = forms.dropout(w, site, end.name)
    elif kind == "cast":
        end.name = w.op("Cast", w.op("Cast", end.name, to=w.c.pick(f"{site}/type", (11, 7))), to=w.own_type)
    else:
        end.name = w.op("Identity", end.name)


def _arithmetic(w: Writer, end: End) -> None:
    op = w.c.pick("logits/op", forms.ARITHMETIC)
    value = w.c.pick("logits/by", (0.5, 1.0, -2.0, 0.0 if op != "Div" else 3.0))
    if w.c.below("logits/each", 2) and end.dims:
        value = np.linspace(0.5, 2, math.prod(end.dims)).reshape(end.dims) * (value or 1)
    end.name = w.op(op, end.name, w.const(value), broadcast=1 if w.opset < 7 else None)


def _ending(w: Writer, end: End) -> None:
    c = w.c
    kinds = ("none", "softmax", "log_softmax", "sigmoid", "argmax", "relu", "softmax softmax", "topk")
    kind = c.pick("ending", kinds, (62, 24, 5, 2, 2, 1.5, 0.7, 0.5))
    if kind in ("softmax", "log_softmax", "softmax softmax"):
        axis = c.pick("ending/axis", (None, 1, -1, 0, 2), (15, 60, 20, 2, 3))
        for name in kind.split():
            end.name = forms.softmax(w, end.name, axis, log=name == "log_softmax")
            end.ending.append(name)
    elif kind == "sigmoid":
        end.name, end.ending = w.op("Sigmoid", end.name), ["sigmoid"]
    elif kind == "argmax":
        keep = c.pick("ending/keepdims", (None, 0))
        end.name, end.ending = (
            w.op("ArgMax", end.name, axis=c.pick("ending/axis", (1, -1, 0)), keepdims=keep),
            ["argmax"],
        )
    elif kind == "relu":
        end.name = w.op("Relu", end.name)
    elif kind == "topk":
        end.name, end.ending = w.ops("TopK", end.name, w.ints(1), outputs=2, axis=1)[0], ["topk"]
