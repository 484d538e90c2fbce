"""Quantized models: QONNX and QDQ, their scales, and their function against QONNX and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.quantizers import quant_range
from squeeze_hls.network import golden, ir
from squeeze_hls.quantize import to_int
from tests.frontend.build import Builder, load, logits, picture
from tests.frontend.compare import assert_snapshot, onnxruntime_logits, qonnx_logits
from tests.frontend.dialects import Dialect, Qcdq, Qdq, Qonnx, network

CASES: dict[str, tuple[Dialect, dict[str, bool]]] = {
    "qonnx": (Qonnx(), {}),
    "qonnx_halves": (Qonnx(), {"halves": True}),
    "qonnx_late": (Qonnx(), {"late": True}),
    "qonnx_no_relu": (Qonnx(), {"relu": False}),
    "qonnx_narrow_2_bits": (Qonnx(bits=2, narrow=1), {}),
    "qonnx_4_bits": (Qonnx(bits=4), {}),
    "qdq": (Qdq(), {}),
    "qdq_halves": (Qdq(), {"halves": True}),
    "qdq_late": (Qdq(), {"late": True}),
    "qdq_no_relu": (Qdq(), {"relu": False}),
    "qdq_int8_zero_point": (Qdq(int8=True), {}),
    "qdq_float_weights": (Qdq(fake=True), {}),
    "qcdq_4_bits": (Qcdq(4), {}),
    "qcdq_3_bits_int8_late": (Qcdq(3, int8=True), {"late": True}),
    "qcdq_2_bits_halves": (Qcdq(2), {"halves": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_dialect(case: str, tmp_path: Path) -> None:
    q, options = CASES[case]
    notices: list[str] = []
    model = network(q, **options)
    graph = load(model, tmp_path, notify=notices.append)
    assert_snapshot(graph, case)
    for node in graph.nodes:
        if isinstance(node, ir.Conv):
            assert node.weight_scale is not None and node.weight_scale.dtype == np.float64
            integers = node.weight / node.weight_scale[:, None, None, None]
            np.testing.assert_allclose(integers, np.rint(integers), atol=1e-4)
            assert integers.min() > -32.5 and integers.max() < 31.5
    assert not any("finer" in n for n in notices)
    x = picture(graph.input_shape)
    expected = q.run(model, x)
    assert np.ptp(expected) > 1e-2
    # rounding ties may fall apart between float32 and float64: one step of the last 8-bit tensor, averaged
    np.testing.assert_allclose(logits(graph, x), expected, atol=1e-3)


@pytest.mark.parametrize("case", [c for c in CASES if not c.startswith("qdq_float")])
def test_integers_compute_the_model(case: str, tmp_path: Path) -> None:
    """The golden model of the carried integers, on real pixels.

    Two-bit weights have steps as large as outputs: there the biases are kept by finer steps of the weights.
    """
    q, options = CASES[case]
    model = network(q, **options)
    graph = load(model, tmp_path)
    image = np.random.default_rng(9).integers(0, 256, graph.input_shape).astype(np.uint8)
    integers = to_int(graph)
    last = integers.nodes[-1].output
    own = golden.run(integers, image)[last] * integers.scale[last]
    real = (image[:, :, ::-1].astype(np.float32) - np.array(ir.CAFFE.mean, np.float32)).transpose(2, 0, 1)[None]
    expected = q.run(model, real)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(own, expected, atol=0.01 * np.abs(expected).max())


def test_scales_of_the_pool_and_the_halves(tmp_path: Path) -> None:
    """Every tensor between conv and conv has its scale, wherever the quantizer stood."""
    for case in ("qonnx", "qonnx_late", "qonnx_halves", "qdq", "qdq_no_relu"):
        q, options = CASES[case]
        graph = load(network(q, **options), tmp_path)
        outputs = [node.output for node in graph.nodes[:-1]]
        assert set(outputs) == set(graph.activation_scale), case
        scales = [graph.activation_scale[t] for t in outputs]
        steps = [2.5 / 255, 2.5 / 255, 2.0 / 255, 1.5 / 255, 1.5 / 255, 1.5 / 255, 1.2 / 65535]
        np.testing.assert_allclose(scales, steps, rtol=1e-6)


def test_fewer_steps_stay_what_they_are(tmp_path: Path) -> None:
    """Signed 8-bit activations have 127 steps above 0: the step is kept, and so is the largest one."""
    graph = load(network(Qonnx(signed=1), wide=False), tmp_path)
    named = {n.name: n.output for n in graph.nodes}
    assert graph.activation_scale[named["squeeze"]] == pytest.approx(2.0 / 127, rel=1e-6)
    assert {graph.activation_top[named[name]] for name in ("conv1", "squeeze", "left", "right")} == {127}


def test_no_scale_without_quantizer(tmp_path: Path) -> None:
    graph = load(network(Qonnx(), wide=False), tmp_path)
    assert graph.nodes[-2].output not in graph.activation_scale


def test_quantizers_in_integer_domain(tmp_path: Path) -> None:
    """Pooling between QuantizeLinear and DequantizeLinear."""
    q, b = Qdq(), Builder(opset=21)
    x = b.node("Relu", b.conv("x", q.weights(b, b.weights(6, 3, 3, 3)), name="conv1", outputs_=6))
    x = q.activation(
        b, x, 2.0, through=lambda t: b.node("MaxPool", t, name="pool1", kernel_shape=[2, 2], strides=[2, 2])
    )
    x = b.node("Relu", b.conv(x, q.weights(b, b.weights(7, 6, 1, 1)), name="conv10", outputs_=7))
    model = b.model(b.node("GlobalAveragePool", x, name="average"))
    graph = load(model, tmp_path)
    assert_snapshot(graph, "qdq_integer_pool")
    x_in = picture(graph.input_shape)
    np.testing.assert_allclose(logits(graph, x_in), onnxruntime_logits(model, x_in), atol=1e-3)


@pytest.mark.parametrize("bounded", [False, True], ids=["quantizer", "and Clip of its integers"])
def test_a_quantizer_does_not_make_a_reshaped_map_a_picture_again(bounded: bool, tmp_path: Path) -> None:
    """What reads it computes on other rows and columns than those that the layer made."""
    q, b = Qdq(), Builder(opset=21)

    def turned(x: str) -> str:
        flat = b.node("Reshape", x, b.const([0, 0, -1], np.int64))
        return b.node("Reshape", flat, b.const([0, 6, 17, 15], np.int64))

    x = b.node("Relu", b.conv("x", q.weights(b, b.weights(6, 3, 3, 3)), name="conv1", outputs_=6))  # 15 x 17
    limits = (b.const(0, np.uint8), b.const(200, np.uint8))
    x = q.activation(b, turned(x), 2.0, through=lambda t: b.node("Clip", t, *limits) if bounded else t)
    x = b.node("Relu", b.conv(x, q.weights(b, b.weights(7, 6, 3, 3)), name="conv2", outputs_=7))
    model = b.model(b.node("GlobalAveragePool", x, name="average"))
    with pytest.raises(InputError, match="reshaped from"):
        load(model, tmp_path)


def with_ends(top: float, inner: float) -> onnx.ModelProto:
    """A quantizer of the picture, one of the averaged outputs up to ``inner``, and one of the logits up to ``top``."""
    q, b = Qdq(), Builder(opset=21)
    x = q.activation(b, "x", 255.0)
    x = b.node("Relu", b.conv(x, q.weights(b, b.weights(7, 3, 3, 3)), name="conv1", outputs_=7))
    x = q.activation(b, x, inner) if inner else x
    return b.model(q.activation(b, b.node("GlobalAveragePool", x, name="average"), top))


def test_quantizers_that_change_nothing_are_left_out(tmp_path: Path) -> None:
    notices: list[str] = []
    raw = '{"channels": "RGB", "mean": [0, 0, 0], "scale": [1, 1, 1], "resize": 12}'
    (tmp_path / "p.json").write_text(raw)
    graph = load(with_ends(3.0, 3.0), tmp_path, notify=notices.append, preprocess=str(tmp_path / "p.json"))
    assert [type(n).__name__ for n in graph.nodes] == ["Conv", "GlobalAverage"]
    assert graph.preprocess.levels is None
    assert "the quantizer of the picture is left out: it changes no pixel by more than 0" in notices
    assert any(
        n.endswith("of the logits is left out: they are exact, and differ from its steps by up to 0.00588235")
        for n in notices
    )


@pytest.mark.parametrize(("top", "inner"), [(2.9, 3.0), (3.0, 0.0)])
def test_logits_that_are_clipped_are_refused(top: float, inner: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it clips the logits at (2.9|3), which (can reach 3;|are not bounded by)"):
        load(with_ends(top, inner), tmp_path)


@pytest.mark.parametrize("negative", [False, True])
def test_batch_norm_behind_quantized_weights(negative: bool, tmp_path: Path) -> None:
    """Brevitas keeps the normalization: its factor moves into the scale, its sign into the integers."""
    q, b = Qonnx(narrow=1), Builder()
    factor = np.array([0.5, -2.0 if negative else 2.0, 0.0, 1.0, 1.5, 0.25])
    x = b.conv("x", q.weights(b, b.weights(6, 3, 3, 3)), name="conv1", outputs_=6)
    parameters = [b.const(v) for v in (factor, np.ones(6), np.full(6, 0.1), np.ones(6))]
    x = b.node("Relu", b.node("BatchNormalization", x, *parameters, epsilon=0.0))
    x = b.node("Relu", b.conv(q.activation(b, x, 4.0), b.weights(7, 6, 1, 1), name="conv10"))
    model = b.model(b.node("GlobalAveragePool", x))
    graph = load(model, tmp_path)
    conv = graph.nodes[0]
    assert isinstance(conv, ir.Conv) and conv.weight_scale is not None and conv.weight_scale.min() > 0
    integers = conv.weight / conv.weight_scale[:, None, None, None]
    np.testing.assert_allclose(integers, np.rint(integers), atol=1e-4)
    x_in = picture(graph.input_shape)
    np.testing.assert_allclose(logits(graph, x_in), qonnx_logits(model, x_in), atol=1e-3)


def test_batch_norm_turns_the_lowest_weight(tmp_path: Path) -> None:
    """-32 with a negative factor would be 32: no 6-bit weight."""
    q, b = Qonnx(), Builder()
    weight = b.weights(6, 3, 3, 3)
    weight[:, 0, 0, 0] = -np.abs(weight).max(axis=(1, 2, 3))
    x = b.conv("x", q.weights(b, weight), name="conv1", outputs_=6)
    parameters = [b.const(v) for v in (-np.ones(6), np.ones(6), np.zeros(6), np.ones(6))]
    x = b.node("Relu", b.node("BatchNormalization", x, *parameters, name="norm"))
    model = b.model(b.node("GlobalAveragePool", x))
    scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 32  # that of test quantizers ends at -31
    set_initializer(model, quantizers(model, "Quant")[0].input[1], scale)
    with pytest.raises(
        InputError, match="^BatchNormalization 'norm': its negative factor turns the weight -32 into 32"
    ):
        load(model, tmp_path)


def test_four_bit_storage(tmp_path: Path) -> None:
    """Weights stored as int4 are those stored as int8."""
    pytest.importorskip("ml_dtypes", reason="this onnx has no 4-bit types")
    graphs = []
    for kind in (TensorProto.INT8, TensorProto.INT4):
        b = Builder(opset=21)
        values = (np.arange(7 * 27) % 16 - 8).reshape(7, 3, 3, 3)
        b.initializers.append(onnx.helper.make_tensor("q", kind, values.shape, values.reshape(-1).tolist()))
        weight = b.node("DequantizeLinear", "q", b.const(np.full(7, 0.25)), axis=0)
        x = b.node("Relu", b.conv("x", weight, name="conv1", outputs_=7))
        graphs.append(load(b.model(b.node("GlobalAveragePool", x)), tmp_path))
    first, second = (graph.nodes[0] for graph in graphs)
    assert isinstance(first, ir.Conv) and isinstance(second, ir.Conv)
    np.testing.assert_array_equal(first.weight, second.weight)
    assert first.weight.min() == -2.0


@pytest.mark.parametrize(("signed", "narrow"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_range_is_that_of_qonnx(signed: int, narrow: int) -> None:
    general = pytest.importorskip("qonnx.custom_op.general.quant", reason="qonnx is not installed (extra onnx-tools)")
    for bits in range(2, 9):
        expected = general.min_int(signed, narrow, bits), general.max_int(signed, narrow, bits)
        assert quant_range(bits, signed=bool(signed), narrow=bool(narrow)) == expected


def test_two_dequantizers_of_one_tensor(tmp_path: Path) -> None:
    """Some tools write one for every reader: the first names the tensor."""
    model = network(Qdq())
    squeeze = next(n for n in model.graph.node if n.name == "right").input[0]
    first = next(n for n in model.graph.node if n.output[0] == squeeze)
    second = onnx.helper.make_node("DequantizeLinear", list(first.input), ["again"], name="again")
    model.graph.node.insert(list(model.graph.node).index(first) + 1, second)
    next(n for n in model.graph.node if n.name == "right").input[0] = "again"
    graph = load(model, tmp_path)
    assert str(graph) == str(load(network(Qdq()), tmp_path))


def clipped(limit: float, top: float) -> onnx.ModelProto:
    q, b = Qonnx(), Builder()
    x = b.conv("x", q.weights(b, b.weights(6, 3, 3, 3)), name="conv1", outputs_=6)
    x = q.activation(b, b.node("Clip", x, b.const(0.0), b.const(limit), name="relu6"), top)
    x = b.node("Relu", b.conv(x, b.weights(7, 6, 1, 1), name="conv10"))
    return b.model(b.node("GlobalAveragePool", x))


@pytest.mark.parametrize(("limit", "top", "largest"), [(6.0, 6.0, None), (8.0, 6.0, None), (6.0, 8.0, 191)])
def test_clip_before_a_quantizer(limit: float, top: float, largest: int | None, tmp_path: Path) -> None:
    """An upper bound is the quantizer's, or a lower one: the nearest step is the largest output."""
    graph = load(clipped(limit, top), tmp_path)
    assert graph.activation_scale[graph.nodes[0].output] == pytest.approx(top / 255, rel=1e-6)
    assert graph.activation_top.get(graph.nodes[0].output) == largest


