"""Float network -> integer network: post-training quantization on calibration pictures.

Layer by layer in the order of computation: each convolution sees what the quantized network in front of
it really gives, and is fitted to what the float network gives there, so that later layers make up for
the errors of earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith
from squeeze_hls.network.ir import Graph, IntNetwork, verify_int_network
from squeeze_hls.network.operators import Add, Concat, Conv, GlobalAverage, IntAdd, IntConv, IntNode, MaxPool
from squeeze_hls.quantize import integers, rounding, scales, sparse_calibration, statistics
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize.equalize import equalize
from squeeze_hls.quantize.folding import fold_preprocess

Progress = Callable[[str, int, int], None]
# Of a convolution, what calibration says about it, the scales of its input and output, and whether it is wide:
# the convolution with a new bias, its integer weights and their scales.
Fit = Callable[[Conv, statistics.Moments, float, float, bool], tuple[Conv, np.ndarray, np.ndarray]]
LEAST_FACTOR = 2.0**-14  # of the largest factor of a layer: shifts stay within 15 of each other
BIAS_ROOM = 2**21  # of the 24-bit accumulator
PRODUCT_ROOM = 0.9 * (arith.ACCUMULATOR_MAX - BIAS_ROOM)  # a tenth for what rounding and the lattice add
ROUNDS = 2  # of rounding and fitting the scale again


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A float network and pictures, ready for ``calibrate``."""

    graph: Graph  # reads raw pixels; channels equalized
    pad_value: tuple[int, int, int]
    images: np.ndarray  # u8 (N, H, W, 3)
    scale: dict[str, float]  # of each group of tensors that share one
    notes: tuple[str, ...]

    @property
    def border(self) -> np.ndarray:
        """What surrounds the picture where the first convolution pads, float32 (3,)."""
        return np.array(self.pad_value, np.float32)


def quantize(
    graph: Graph, images: np.ndarray, *, progress: Progress | None = None, seed: int = 0, mirror: bool = True
) -> IntNetwork:
    """Quantize a float network to 6-bit weights and 8-bit activations.

    ``images`` are u8 (N, H, W, 3) raw RGB calibration pictures of the network's input size; with ``mirror``
    their mirror images calibrate as well.  The same arguments give the same integers, on the same machine
    with the same number of threads.  Raises InputError where the pictures do not fit, or a layer's
    numbers cannot be held.
    """
    return calibrate(prepare(graph, images, seed=seed, mirror=mirror), fit, progress)


def prepare(graph: Graph, images: np.ndarray, *, seed: int, mirror: bool) -> Prepared:
    """Fold the preprocessing, equalize the channels and choose the activations' scales; see ``quantize``."""
    if images.dtype != np.uint8 or images.shape[1:] != graph.input_shape or not len(images):
        raise InputError(f"{graph.name}: calibration pictures are {images.dtype} {images.shape}, not u8 (N, H, W, 3)")
    given = images
    if mirror:
        images = np.concatenate([images, images[:, :, ::-1]])
    folded, pad_value, notes = fold_preprocess(graph)
    border = np.array(pad_value, np.float32)
    if not folded.activation_scale:  # trained ranges hold for channels as they are
        folded = equalize(folded, images, border)
    groups = folded.scale_groups
    scale, reach = scales.activation_scales(folded, images, border, groups, np.random.default_rng(seed))
    notes += sparse_calibration.notes(folded, given, border, reach)
    trained = {groups[t]: float(np.float32(s)) for t, s in folded.activation_scale.items() if t != folded.input}
    if trained:
        scale |= trained
        known = sum(groups[n.output] in trained for n in folded.nodes if n.rounds)
        notes += (f"the model's quantizers of {known} feature maps are kept, its float weights are quantized.",)
    return Prepared(graph=folded, pad_value=pad_value, images=images, scale=scale, notes=notes)


def calibrate(given: Prepared, fit: Fit, progress: Progress | None = None) -> IntNetwork:
    """The integer network whose convolutions ``fit`` gives, one after the other."""
    graph = given.graph
    work = _Calibration(given, fit)
    for index in range(len(graph.nodes)):
        if progress:
            progress("quantize", index, len(graph.nodes))
        work.step(index)
    if progress:
        progress("quantize", len(graph.nodes), len(graph.nodes))
    network = IntNetwork(
        name=graph.name,
        input=graph.input,
        input_shape=graph.input_shape,
        nodes=tuple(work.nodes),
        pad_value=given.pad_value,
        scale=integers.tensor_scales(graph, work.groups, work.scale),
        preprocess=graph.preprocess,
        labels=graph.labels,
        notes=given.notes,
    )
    verify_int_network(network)
    return network


