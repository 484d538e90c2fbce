"""Networks without a classifier: an average over a concatenation, a pooling or a sum, in every evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.executor import Executor
from squeeze_hls.errors import InputError
from squeeze_hls.network import golden, ir
from squeeze_hls.plan import make_plan
from squeeze_hls.quantize import measure, to_int
from squeeze_hls.quantize import operators as batch
from tests.frontend.build import Builder, fire, load, logits, picture, relu
from tests.frontend.compare import onnxruntime_logits, qonnx_logits
from tests.frontend.dialects import Dialect, Qdq, Qonnx
from tests.golden import naive

Ending = Callable[[Builder, str, int], str]


def pooled(b: Builder, x: str, _: int) -> str:
    return b.node("MaxPool", x, name="pool", kernel_shape=[2, 2], strides=[2, 2])


def pooled_conv(b: Builder, x: str, channels: int) -> str:
    return pooled(b, relu(b, b.conv(x, b.weights(7, channels, 1, 1), name="conv10")), 7)


def summed(b: Builder, x: str, channels: int) -> str:
    branches = [relu(b, b.conv(x, b.weights(5, channels, 1, 1), name=f"branch{i}")) for i in range(3)]
    return b.node("Sum", *branches, name="sum")


ENDINGS: dict[str, Ending] = {
    "concatenation": lambda b, x, _: x,
    "pooled concatenation": pooled,
    "pooled convolution": pooled_conv,
    "sum of three": summed,
}


def model(ending: Ending) -> onnx.ModelProto:
    b = Builder(("N", 3, 21, 19))
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1", strides=[2, 2]))
    x = ending(b, fire(b, x, 6), 8)
    return b.model(b.node("Flatten", b.node("GlobalAveragePool", x, name="average"), name="flatten"))


@pytest.mark.parametrize("name", ENDINGS)
def test_float(name: str, tmp_path: Path) -> None:
    found = model(ENDINGS[name])
    graph = load(found, tmp_path)
    x = picture(graph.input_shape)
    expected = onnxruntime_logits(found, x)
    np.testing.assert_allclose(logits(graph, x), expected, atol=1e-5)
    np.testing.assert_allclose(batch.logits(graph, x.transpose(0, 2, 3, 1))[0], expected, atol=1e-5)
    pixels = np.random.default_rng(3).integers(0, 256, (6, *graph.input_shape)).astype(np.uint8)
    network = to_int(graph, pixels)
    last = network.nodes[-1].output
    for image in pixels[:2]:
        got = golden.run(network, image)
        np.testing.assert_array_equal(got[last], naive.run(network, image)[last])
        np.testing.assert_array_equal(measure.integer_logits(network, image[None])[0], got[last] * network.scale[last])
        real = (image[:, :, ::-1].astype(np.float32) - np.array(ir.CAFFE.mean, np.float32)).transpose(2, 0, 1)[None]
        wanted = onnxruntime_logits(found, real)
        assert np.abs(got[last] * network.scale[last] - wanted).max() < 0.05 * wanted.max()


@pytest.mark.parametrize("name", ["concatenation", "pooled concatenation", "pooled convolution"])
@pytest.mark.parametrize("weights", ["resident", "streamed"])
def test_on_the_engine(name: str, weights: str, tmp_path: Path) -> None:
    from squeeze_hls.plan import PlanOptions

    graph = load(model(ENDINGS[name]), tmp_path)
    pixels = np.random.default_rng(4).integers(0, 256, (4, *graph.input_shape)).astype(np.uint8)
    network = to_int(graph, pixels)
    plan = make_plan(network, load_board("pynq-z2"), PlanOptions(weights=weights))
    executor = Executor(plan.engine, plan.program_bin, plan.weights_bin)
    expected = golden.run(network, pixels[0])[network.nodes[-1].output]
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(executor.run(pixels[0]), expected)


def quantized(q: Dialect, name: str) -> onnx.ModelProto:
    """The same endings with every tensor quantized; the sum has operands of unequal scales."""
    b = Builder(("N", 3, 13, 15), opset=q.opset)

    def conv(x: str, top: float, *shape: int, **attributes: object) -> str:
        y = b.conv(x, q.weights(b, b.weights(*shape)), outputs_=shape[0], **attributes)
        return q.activation(b, relu(b, y), top)

    x = conv("x", 2.5, 6, 3, 3, 3, strides=[2, 2])
    if name == "sum of three":
        parts = [conv(x, top, 5, 6, 1, 1) for top in (0.9131, 2.2317, 1.3873)]  # sums that are never on a tie
        x = q.activation(b, b.node("Sum", *parts), 3.0179)
    else:
        x = b.node("Concat", conv(x, 1.5, 4, 6, 1, 1), conv(x, 1.5, 3, 6, 3, 3, pads=[1, 1, 1, 1]), axis=1)
        x = pooled(b, x, 7) if name == "pooled concatenation" else x
    return b.model(b.node("GlobalAveragePool", x, name="average"))


@pytest.mark.parametrize("q", [Qonnx(), Qdq(), Qdq(int8=True)])
@pytest.mark.parametrize("name", ["concatenation", "pooled concatenation", "sum of three"])
def test_quantized(q: Dialect, name: str, tmp_path: Path) -> None:
    found = quantized(q, name)
    graph = load(found, tmp_path)
    image = np.random.default_rng(5).integers(0, 256, graph.input_shape).astype(np.uint8)
    network = to_int(graph)
    last = network.nodes[-1].output
    own = golden.run(network, image)
    np.testing.assert_array_equal(own[last], naive.run(network, image)[last])
    np.testing.assert_array_equal(measure.integer_logits(network, image[None])[0], own[last] * network.scale[last])
    real = (image[:, :, ::-1].astype(np.float32) - np.array(ir.CAFFE.mean, np.float32)).transpose(2, 0, 1)[None]
    expected = (qonnx_logits if isinstance(q, Qonnx) else onnxruntime_logits)(found, real)
    assert np.ptp(expected) > 0.01
    # activations on a tie may fall to either side: one step of 3 / 255 at some of the averaged pixels
    np.testing.assert_allclose(own[last] * network.scale[last], expected, atol=0.003)


def test_of_the_picture(tmp_path: Path) -> None:
    b = Builder()
    with pytest.raises(InputError, match="^GlobalAveragePool 'average': it averages the picture itself"):
        load(b.model(b.node("GlobalAveragePool", "x", name="average")), tmp_path)
