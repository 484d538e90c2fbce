"""The golden model: what every integer of a network must be for a picture.

Whole tensors, one node after the other, written for reading.  It is the oracle for the program
executor, the HLS C++ and the RTL, so it shares nothing with them but ``arith`` and what a network is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.network.operators import Concat, GlobalAverage, IntAdd, IntConv, MaxPool, Pads

FLOAT32_EXACT = 2**24  # every integer of smaller magnitude is exact in float32


def run(network: IntNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Compute every tensor of ``network`` for one picture.

    ``image`` is u8 (H, W, 3), raw RGB pixels of exactly the network's input size.  Returns tensors by
    name, the input included: u8 (H, W, C) for activations, u16 (H, W, C) for the last convolution and
    int32 (classes,) for the logits.  Raises InputError where the picture does not fit the network, or
    the network averages more pixels than an s32 logit holds.
    """
    if image.dtype != np.uint8 or image.shape != network.input_shape:
        raise InputError(
            f"{network.name}: the picture is {image.dtype} {image.shape}, the network reads uint8 {network.input_shape}"
        )
    tensors = {network.input: image}
    for node in network.nodes:
        border = network.pad_value if network.input in node.inputs else 0
        tensors[node.output] = COMPUTE[type(node)](node, [tensors[t] for t in node.inputs], border)
    return tensors


def top_k(network: IntNetwork, logits: np.ndarray, k: int = 5) -> list[tuple[int, str, float]]:
    """The ``k`` most likely classes as (index, name, probability), most likely first.

    ``logits`` is int (classes,); probabilities are the softmax of the logits times their scale.  Of
    equal logits the class with the smaller index comes first; a class without a label is named by its
    index.
    """
    real = logits.astype(np.float64) * network.scale.get(network.nodes[-1].output, 1.0)
    weights = np.exp(real - real.max())
    probabilities = weights / weights.sum()
    order = np.argsort(-logits.astype(np.int64), kind="stable")[:k]
    names = network.labels
    return [(int(i), names[i] if i < len(names) else str(i), float(probabilities[i])) for i in order]


def pad(x: np.ndarray, pads: Pads, value: int | tuple[int, ...]) -> np.ndarray:
    """Surround (H, W, C) with pixels of ``value`` (one number, or one per channel)."""
    height, width, channels = x.shape
    padded = np.empty((pads.top + height + pads.bottom, pads.left + width + pads.right, channels), x.dtype)
    padded[:] = value
    padded[pads.top : pads.top + height, pads.left : pads.left + width] = x
    return padded


def conv(node: IntConv, padded: np.ndarray) -> np.ndarray:
    """Convolution of a padded u8 (H, W, I) and requantization; u8 or u16 (H', W', O).

    Every partial sum is an integer of at most ``accumulator_bound``, so a BLAS product in a type that
    holds it exactly gives the exact accumulator in whatever order it adds.
    """
    bound = arith.accumulator_bound(node.weight, node.bias).max()
    exact = np.float32 if bound < FLOAT32_EXACT else np.float64  # int8 weights cannot reach 2**53
    outputs = node.weight.shape[0]
    columns = windows(padded, node.kernel, node.stride)
    height, width = columns.shape[:2]
    products = columns.reshape(height * width, -1).astype(exact) @ node.weight.reshape(outputs, -1).T.astype(exact)
    accumulator = products.astype(np.int64) + node.bias
    result = arith.requantize(accumulator, node.multiplier, node.shift, node.top)
    return result.reshape(height, width, outputs).astype(np.uint16 if node.wide else np.uint8)


def windows(x: np.ndarray, kernel: tuple[int, int], stride: int) -> np.ndarray:
    """View of (H, W, C) as the windows (H', W', kh, kw, C) under a sliding kernel."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(0, 1))  # (H', W', C, kh, kw)
    return view[::stride, ::stride].transpose(0, 1, 3, 4, 2)


def max_pool(x: np.ndarray, kernel: int, stride: int, ceil: bool) -> np.ndarray:
    """Largest value under each window of (H, W, C); a window over the edge counts what is inside."""
    rows = arith.pool_size(x.shape[0], kernel, stride, ceil)
    columns = arith.pool_size(x.shape[1], kernel, stride, ceil)
    below = max(0, (rows - 1) * stride + kernel - x.shape[0])
    right = max(0, (columns - 1) * stride + kernel - x.shape[1])
    padded = pad(x, Pads(bottom=below, right=right), 0)  # 0 never wins: the values are unsigned
    return windows(padded, (kernel, kernel), stride)[:rows, :columns].max(axis=(2, 3))


def add(node: IntAdd, inputs: list[np.ndarray]) -> np.ndarray:
    """Saturating sum of u8 (H, W, C), each brought to the scale of the output; one rounding, halves up."""
    total = np.zeros(inputs[0].shape, np.int64)
    for x, multiplier in zip(inputs, node.multiplier, strict=True):
        total += x.astype(np.int64) * multiplier
    half = 1 << (arith.ADD_SHIFT - 1)
    return np.clip((total + half) >> arith.ADD_SHIFT, 0, node.top).astype(np.uint8)


def pixel_sum(x: np.ndarray, name: str = "average") -> np.ndarray:
    """Sum over all pixels of u16 (H, W, C): the int32 (C,) logits."""
    pixels = x.shape[0] * x.shape[1]
    if pixels * arith.WIDE_MAX > arith.LOGIT_MAX:
        raise InputError(f"{name}: {pixels} pixels can overflow an s32 logit; use a smaller input picture")
    return x.sum(axis=(0, 1), dtype=np.int64).astype(np.int32)


# By operator: of the node, its inputs (H, W, C) and what surrounds the picture, the output.
COMPUTE: dict[type, Callable[..., np.ndarray]] = {
    IntConv: lambda node, inputs, border: conv(node, pad(inputs[0], node.pads, border)),
    MaxPool: lambda node, inputs, _: max_pool(inputs[0], node.kernel, node.stride, node.ceil),
    Concat: lambda _node, inputs, _: np.concatenate(inputs, axis=2),
    IntAdd: lambda node, inputs, _: add(node, inputs),
    GlobalAverage: lambda node, inputs, _: pixel_sum(inputs[0], node.name),
}
