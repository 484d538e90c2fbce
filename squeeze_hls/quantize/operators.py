"""What every operator computes on batches of pictures: real numbers, exact integers, gradients.

Feature maps are (N, H, W, C).  Convolutions run over a few pictures at a time, so that their columns
(im2col) stay small.  An operator has one row in each of the tables ``FORWARD``, ``EXACT`` and ``GRADIENT``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from squeeze_hls.network import arith
from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.network.operators import (
    Add,
    Concat,
    Conv,
    Convolution,
    GlobalAverage,
    GraphNode,
    IntAdd,
    IntConv,
    IntNode,
    MaxPool,
    Pads,
)

COLUMN_BYTES = 16 * 2**20
POOLED = 8  # pictures at a time


def columns(conv: Convolution, x: np.ndarray, border: np.ndarray | float = 0.0) -> Iterator[tuple[slice, np.ndarray]]:
    """Chunks of pictures as float32 (pixels, kh * kw * I): what each output pixel of ``conv`` sees.

    ``border`` surrounds the pictures where ``conv`` pads; pixel (n, y, x) of a chunk is row
    ``(n * H' + y) * W' + x``.
    """
    count, height, width, channels = x.shape
    (kh, kw), pads, stride = conv.kernel, conv.pads, conv.stride
    rows, cols, _ = conv.shape([(height, width, channels)])
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
    shape = conv.shape([x.shape[1:]])
    result = np.empty((len(x), *shape), np.float32)
    matrix = conv.weight.reshape(conv.outputs, -1).T.astype(np.float32)
    for part, seen in columns(conv, x, border):
        result[part] = (seen @ matrix + conv.bias.astype(np.float32)).reshape(-1, *shape)
    return result


def requantized(conv: IntConv, x: np.ndarray, border: np.ndarray | float = 0.0) -> np.ndarray:
    """What the integer convolution gives for u8 (N, H, W, I): u8 or u16 (N, H', W', O).

    ``arith.requantize`` in float64, which holds the products' 41 bits and the half exactly.
    """
    shape = conv.shape([x.shape[1:]])
    result = np.empty((len(x), *shape), np.uint16 if conv.wide else np.uint8)
    matrix = conv.weight.reshape(conv.outputs, -1).T.astype(np.float32)
    factor = np.ldexp(conv.multiplier.astype(np.float64), -conv.shift)
    offset = conv.bias * factor + 0.5
    for part, seen in columns(conv, x, border):
        values = (seen @ matrix).astype(np.float64)
        values *= factor
        values += offset
        np.clip(np.floor(values, out=values), 0, conv.top, out=values)
        result[part] = values.reshape(-1, *shape)
    return result


def max_pool(node: MaxPool, x: np.ndarray) -> np.ndarray:
    """Max pooling of (N, H, W, C) of any type; windows over the edge count what is inside."""
    rows, cols, channels = node.shape([x.shape[1:]])
    down = [_tap(k, rows, node.stride, x.shape[1]) for k in range(node.kernel)]
    across = [_tap(k, cols, node.stride, x.shape[2]) for k in range(node.kernel)]
    result = np.empty((len(x), rows, cols, channels), x.dtype)
    for start in range(0, len(x), POOLED):
        chunk = x[start : start + POOLED]
        tall = functools.reduce(np.maximum, (chunk[:, taps] for taps in down))
        result[start : start + POOLED] = functools.reduce(np.maximum, (tall[:, :, taps] for taps in across))
    return result


def _tap(offset: int, count: int, stride: int, size: int) -> np.ndarray:
    """Index that tap ``offset`` of each window reads; beyond the edge the last one, which is in the window."""
    return np.minimum(np.arange(count) * stride + offset, size - 1)


def _float_conv(node: Conv, inputs: list[np.ndarray], border: np.ndarray | float) -> np.ndarray:
    result = conv_output(node, inputs[0], border)
    return np.maximum(result, 0, out=result) if node.relu else result


def _float_average(inputs: list[np.ndarray]) -> np.ndarray:
    return inputs[0].mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)


def integer_sum(node: IntAdd, inputs: list[np.ndarray]) -> np.ndarray:
    """``arith``'s addition of u8 maps in float64, which holds it exactly."""
    factors = np.ldexp(np.array(node.multiplier, np.float64), -arith.ADD_SHIFT)
    total = functools.reduce(np.add, (x * factor for x, factor in zip(inputs, factors, strict=True)))
    return np.clip(np.floor(total + 0.5), 0, node.top).astype(np.uint8)


# --- gradients ---


def by_conv_input(conv: Conv, gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Gradient by the inputs (N, H, W, I): the convolution turned round, on outputs spread out by its stride."""
    (kh, kw), pads, step = conv.kernel, conv.pads, conv.stride
    count, height, width, inputs = shape
    rows, columns = height + pads.top + pads.bottom - kh + 1, width + pads.left + pads.right - kw + 1
    spread = np.zeros((count, rows, columns, gradient.shape[3]), np.float32)
    spread[:, ::step, ::step] = gradient
    turned = replace(
        conv,
        weight=np.ascontiguousarray(conv.weight[:, ::-1, ::-1].transpose(3, 1, 2, 0)),
        bias=np.zeros(inputs, np.float32),
        stride=1,
        pads=Pads(top=kh - 1, left=kw - 1, bottom=kh - 1, right=kw - 1),
    )
    full = conv_output(turned, spread)
    return full[:, pads.top : pads.top + height, pads.left : pads.left + width]


def unpooled(node: MaxPool, x: np.ndarray, output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The gradient of each window goes to its largest value, to the first one where there are several."""
    result, waiting = np.zeros(x.shape, np.float32), np.ones(output.shape, bool)
    for row in range(node.kernel):
        for column in range(node.kernel):
            reached = x[:, row :: node.stride, column :: node.stride]  # of each window that has this tap
            height, width = np.minimum(reached.shape[1:3], output.shape[1:3])
            windows = (slice(None), slice(height), slice(width))
            here = waiting[windows] & (reached[windows] == output[windows])
            waiting[windows] &= ~here
            result[:, row :: node.stride, column :: node.stride][windows] += np.where(here, gradient[windows], 0)
    return result


def _by_parts(inputs: list[np.ndarray], gradient: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum([x.shape[3] for x in inputs])[:-1]
    return np.split(gradient, ends, axis=3)


def _spread(x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    return np.broadcast_to(gradient / (x.shape[1] * x.shape[2]), x.shape)


# --- by operator ---

Forward = Callable[..., np.ndarray]  # of a node, its inputs and what surrounds the picture: the output
Gradient = Callable[..., list[np.ndarray]]  # of a node, its inputs, its output and the gradient by that: by each input

FORWARD: dict[type, Forward] = {  # real numbers; the logits are means, float32 (N, 1, 1, C)
    Conv: _float_conv,
    MaxPool: lambda node, inputs, _: max_pool(node, inputs[0]),
    Concat: lambda _node, inputs, _: np.concatenate(inputs, axis=3),
    Add: lambda _node, inputs, _: functools.reduce(np.add, inputs),
    GlobalAverage: lambda _node, inputs, _: _float_average(inputs),
}
EXACT: dict[type, Forward] = {  # the golden model's integers; the logits are sums, int64 (N, 1, 1, C)
    IntConv: lambda node, inputs, border: requantized(node, inputs[0], border),
    MaxPool: FORWARD[MaxPool],
    Concat: FORWARD[Concat],
    IntAdd: lambda node, inputs, _: integer_sum(node, inputs),
    GlobalAverage: lambda _node, inputs, _: inputs[0].sum(axis=(1, 2), keepdims=True, dtype=np.int64),
}
GRADIENT: dict[type, Gradient] = {  # that of a convolution begins before its ReLU
    Conv: lambda node, inputs, _, gradient: [by_conv_input(node, gradient, inputs[0].shape)],
    MaxPool: lambda node, inputs, output, gradient: [unpooled(node, inputs[0], output, gradient)],
    Concat: lambda _node, inputs, _, gradient: _by_parts(inputs, gradient),
    Add: lambda _node, inputs, _, gradient: [gradient] * len(inputs),
    GlobalAverage: lambda _node, inputs, _, gradient: [_spread(inputs[0], gradient)],
}


def forward(node: GraphNode, inputs: list[np.ndarray], border: np.ndarray | float = 0.0) -> np.ndarray:
    """Output of a floating-point node."""
    return FORWARD[type(node)](node, inputs, border)


def exact(node: IntNode, inputs: list[np.ndarray], border: np.ndarray | float = 0.0) -> np.ndarray:
    """Output of an integer node."""
    return EXACT[type(node)](node, inputs, border)


# --- networks ---


def last_use(graph: Graph) -> dict[str, int]:
    """Index of the last node that reads a tensor."""
    return {tensor: index for index, node in enumerate(graph.nodes) for tensor in node.inputs}


def run(graph: Graph, x: np.ndarray, border: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """Every tensor of a floating-point network; ``x`` is (N, H, W, 3), preprocessed."""
    tensors = {graph.input: x.astype(np.float32)}
    for node in graph.nodes:
        edge = border if graph.input in node.inputs else 0.0
        result = forward(node, [tensors[t] for t in node.inputs], edge)
        if node.rounds and node.output in graph.activation_scale:
            result = in_steps(result, np.float32(graph.activation_scale[node.output]), graph.top(node.output))
        tensors[node.output] = result
    return tensors


def run_integers(network: IntNetwork, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of an integer network, as the golden model has them, for u8 (N, H, W, 3)."""
    tensors = {network.input: images}
    border = np.array(network.pad_value, np.float32)
    for node in network.nodes:
        edge = border if network.input in node.inputs else 0.0
        tensors[node.output] = exact(node, [tensors[t] for t in node.inputs], edge)
    return tensors


def in_steps(values: np.ndarray, scale: np.float32, top: int) -> np.ndarray:
    """What a quantizer of the model makes of activations: the nearest step from 0 to ``top``, float32."""
    return np.clip(np.rint(values / scale), 0, top) * scale


def logits(graph: Graph, x: np.ndarray, border: np.ndarray | float = 0.0) -> np.ndarray:
    """Logits (N, classes) of a floating-point network, a few pictures at a time."""
    parts = [run(graph, x[i:j], border)[graph.nodes[-1].output] for i, j in pairwise([*range(0, len(x), 8), len(x)])]
    return np.concatenate(parts)[:, 0, 0]
