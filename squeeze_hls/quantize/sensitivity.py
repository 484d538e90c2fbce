"""How much the predictions change when the outputs of a convolution do: Fisher information by backpropagation.

For a class drawn from the network's own predictions the expected squared gradient of its log-probability is
the curvature of the Kullback-Leibler divergence between the network and a slightly changed one.  No labels
are needed.  A change ``dw`` of one output channel's weights that changes its outputs by ``e`` costs about
``sensitivity * mean(e * e) / 2`` nats (the curvature is taken as that of the inputs times one number a channel, as in
K-FAC, Martens and Grosse 2015).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from squeeze_hls.network.ir import Conv, Graph
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
            (source,) = conv.inputs
            edge = border if source == graph.input else 0.0
            square, inputs = _weight_gradients(conv, tensors[source], gradient, edge)
            squares[conv.name] = squares.get(conv.name, 0.0) + square
            seen[conv.name] = seen.get(conv.name, 0.0) + inputs
    return {name: square / max(seen[name], 1e-30) for name, square in squares.items()}


def _drawn(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gradient, by the logits (N, 1, 1, C), of the negative log-probability of classes drawn from the predictions."""
    precise = logits.astype(np.float64)
    probability = np.exp(precise - precise.max(axis=3, keepdims=True))
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
        if isinstance(node, Conv):
            if node.relu:
                gradient = gradient * (output > 0)
            found.append((node, gradient))
            if graph.input in node.inputs:
                continue  # nobody asks for the gradient by the picture
        parts = batch.GRADIENT[type(node)](node, [tensors[t] for t in node.inputs], output, gradient)
        for tensor, part in zip(node.inputs, parts, strict=True):
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