@pytest.mark.parametrize("bound", [(0.0, 32.0 / 255), (0.0, 0.124)])
def test_clip_behind_a_quantizer(bound: tuple[float, float], tmp_path: Path) -> None:
    """On a step it is a smaller largest output; between two steps no integer is its bound."""
    q, b = Qonnx(), Builder()
    x = q.activation(b, b.conv("x", q.weights(b, b.weights(6, 3, 3, 3)), name="conv1", outputs_=6), 1.0)
    x = b.node("Clip", x, *(b.const(v) for v in bound), name="late")
    x = b.node("Relu", b.conv(x, q.weights(b, b.weights(7, 6, 1, 1)), name="conv10", outputs_=7))
    model = b.model(b.node("GlobalAveragePool", x))
    if bound[1] == 0.124:
        with pytest.raises(InputError, match="^Clip 'late': its bound 0.124 lies between two steps of the quantizer"):
            load(model, tmp_path)
        return
    graph = load(model, tmp_path)
    assert graph.activation_top[graph.nodes[0].output] == 32


def refused(change: Callable[[onnx.ModelProto], None], q: Dialect, folder: Path, **options: bool) -> str:
    model = network(q, **options)
    change(model)
    with pytest.raises(InputError) as caught:
        load(model, folder)
    return str(caught.value)


