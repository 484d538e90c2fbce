"""The golden model against numbers worked by hand and against a second, naive implementation."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith, golden
from squeeze_hls.network.ir import Concat, GlobalAverage, IntAdd, IntConv, IntNetwork, Pads, verify_int_network
from tests.golden import naive
from tests.networks import random_network


def conv(name: str, source: str, weight: list, bias: list, factor: float, **more: object) -> IntConv:
    """A convolution from literals; ``weight`` is nested as (O, kh, kw, I)."""
    values = np.array(weight, np.int8)
    multiplier, shift = arith.multiplier_and_shift(factor)
    return IntConv(
        name=name,
        inputs=(source,),
        output=name,
        weight=values,
        bias=np.array(bias, np.int32),
        multiplier=np.full(len(bias), multiplier, np.int32),
        shift=np.full(len(bias), shift, np.int32),
        stride=int(more.get("stride", 1)),  # type: ignore[call-overload]
        pads=more.get("pads", Pads()),  # type: ignore[arg-type]
        wide=bool(more.get("wide", False)),
    )


def network(*nodes: object, shape: tuple[int, int, int], pad_value: tuple[int, int, int] = (0, 0, 0)) -> IntNetwork:
    return IntNetwork(name="net", input="image", input_shape=shape, nodes=tuple(nodes), pad_value=pad_value)  # type: ignore[arg-type]


def test_convolution_by_hand() -> None:
    # weights 1, 2, 3 for R, G, B; pixel (10, 20, 30): 10 + 40 + 90 = 140; bias 5: 145; times 1/2: 72.5, up to 73
    # pixel (1, 0, 0): 1 + 5 = 6, half is 3; a bias of -200 gives -60 for the first pixel: 0
    image = np.array([[[10, 20, 30], [1, 0, 0]]], np.uint8)
    net = network(conv("a", "image", [[[[1, 2, 3]]], [[[1, 2, 3]]]], [5, -200], 0.5), shape=(1, 2, 3))
    assert golden.run(net, image)["a"].tolist() == [[[73, 0], [3, 0]]]


def test_halves_round_up_also_below_zero() -> None:
    # accumulators -3, -1, 1, 3 times 1/2: -1.5, -0.5, 0.5, 1.5 -> -1, 0, 1, 2, then clamped at 0
    acc = np.array([[-3], [-1], [1], [3]])
    multiplier, shift = arith.multiplier_and_shift(0.5)
    wide = arith.requantize(acc + 100, np.array([multiplier]), np.array([shift]), 255)
    assert (wide[:, 0] - 50).tolist() == [-1, 0, 1, 2]


def test_outputs_saturate() -> None:
    # 255 * 31 = 7905 > 255; as u16 it stays; 3 * 255 * 31 = 23715, times 4 = 94860 > 65535
    image = np.full((1, 1, 3), 255, np.uint8)
    net = network(conv("a", "image", [[[[31, 0, 0]]]], [0], 1.0), shape=(1, 1, 3))
    assert golden.run(net, image)["a"].item() == 255
    net = network(conv("a", "image", [[[[31, 0, 0]]], [[[31, 31, 31]]]], [0, 0], 1.0, wide=True), shape=(1, 1, 3))
    assert golden.run(net, image)["a"].tolist() == [[[7905, 23715]]]
    net = network(conv("a", "image", [[[[31, 31, 31]]]], [0], 4.0, wide=True), shape=(1, 1, 3))
    assert golden.run(net, image)["a"].item() == 65535


def test_the_image_is_padded_with_its_own_value_per_colour() -> None:
    # one white pixel, 3x3 kernel of ones in red, twos in blue; eight border pixels (7, 8, 9): 8 * (7 + 18) = 200;
    # the pixel itself (1, 1, 1): 3; together 203
    weight = [[[[1, 0, 2]] * 3] * 3]
    pads = Pads(top=1, left=1, bottom=1, right=1)
    net = network(conv("a", "image", weight, [0], 1.0, pads=pads), shape=(1, 1, 3), pad_value=(7, 8, 9))
    assert golden.run(net, np.ones((1, 1, 3), np.uint8))["a"].item() == 203


def test_stride_and_one_sided_padding() -> None:
    # row 1 2 3 4 (red), kernel (1, 10), stride 2, one zero pixel on the left: (0, 1), (2, 3) -> 10, 32;
    # the last pixel, 4, is not read
    image = np.zeros((1, 4, 3), np.uint8)
    image[0, :, 0] = [1, 2, 3, 4]
    net = network(
        conv("a", "image", [[[[1, 0, 0], [10, 0, 0]]]], [0], 1.0, stride=2, pads=Pads(left=1)), shape=(1, 4, 3)
    )
    assert golden.run(net, image)["a"][0, :, 0].tolist() == [10, 32]


@pytest.mark.parametrize(
    ("kernel", "ceil", "expected"), [(3, False, [3]), (3, True, [3, 4]), (2, False, [2, 4]), (2, True, [2, 4])]
)
def test_pooling_by_hand(kernel: int, ceil: bool, expected: list[int]) -> None:
    # a row 1 2 3 4 over a row of zeros and one more; windows start at 0 and 2; the second of size 3 is cut off
    x = np.zeros((3, 4, 1), np.uint8)
    x[0, :, 0] = [1, 2, 3, 4]
    assert golden.max_pool(x, kernel, 2, ceil)[0, :, 0].tolist() == expected


def test_average_is_the_sum_of_all_pixels_with_the_border_of_a_padded_convolution() -> None:
    # 1x1 image padded by 1: nine outputs; the inner one 2 * 3 + 4 = 10, the eight outer ones the bias, 4: 10 + 32 = 42
    inner = conv("a", "image", [[[[1, 0, 0]]]], [0], 1.0)
    pads = Pads(top=1, left=1, bottom=1, right=1)
    last = conv("b", "a", [[[[2]]]], [4], 1.0, pads=pads, wide=True)
    net = network(inner, last, GlobalAverage(name="sum", inputs=("b",), output="logits"), shape=(1, 1, 3))
    result = golden.run(net, np.array([[[3, 0, 0]]], np.uint8))
    assert result["logits"].tolist() == [42]
    assert result["logits"].dtype == np.int32 and result["b"].dtype == np.uint16 and result["a"].dtype == np.uint8


def test_concatenation_and_addition() -> None:
    first, second = (conv(n, "image", [[[[w, 0, 0]]]], [0], 1.0) for n, w in (("a", 1), ("b", 2)))
    net = network(
        first, second, Concat(name="c", inputs=("b", "a"), output="c"),
        IntAdd(name="d", inputs=("a", "b"), output="d", multiplier=(65536, 65536)),
        shape=(1, 2, 3),
    )  # fmt: skip
    result = golden.run(net, np.array([[[50, 0, 0], [100, 0, 0]]], np.uint8))
    assert result["c"].tolist() == [[[100, 50], [200, 100]]]
    assert result["d"].tolist() == [[[150], [255]]]  # 300 saturates


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_against_the_naive_one(seed: int) -> None:
    net = random_network(seed, limited=seed % 4 == 2)
    image = np.random.default_rng(seed).integers(0, 256, net.input_shape).astype(np.uint8)
    if seed % 5 == 0:
        image[:] = 255
    got, expected = golden.run(net, image), naive.run(net, image)
    for tensor in expected:
        np.testing.assert_array_equal(got[tensor], expected[tensor], err_msg=f"seed {seed}, {tensor}")


def _at_the_bound(extra: int) -> IntNetwork:
    """A filter whose largest accumulator is exactly 2**23 - 1, plus ``extra``."""
    # 255 * 31 = 7905 a weight; 1061 weights of 31: 8387205; 2**23 - 1 - 8387205 = 1402 is left for the bias
    first = conv("a", "image", [[[[31, 0, 0]]]] * 1061, [0] * 1061, 1.0)
    last = conv("b", "a", [[[[31] * 1061]]], [1402 + extra], 2.0**-8, wide=True)
    return network(first, last, GlobalAverage(name="sum", inputs=("b",), output="logits"), shape=(1, 1, 3))


def test_an_accumulator_at_the_bound_is_accepted_and_exact() -> None:
    net = _at_the_bound(0)
    assert arith.accumulator_bound(net.convs[1].weight, net.convs[1].bias) == [arith.ACCUMULATOR_MAX]
    verify_int_network(net)
    result = golden.run(net, np.full((1, 1, 3), 255, np.uint8))
    assert result["b"].item() == (arith.ACCUMULATOR_MAX + 128) // 256  # 2**-8, halves up
    last = conv("b", "a", [[[[31] * 1061]]], [1402], 1.0)  # the accumulator itself, unclamped
    x = np.full((1, 1, 1061), 255, np.uint8)
    assert (
        golden.windows(x, (1, 1), 1).astype(np.float32).reshape(1, -1) @ last.weight.reshape(1, -1).T.astype(np.float32)
    ).item() + 1402 == arith.ACCUMULATOR_MAX


@pytest.mark.parametrize("sign", [1, -1])
def test_an_accumulator_beyond_the_bound_is_refused(sign: int) -> None:
    net = _at_the_bound(1)
    if sign < 0:  # negative sums overflow as well
        last = net.convs[1]
        negative = conv("b", "a", (-last.weight.astype(int)).tolist(), (-last.bias).tolist(), 2.0**-8, wide=True)
        net = network(net.nodes[0], negative, net.nodes[2], shape=(1, 1, 3))
    with pytest.raises(InputError, match="b: output channel 0 can reach 8388608 in the accumulator"):
        verify_int_network(net)


def test_logits_beyond_32_bits_are_refused() -> None:
    with pytest.raises(InputError, match="can overflow an s32 logit"):
        golden.pixel_sum(np.zeros((182, 181, 1), np.uint16))  # 32942 * 65535 > 2**31 - 1
    assert golden.pixel_sum(np.full((181, 181, 1), 65535, np.uint16)).tolist() == [181 * 181 * 65535]


def test_a_picture_that_does_not_fit_is_refused() -> None:
    net = network(conv("a", "image", [[[[1, 2, 3]]]], [0], 1.0), shape=(1, 2, 3))
    for image in (np.zeros((2, 1, 3), np.uint8), np.zeros((1, 2, 3), np.float32)):
        with pytest.raises(InputError, match="the network reads uint8"):
            golden.run(net, image)


def test_top_k_is_a_softmax_of_scaled_logits() -> None:
    # scale ln(2)/10: logits 20, 10, 10 weigh 4, 2, 2 -> 1/2, 1/4, 1/4; of the equal ones the first class comes first
    net = IntNetwork(
        name="net",
        input="image",
        input_shape=(1, 1, 3),
        nodes=(GlobalAverage(name="sum", inputs=("image",), output="logits"),),
        scale={"logits": float(np.log(2) / 10)},
        labels=("cat", "dog"),
    )
    top = golden.top_k(net, np.array([10, 20, 10], np.int32), 3)
    assert [(i, n) for i, n, _ in top] == [(1, "dog"), (0, "cat"), (2, "2")]
    assert [p for _, _, p in top] == pytest.approx([0.5, 0.25, 0.25])
