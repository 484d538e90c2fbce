"""Constants that reach their node through arithmetic, as exporters leave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.differential import forms
from tests.differential.writer import Writer

REAL = ("mul", "div", "add", "sub", "fill")  # for floats only
SCALARS = ("reshape", "cast", "squeeze", "keeps zero", "unsqueeze")
Route = Callable[[Writer, np.ndarray, Any, str], str]


def routed(w: Writer, site: str, value: np.ndarray, kind: Any = None, weight: float = 2.0) -> str:
    """The constant ``value``, now and then through one or two operators that give it back."""
    kind = kind or w.kind
    if isinstance(kind, int) or not w.c.rare(f"{site}/route", weight):
        return w.const(value, kind, "w")
    value = np.asarray(value, kind)
    names = [name for name in ROUTES if (name not in REAL or kind == w.kind) and (value.ndim or name in SCALARS)]
    return ROUTES[w.c.pick(f"{site}/route kind", names)](w, value, kind, site)


def moved(w: Writer, site: str, name: str, value: np.ndarray) -> str:
    """The tensor ``name``, with the contents of ``value``, through operators that mostly only move it."""
    if not w.c.rare(f"{site}/moved", 3):
        return name
    how = w.c.pick(
        f"{site}/moved how", ("identity", "transposes", "reshapes", "squeeze", "cast", "mul", "slice", "relu")
    )
    rank = value.ndim
    if how == "identity":
        return w.op("Identity", name)
    if how == "transposes":
        perm = [2, 3, 1, 0][:rank] if rank == 4 else list(range(rank))[::-1]
        return w.op("Transpose", w.op("Transpose", name, perm=perm), perm=np.argsort(perm).tolist())
    if how == "reshapes":
        return forms.reshape(w, forms.reshape(w, name, [value.shape[0], -1]), value.shape)
    if how == "squeeze":
        return forms.squeeze(w, forms.unsqueeze(w, name, [0]), [0])
    if how == "cast":
        half = w.c.pick(f"{site}/moved type", (np.float64, np.float16))
        w.half |= half == np.float16
        return _cast(w, _cast(w, name, half), w.kind)
    if how == "mul":
        factor = w.c.pick(f"{site}/moved by", (2.0, 0.3, -1.0))
        return w.op("Div", w.op("Mul", name, w.const(factor)), w.const(factor))
    if how == "slice":
        return _slice(w, name, [0] * rank, list(value.shape), list(range(rank)), None)
    return w.op("Relu", name)  # no longer the same weights


def _cast(w: Writer, name: str, kind: Any) -> str:
    return w.op("Cast", name, to=int(helper.np_dtype_to_tensor_dtype(np.dtype(kind))))


def _slice(w: Writer, name: str, starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None) -> str:
    if w.opset < 10:
        return w.op("Slice", name, starts=starts, ends=ends, axes=axes)
    more = [w.ints(*steps)] if steps else []
    return w.op("Slice", name, w.ints(*starts), w.ints(*ends), w.ints(*axes), *more)


def _transpose(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    perm = [int(p) for p in w.c.numbers(f"{site}/perm").permutation(value.ndim)]
    return w.op("Transpose", w.const(value.transpose(perm), kind), perm=np.argsort(perm).tolist())


def _reverse(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    return w.op("Transpose", w.const(value.transpose(), kind))  # without perm all axes turn round


def _reshape(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    target = [*value.shape]
    if target:
        target[w.c.below(f"{site}/unknown axis", value.ndim)] = -1
    return forms.reshape(w, w.const(value.reshape(-1), kind), target)


def _keeps_zero(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    return forms.reshape(w, w.const(value, kind), [0] * value.ndim)


def _from_other(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    if np.dtype(kind).kind != "f":
        return _cast(w, w.const(value, np.int64), kind)
    stored = w.c.pick(f"{site}/stored as", (np.float64, np.float16, TensorProto.BFLOAT16))
    return _cast(w, w.const(value, stored), kind)


def _mul(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    factor = w.c.numbers(f"{site}/factor").uniform(0.5, 2, (value.shape[0], *(1,) * (value.ndim - 1)))
    return w.op("Mul", w.const(value / factor, kind), w.const(factor, kind))


def _div(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    return w.op("Div", w.const(value * 8, kind), w.const(8, kind))


def _add(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    return w.op("Add", w.const(value * 0.25, kind), w.const(value * 0.75, kind))


def _sub(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    return w.op("Sub", w.const(value + 1, kind), w.const(np.ones_like(value), kind))


def _sliced(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    larger = np.concatenate([value, value[:1] * 0], axis=0)
    ends = w.c.pick(f"{site}/slice end", (value.shape[0], -1))
    return _slice(w, w.const(larger, kind), [0], [ends], [0], None)


def _backwards(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    if w.opset < 10:
        return w.const(value, kind)
    return _slice(w, w.const(value[::-1], kind), [-1], [-(2**31)], [0], [-1])


def _gathered(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    order = w.c.numbers(f"{site}/order").permutation(value.shape[0])
    back = np.argsort(order)
    if w.opset >= 11 and w.c.pick(f"{site}/negative", (False, True)):
        back = back - value.shape[0]
    return w.op("Gather", w.const(value[order], kind), w.const(back, np.int64), axis=0)


def _squeezed(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    axis = w.c.pick(f"{site}/axis", (0, -1) if w.opset >= 11 else (0,)) if value.ndim else 0
    return forms.squeeze(w, w.const(np.expand_dims(value, axis), kind), [axis])


def _unsqueezed(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    ones = [axis for axis, size in enumerate(value.shape) if size == 1]
    if not ones:
        return w.op("Identity", w.const(value, kind))
    return forms.unsqueeze(w, w.const(value.reshape([s for s in value.shape if s != 1]), kind), ones)


def _joined(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    half = value.shape[0] // 2
    if not half:
        return w.op("Identity", w.const(value, kind))
    return w.op("Concat", w.const(value[:half], kind), w.const(value[half:], kind), axis=0)


def _filled(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    """Zeros of ConstantOfShape, added."""
    if w.opset < 9:
        return w.const(value, kind)
    tensor = helper.make_tensor("fill", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [1], [0])
    return w.op("Add", w.const(value, kind), w.op("ConstantOfShape", w.ints(*value.shape), value=tensor))


def _chain(w: Writer, value: np.ndarray, kind: Any, site: str) -> str:
    rows = w.const(value.reshape(value.shape[0], -1).T, kind)
    return forms.reshape(w, w.op("Identity", w.op("Transpose", rows, perm=[1, 0])), value.shape)


ROUTES: dict[str, Route] = {
    "transpose": _transpose,
    "reverse": _reverse,
    "reshape": _reshape,
    "keeps zero": _keeps_zero,
    "cast": _from_other,
    "mul": _mul,
    "div": _div,
    "add": _add,
    "sub": _sub,
    "slice": _sliced,
    "backwards": _backwards,
    "gather": _gathered,
    "squeeze": _squeezed,
    "unsqueeze": _unsqueezed,
    "concat": _joined,
    "fill": _filled,
    "chain": _chain,
}
