"""Real scales to the integers of an ``IntNetwork``, the same way for every quantizer.

Scales are float32 numbers, as ONNX files store them, and all arithmetic on them is float64, so that a
network that is exported and read back gets the same multipliers and shifts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith
from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.network.operators import (
    Add,
    Concat,
    Conv,
    GlobalAverage,
    IntAdd,
    IntConv,
    IntNode,
    MaxPool,
)

BIAS_MAX = arith.ACCUMULATOR_MAX
LATTICE_BITS = {False: 13, True: 5}  # u8, u16 outputs
COARSEST = 12  # bits of the multiplier that may be zero


def as_float32(scale: np.ndarray | float) -> np.ndarray:
    """Round scales to what a float32 holds, in float64."""
    return np.asarray(scale, np.float64).astype(np.float32).astype(np.float64)


def on_lattice(weight_scale: np.ndarray, scale_in: float, scale_out: float, *, wide: bool) -> np.ndarray:
    """The nearest weight scales (O,) whose multipliers have few bits.

    Outputs before rounding are ``acc * M / 2**S``; where M is a multiple of ``2**(S - 13)`` they lie on a
    lattice of ``2**-13`` steps, far coarser than the error of float32 convolutions.  So an exported model
    that is moved by half a lattice step (see ``export``) rounds everywhere as the integers do.  At least
    16 multipliers an octave remain; u16 outputs get a lattice of ``2**-5``.
    """
    result = np.empty(len(weight_scale))
    for row, factor in enumerate(weight_scale * scale_in / scale_out):
        mantissa, exponent = np.frexp(factor)
        step = 2.0 ** min(max(17 - exponent - LATTICE_BITS[wide], 0), COARSEST)
        multiplier = np.rint(mantissa * 2**17 / step) * step
        result[row] = multiplier * 2.0 ** (exponent - 17)
    return as_float32(result * scale_out / scale_in)


def integer_conv(
    conv: Conv,
    weight: np.ndarray,
    weight_scale: np.ndarray,
    scale_in: float,
    scale_out: float,
    *,
    wide: bool,
    limit: int | None = None,
) -> IntConv:
    """The integer convolution of float weights' integers; ``limit`` is its largest output, if not that of its type.

    ``weight`` is integer (O, kh, kw, I), ``weight_scale`` float64 (O,); the bias is ``conv.bias`` in units
    of ``scale_in * weight_scale``.  Raises InputError where a bias, a multiplier or a shift cannot be had.
    """
    unit = scale_in * weight_scale
    bias = np.rint(np.asarray(conv.bias, np.float64) / unit)
    worst = int(np.abs(bias).argmax())
    if abs(bias[worst]) > BIAS_MAX:
        raise InputError(
            f"{conv.name}: the bias of output channel {worst} is {bias[worst]:.0f} steps, more than 24 bits hold. "
            "Quantize with a larger weight scale for this channel."
        )
    try:
        pairs = [arith.multiplier_and_shift(float(u)) for u in unit / scale_out]
    except ValueError as error:
        raise InputError(f"{conv.name}: {error}. The scales of weights and activations do not fit.") from error
    return IntConv(
        name=conv.name,
        inputs=conv.inputs,
        output=conv.output,
        weight=weight.astype(np.int8),
        bias=bias.astype(np.int32),
        multiplier=np.array([m for m, _ in pairs], np.int32),
        shift=np.array([s for _, s in pairs], np.int32),
        stride=conv.stride,
        pads=conv.pads,
        wide=wide,
        limit=limit,
    )


def integer_add(add: Add, scales_in: list[float], scale_out: float, top: int = arith.ACTIVATION_MAX) -> IntAdd:
    """The integer addition of feature maps with these scales; raises InputError where they are too far apart."""
    multiplier = tuple(round(scale / scale_out * 2**arith.ADD_SHIFT) for scale in scales_in)
    if not all(0 < m < arith.ADD_MULTIPLIER_END for m in multiplier):
        shown = ", ".join(f"{scale:g}" for scale in scales_in)
        raise InputError(
            f"{add.name}: it adds feature maps of scales {shown} to one of scale {scale_out:g}; they may be a factor "
            "of 256 apart. Quantize them with closer scales."
        )
    return IntAdd(name=add.name, inputs=add.inputs, output=add.output, multiplier=multiplier, top=top)


def averaged_conv(graph: Graph) -> Conv:
    """The convolution whose u16 outputs are averaged; raises InputError where something else is."""
    for conv in graph.convs:
        if conv.output == graph.averaged:
            return conv
    raise InputError(
        f"{graph.name}: the average reads '{graph.averaged}', which no convolution gives. Put a 1x1 convolution that "
        "hands its input on in front of the average."
    )


def hollow(graph: Graph) -> IntNetwork:
    """The network that quantizing gives, with zeros for all its weights: enough to see what the engine makes of it."""
    nodes = tuple(HOLLOW[type(node)](node, node.output == graph.averaged) for node in graph.nodes)
    return IntNetwork(name=graph.name, input=graph.input, input_shape=graph.input_shape, nodes=nodes)


def _hollow_conv(node: Conv, wide: bool) -> IntConv:
    outputs = node.outputs
    return IntConv(
        name=node.name,
        inputs=node.inputs,
        output=node.output,
        weight=np.zeros(node.weight.shape, np.int8),
        bias=np.zeros(outputs, np.int32),
        multiplier=np.full(outputs, arith.MULTIPLIER_MIN, np.int32),
        shift=np.full(outputs, arith.SHIFT_MIN, np.int32),
        stride=node.stride,
        pads=node.pads,
        wide=wide,
    )


def _hollow_add(node: Add, _: bool) -> IntAdd:
    return IntAdd(name=node.name, inputs=node.inputs, output=node.output, multiplier=(1,) * len(node.inputs))


HOLLOW: dict[type, Callable[..., IntNode]] = {  # of a node, and whether its output is u16
    Conv: _hollow_conv,
    Add: _hollow_add,
    MaxPool: lambda node, _: node,
    Concat: lambda node, _: node,
    GlobalAverage: lambda node, _: node,
}


def tensor_scales(graph: Graph, groups: dict[str, str], scale: dict[str, float]) -> dict[str, float]:
    """The scale of every tensor, from those of the groups; the logits are sums over the averaged pixels."""
    height, width, _ = graph.shapes[graph.averaged]
    logits = graph.nodes[-1].output
    result = {tensor: scale[group] for tensor, group in groups.items() if tensor != logits}
    return result | {logits: scale[groups[graph.averaged]] / (height * width)}
