"""The integer network once more, pixel by pixel and weight by weight, with Python's own integers."""

from __future__ import annotations

import numpy as np

from squeeze_hls.network.ir import Concat, GlobalAverage, IntAdd, IntConv, IntNetwork, MaxPool


def run(network: IntNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor, int64."""
    tensors = {network.input: image.astype(np.int64)}
    for node in network.nodes:
        if isinstance(node, IntConv):
            border = network.pad_value if node.input == network.input else None
            result = _conv(node, tensors[node.input], border, network.shapes[node.output])
        elif isinstance(node, MaxPool):
            result = _pool(node, tensors[node.input], network.shapes[node.output])
        elif isinstance(node, Concat):
            result = np.concatenate([tensors[t] for t in node.inputs], axis=2)
        elif isinstance(node, IntAdd):
            result = _add(node, [tensors[t] for t in node.inputs])
        else:
            assert isinstance(node, GlobalAverage)
            x = tensors[node.input]
            result = np.array([sum(int(v) for v in x[:, :, c].flat) for c in range(x.shape[2])])
        tensors[node.output] = result
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
