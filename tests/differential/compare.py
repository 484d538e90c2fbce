"""Layer by layer, our integers (or our floats) against the judge's tensors, then the output."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from squeeze_hls.network import ir
from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.quantize import operators as batch
from tests.differential.case import Case
from tests.differential.layers import FLOAT_ERROR, HALF_ERROR, Border, Known, compute, differences, known, on_grid
from tests.differential.noise import variance

PICTURE_SLACK = 1 / 64  # of a pixel: quantizers of the picture that change less are left out, with a note
IMPORT = 1e-3  # of the largest value: float layers, as imported
IMPORT_HALF = 2e-2
ENDING = 1e-4  # of the largest value: softmax and its like
ENDING_HALF = 2.0**-9
Pairs = dict[str, list[np.ndarray]]  # of our tensors, the judge's that may be the same


class Logits(NamedTuple):
    """What the last layers give on the judge's tensors."""

    real: np.ndarray  # (classes,) float64
    bound: np.ndarray  # (classes,): how far the judge's may be
    noise: np.ndarray | float = 0.0  # (classes,): the standard deviation that rounding gives them, see noise.py


class Difference(Exception):
    """Two results that must agree do not: where, and by how much."""


def compare_network(case: Case, network: IntNetwork, graph: Graph, pixels: np.ndarray, pairs: Pairs) -> Logits:
    """The integer network layer by layer, each on the judge's tensors.  Raises Difference."""
    error = HALF_ERROR if case.half else FLOAT_ERROR
    slack = np.full(pixels.shape, PICTURE_SLACK if case.picture_quantizer and graph.preprocess.levels is None else 0.0)
    have: dict[str, Known] = {network.input: Known(pixels, slack, np.full(3, 255))}
    for node in network.nodes:
        inputs = [have[t] for t in node.inputs]
        border = _border(network, graph) if network.input in node.inputs else Border()
        computed = compute(node, inputs, error, border)
        if isinstance(node, ir.GlobalAverage):
            scale = network.scale[node.output]
            logits, bound = (v.reshape(-1) * scale for v in (computed.real, computed.bound))
            _same_logits(node.output, logits, bound, pairs.get(node.output, []))
            return Logits(logits, bound)
        judged = _matching(node.output, computed.real.shape, pairs.get(node.output, []), network.scale[node.output])
        if judged is None:
            have[node.output] = Known(computed.rounded.astype(np.int64), computed.bound + 0.5, computed.top)
            continue
        # what the model does not quantize got a range on pictures; only the last convolution's cannot saturate
        clips = node.output not in graph.activation_scale and not getattr(node, "wide", False)
        off = differences(computed, judged)
        if off.max() > 0:
            raise Difference(_where(f"tensor {type(node).__name__}", node.output, computed.real, judged, off))
        have[node.output] = known(judged, computed.top, clips=clips)
    raise Difference("the network has no average")


def _border(network: IntNetwork, graph: Graph) -> Border:
    mean = np.array(graph.preprocess.mean)
    mean = mean if graph.preprocess.channels == "RGB" else mean[::-1]
    away = np.abs(np.array(network.pad_value) - mean)
    return Border(network.pad_value, tuple(float(a) for a in away))


def _matching(tensor: str, shape: tuple[int, ...], found: list[np.ndarray], scale: float) -> np.ndarray | None:
    """The judge's tensor in steps, (H, W, C); None where it has none, or has integers there."""
    real = [f for f in found if f.dtype.kind == "f"]
    if not real:
        return None
    fitting = [f for f in real if f.ndim == 4 and f.shape[1:] == (shape[2], *shape[:2])]
    if not fitting and "..." not in tensor:  # the names of other tensors may be cut to the same
        raise Difference(f"tensor {tensor}: ours has shape {shape}, the judge's {real[0].shape}")
    return fitting[0][0].transpose(1, 2, 0).astype(np.float64) / scale if len(fitting) == 1 else None


def _same_logits(tensor: str, ours: np.ndarray, bound: np.ndarray, found: list[np.ndarray]) -> None:
    for judged in found:
        theirs = judged[:1].reshape(-1).astype(np.float64)
        if theirs.shape != ours.shape:
            raise Difference(f"logits {tensor}: ours have shape {ours.shape}, the judge's {judged.shape}")
        off = np.abs(ours - theirs) - bound
        if not off.max() <= 0:
            raise Difference(_where("logits", tensor, ours, theirs, off))


