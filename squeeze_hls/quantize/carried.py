"""Networks that came quantized (QONNX, QDQ): their own scales to integers, exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith
from squeeze_hls.network.ir import Graph, IntNetwork, verify_int_network
from squeeze_hls.network.operators import Add, Concat, Conv, GlobalAverage, IntAdd, IntConv, IntNode, MaxPool
from squeeze_hls.quantize import export, integers, scales, sparse_calibration, thresholds
from squeeze_hls.quantize.folding import fold_preprocess

LIFT = 0.26  # of an output step: what ``export.lift`` adds to a bias at most, and a little
CLOSE = 1 / 32  # of an output step: a bias this near to a whole number of weight steps is near enough


def is_quantized(graph: Graph) -> bool:
    """Whether weights of the network came with scales."""
    return any(conv.weight_scale is not None for conv in graph.convs)


def from_quantized(graph: Graph, images: np.ndarray | None = None, *, seed: int = 0) -> IntNetwork:
    """The integers of a network that came with scales for weights and activations.

    Weights, biases and scales are taken as they are.  Where the last convolution has no activation scale
    it gets one at which it cannot saturate.  Other missing activation scales are chosen on the calibration
    pictures ``images``, u8 (N, H, W, 3) RGB, and a note says so; without them InputError does.
    """
    folded, pad_value, notes = fold_preprocess(graph)
    groups = folded.scale_groups
    scale, chosen = _group_scales(folded, groups, images, np.array(pad_value, np.float32), seed)
    carry = _Carry(folded, {tensor: scale[group] for tensor, group in groups.items() if group in scale}, max(pad_value))
    nodes = tuple(CARRY[type(node)](carry, node) for node in folded.nodes)
    network = IntNetwork(
        name=graph.name,
        input=graph.input,
        input_shape=graph.input_shape,
        nodes=nodes,
        pad_value=pad_value,
        scale=integers.tensor_scales(folded, groups, scale),
        preprocess=folded.preprocess,
        labels=graph.labels,
        notes=notes + chosen + thresholds.note(carry.fitted),
    )
    verify_int_network(network)
    return network


class _Carry:
    """What becomes of each node; notes the convolutions whose integers had to be fitted."""

    def __init__(self, graph: Graph, scale: dict[str, float], border: int) -> None:
        self.graph, self.scale, self.border = graph, scale, border
        self.fitted: list[thresholds.Fitted] = []

    def conv(self, node: Conv) -> IntConv:
        (tensor,) = node.inputs
        source, target = self.scale[tensor], self.scale[node.output]
        step = integers.as_float32(_own_scale(node))
        weight = np.rint(node.weight.astype(np.float64) / step[:, None, None, None])
        weight, step = _finer(node, weight, step, source, target)
        wide, limit = node.output == self.graph.averaged, self.graph.activation_top.get(node.output)
        conv = integers.integer_conv(node, weight, step, source, target, wide=wide, limit=limit)
        unit = step * source
        bias = np.asarray(node.bias, np.float64) / unit
        if _written(conv, bias, step, (source, target), self.border if tensor == self.graph.input else 0):
            return conv
        self.fitted.append(thresholds.fit(conv, bias, unit / target))
        return self.fitted[-1].conv

    def add(self, node: Add) -> IntAdd:
        top = self.graph.activation_top.get(node.output, arith.ACTIVATION_MAX)
        return integers.integer_add(node, [self.scale[t] for t in node.inputs], self.scale[node.output], top)


CARRY: dict[type, Callable[..., IntNode]] = {
    Conv: _Carry.conv,
    Add: _Carry.add,
    MaxPool: lambda _, node: node,
    Concat: lambda _, node: node,
    GlobalAverage: lambda _, node: node,
}


def _finer(
    conv: Conv, weight: np.ndarray, step: np.ndarray, scale_in: float, scale_out: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same weights in smaller steps, where biases would be rounded too far: a bias is a whole number of them.

    Weights of two or three bits have steps of the size of an output.  Multiplied by a power of two they are the same
    numbers, and multiplier and shift give the same factor.  Models that this package writes are never changed: their
    biases are at most LIFT away from whole steps.
    """
    bias = np.asarray(conv.bias, np.float64)

    def away(unit: np.ndarray) -> np.ndarray:
        return np.abs(bias / unit - np.rint(bias / unit)) * unit / scale_out

    unit = step * scale_in
    if away(unit).max(initial=0.0) <= LIFT:
        return weight, step
    power = np.ones(len(bias))
    largest = np.abs(weight).reshape(len(bias), -1)
    reach = arith.ACTIVATION_MAX * largest.sum(axis=1) + np.abs(np.rint(bias / unit)) + 1
    for _ in range(arith.WEIGHT_BITS - 1):
        room = (2 * power * largest.max(axis=1) <= arith.WEIGHT_MAX) & (2 * power * reach <= arith.ACCUMULATOR_MAX)
        power[room & (away(unit / power) > CLOSE)] *= 2
    return weight * power[:, None, None, None], step / power


