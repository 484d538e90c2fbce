"""Preprocessing folded into the first convolution, so that hardware takes raw RGB pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network.ir import Conv, Graph, Preprocess


def fold_preprocess(graph: Graph) -> tuple[Graph, tuple[int, int, int], tuple[str, ...]]:
    """The same network for raw RGB pixels; also the pixel that stands for padding, and notes for the user.

    A network sees ``(pixel - mean) * scale``; the scale and the order of the colours go into the weights,
    the mean into the bias.  Where the first convolution pads with zeros, which are mean pixels, the
    nearest u8 takes their place, and a note says how far that is from exact.
    """
    first = _first_conv(graph)
    how = graph.preprocess
    mean, scale = np.array(how.mean), np.array(how.scale)
    weight = first.weight.astype(np.float64) * scale
    bias = first.bias - (weight * mean).sum(axis=(1, 2, 3))
    if how.channels == "BGR":
        weight, mean = weight[..., ::-1], mean[::-1]
    pad = (0, 0, 0)
    notes: tuple[str, ...] = ()
    if first.pads:
        nearest = np.clip(np.rint(mean), 0, 255)
        pad = (int(nearest[0]), int(nearest[1]), int(nearest[2]))
        away = np.abs(nearest - mean).max()
        if away > 0:
            worst = np.abs((weight * (nearest - mean)).sum(axis=3)).sum(axis=(1, 2)).max()
            notes = (
                f"{first.name}: the padded border is pixels {pad} for a mean of "
                f"({', '.join(f'{m:.2f}' for m in mean)}), off by at most {away:.2f}; "
                f"outputs at the border change by at most {worst:.3g}.",
            )
    exact = _exact_scale(first, scale)
    folded = replace(first, weight=_float32(weight), bias=bias, weight_scale=exact)
    nodes = tuple(folded if node is first else node for node in graph.nodes)
    raw = Preprocess(mean=(float(pad[0]), float(pad[1]), float(pad[2])), resize=how.resize, levels=how.levels)
    return replace(graph, nodes=nodes, preprocess=raw), pad, notes


def _first_conv(graph: Graph) -> Conv:
    readers = [node for node in graph.nodes if graph.input in node.inputs]
    if len(readers) != 1 or not isinstance(readers[0], Conv):
        raise InputError(f"{graph.name}: the picture must go into exactly one convolution. Re-export the model.")
    return readers[0]


def _exact_scale(first: Conv, scale: np.ndarray) -> np.ndarray | None:
    """Weights that were multiples of a scale stay so, for all colours have the same factor (``frontend.levels``)."""
    if first.weight_scale is None:
        return None
    if len(set(scale.tolist())) > 1:
        raise InputError(
            f"{first.name}: its weights are quantized, and the colours have different factors ({scale.tolist()}). Give "
            "all colours one factor, or let the front end read the model, which rounds pixels to common steps."
        )
    return first.weight_scale * float(scale[0])


def _float32(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.astype(np.float32))
