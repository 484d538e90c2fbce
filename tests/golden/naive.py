"""The integer network once more, pixel by pixel and weight by weight, with Python's own integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from squeeze_hls.network.ir import Concat, GlobalAverage, IntAdd, IntConv, IntNetwork, MaxPool


def run(network: IntNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor, int64."""
    tensors = {network.input: image.astype(np.int64)}
    for node in network.nodes:
        border = network.pad_value if network.input in node.inputs else None
        inputs = [tensors[t] for t in node.inputs]
        tensors[node.output] = COMPUTE[type(node)](node, inputs, border, network.shapes[node.output])
    return tensors


def _conv(node: IntConv, x: np.ndarray, border: tuple[int, ...] | None, shape: tuple[int, ...]) -> np.ndarray:
    height, width, channels = x.shape
    result = np.zeros(shape, np.int64)
    for r, c, o in np.ndindex(*shape):
        total = int(node.bias[o])
        for i, j, k in np.ndindex(*node.kernel, channels):
            y, z = r * node.stride + i - node.pads.top, c * node.stride + j - node.pads.left
            inside = 0 <= y < height and 0 <= z < width
            value = int(x[y, z, k]) if inside else (border[k] if border else 0)
            total += value * int(node.weight[o, i, j, k])
        assert abs(total) < 2**23, "the accumulator has 24 bits"
        shift = int(node.shift[o])
        scaled = (total * int(node.multiplier[o]) + 2 ** (shift - 1)) // 2**shift
        result[r, c, o] = min(max(scaled, 0), (65535 if node.wide else 255) if node.limit is None else node.limit)
    return result


def _add(node: IntAdd, inputs: list[np.ndarray]) -> np.ndarray:
    result = np.zeros(inputs[0].shape, np.int64)
    for at in np.ndindex(*result.shape):
        total = sum(int(x[at]) * m for x, m in zip(inputs, node.multiplier, strict=True))
        result[at] = min((total + 2**15) // 2**16, node.top)
    return result


def _pool(node: MaxPool, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(shape, np.int64)
    for r, c, k in np.ndindex(*shape):
        top, left = r * node.stride, c * node.stride
        result[r, c, k] = max(int(v) for v in x[top : top + node.kernel, left : left + node.kernel, k].flat)
    return result


def _sum(x: np.ndarray) -> np.ndarray:
    return np.array([sum(int(v) for v in x[:, :, c].flat) for c in range(x.shape[2])])


COMPUTE: dict[type, Callable[..., np.ndarray]] = {  # of a node, its inputs, the border and the output's shape
    IntConv: lambda node, inputs, border, shape: _conv(node, inputs[0], border, shape),
    MaxPool: lambda node, inputs, _, shape: _pool(node, inputs[0], shape),
    Concat: lambda _node, inputs, *_: np.concatenate(inputs, axis=2),
    IntAdd: lambda node, inputs, *_: _add(node, inputs),
    GlobalAverage: lambda _node, inputs, *_: _sum(inputs[0]),
}
