"""Equalizing the channels of feature maps before they are quantized.

A ReLU network does not change when a channel is multiplied by a positive factor after one convolution
and its weights are divided by it in the next: pooling, concatenation and ReLU pass positive factors on.
One u8 scale serves all channels of a feature map, so channels with small values lose most to rounding;
factors that bring the channels together give them more steps.  The idea is that of Nagel et al. 2019,
cross-layer equalization.  Zero weights stay zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze_hls.network.ir import Conv, Graph, GraphNode
from squeeze_hls.quantize import operators as batch

PICTURES = 32  # are enough to know the range of every channel
REACH = 8.0  # largest factor, and one over the smallest, relative to the layer's middle
ACTIVATION_POWER = 0.5
WEIGHT_POWER = 0.5


def equalize(graph: Graph, images: np.ndarray, border: np.ndarray) -> Graph:
    """The same function with channels of similar size; ``images`` are (N, H, W, 3) network inputs."""
    channel, fixed = _channels(graph)
    reach = _activation_reach(graph, images[:PICTURES], border, channel, len(fixed))
    weight = _weight_reach(graph, channel, len(fixed))
    live = (reach > 0) & (weight > 0) & ~fixed
    factor = np.ones(len(fixed))
    factor[live] = weight[live] ** WEIGHT_POWER / reach[live] ** ACTIVATION_POWER
    groups = graph.scale_groups
    for group in set(groups.values()):
        members = np.unique(np.concatenate([channel[t] for t, g in groups.items() if g == group]))
        members = members[live[members]]
        if len(members):
            relative = factor[members] / np.median(factor[members])
            factor[members] = np.clip(relative, 1 / REACH, REACH)
    return replace(graph, nodes=tuple(_scaled(node, channel, factor) for node in graph.nodes))


def _channels(graph: Graph) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Numbers for the channels of every tensor, the same where a channel is passed on, and which keep factor 1."""
    channel = {graph.input: np.arange(graph.input_shape[2])}
    count, kept = graph.input_shape[2], [channel[graph.input]]
    for node in graph.nodes:
        sources = [channel[t] for t in node.inputs]
        if isinstance(node, Conv):
            channel[node.output] = np.arange(count, count + node.outputs)
            count += node.outputs
        elif node.shares_scale:
            channel[node.output] = np.concatenate(sources)
        else:  # sums and averages need channels as they are
            channel[node.output] = sources[0]
            kept += sources
    fixed = np.zeros(count, bool)
    fixed[np.concatenate(kept)] = True
    return channel, fixed


def _activation_reach(
    graph: Graph, images: np.ndarray, border: np.ndarray, channel: dict[str, np.ndarray], count: int
) -> np.ndarray:
    """Size of each channel: mean over pictures of its largest value."""
    total = np.zeros(count)
    for start in range(0, len(images), 4):
        tensors = batch.run(graph, images[start : start + 4], border)
        for conv in graph.convs:
            total[channel[conv.output]] += tensors[conv.output].max(axis=(1, 2)).sum(axis=0)
    return total / len(images)


def _weight_reach(graph: Graph, channel: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Largest weight that reads each channel, in shares of the largest of its filter."""
    reach = np.zeros(count)
    for conv in graph.convs:
        size = np.abs(conv.weight).max(axis=(1, 2))
        largest = size.max(axis=1, keepdims=True)
        share = (size / np.where(largest > 0, largest, 1)).max(axis=0)
        np.maximum.at(reach, channel[conv.inputs[0]], share)
    return reach


def _scaled(node: GraphNode, channel: dict[str, np.ndarray], factor: np.ndarray) -> GraphNode:
    if not isinstance(node, Conv):
        return node
    ahead, behind = factor[channel[node.output]], factor[channel[node.inputs[0]]]
    weight = node.weight * ahead[:, None, None, None] / behind
    return replace(node, weight=weight.astype(np.float32), bias=node.bias * ahead)
