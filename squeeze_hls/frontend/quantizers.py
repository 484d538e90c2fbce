"""Quantizer nodes: QONNX ``Quant``, and ``QuantizeLinear``/``DequantizeLinear`` (QDQ).

On constants they fold: weights become multiples of a scale that ``Constants.scale`` remembers.  On
feature maps they become ``operations.Quantizer``.  Sources: the QONNX operator documentation (Quant) and
the ONNX one (QuantizeLinear, DequantizeLinear).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from squeeze_hls.frontend.context import Context, FeatureMap, Grid
from squeeze_hls.frontend.onnx_node import RE_EXPORT, Node
from squeeze_hls.frontend.operations import Quantizer
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.network import arith

QUANT_DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
QUANT = tuple(f"{domain}.{op}" for domain in QUANT_DOMAINS for op in ("Quant", "IntQuant"))  # old and new name
LINEAR_DOMAINS = ("", "com.microsoft.")
QUANTIZE = tuple(f"{domain}QuantizeLinear" for domain in LINEAR_DOMAINS)
DEQUANTIZE = tuple(f"{domain}DequantizeLinear" for domain in LINEAR_DOMAINS)

WHOLE = 1e-3  # of a step: what arithmetic in float32 may leave between a weight and a whole number of steps
_INTEGERS = (onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.UINT16, onnx.TensorProto.INT16)
_SYMMETRIC = "Quantize with zero point 0, or quantize the float model with 'squeeze-hls quantize'."
_ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda a: np.sign(a) * np.ceil(np.abs(a)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda a: np.sign(a) * np.floor(np.abs(a) + 0.5),
    "HALF_DOWN": lambda a: np.sign(a) * np.ceil(np.abs(a) - 0.5),
}


def quant(context: Context, node: Node) -> None:
    """QONNX Quant(x, scale, zero point, bit width; signed, narrow, rounding_mode)."""
    scale = _scale(context, node, 1)
    zero = context.constant(node, 2, "zero points").astype(np.float64)
    width = context.constant(node, 3, "bit widths")
    bits = float(width.reshape(-1)[0]) if width.size == 1 else math.nan
    if bits not in range(2, 33):
        raise node.refuse("the bit width must be one whole number from 2 to 32.", RE_EXPORT)
    low, high = quant_range(int(bits), signed=bool(node.integer("signed", 1)), narrow=bool(node.integer("narrow", 0)))
    mode = node.string("rounding_mode", "ROUND").upper()
    if mode not in _ROUND:
        raise node.refuse(f"rounding mode '{safe_name(mode, 40)}' is not known.", RE_EXPORT)
    if node.required(0) in context.constants:
        values = context.constants[node.input(0)]
        _check_fit(context, node, values, scale, zero)
        # float32, in the order in which QONNX computes, so that halves round to the same side
        with np.errstate(all="ignore"):
            steps = values.astype(np.float32) / scale.astype(np.float32) + zero.astype(np.float32)
        _check_finite(node, steps)
        context.constants.put_quantized(
            node.output, _ROUND[mode](np.clip(steps, low, high)).astype(np.float64) - zero, scale
        )
        return
    if mode not in ("ROUND", "HALF_EVEN", "HALF_UP") and context.feature_map(node).tensor != context.input:
        raise node.refuse(
            f"activations rounded by {mode} are not supported; the engine rounds to nearest.", "Quantize with ROUND."
        )
    grid = _grid(node, scale, zero, low, high)

    def with_zero_point(steps: np.ndarray) -> np.ndarray:
        return _ROUND[mode](steps + np.float32(grid.zero)) - grid.zero  # it decides about halves and directions

    _on_feature_map(context, node, grid._replace(round=with_zero_point))


def quant_range(bits: int, *, signed: bool, narrow: bool) -> tuple[int, int]:
    """Smallest and largest integer of a QONNX quantizer."""
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def quantize_linear(context: Context, node: Node) -> None:
    """QuantizeLinear(x, scale, zero point): to integers; only DequantizeLinear may follow (after pooling, concat)."""
    scale = _scale(context, node, 1)
    if node.input(2):
        zero = context.constant(node, 2, "zero points")
        kind = node.integer("output_dtype", 0)
        names = {value: name.lower() for name, value in onnx.TensorProto.DataType.items()}
        if kind and names.get(kind) != zero.dtype.name:
            raise node.refuse(f"output_dtype {kind} is not the type of its zero point, {zero.dtype}.", RE_EXPORT)
    else:
        kind = node.integer("output_dtype", 0) or onnx.TensorProto.UINT8
        if kind not in _INTEGERS:
            raise node.refuse("its output type is not supported.", "Quantize to int8 or uint8.")
        zero = np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(kind))
    if zero.dtype.kind not in "iu" and "int" not in zero.dtype.name:
        raise node.refuse(f"integers of type {zero.dtype} are not supported.", "Quantize to int8 or uint8.")
    low, high = _integer_range(zero)
    if node.required(0) in context.constants:
        values = context.constants[node.input(0)].astype(np.float32)
        scale, offset = (_along_axis(node, a, values.ndim) for a in (scale, zero.astype(np.float64)))
        _check_fit(context, node, values, scale, offset)
        with np.errstate(all="ignore"):
            steps = np.rint(values / scale.astype(np.float32)) + offset
        _check_finite(node, steps)
        context.constants.put(node.output, np.clip(steps, low, high).astype(zero.dtype))
        context.constants.quantized.add(node.output)
        return
    grid = _grid(node, scale, zero.astype(np.float64), low, high)
    _on_feature_map(context, node, grid)
    context.maps[node.output] = replace(context.maps[node.output], grid=grid)


def dequantize_linear(context: Context, node: Node) -> None:
    """DequantizeLinear(q, scale, zero point): back to real values."""
    scale = _scale(context, node, 1)
    zero = context.constant(node, 2, "zero points").astype(np.float64) if node.input(2) else np.zeros(())
    if node.required(0) in context.constants:
        stored = context.constants[node.input(0)]
        if stored.dtype.kind not in "iu" and "int" not in stored.dtype.name:
            raise node.refuse(
                f"it reads numbers of type {stored.dtype.name}, not integers.", "Quantize the weights to integers."
            )
        integers = stored.astype(np.float64)
        scale, zero = (_along_axis(node, a, integers.ndim) for a in (scale, zero))
        _check_fit(context, node, integers, scale, zero)
        context.constants.put_quantized(node.output, integers - zero, scale)
        return
    source = context.feature_map(node)
    if source.grid is None:
        raise node.refuse("its input was not quantized before.", RE_EXPORT)
    if source.grid != _grid(node, scale, zero, source.grid.low, source.grid.high):
        raise node.refuse("its scale or zero point differs from that of QuantizeLinear.", RE_EXPORT)
    _on_feature_map(context, node, source.grid)  # once more changes nothing, but names the tensor after the output
    context.maps[node.output] = replace(context.maps[node.output], grid=None)


def _scale(context: Context, node: Node, index: int) -> np.ndarray:
    scale = context.constant(node, index, "scales").astype(np.float64)
    if not scale.size or not np.isfinite(scale).all() or scale.min() <= 0:
        raise node.refuse("scales must be positive and finite.", "The quantization failed; quantize the model again.")
    return scale


def _integer_range(zero: np.ndarray) -> tuple[int, int]:
    name = zero.dtype.name
    bits = int("".join(c for c in name if c.isdigit()))
    return quant_range(bits, signed=not name.startswith("uint"), narrow=False)


def _along_axis(node: Node, values: np.ndarray, rank: int) -> np.ndarray:
    """Shape a per-axis (1-D) scale or zero point so that it broadcasts against ``rank`` dimensions."""
    if values.size == 1:
        return values.reshape((1,) * rank)
    axis = node.integer("axis", 1)
    if values.ndim != 1 or not -rank <= axis < rank:
        raise node.refuse("only one scale per tensor or per channel is supported.", RE_EXPORT)
    shape = [1] * rank
    shape[axis % rank] = values.size
    return values.reshape(shape)


def _check_fit(context: Context, node: Node, values: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> None:
    """Scale and zero point must broadcast to the shape of the values, never beyond it."""
    try:
        fits = np.broadcast_shapes(values.shape, scale.shape, zero.shape) == values.shape
    except ValueError:
        fits = False
    if not fits:
        raise node.refuse(
            f"its scale of shape {list(scale.shape)} does not fit values of shape {list(values.shape)}.", RE_EXPORT
        )
    context.constants.claim(node, values.size)


def _check_finite(node: Node, steps: np.ndarray) -> None:
    if not np.isfinite(steps).all():
        raise node.refuse("the values it quantizes are not finite.", "Export a good checkpoint.")


def _grid(node: Node, scale: np.ndarray, zero: np.ndarray, low: int, high: int) -> Grid:
    """The one scale and zero point of a feature map."""
    steps, offsets = np.unique(scale), np.unique(zero)
    if steps.size != 1 or offsets.size != 1:
        raise node.refuse(
            "one scale per channel of activations is not supported; the engine has one per tensor.", _SYMMETRIC
        )
    start = float(offsets[0])
    if not low <= start < high or start != int(start):
        raise node.refuse(f"zero point {start:g} lies outside [{low}, {high}].", _SYMMETRIC)
    return Grid(float(steps[0]), int(start), low, high)


def _on_feature_map(context: Context, node: Node, grid: Grid) -> None:
    source = context.feature_map(node)
    if source.averaged:
        context.logit_quantizers.append((node, grid))
        context.define(node, source)
        return
    if source.tensor == context.input:
        _on_picture(context, node, grid)
        context.define(node, source)
        return
    layer = Quantizer(
        node=node,
        inputs=(source.tensor,),
        output=node.output,
        scale=grid.scale,
        bottom=grid.low - grid.zero,
        top=grid.high - grid.zero,
    )
    context.add_elementwise(node, layer, source)


def _on_picture(context: Context, node: Node, grid: Grid) -> None:
    """Remember the quantizer of the picture; once more the same one, or one with a narrower range, is part of it."""
    if context.picture_quantizer is None:
        context.picture_quantizer = node, grid
        return
    first, before = context.picture_quantizer
    if (grid.scale, grid.zero) != (before.scale, before.zero):
        raise node.refuse("the picture is quantized twice, with different scales.", "Quantize it once.")
    both = before._replace(low=max(grid.low, before.low), high=min(grid.high, before.high))
    context.picture_quantizer = first, both


def narrow_grid(context: Context, node: Node, source: FeatureMap, low: float, high: float) -> None:
    """Clip integers between QuantizeLinear and DequantizeLinear to [low, high]."""
    assert source.grid is not None
    low, high = max(low, source.grid.low), min(high, source.grid.high)
    if low != int(low) or high != int(high) or not low <= source.grid.zero < high:
        raise node.refuse(f"integers clipped to [{low:g}, {high:g}] leave no quantizer.", RE_EXPORT)
    grid = source.grid._replace(low=int(low), high=int(high))
    _on_feature_map(context, node, grid)
    context.maps[node.output] = replace(context.maps[node.output], grid=grid)


def channel_scale(context: Context, node: Node, weight: np.ndarray) -> np.ndarray | None:
    """Scale per output channel of a convolution's weights (O, I, kh, kw); None where they are not quantized.

    Raises InputError where the integers leave the engine's [-32, 31].
    """
    scale = context.constants.scale.get(node.input(1))
    if scale is None:
        if node.input(1) in context.constants.quantized:
            raise node.refuse(
                "its weights were quantized and then changed by arithmetic, which loses their scale.",
                "Quantize the weights last, as the input of the convolution.",
            )
        return None
    rows = np.broadcast_to(scale, weight.shape).reshape(weight.shape[0], -1)
    if (rows != rows[:, :1]).any():
        raise node.refuse(
            f"weight scales of shape {list(scale.shape)} are not one per output channel.",
            "Quantize the weights per output channel or per tensor.",
        )
    steps = weight / rows[:, 0].reshape(-1, *(1,) * (weight.ndim - 1))
    integers = np.rint(steps)
    off = float(np.abs(steps - integers).max(initial=0.0))
    if not off <= WHOLE:
        raise node.refuse(
            f"its quantized weights are not whole steps of their scale, but up to {off:.2g} of a step away.",
            "Quantize with a whole zero point, to integers.",
        )
    if integers.min() < arith.WEIGHT_MIN or integers.max() > arith.WEIGHT_MAX:
        raise node.refuse(
            f"its integer weights reach [{integers.min():.0f}, {integers.max():.0f}]; the engine's weights have "
            f"{arith.WEIGHT_BITS} bits, [{arith.WEIGHT_MIN}, {arith.WEIGHT_MAX}].",
            "Quantize the float model with 'squeeze-hls quantize', or retrain with 6-bit weights.",
        )
    return rows[:, 0].astype(np.float64)
