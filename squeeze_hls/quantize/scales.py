"""Scales of activations and weights that minimise the error on calibration pictures."""

from __future__ import annotations

import numpy as np

from squeeze_hls.network import arith
from squeeze_hls.network.ir import Graph
from squeeze_hls.quantize import integers, rounding
from squeeze_hls.quantize import operators as batch

CLIPS = np.linspace(0.3, 1.0, 36)  # candidates, of the largest activation
SHRINKS = np.linspace(0.45, 1.05, 31)  # candidates, of the scale at which the largest weight fits
SAMPLE = 400_000  # values of each tensor
BATCH = 4  # pictures
WIDE_HEADROOM = 4.0


def activation_scales(
    graph: Graph, images: np.ndarray, border: np.ndarray, groups: dict[str, str], rng: np.random.Generator
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Scale of each group of tensors that share one; the picture's is 1.  Also what each channel reaches.

    Runs the float network on the pictures, a few at a time, and keeps a sample of what every convolution
    and addition gives, and its largest value in each channel (C,).  Raises InputError where no convolution is averaged.
    """
    samples: dict[str, list[np.ndarray]] = {}
    reach: dict[str, np.ndarray] = {}
    keep = max(1, SAMPLE // len(images))
    for start in range(0, len(images), BATCH):
        tensors = batch.run(graph, images[start : start + BATCH], border)
        for node in graph.nodes:
            if node.rounds:
                flat, group = tensors[node.output].reshape(-1), groups[node.output]
                samples.setdefault(group, []).append(flat[rng.integers(0, flat.size, keep * BATCH)])
                top = tensors[node.output].max(axis=(0, 1, 2))
                reach[node.output] = np.maximum(reach.get(node.output, top), top)
    largest = dict.fromkeys(samples, 0.0)
    for tensor, tops in reach.items():
        largest[groups[tensor]] = max(largest[groups[tensor]], float(tops.max()))
    result = {}
    averaged = groups[integers.averaged_conv(graph).output]
    for group, parts in samples.items():
        if group == averaged:
            result[group] = max(largest[group], 1e-6) * WIDE_HEADROOM / arith.WIDE_MAX
        elif largest[group] > 0:
            result[group] = activation_scale(np.concatenate(parts), largest[group])
    # Nothing is known of maps that stay 0, but the biases that follow are whole steps of theirs: small ones.
    least = min((scale for group, scale in result.items() if group != averaged), default=1.0)
    for group in samples:
        result.setdefault(group, least)
    known = {group: float(np.float32(scale)) for group, scale in result.items()}
    return known | {groups[graph.input]: 1.0}, reach


def activation_scale(sample: np.ndarray, largest: float) -> float:
    """u8 scale with the least squared error of rounding and clipping a ``sample`` from 0 to ``largest`` > 0."""
    sample = sample[sample > 0].astype(np.float32)
    errors = []
    for clip in CLIPS:
        scale = np.float32(clip * largest / arith.ACTIVATION_MAX)
        errors.append(np.square(np.minimum(np.rint(sample / scale), arith.ACTIVATION_MAX) * scale - sample).sum())
    return float(CLIPS[int(np.argmin(errors))] * largest / arith.ACTIVATION_MAX)


def weight_scale(target: np.ndarray, hessian: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Scale per row of ``target`` (O, K) with the least error of plain rounding, weighted by the Hessian.

    No scale is below ``least`` (O,); a row of zeros gets that.
    """
    reach = np.maximum(target.max(axis=1) / arith.WEIGHT_MAX, -target.min(axis=1) / -arith.WEIGHT_MIN)
    best, lowest = np.maximum(reach, least), np.full(len(target), np.inf)
    for shrink in SHRINKS:
        scale = np.maximum(shrink * reach, least)
        integers = rounding.to_grid(target / scale[:, None])
        err = rounding.error(integers, target, np.diag(np.diag(hessian)), scale)
        better = err < lowest
        best, lowest = np.where(better, scale, best), np.where(better, err, lowest)
    return best


def refit(integers: np.ndarray, target: np.ndarray, hessian: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The scale (O,) that suits given integers best; rows where there is none keep ``scale``."""
    seen = integers @ hessian
    square, cross = (seen * integers).sum(axis=1), (seen * target).sum(axis=1)
    good = (square > 0) & (cross > 0)
    return np.where(good, cross / np.where(good, square, 1), scale)