def _where(what: str, tensor: str, ours: np.ndarray, theirs: np.ndarray, off: np.ndarray) -> str:
    worst = np.unravel_index(int(np.argmax(off)), off.shape)
    place = [int(i) for i in worst]
    return (
        f"{what} '{tensor}': {int((off > 0).sum())} of {off.size} differ, most at {place}: ours {ours[worst]:.6g}, "
        f"the judge's {theirs[worst]:.6g} (allowed {abs(ours[worst] - theirs[worst]) - off[worst]:.3g})"
    )


def compare_graph(case: Case, graph: Graph, seen: np.ndarray, pairs: Pairs) -> Logits:
    """The same for a float network as it was imported, computed by the float evaluator."""
    tolerance = IMPORT_HALF if case.half else IMPORT
    have: dict[str, np.ndarray] = {graph.input: seen.transpose(0, 2, 3, 1)}
    spread: dict[str, np.ndarray] = {graph.input: np.zeros(have[graph.input].shape, np.float32)}
    for node in graph.nodes:
        inputs = [have[t] for t in node.inputs]
        result = batch.forward(node, inputs)
        spread[node.output] = variance(node, inputs, [spread[t] for t in node.inputs], result)
        found = pairs.get(node.output, [])
        if isinstance(node, ir.GlobalAverage):
            logits = result.reshape(-1).astype(np.float64)
            bound = np.full(logits.shape, tolerance * max(float(np.abs(logits).max()), 1e-6))
            _same_logits(node.output, logits, bound, found)
            return Logits(logits, bound, np.sqrt(spread[node.output].reshape(-1)))
        judged = _matching(node.output, result.shape[1:], found, 1.0)
        step = graph.activation_scale.get(node.output)
        if judged is None:
            have[node.output] = (
                result if step is None else batch.in_steps(result, np.float32(step), graph.top(node.output))
            )
            continue
        low = 0.0 if result.min(initial=0.0) >= 0 else -np.inf
        high = np.inf if step is None else step * graph.top(node.output)
        ours, theirs = (np.clip(v, low, high) for v in (result[0].astype(np.float64), judged))
        allowed = np.full(ours.shape, tolerance * max(float(np.abs(theirs).max()), 1e-6))
        if step is not None:
            allowed += np.where(on_grid(theirs / step), 0.5 * step, 0)
        if step is not None:  # a Clip that stands before the quantizer cuts off in the first or the last half step
            half = 0.5 * step + allowed
            allowed[(np.maximum(ours, theirs) <= half) | (np.minimum(ours, theirs) >= high - half)] = np.inf
        off = np.abs(ours - theirs) - allowed
        if not off.max() <= 0:
            raise Difference(_where(f"import {type(node).__name__}", node.output, ours, theirs, off))
        have[node.output] = theirs.astype(np.float32)[None]
    raise Difference("the network has no average")


def compare_output(case: Case, logits: np.ndarray, bound: np.ndarray, judged: np.ndarray) -> None:
    """The model's output is our logits, through the functions that the model ends with."""
    ours, most = logits, float(bound.max()) + case.logits_away
    ending = ENDING_HALF if case.half else ENDING
    theirs = (judged[:1] if case.batch > 1 else judged).reshape(-1).astype(np.float64)
    for name in case.ending:
        if name == "topk":
            return
        if name == "argmax":
            if theirs.size != 1:
                raise Difference(f"output: {theirs.size} largest classes")
            if ours.max() - ours[int(theirs[0]) % ours.size] > 2 * most + 1e-6:
                raise Difference(f"output: class {int(theirs[0])} is largest, ours is {int(ours.argmax())}")
            return
        ours = _function(name, ours)
    if theirs.shape != ours.shape:
        raise Difference(f"output: {theirs.size} values for {ours.size} classes")
    off = np.abs(ours - theirs) - 2 * most - ending * max(1.0, float(np.abs(ours).max()))
    if not off.max() <= 0:
        raise Difference(_where("output", case.model.graph.output[0].name, ours, theirs, off))


def _function(name: str, values: np.ndarray) -> np.ndarray:
    if name == "sigmoid":
        return 1 / (1 + np.exp(-values))
    shifted = values - values.max()
    logs = shifted - np.log(np.exp(shifted).sum())
    return logs if name == "log_softmax" else np.exp(logs)
