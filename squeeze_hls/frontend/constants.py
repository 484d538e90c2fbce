"""Constants of an ONNX graph: initializers, and what folds to constants.

Only the few operators that exporters really put between an initializer and its use are folded, each
with the size of its result known before it is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from squeeze_hls.frontend import semantics
from squeeze_hls.frontend.input_limits import MAX_FOLDED_ELEMENTS
from squeeze_hls.frontend.onnx_file import OnnxFile
from squeeze_hls.frontend.onnx_node import RE_EXPORT, Node

_MAX_RANK = 16

_BINARY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
}
_UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Neg": np.negative,
    "Abs": np.abs,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Identity": lambda a: a,
}


class Constants:
    """Constants by name; ``scale`` has, for dequantized ones, the float64 scale shaped to broadcast."""

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self.opset = file.opset
        self._stored = {t.name: t for t in file.graph.initializer}
        self._arrays: dict[str, np.ndarray] = {}
        self._folded_elements = 0
        self.scale: dict[str, np.ndarray] = {}
        self.quantized: set[str] = set()  # what went through a quantizer, with a scale or with its scale lost

    def __contains__(self, name: str) -> bool:
        return name in self._arrays or name in self._stored

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = self._file.array(self._stored[name])
        return self._arrays[name]

    def find(self, name: str) -> np.ndarray | None:
        """The constant, or None where ``name`` is empty or no constant."""
        if name not in self:
            return None
        return self[name]

    def put(self, name: str, value: np.ndarray) -> None:
        self._arrays[name] = value

    def claim(self, node: Node, elements: int) -> None:
        """Account for a folded result; raises InputError beyond the limit, before it is allocated."""
        self._folded_elements += elements
        if elements < 0 or self._folded_elements > MAX_FOLDED_ELEMENTS:
            raise node.refuse(
                f"it would make the constants larger than the {MAX_FOLDED_ELEMENTS:,} elements accepted.",
                "Export the model with stored weights.",
            )

    def fold(self, node: Node) -> bool:
        """Compute a node all of whose inputs are constants; False where it cannot be folded."""
        if not all(name in self for name in node.inputs if name):
            return False
        if node.op == "Constant":
            self.put(node.output, _constant(self, node, self._file))
            return True
        handler = _FOLDABLE.get(node.op)
        if handler is None:
            return False
        with np.errstate(all="ignore"):  # infinities and NaN are refused where weights are used
            try:
                result = handler(self, node, [self.find(name) for name in node.inputs])
            except (ValueError, TypeError, IndexError, OverflowError) as error:
                raise node.refuse(
                    f"the constants it computes with do not fit together ({error}).", RE_EXPORT
                ) from error
        self.put(node.output, result)
        if self.quantized.intersection(node.inputs):
            self._carry_scale(node, handler)
        return True

    def put_quantized(self, name: str, integers: np.ndarray, scale: np.ndarray) -> None:
        """A dequantized constant, which is ``integers * scale``."""
        self.put(name, integers * scale)
        self.scale[name] = scale
        self.quantized.add(name)

    def _carry_scale(self, node: Node, handler: Callable[[Constants, Node, Arrays], np.ndarray]) -> None:
        """What becomes of the scale of a dequantized constant: where values only move, the scales move alike."""
        self.quantized.add(node.output)
        source = node.inputs[0]
        if source not in self.scale or self.quantized.intersection(node.inputs[1:]):
            return
        scale = np.broadcast_to(self.scale[source], self[source].shape)
        others = [self.find(name) for name in node.inputs[1:]]
        scaled = node.op in ("Mul", "Div") and bool(np.all(self[node.inputs[1]] > 0))
        if scaled or node.op in _MOVING:
            self.scale[node.output] = handler(self, node, [scale, *others])
        elif node.op == "Cast" and self[node.output].dtype.kind not in "iub":
            # Weights in float16 are rounded where those of the engine are not: keep what they stand for.
            self.put(node.output, self[source])
            self.scale[node.output] = self.scale[source]


def _constant(constants: Constants, node: Node, file: OnnxFile) -> np.ndarray:
    if len(node.proto.attribute) != 1:
        raise node.refuse("a constant has one value.", RE_EXPORT)
    tensor = node.tensor("value")
    if tensor is not None:
        return file.array(tensor)
    if node.has("value_float"):
        return np.array(node.number("value_float", 0.0), np.float32)
    if node.has("value_int"):
        return np.array(node.integer("value_int", 0), np.int64)
    if node.has("value_ints"):
        return np.array(node.integers("value_ints", ()), np.int64)
    if node.has("value_floats"):
        return np.array(node.numbers("value_floats"), np.float32)
    raise node.refuse("this kind of constant is not supported.", RE_EXPORT)


def shape_argument(values: Iterable[int], node: Node) -> tuple[int, ...]:
    """A shape given by a constant, as Python integers."""
    shape = tuple(int(v) for v in values)
    if len(shape) > _MAX_RANK:
        raise node.refuse(f"a shape of {len(shape)} dimensions is not supported.", RE_EXPORT)
    return shape


def resolve_reshape(node: Node, old: tuple[int, ...], new: tuple[int, ...], allow_zero: bool) -> tuple[int, ...]:
    """The shape that ONNX Reshape gives: 0 copies a dimension, -1 is what remains."""
    shape = list(new)
    if not allow_zero:
        shape = [old[i] if d == 0 and i < len(old) else d for i, d in enumerate(shape)]
    if shape.count(-1) == 1:
        known = math.prod(d for d in shape if d != -1)
        shape[shape.index(-1)] = math.prod(old) // known if known else 0
    if math.prod(shape) != math.prod(old) or min(shape, default=1) < 0:
        raise node.refuse(f"a tensor of shape {list(old)} cannot be reshaped to {list(new)}.", RE_EXPORT)
    return tuple(shape)


def axes_argument(constants: Constants, node: Node, rank: int) -> tuple[int, ...] | None:
    """``axes`` from the attribute (older operator sets) or the second input, made non-negative; None if absent."""
    axes: tuple[int, ...] = ()
    if node.has("axes"):
        axes = node.integers("axes", ())
    elif node.input(1):
        values = constants.find(node.input(1))
        if values is None or values.ndim > 1 or values.size > _MAX_RANK:
            raise node.refuse("its axes are not constant.", RE_EXPORT)
        axes = tuple(int(a) for a in values.reshape(-1))
    if not axes:
        return None
    if any(not -rank <= a < rank for a in axes):
        raise node.refuse(f"axes {list(axes)} do not exist in a tensor of {rank} dimensions.", RE_EXPORT)
    if len({a % rank for a in axes}) != len(axes):
        raise node.refuse(f"axes {list(axes)} name one twice.", RE_EXPORT)
    return tuple(sorted(a % rank for a in axes))


Arrays = list  # of np.ndarray | None, in the order of the node's inputs


def _binary(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    second = semantics.second_operand(node, constants.opset, inputs[0].shape, inputs[1])
    constants.claim(node, math.prod(np.broadcast_shapes(inputs[0].shape, second.shape)))
    return semantics.divide(node, inputs[0], second) if node.op == "Div" else _BINARY[node.op](inputs[0], second)


def _unary(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    constants.claim(node, 0 if node.op == "Identity" else inputs[0].size)
    return _UNARY[node.op](inputs[0])


def _cast(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    constants.claim(node, inputs[0].size)
    return semantics.cast(node, inputs[0])


def _clip(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    constants.claim(node, inputs[0].size)
    if any(i is not None and i.size != 1 for i in inputs[1:3]):
        raise node.refuse("its bounds are not single numbers.", RE_EXPORT)
    bounds = [i.reshape(-1)[0] if i is not None else None for i in (*inputs[1:3], None, None)]
    low = bounds[0] if len(inputs) > 1 else node.number("min", -math.inf)
    high = bounds[1] if len(inputs) > 2 else node.number("max", math.inf)
    result = inputs[0]
    for bound, choose in ((low, np.maximum), (high, np.minimum)):
        result = result if bound is None or np.isinf(bound) else choose(result, bound)
    return result.astype(inputs[0].dtype)


def _constant_of_shape(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    shape = shape_argument(inputs[0].reshape(-1)[: _MAX_RANK + 1], node)
    if min(shape, default=0) < 0:
        raise node.refuse(f"shape {list(shape)} has a negative size.", RE_EXPORT)
    constants.claim(node, math.prod(shape))
    tensor = node.tensor("value")
    value = np.zeros(1, np.float32) if tensor is None else constants._file.array(tensor)
    if value.size != 1:
        raise node.refuse(f"it repeats one number, not {value.size}.", RE_EXPORT)
    return np.full(shape, value.reshape(-1)[0], value.dtype)


def _reshape(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    target = node.integers("shape", ()) if node.has("shape") else inputs[1].reshape(-1)[: _MAX_RANK + 1]
    shape = resolve_reshape(node, inputs[0].shape, shape_argument(target, node), bool(node.integer("allowzero", 0)))
    return inputs[0].reshape(shape)


def _transpose(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    reverse = tuple(range(inputs[0].ndim))[::-1]
    perm = node.integers("perm", reverse)
    if min(perm, default=0) < 0:
        raise node.refuse(f"perm {list(perm)[:8]} has negative axes.", RE_EXPORT)
    return np.transpose(inputs[0], perm)


def _unsqueeze(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    count = len(node.integers("axes", ())) if node.has("axes") else inputs[1].size
    return np.expand_dims(inputs[0], axes_argument(constants, node, min(inputs[0].ndim + count, _MAX_RANK)) or ())


def _squeeze(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    return np.squeeze(inputs[0], axes_argument(constants, node, inputs[0].ndim))


def _concat(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    constants.claim(node, sum(a.size for a in inputs))
    return np.concatenate(inputs, axis=node.integer("axis", 1))  # it may be left out until opset 3


def _gather(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    axis = node.integer("axis", 0)
    constants.claim(node, inputs[0].size // max(inputs[0].shape[axis], 1) * inputs[1].size)
    return np.take(inputs[0], inputs[1].astype(np.int64), axis=axis)


def _slice(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    def argument(index: int, key: str, default: list[int]) -> list[int]:
        if index < len(inputs) and inputs[index] is not None:
            return [int(v) for v in inputs[index].reshape(-1)[:_MAX_RANK]]
        return list(node.integers(key, tuple(default)))

    starts, ends = argument(1, "starts", []), argument(2, "ends", [])
    axes, steps = argument(3, "axes", list(range(len(starts)))), argument(4, "steps", [1] * len(starts))
    slices = [slice(None)] * inputs[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if slices[axis] != slice(None):
            raise node.refuse(f"axes {axes[:8]} name one twice.", RE_EXPORT)
        slices[axis] = semantics.part(inputs[0].shape[axis], start, end, step)
    return inputs[0][tuple(slices)]


def _shape(constants: Constants, node: Node, inputs: Arrays) -> np.ndarray:
    return semantics.sub_shape(node, inputs[0].shape)


_MOVING = ("Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
_FOLDABLE: dict[str, Callable[[Constants, Node, Arrays], np.ndarray]] = {
    **dict.fromkeys((*_BINARY, "Div"), _binary),
    **dict.fromkeys(_UNARY, _unary),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Gather": _gather,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
