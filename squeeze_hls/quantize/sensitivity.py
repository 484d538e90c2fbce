"""How much the predictions change when the outputs of a convolution do: Fisher information by backpropagation.

For a class drawn from the network's own predictions the expected squared gradient of its log-probability is
the curvature of the Kullback-Leibler divergence between the network and a slightly changed one.  No labels
are needed.  A change ``dw`` of one output channel's weights that changes its outputs by ``e`` costs about
``sensitivity * mean(e * e) / 2`` nats (the curvature is taken as that of the inputs times one number a channel, as in
K-FAC, Martens and Grosse 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squeeze_hls.network.ir import Concat, Conv, GlobalAverage, Graph, MaxPool, Pads, node_inputs
from squeeze_hls.quantize import operators as batch

PICTURES = 4  # at a time
Gradients = dict[str, np.ndarray]


def sensitivities(
    graph: Graph,
    images: np.ndarray,
    border: np.ndarray | float,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Of every convolution by name: float64 (O,), nats of divergence a unit of mean squared change costs, times two.

    ``images`` are (N, H, W, 3) network inputs, ``border`` surrounds them where the first convolution pads.
    """
    squares: dict[str, np.ndarray] = {}
    seen: dict[str, float] = {}
    for start in range(0, len(images), PICTURES):
        if progress:
            progress(start, len(images))
        tensors = batch.run(graph, images[start : start + PICTURES], border)
        for conv, gradient in backward(graph, tensors, _drawn(tensors[graph.nodes[-1].output], rng)):
            edge = border if conv.input == graph.input else 0.0
            square, inputs = _weight_gradients(conv, tensors[conv.input], gradient, edge)
            squares[conv.name] = squares.get(conv.name, 0.0) + square
            seen[conv.name] = seen.get(conv.name, 0.0) + inputs
    return {name: square / max(seen[name], 1e-30) for name, square in squares.items()}


def _drawn(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gradient, by the logits (N, 1, 1, C), of the negative log-probability of classes drawn from the predictions."""
    wide = logits.astype(np.float64)
    probability = np.exp(wide - wide.max(axis=3, keepdims=True))
    probability /= probability.sum(axis=3, keepdims=True)
    below = np.cumsum(probability[:, 0, 0], axis=1) < rng.random((len(logits), 1))
    drawn = np.minimum(below.sum(axis=1), logits.shape[3] - 1)
    probability[np.arange(len(logits)), 0, 0, drawn] -= 1
    return probability.astype(np.float32)


def backward(graph: Graph, tensors: Gradients, by_logits: np.ndarray) -> list[tuple[Conv, np.ndarray]]:
    """Every convolution with the gradient by its outputs before the ReLU, the last one first.

    ``tensors`` are all of a run of the network.
    """
    pending: Gradients = {graph.nodes[-1].output: by_logits}
    found = []
    for node in reversed(graph.nodes):
        gradient, output = pending.pop(node.output), tensors[node.output]
        sources = node_inputs(node)
        if isinstance(node, Conv):
            if node.relu:
                gradient = gradient * (output > 0)
            found.append((node, gradient))
            if node.input == graph.input:
                continue
            parts = [_by_input(node, gradient, tensors[node.input].shape)]
        elif isinstance(node, MaxPool):
            parts = [_unpooled(node, tensors[node.input], output, gradient)]
        elif isinstance(node, Concat):
            ends = np.cumsum([tensors[t].shape[3] for t in sources])[:-1]
            parts = np.split(gradient, ends, axis=3)
        elif isinstance(node, GlobalAverage):
            shape = tensors[node.input].shape
            parts = [np.broadcast_to(gradient / (shape[1] * shape[2]), shape)]
        else:  # Add
            parts = [gradient] * len(sources)
        for tensor, part in zip(sources, parts, strict=True):
            pending[tensor] = pending[tensor] + part if tensor in pending else part
    return found


def _weight_gradients(
    conv: Conv, x: np.ndarray, gradient: np.ndarray, border: np.ndarray | float
) -> tuple[np.ndarray, float]:
    """Squared length of each picture's gradient by the weights of each output, (O,), and mean squared length of what
    the convolution sees at a pixel; both summed over pictures."""
    square, seen = np.zeros(len(conv.bias)), 0.0
    pixels = gradient.shape[1] * gradient.shape[2]
    for part, columns in batch.columns(conv, x, border):
        for by_output, column in zip(gradient[part], columns.reshape(-1, pixels, columns.shape[1]), strict=True):
            by_weight = by_output.reshape(pixels, -1).T @ column
            square += np.square(by_weight, dtype=np.float64).sum(axis=1)
            seen += float(np.square(column, dtype=np.float64).sum()) / pixels
    return square, seen


def _by_input(conv: Conv, gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
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
    full = batch.conv_output(turned, spread)
    return full[:, pads.top : pads.top + height, pads.left : pads.left + width]


def _unpooled(node: MaxPool, x: np.ndarray, output: np.ndarray, gradient: np.ndarray) -> np.ndarray:
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