def set_initializer(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(value, name))


def quantizers(model: onnx.ModelProto, op: str) -> list[onnx.NodeProto]:
    return [n for n in model.graph.node if n.op_type == op]


def test_too_many_weight_bits(tmp_path: Path) -> None:
    message = refused(lambda m: None, Qonnx(bits=8), tmp_path)
    assert message.startswith("Conv 'conv1': its integer weights reach [-")
    assert message.endswith(
        "the engine's weights have 6 bits, [-32, 31]. Quantize the float model with 'squeeze-hls quantize', "
        "or retrain with 6-bit weights."
    )


def test_unequal_halves(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        right = quantizers(model, "Quant")[-4]  # weights, biases and activation of conv10 come after it
        assert right.input[0] == "right/relu_out"
        set_initializer(model, right.input[1], np.float32(0.25))

    message = refused(change, Qonnx(), tmp_path, halves=True)
    assert message.startswith("conv10: the parts of the concatenation that it reads have different scales (0.005")
    assert message.endswith("they must share one. Quantize them with one quantizer.")


def test_sixteen_bits_in_the_middle(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        squeeze = quantizers(model, "Quant")[5]
        assert squeeze.input[0] == "squeeze/relu_out"
        set_initializer(model, squeeze.input[3], np.float32(16))

    message = refused(change, Qonnx(), tmp_path)
    assert "integers up to 65535 are not supported here; the engine's activations reach 255." in message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0), "scales must be positive and finite."),
        (np.float32(-1), "scales must be positive and finite."),
        (np.float32("nan"), "scales must be positive and finite."),
        (np.full((1, 6, 1, 1), 0.5, np.float32) + np.arange(6).reshape(1, 6, 1, 1).astype(np.float32),
         "one scale per channel of activations is not supported"),
    ],
)  # fmt: skip
def test_bad_activation_scales(value: np.ndarray, expected: str, tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        set_initializer(model, quantizers(model, "Quant")[2].input[1], value)

    assert expected in refused(change, Qonnx(), tmp_path)


def test_activation_zero_point(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        set_initializer(model, quantizers(model, "QuantizeLinear")[0].input[2], np.uint8(255))

    assert "zero point 255 lies outside [0, 255]" in refused(change, Qdq(), tmp_path)


def test_zero_point_costs_the_values_below_it(tmp_path: Path) -> None:
    """uint8 with zero point 100 holds 155 steps above 0: the range that counts after a ReLU."""
    model = network(Qdq())
    set_initializer(model, quantizers(model, "QuantizeLinear")[0].input[2], np.uint8(100))
    graph = load(model, tmp_path)
    assert graph.activation_scale["pool1_out"] == pytest.approx(2.5 / 255, rel=1e-6)
    assert graph.activation_top[graph.nodes[0].output] == 155


def test_different_scales_around_integers(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        dequantize = next(n for n in quantizers(model, "DequantizeLinear") if "quantizelinear" in n.input[0])
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.125), "other"))
        dequantize.input[1] = "other"

    assert "its scale or zero point differs from that of QuantizeLinear." in refused(change, Qdq(), tmp_path)


