"""What ONNX says about computing with constants, where NumPy says something else."""

from __future__ import annotations

import numpy as np
import onnx

from squeeze_hls.frontend.onnx_node import RE_EXPORT, Node
from squeeze_hls.frontend.text import safe_name

_T = onnx.TensorProto
_REAL = (_T.FLOAT, _T.FLOAT16, _T.DOUBLE, _T.BFLOAT16)
_WHOLE = (_T.UINT8, _T.INT8, _T.UINT16, _T.INT16, _T.INT32, _T.INT64, _T.UINT32, _T.UINT64, _T.BOOL)
_FOUR_BITS = tuple(getattr(_T, name) for name in ("UINT4", "INT4") if hasattr(_T, name))


def cast_type(node: Node) -> int:
    """The TensorProto.DataType that Cast casts to; until opset 5 its name."""
    if not any(a.name == "to" and a.type == onnx.AttributeProto.STRING for a in node.proto.attribute):
        return node.integer("to", 0)
    name = node.string("to", "")
    if name not in _T.DataType.keys():  # noqa: SIM118  not a dict
        raise node.refuse(f"type '{safe_name(name, 20)}' does not exist.", RE_EXPORT)
    return _T.DataType.Value(name)


def cast(node: Node, values: np.ndarray) -> np.ndarray:
    """Cast of a constant; what ONNX leaves open (a float beyond the integers, NaN) is refused."""
    target = cast_type(node)
    if target not in _REAL + _WHOLE + _FOUR_BITS:
        raise node.refuse("a cast to this type is not supported.", RE_EXPORT)
    result = values.astype(onnx.helper.tensor_dtype_to_np_dtype(target))
    if target in _REAL or target == _T.BOOL:
        return result
    if values.dtype.kind in "biu" and target not in _FOUR_BITS:
        return result  # the bits that do not fit are lost, in ONNX too
    whole = np.trunc(values.astype(np.float64))
    low, high = _range(target)
    if not ((whole >= low) & (whole < high)).all():  # NaN is neither
        raise node.refuse(f"values that its type {_T.DataType.Name(target)} cannot hold are not supported.", RE_EXPORT)
    return result


def _range(target: int) -> tuple[float, float]:
    """Smallest integer of a type, and the first beyond the largest: powers of two, which floats hold."""
    name = _T.DataType.Name(target)
    bits = int(name.lstrip("UINT"))
    return (0.0, 2.0**bits) if name.startswith("U") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1))


def divide(node: Node, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Quotient; that of integers is rounded towards zero."""
    if first.dtype.kind not in "iu":
        return np.divide(first, second)
    if not np.all(second):
        raise node.refuse("it divides an integer by zero.", RE_EXPORT)
    quotient, rest = np.divmod(first, second)
    return (quotient + ((rest != 0) & ((first < 0) != (second < 0)))).astype(first.dtype)


def second_operand(node: Node, opset: int, first: tuple[int, ...], second: np.ndarray) -> np.ndarray:
    """The second operand of Add, Sub, Mul or Div, in a shape that NumPy broadcasts to ``first`` as ONNX does.

    Until opset 6 it broadcasts only where ``broadcast`` says so; its shape stands in the first one from ``axis`` on,
    at the end where no axis is given.
    """
    if opset >= 7 or second.shape == first:
        return second
    if not node.integer("broadcast", 0):
        raise node.refuse(f"shapes {list(first)[:8]} and {list(second.shape)[:8]} differ.", RE_EXPORT)
    if second.size == 1 and second.ndim <= len(first):
        return second.reshape(())
    axis = node.integer("axis", len(first) - second.ndim)
    if axis < 0 or first[axis : axis + second.ndim] != second.shape:
        raise node.refuse(
            f"shape {list(second.shape)[:8]} does not stand in {list(first)[:8]} at axis {axis}.", RE_EXPORT
        )
    return second.reshape(second.shape + (1,) * (len(first) - axis - second.ndim))


def part(size: int, start: int, end: int, step: int) -> slice:
    """What Slice takes of an axis: a start before the first element is the first, whatever the direction."""
    start, end = (v + size if v < 0 else v for v in (start, end))
    if step > 0:
        return slice(max(start, 0), max(end, 0), step)
    return slice(max(start, 0), end if end >= 0 else None, step)


def sub_shape(node: Node, shape: tuple[int, ...]) -> np.ndarray:
    """What Shape gives: the sizes from ``start`` to ``end``."""
    end = node.integer("end", len(shape))
    return np.array(shape[node.integer("start", 0) : end], np.int64)