class _Calibration:
    """The float and the quantized network side by side, tensor by tensor."""

    def __init__(self, given: Prepared, fit: Fit):
        self.graph, self.border, self.fit = given.graph, given.border, fit
        self.groups, self.scale = given.graph.scale_groups, given.scale
        start = {given.graph.input: given.images}
        self.real: dict[str, np.ndarray] = dict(start)  # what the float network gives, in units of the scale
        self.quantized: dict[str, np.ndarray] = dict(start)  # integers of the quantized one
        self.nodes: list[IntNode] = []
        self.shapes, self.last_use = given.graph.shapes, batch.last_use(given.graph)

    def step(self, index: int) -> None:
        """Quantize node ``index`` and compute both its outputs."""
        node = self.graph.nodes[index]
        self.nodes.append(QUANTIZE[type(node)](self, node))
        for tensor in set(node.inputs):
            if self.last_use[tensor] == index:
                del self.real[tensor], self.quantized[tensor]

    def conv(self, conv: Conv) -> IntConv:
        (source,) = conv.inputs
        wide = conv.output == self.graph.averaged
        scale_in, scale_out = self.scale[self.groups[source]], self.scale[self.groups[conv.output]]
        border = self.border if source == self.graph.input else 0.0
        seen = self.quantized[source]
        shape = (len(seen), *self.shapes[conv.output])
        self.real[conv.output] = np.empty(shape, np.float32 if wide else np.float16)  # which ends at 65504
        given = statistics.moments(self._pairs(conv, border, scale_in, scale_out))
        fitted, weight, scale = self.fit(conv, given, scale_in, scale_out, wide)
        limit = self.graph.activation_top.get(conv.output)
        result = integers.integer_conv(fitted, weight, scale, scale_in, scale_out, wide=wide, limit=limit)
        self.quantized[conv.output] = batch.exact(result, [seen], border)
        return result

    def add(self, add: Add) -> IntAdd:
        own = [self.scale[self.groups[tensor]] for tensor in add.inputs]
        scale = self.scale[self.groups[add.output]]
        top = self.graph.activation_top.get(add.output, arith.ACTIVATION_MAX)
        result = integers.integer_add(add, own, scale, top)
        total = batch.forward(add, [self.real[t] * (s / scale) for t, s in zip(add.inputs, own, strict=True)])
        if add.output in self.graph.activation_scale:
            total = batch.in_steps(total, np.float32(1), top)
        self.real[add.output] = total
        self.quantized[add.output] = batch.exact(result, [self.quantized[t] for t in add.inputs])
        return result

    def passed(self, node: MaxPool | Concat) -> MaxPool | Concat:
        """Values stay what they are."""
        self.real[node.output] = batch.forward(node, [self.real[t] for t in node.inputs])
        self.quantized[node.output] = batch.exact(node, [self.quantized[t] for t in node.inputs])
        return node

    def _pairs(
        self, conv: Conv, border: np.ndarray | float, scale_in: float, scale_out: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What the convolution sees and what it should give, in units of ``scale_in``; keeps the latter as well."""
        (source,) = conv.inputs
        matrix = conv.weight.reshape(len(conv.bias), -1).T
        bias = (np.asarray(conv.bias) / scale_in).astype(np.float32)
        real = batch.columns(conv, self.real[source], border)
        for (part, x), (_, seen) in zip(real, batch.columns(conv, self.quantized[source], border), strict=True):
            wanted = x @ matrix + bias
            kept = self.real[conv.output]
            given = np.maximum(wanted, 0) * np.float32(scale_in / scale_out)
            if conv.output in self.graph.activation_scale:
                given = batch.in_steps(given, np.float32(1), self.graph.top(conv.output))
            kept[part] = given.reshape(-1, *kept.shape[1:])
            yield seen, wanted


QUANTIZE: dict[type, Callable[..., IntNode]] = {  # of the calibration and a node, what becomes of it
    Conv: _Calibration.conv,
    Add: _Calibration.add,
    MaxPool: _Calibration.passed,
    Concat: _Calibration.passed,
    GlobalAverage: lambda _, node: node,  # the end: nothing reads it
}


def fit(
    conv: Conv, given: statistics.Moments, scale_in: float, scale_out: float, wide: bool
) -> tuple[Conv, np.ndarray, np.ndarray]:
    """Integer weights (O, kh, kw, I), their scales (O,), and ``conv`` with the bias that goes with them.

    ``given`` is in units of the input's scale.
    """
    start = conv.weight.reshape(len(conv.bias), -1).astype(np.float64)
    support = start != 0
    target = statistics.best_weights(given, start, support)
    least = least_scale(conv, target, scale_in, scale_out)
    scale = integers.on_lattice(scales.weight_scale(target, given.hessian, least), scale_in, scale_out, wide=wide)
    for _ in range(ROUNDS):
        chosen = rounding.round_weights(target, given.hessian, scale, support)
        scale = np.maximum(scales.refit(chosen, target, given.hessian, scale), least)
        scale = integers.on_lattice(scale, scale_in, scale_out, wide=wide)
    chosen = rounding.descend(chosen, target, given.hessian, scale, support)
    bias = (given.mean_out - (chosen * scale[:, None]) @ given.mean_in) * scale_in
    return replace(conv, bias=bias), chosen.reshape(conv.weight.shape), scale


def least_scale(conv: Conv, target: np.ndarray, scale_in: float, scale_out: float) -> np.ndarray:
    """Smallest weight scale (O,) at which bias and products fit and the shifts of the layer stay together."""
    reach = np.abs(target).max(axis=1) / arith.WEIGHT_MAX
    least = np.maximum(np.abs(conv.bias) / (scale_in * BIAS_ROOM), 2.0**-22 * scale_out / scale_in)
    least = np.maximum(least, arith.ACTIVATION_MAX * np.abs(target).sum(axis=1) / PRODUCT_ROOM)
    largest = max(float(reach.max()), float(least.max()))
    least = np.maximum(least, largest * LEAST_FACTOR)
    usual = float(np.median(reach[reach > 0])) if (reach > 0).any() else scale_out / scale_in / 256
    return np.where(reach > 0, least, np.maximum(least, usual))
