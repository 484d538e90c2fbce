"""Multipliers and biases at which the engine's outputs change where a quantized model's do."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze_hls.network import arith, golden
from squeeze_hls.network.ir import IntConv, Pads
from squeeze_hls.quantize import thresholds


def conv(factor: np.ndarray, bias: np.ndarray, top: int) -> IntConv:
    pairs = [arith.multiplier_and_shift(f) for f in factor]
    return IntConv(
        name="c", inputs=("x",), output="c", weight=np.full((len(factor), 1, 1, 2), [[[5, -5]]], np.int8),
        bias=np.rint(bias).astype(np.int32), multiplier=np.array([m for m, _ in pairs], np.int32),
        shift=np.array([s for _, s in pairs], np.int32), stride=1, pads=Pads(), limit=top,
    )  # fmt: skip


def every_sum(node: IntConv) -> tuple[np.ndarray, np.ndarray]:
    """All sums of products that two inputs and the weights 5 and -5 give, and the engine's outputs for them."""
    image = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).astype(np.uint8)
    sums = 5 * (image[:, :, 0].astype(np.int64) - image[:, :, 1])
    return sums[..., None], golden.conv(node, image).astype(np.int64)


@pytest.mark.parametrize("top", [3, 7, 15, 100])
def test_outputs_are_the_models(top: int) -> None:
    """Against rounding in float64, sum by sum; what is counted as wrong is all that differs."""
    rng = np.random.default_rng(top)
    factor, bias = rng.uniform(0.3, 1.0, 200) * top / 1275, rng.uniform(-40, 40, 200)
    start = conv(factor, bias, top)
    found = thresholds.fit(start, bias, factor)
    sums, own = every_sum(found.conv)
    model = np.clip(np.rint((sums + bias) * factor), 0, top)
    _, before = every_sum(start)
    assert np.abs(own - model).max() <= 1
    assert (own != model).sum() <= (before != model).sum()
    differ = {(int(s), c) for s, c in zip(*np.nonzero(own[:, 0] != model[:, 0]), strict=True)}
    assert bool(found.wrong) >= bool(differ)
    plain = thresholds.fit(start, np.rint(bias), factor)  # whole biases: the multipliers alone are off, and mended
    assert plain.wrong <= 0.001 * plain.thresholds


def test_a_threshold_on_the_wrong_side_of_an_integer() -> None:
    """Step 1 begins at 500.5 exactly, whatever 17 bits make of the factor."""
    factor = np.full(1, 1 / 1001.0)
    start = conv(factor, np.zeros(1), 1)
    assert start.multiplier[0] * 2.0 ** -int(start.shift[0]) != factor[0]
    found = thresholds.fit(start, np.zeros(1), factor)
    assert found.wrong == 0 and found.thresholds == 1


def test_halves() -> None:
    """Powers of two put sums on exact halves: the model rounds them to even, the engine up, and a note says so."""
    start = conv(np.full(4, 2.0**-4), np.zeros(4), 15)
    found = thresholds.fit(start, np.zeros(4), np.full(4, 2.0**-4))
    assert found.wrong > 0
    (text,) = thresholds.note(
        [found, thresholds.fit(conv(np.full(1, 0.011), np.zeros(1), 3), np.zeros(1), np.full(1, 0.011))]
    )
    assert text.startswith(
        "1 convolutions give some outputs one step beside the model's, 'c' about 2.9% of them: sums on"
    )
    assert thresholds.note([]) == ()


def test_right_ones_stay() -> None:
    factor, bias = np.full(1, 0.0137), np.zeros(1)
    start = conv(factor, bias, 7)
    found = thresholds.fit(start, bias, factor)
    assert found.wrong == 0 and (found.conv.multiplier == start.multiplier).all()
