"""Floating-point layers on batches of pictures, as calibration needs them.

Feature maps are (N, H, W, C).  Convolutions run over a few pictures at a time, so that their columns
(im2col) stay small.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from squeeze_hls.network import arith
from squeeze_hls.network.ir import (
    Add,
    Concat,
    Conv,
    GlobalAverage,
    Graph,
    GraphNode,
    IntAdd,
    IntConv,
    IntNode,
    MaxPool,
    node_inputs,
)

COLUMN_BYTES = 16 * 2**20
POOLED = 8  # pictures at a time


def columns(
    conv: Conv | IntConv, x: np.ndarray, border: np.ndarray | float = 0.0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Chunks of pictures as float32 (pixels, kh * kw * I): what each output pixel of ``conv`` sees.

    ``border`` surrounds the pictures where ``conv`` pads; pixel (n, y, x) of a chunk is row
    ``(n * H' + y) * W' + x``.
    """
    count, height, width, channels = x.shape
    (kh, kw), pads, stride = conv.kernel, conv.pads, conv.stride
    rows = arith.conv_size(height, kh, stride, pads.top, pads.bottom)
    cols = arith.conv_size(width, kw, stride, pads.left, pads.right)
    step = max(1, COLUMN_BYTES // (4 * rows * cols * kh * kw * channels))
    for start in range(0, count, step):
        chunk = x[start : start + step]
        if pads:
            shape = (len(chunk), height + pads.top + pads.bottom, width + pads.left + pads.right, channels)
            padded = np.empty(shape, np.float32)
            padded[:] = border
            padded[:, pads.top : pads.top + height, pads.left : pads.left + width] = chunk
        else:
            padded = chunk.astype(np.float32, copy=False)
        view = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(1, 2))
        view = view[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
        yield slice(start, start + len(chunk)), view.reshape(len(chunk) * rows * cols, kh * kw * channels)


def conv_output(conv: Conv, x: np.ndarray, border: np.ndarray | float = 0.0) -> np.ndarray:
    """``conv`` without its ReLU on (N, H, W, I); float32 (N, H', W', O)."""
    rows = arith.conv_size(x.shape[1], conv.kernel[0], conv.stride, conv.pads.top, conv.pads.bottom)
    cols = arith.conv_size(x.shape[2], conv.kernel[1], conv.stride, conv.pads.left, conv.pads.right)
    result = np.empty((len(x), rows, cols, len(conv.bias)), np.float32)
    matrix = conv.weight.reshape(len(conv.bias), -1).T.astype(np.float32)
    for part, seen in columns(conv, x, border):
        result[part] = (seen @ matrix + conv.bias.astype(np.float32)).reshape(-1, rows, cols, len(conv.bias))
    return result


def max_pool(node: MaxPool, x: np.ndarray) -> np.ndarray:
    """Max pooling of (N, H, W, C) of any type; windows over the edge count what is inside."""
    rows = arith.pool_size(x.shape[1], node.kernel, node.stride, node.ceil)
    cols = arith.pool_size(x.shape[2], node.kernel, node.stride, node.ceil)
    down = [_tap(k, rows, node.stride, x.shape[1]) for k in range(node.kernel)]
    across = [_tap(k, cols, node.stride, x.shape[2]) for k in range(node.kernel)]
    result = np.empty((len(x), rows, cols, x.shape[3]), x.dtype)
    for start in range(0, len(x), POOLED):
        chunk = x[start : start + POOLED]
        tall = functools.reduce(np.maximum, (chunk[:, taps] for taps in down))
        result[start : start + POOLED] = functools.reduce(np.maximum, (tall[:, :, taps] for taps in across))
    return result


def _tap(offset: int, count: int, stride: int, size: int) -> np.ndarray:
    """Index that tap ``offset`` of each window reads; beyond the edge the last one, which is in the window."""
    return np.minimum(np.arange(count) * stride + offset, size - 1)


def apply(node: GraphNode | IntNode, inputs: list[np.ndarray], border: np.ndarray | float = 0.0) -> np.ndarray:
    """Output of any node; the logits are (N, 1, 1, C)."""
    if isinstance(node, Conv):
        result = conv_output(node, inputs[0], border)
        return np.maximum(result, 0, out=result) if node.relu else result
    if isinstance(node, MaxPool):
        return max_pool(node, inputs[0])
    if isinstance(node, Concat):
        return np.concatenate(inputs, axis=3)
    if isinstance(node, Add):
        return functools.reduce(np.add, inputs)
    if isinstance(node, IntAdd):
        return _integer_sum(node, inputs)
    assert isinstance(node, GlobalAverage)
    return inputs[0].mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)


def _integer_sum(node: IntAdd, inputs: list[np.ndarray]) -> np.ndarray:
    """``arith``'s addition of u8 maps in float64, which holds it exactly."""
    factors = np.ldexp(np.array(node.multiplier, np.float64), -arith.ADD_SHIFT)
    total = functools.reduce(np.add, (x * factor for x, factor in zip(inputs, factors, strict=True)))
    return np.clip(np.floor(total + 0.5), 0, node.top).astype(np.uint8)


def last_use(graph: Graph) -> dict[str, int]:
    """Index of the last node that reads a tensor."""
    return {tensor: index for index, node in enumerate(graph.nodes) for tensor in node_inputs(node)}


def run(graph: Graph, x: np.ndarray, border: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """Every tensor of a floating-point network; ``x`` is (N, H, W, 3), preprocessed."""
    tensors = {graph.input: x.astype(np.float32)}
    for node in graph.nodes:
        edge = border if node_inputs(node)[0] == graph.input else 0.0
        result = apply(node, [tensors[t] for t in node_inputs(node)], edge)
        if isinstance(node, (Conv, Add)) and node.output in graph.activation_scale:
            result = in_steps(result, np.float32(graph.activation_scale[node.output]), graph.top(node.output))
        tensors[node.output] = result
    return tensors


def in_steps(values: np.ndarray, scale: np.float32, top: int) -> np.ndarray:
    """What a quantizer of the model makes of activations: the nearest step from 0 to ``top``, float32."""
    return np.clip(np.rint(values / scale), 0, top) * scale


def logits(graph: Graph, x: np.ndarray, border: np.ndarray | float = 0.0) -> np.ndarray:
    """Logits (N, classes) of a floating-point network, a few pictures at a time."""
    parts = [run(graph, x[i:j], border)[graph.nodes[-1].output] for i, j in pairwise([*range(0, len(x), 8), len(x)])]
    return np.concatenate(parts)[:, 0, 0]
