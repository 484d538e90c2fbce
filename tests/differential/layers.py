"""One integer layer on the judge's own tensors: what it gives, and how far from that the judge may be.

Every layer is computed on integers that the judge's input tensors stand for, so that layers are judged one by one and
errors do not add up.  The bound of a value, in steps of the output, is

* the distance of the judge's inputs from those integers (none, where the judge quantizes them), through the layer,
* half an accumulator step, for biases are whole ones, and the error of the multiplier's 17 bits (of 8-bit outputs one
  step more, and more of the multiplier: quantize/thresholds.py moves both to put thresholds right),
* the error of the judge's own floating-point sums,
* and one half, for rounding, where the judge rounds the value itself; the same integer is always well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from squeeze_hls.network import arith, golden
from squeeze_hls.network.ir import Concat, GlobalAverage, IntAdd, IntConv, IntNode, MaxPool

FLOAT_ERROR = 2.0**-20  # of the sum of magnitudes, for sums of a few hundred float32 products
HALF_ERROR = 2.0**-8  # the same in float16
BIAS_ERROR = {True: 0.5, False: 1.5}  # accumulator steps, of u16 and of u8 outputs
MULTIPLIER_ERROR = {True: 2.0**-17, False: 2.0**-13}  # relative
ON_GRID = 0.01  # of a step: a value this near to one is taken for rounded


@dataclass(frozen=True)
class Known:
    """A tensor (H, W, C) of integers, and how far from them (elementwise, in steps) what the judge has may be."""

    integers: np.ndarray
    slack: np.ndarray
    top: np.ndarray  # (C,) largest integer of each channel


@dataclass(frozen=True)
class Computed:
    """A layer's output before rounding, in steps; ``bound`` is elementwise, without the rounding."""

    real: np.ndarray
    bound: np.ndarray
    rounded: np.ndarray  # what the golden model gives
    top: np.ndarray


@dataclass(frozen=True)
class Border:
    """What surrounds a map where a convolution pads, and how far each channel is from the zeros that the judge pads."""

    value: int | tuple[int, ...] = 0
    slack: float | tuple[float, ...] = 0.0


def compute(node: IntNode, inputs: list[Known], error: float, border: Border) -> Computed:
    """``error`` is that of the judge's sums, relative to the magnitudes."""
    return COMPUTE[type(node)](node, inputs, error, border)


def _pool(node: MaxPool, x: Known, error: float) -> Computed:
    pooled = golden.max_pool(x.integers, node.kernel, node.stride, node.ceil)
    slack = golden.max_pool(x.slack, node.kernel, node.stride, node.ceil)
    return Computed(pooled.astype(np.float64), slack + error * pooled + ON_GRID, pooled, x.top)


def _concat(inputs: list[Known], error: float) -> Computed:
    joined, slack = (np.concatenate([getattr(x, key) for x in inputs], axis=2) for key in ("integers", "slack"))
    bound = slack + error * joined + ON_GRID
    return Computed(joined.astype(np.float64), bound, joined, np.concatenate([x.top for x in inputs]))


def _average(x: Known, error: float) -> Computed:
    total = golden.pixel_sum(x.integers).reshape(1, 1, -1).astype(np.float64)
    slack = x.slack.sum(axis=(0, 1), keepdims=True)
    error = max(error, x.integers[:, :, 0].size * 2.0**-24)  # pixels that are alike are rounded alike
    bound = slack + error * (total + slack) + ON_GRID
    return Computed(total, bound, total, np.full(total.shape[2], np.inf))


def _conv(node: IntConv, x: Known, error: float, border: Border) -> Computed:
    padded = golden.pad(x.integers, node.pads, border.value)
    factor = np.ldexp(node.multiplier.astype(np.float64), -node.shift)
    real = (_sums(node, padded, node.weight) + node.bias) * factor
    magnitude = np.abs(node.weight.astype(np.float64))
    around = golden.pad(x.slack, node.pads, border.slack)
    reach = _sums(node, np.abs(padded.astype(np.float64)), magnitude) + np.abs(node.bias)
    wide = node.top > arith.ACTIVATION_MAX
    bound = (_sums(node, around, magnitude) + BIAS_ERROR[wide] + error * reach) * factor
    bound += np.abs(real) * MULTIPLIER_ERROR[wide] + ON_GRID
    return Computed(real, bound, golden.conv(node, padded), np.full(len(node.bias), node.top))


def _sums(node: IntConv, padded: np.ndarray, weight: np.ndarray) -> np.ndarray:
    columns = golden.windows(padded.astype(np.float64), node.kernel, node.stride)
    height, width = columns.shape[:2]
    flat = weight.reshape(len(weight), -1).T.astype(np.float64)
    return (columns.reshape(height * width, -1) @ flat).reshape(height, width, -1)


def _add(node: IntAdd, inputs: list[Known], error: float) -> Computed:
    factors = [m * 2.0**-arith.ADD_SHIFT for m in node.multiplier]
    real = sum(x.integers * f for x, f in zip(inputs, factors, strict=True))
    slack = sum(x.slack * f for x, f in zip(inputs, factors, strict=True))
    lost = sum(x.integers * 2.0 ** -(arith.ADD_SHIFT + 1) for x in inputs)  # multipliers are whole
    rounded = golden.add(node, [x.integers for x in inputs])
    return Computed(real, slack + lost + error * real + ON_GRID, rounded, np.full(real.shape[2], node.top))


def differences(computed: Computed, judged: np.ndarray) -> np.ndarray:
    """By how many steps more than allowed the judge's values (in steps) are away, elementwise; 0 and less is well."""
    have, want = (np.clip(v, 0, computed.top) for v in (computed.real, judged))
    rounded = on_grid(want)
    same = rounded & (np.rint(want) == computed.rounded)
    # a Clip that stands before the quantizer cuts off anywhere in the first or the last half step
    same |= np.maximum(have, want) <= 0.5 + computed.bound
    same |= np.minimum(have, want) >= computed.top - 0.5 - computed.bound
    return np.where(same, 0, np.abs(have - want) - computed.bound - 0.5 * rounded)


def known(judged: np.ndarray, top: np.ndarray, *, clips: bool) -> Known:
    """The integers that the judge's values (in steps) stand for; ``clips`` allows values beyond the largest.

    Those are in tensors that the model does not quantize: their range was chosen on pictures.
    """
    want = np.clip(judged, 0, top)
    integers = np.rint(want)
    slack = np.abs(want - integers)
    if clips:
        slack = np.maximum(slack, judged - integers)
    return Known(integers.astype(np.int64), slack, top)


def on_grid(values: np.ndarray) -> np.ndarray:
    return np.abs(values - np.rint(values)) <= ON_GRID + values * 2.0**-22


COMPUTE: dict[type, Callable[..., Computed]] = {
    IntConv: lambda node, inputs, error, border: _conv(node, inputs[0], error, border),
    MaxPool: lambda node, inputs, error, _: _pool(node, inputs[0], error),
    Concat: lambda _node, inputs, error, _: _concat(inputs, error),
    IntAdd: lambda node, inputs, error, _: _add(node, inputs, error),
    GlobalAverage: lambda _node, inputs, error, _: _average(inputs[0], error),
}
