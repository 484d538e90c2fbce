"""A quantized weight's scale through the operators that exporters put after it, or a refusal: never a float model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from squeeze_hls.errors import InputError
from squeeze_hls.network import golden, ir
from squeeze_hls.quantize import from_quantized, is_quantized, quantize
from tests.frontend.build import Builder, load, relu
from tests.frontend.compare import onnxruntime_logits
from tests.frontend.dialects import Qdq

Through = Callable[[Builder, np.ndarray, np.ndarray], str]


def dequantized(b: Builder, integers: np.ndarray, scale: np.ndarray, axis: int) -> str:
    return b.node("DequantizeLinear", b.const(integers, np.int8), b.const(scale), axis=axis)


def transposed(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    """Stored as TensorFlow does, (kh, kw, I, O)."""
    return b.node("Transpose", dequantized(b, w.transpose(2, 3, 1, 0), s, 3), perm=[3, 2, 0, 1])


def reshaped(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    return b.node("Reshape", dequantized(b, w.reshape(len(w), -1), s, 0), b.const(w.shape, np.int64))


def cast(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    half = b.node("Cast", dequantized(b, w, s, 0), to=TensorProto.FLOAT16)
    return b.node("Cast", half, to=TensorProto.FLOAT)


def squeezed(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    y = dequantized(b, w[:, None], s, 0)
    return b.node("Squeeze", b.node("Unsqueeze", y, b.const([0], np.int64)), b.const([0, 2], np.int64))


def gathered(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    """Filters in another order, brought back; a scale that moves with them."""
    order = np.arange(len(w))[::-1]
    y = b.node("Gather", dequantized(b, w[order], s[order], 0), b.const(order, np.int64), axis=0)
    return b.node("Slice", y, *(b.const([v], np.int64) for v in (0, len(w), 0)))


def multiplied(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    """A folded normalization: one positive factor for each filter."""
    factor = np.linspace(0.5, 2, len(w))
    return b.node("Mul", dequantized(b, w, s / factor, 0), b.const(factor.reshape(-1, 1, 1, 1)))


def integers_moved(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    moved = b.node("Transpose", b.const(w.transpose(1, 0, 2, 3), np.int8), perm=[1, 0, 2, 3])
    return b.node("DequantizeLinear", moved, b.const(s), axis=0)


CARRIED: dict[str, Through] = {
    f.__name__: f for f in (transposed, reshaped, cast, squeezed, gathered, multiplied, integers_moved)
}


def model(through: Through) -> onnx.ModelProto:
    q, b = Qdq(), Builder(("N", 3, 9, 11), opset=21)

    def conv(x: str, *shape: int) -> str:
        w = b.weights(*shape)
        scale = (np.abs(w).max(axis=(1, 2, 3)) / 31).astype(np.float32)
        integers = np.clip(np.rint(w / scale[:, None, None, None]), -32, 31)
        return relu(b, b.conv(x, through(b, integers, scale), outputs_=shape[0]))

    x = q.activation(b, conv("x", 6, 3, 3, 3), 2.5)
    x = q.activation(b, conv(x, 7, 6, 1, 1), 1.2, 16)
    return b.model(b.node("GlobalAveragePool", x))


@pytest.mark.parametrize("name", CARRIED)
def test_carried(name: str, tmp_path: Path) -> None:
    plain = from_quantized(load(model(lambda b, w, s: dequantized(b, w, s, 0)), tmp_path))
    graph = load(model(CARRIED[name]), tmp_path)
    assert is_quantized(graph)
    found = from_quantized(graph)
    for own, expected in zip(found.convs, plain.convs, strict=True):
        np.testing.assert_array_equal(own.weight, expected.weight)
        np.testing.assert_array_equal(own.multiplier, expected.multiplier)
        assert (own.weight != 0).mean() > 0.5


def added(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    return b.node("Add", dequantized(b, w, s, 0), b.const(0.01))


def negated(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    return b.node("Neg", dequantized(b, w, s, 0))


def joined(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    half = len(w) // 2
    parts = [dequantized(b, w[i], s[i], 0) for i in (slice(0, half), slice(half, None))]
    return b.node("Concat", *parts, axis=0)


def summed_products(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    return b.node("Mul", dequantized(b, w, s, 0), dequantized(b, np.ones_like(w), s, 0))


@pytest.mark.parametrize("through", [added, negated, joined, summed_products])
def test_lost(through: Through, tmp_path: Path) -> None:
    """What cannot be carried is refused: the model was quantized, and its trained ranges are not to be dropped."""
    with pytest.raises(
        InputError, match="its weights were quantized and then changed by arithmetic, which loses their"
    ):
        load(model(through), tmp_path)


def scaled_by_input(b: Builder, w: np.ndarray, s: np.ndarray) -> str:
    """Transposed the wrong way round: one scale for each input channel."""
    square = w[: w.shape[1], :, :1, :1]
    return b.node("Transpose", dequantized(b, square, s[: len(square)], 0), perm=[1, 0, 2, 3])


def test_a_scale_that_moved_to_the_inputs(tmp_path: Path) -> None:
    q, b = Qdq(), Builder(("N", 3, 9, 11), opset=21)
    w = b.rng.integers(-31, 32, (3, 3, 1, 1))
    x = relu(b, b.conv("x", scaled_by_input(b, w, np.array([0.1, 0.2, 0.3], np.float32)), outputs_=3))
    with pytest.raises(InputError, match="are not one per output channel"):
        load(b.model(b.node("GlobalAveragePool", q.activation(b, x, 2.0))), tmp_path)


@pytest.mark.parametrize("offset", [0.5, 0.25, 0.01])
def test_zero_points_that_are_not_whole(offset: float, tmp_path: Path) -> None:
    b = Builder(("N", 3, 9, 11))
    quant = "qonnx.custom_op.general.Quant"
    inputs = (b.const(0.1), b.const(offset), b.const(6.0))
    w = b.node(quant, b.const(b.weights(4, 3, 1, 1)), *inputs, signed=1, narrow=1, rounding_mode="ROUND")
    with pytest.raises(InputError, match="not whole steps of their scale, but up to 0.(5|25|01) of a step away"):
        load(b.model(b.node("GlobalAveragePool", relu(b, b.conv("x", w, outputs_=4)))), tmp_path)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2])
def test_numbers_that_are_no_integers(kind: int, tmp_path: Path) -> None:
    b = Builder(("N", 3, 9, 11), opset=21)
    stored = onnx.helper.make_tensor("w8", kind, (4, 3, 1, 1), b.rng.normal(0, 5, 12).tolist())
    b.initializers.append(stored)
    w = b.node("DequantizeLinear", "w8", b.const(0.1))
    with pytest.raises(InputError, match="it reads numbers of type float8_e.m., not integers|float8_e4m3fn"):
        load(b.model(b.node("GlobalAveragePool", relu(b, b.conv("x", w, outputs_=4)))), tmp_path)


def test_quantized_activations_and_float_weights(tmp_path: Path) -> None:
    """The trained ranges stay; the weights are quantized on pictures."""
    q, b = Qdq(), Builder(("N", 3, 12, 12), opset=21)
    x = q.activation(b, relu(b, b.conv("x", b.weights(6, 3, 3, 3) / 60, name="conv1")), 0.75)
    x = b.node("Clip", x, b.const(0.0), b.const(0.75 * 100 / 255), name="clip")
    x = q.activation(b, relu(b, b.conv(x, b.weights(7, 6, 1, 1), name="conv10")), 0.9, 16)
    found = b.model(b.node("GlobalAveragePool", x))
    graph = load(found, tmp_path)
    assert not is_quantized(graph) and graph.activation_scale
    pixels = np.random.default_rng(2).integers(0, 256, (8, *graph.input_shape)).astype(np.uint8)
    network = quantize(graph, pixels)
    assert network.scale[network.convs[0].output] == pytest.approx(0.75 / 255, rel=1e-6)
    assert network.convs[0].top == 100
    assert any("the model's quantizers of 2 feature maps are kept" in note for note in network.notes)
    last = network.nodes[-1].output
    for image in pixels[:3]:
        real = (image[:, :, ::-1].astype(np.float32) - np.array(ir.CAFFE.mean, np.float32)).transpose(2, 0, 1)[None]
        expected = onnxruntime_logits(found, real)
        own = golden.run(network, image)[last] * network.scale[last]
        assert np.abs(own - expected).max() < 0.04 * expected.max()


def test_biases_between_steps_of_coarse_weights(tmp_path: Path) -> None:
    """A weight of one step is 0.9 output steps here: a bias of 0.45 of it must not be rounded away."""
    b = Builder(("N", 3, 4, 4))
    quant = "qonnx.custom_op.general.Quant"

    def quantized(x: str, scale: float, bits: int, signed: int) -> str:
        inputs = (b.const(scale), b.const(0.0), b.const(bits))
        return b.node(quant, x, *inputs, signed=signed, narrow=0, rounding_mode="ROUND")

    bias = np.array([0.45, -0.45, 0.3, 10.4])
    w = quantized(b.const(np.sign(b.rng.normal(size=(4, 3, 1, 1)))), 1.0, 2, 1)
    x = quantized(relu(b, b.conv("x", w, name="conv1", bias=bias)), 1 / 0.9, 8, 0)
    graph = load(b.model(b.node("GlobalAveragePool", x)), tmp_path, preprocess=str(raw(tmp_path)))
    network = from_quantized(graph)
    image = np.random.default_rng(0).integers(0, 80, (4, 4, 3)).astype(np.uint8)
    products = image.astype(float) @ np.sign(Builder().rng.normal(size=(4, 3, 1, 1)))[:, :, 0, 0].T
    exact = np.clip((products + bias) * 0.9, 0, 255)
    own = golden.run(network, image)[network.convs[0].output]
    assert np.abs(own - exact).max() < 0.5 + 1 / 16


def raw(folder: Path) -> Path:
    """Preprocessing that hands pixels on."""
    path = folder / "raw.json"
    path.write_text('{"channels": "RGB", "mean": [0, 0, 0], "scale": [1, 1, 1], "resize": 32}')
    return path