def test_scale_per_input_channel(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        weights = quantizers(model, "Quant")[1]  # the first is that of the biases
        set_initializer(model, weights.input[1], np.array([0.1, 0.2, 0.1], np.float32).reshape(1, 3, 1, 1))

    message = refused(change, Qonnx(), tmp_path)
    assert message.startswith("Conv 'conv1': weight scales of shape [1, 3, 1, 1] are not one per output channel.")


@pytest.mark.parametrize("mode", ["FLOOR", "CEIL"])
def test_other_rounding(mode: str, tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        for attribute in quantizers(model, "Quant")[2].attribute:
            if attribute.name == "rounding_mode":
                attribute.s = mode.encode()

    assert f"activations rounded by {mode} are not supported" in refused(change, Qonnx(), tmp_path)


def test_integer_operators(tmp_path: Path) -> None:
    """A convolution on integers (QOperator format or a stray QuantizeLinear)."""

    def change(model: onnx.ModelProto) -> None:
        squeeze = next(n for n in model.graph.node if n.name == "squeeze")
        squeeze.input[0] = quantizers(model, "QuantizeLinear")[0].output[0]

    message = refused(change, Qdq(), tmp_path, late=True)
    assert message.startswith("Conv 'squeeze': it computes on integers. Export the model in QDQ format")