def _written(conv: IntConv, bias: np.ndarray, step: np.ndarray, ends: tuple[float, float], border: int) -> bool:
    """Whether the real numbers are those that ``export`` writes of these integers, which are then not touched.

    ``bias`` (O,) is in accumulator units, ``step`` (O,) the scale of the weights, ``ends`` those of input and output.
    Biases travel as float32, together with what a border of so many pixel steps adds to them.
    """
    rounded = np.abs(conv.bias) + 1.0 + border * np.abs(conv.weight.astype(np.float64)).sum(axis=(1, 2, 3))
    away = np.abs(bias - conv.bias - export.lift(conv))
    return bool((step == export.weight_scale(conv, *ends)).all() and (away <= 2.0**-23 * rounded).all())


def _own_scale(conv: Conv) -> np.ndarray:
    if conv.weight_scale is None:
        raise InputError(f"{conv.name}: its weights are not quantized, others are. Quantize all weights, or none.")
    return conv.weight_scale


def _group_scales(
    graph: Graph, groups: dict[str, str], images: np.ndarray | None, border: np.ndarray, seed: int
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The scale of each group of tensors that share one, and a note where pictures decided."""
    known = {groups[graph.input]: 1.0}
    known |= {groups[t]: float(np.float32(s)) for t, s in graph.activation_scale.items() if t != graph.input}
    last = graph.averaged
    computed = [node.output for node in graph.nodes if node.rounds]
    missing = [tensor for tensor in computed if groups[tensor] not in known and tensor != last]
    if not missing:
        return _with_last(graph, groups, known), ()
    if images is None:
        raise InputError(
            f"{graph.name}: the model has no activation scale for '{missing[0]}' ({len(missing)} in all). "
            "Give calibration pictures, or export the model with quantized activations."
        )
    note = (
        f"{len(missing)} feature maps have no quantizer in the model, '{missing[0]}' the first: they are rounded to 8 "
        "bits, at scales chosen on the calibration pictures."
    )
    found, reach = scales.activation_scales(graph, images, border, groups, np.random.default_rng(seed))
    del found[groups[last]]
    return _with_last(graph, groups, found | known), (note, *sparse_calibration.notes(graph, images, border, reach))


def _with_last(graph: Graph, groups: dict[str, str], known: dict[str, float]) -> dict[str, float]:
    """Scales with one for the averaged convolution, if it has none: that at which it cannot saturate."""
    last = graph.averaged
    if groups[last] in known:
        return known
    conv = integers.averaged_conv(graph)
    return known | {groups[last]: _safe_scale(conv, known[groups[conv.inputs[0]]])}


def _safe_scale(conv: Conv, scale_in: float) -> float:
    """The u16 scale at which no input saturates the convolution."""
    reach = np.abs(conv.weight.astype(np.float64)).sum(axis=(1, 2, 3)) * scale_in * arith.ACTIVATION_MAX
    return float(np.float32(max(float((reach + np.abs(conv.bias)).max()), 1e-6) / arith.WIDE_MAX))
