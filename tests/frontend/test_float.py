"""Float models: the dialects that exporters write, printed whole and computed against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import ir
from tests.frontend.build import Builder, fire, fire_model, load, logits, picture, relu, tail
from tests.frontend.compare import FIXTURES, assert_snapshot, onnxruntime_logits

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"


def assert_same_function(graph: ir.Graph, model: onnx.ModelProto | Path) -> None:
    """The Graph computes what ONNX Runtime computes with the file."""
    x = picture(graph.input_shape)
    expected = onnxruntime_logits(model, x)
    assert np.ptp(expected) > 1e-3, "the test is blind: all logits are equal"
    np.testing.assert_allclose(logits(graph, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("torch_*.onnx")), ids=lambda p: p.stem)
def test_torch_export(path: Path) -> None:
    graph = load_graph(path)
    assert_snapshot(graph, path.stem)
    assert_same_function(graph, path)


def test_torch_exporters_agree() -> None:
    """The same network through both exporters, with every ending, has the same weights."""
    names = ("legacy", "legacy_batch_view", "legacy_mean", "dynamo", "dynamo_batch_view", "dynamo_mean")
    graphs = [load_graph(FIXTURES / f"torch_{name}.onnx") for name in names]
    for graph in graphs[1:]:
        for one, other in zip(graphs[0].nodes, graph.nodes, strict=True):
            assert type(one) is type(other)
            if isinstance(one, ir.Conv) and isinstance(other, ir.Conv):
                np.testing.assert_array_equal(one.weight, other.weight)
                np.testing.assert_array_equal(one.bias, other.bias)


def test_light_squeezenet() -> None:
    """Opset 9; initializers that are inputs too, ConstantOfShape weights, Dropout with two outputs."""
    graph = load_graph(LIGHT)
    assert_snapshot(graph, "light_squeezenet")
    convs = [n for n in graph.nodes if isinstance(n, ir.Conv)]
    assert all(np.all(c.weight == np.float32(0.02)) for c in convs)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_caffe_models(shared: Path, version: str) -> None:
    path = shared / "models" / f"squeezenet{version}.onnx"
    graph = load_graph(path, preprocess="caffe")
    assert_snapshot(graph, f"squeezenet{version}")
    assert graph.preprocess == replace(ir.CAFFE, resize=(259, 259))  # 256 / 224 of 227
    x = picture(graph.input_shape) * 60
    probabilities = onnxruntime_logits(path, x)
    got = logits(graph, x)
    np.testing.assert_allclose(np.exp(got - got.max()) / np.exp(got - got.max()).sum(), probabilities, atol=1e-5)


def test_whole_tensors_against_caffe(shared: Path) -> None:
    """Every tensor that Caffe itself computed for one picture."""
    from tests.frontend.build import evaluate

    recorded = np.load(shared / "models/caffe_activations_squeezenet1.0.npz", allow_pickle=False)
    graph = load_graph(shared / "models/squeezenet1.0.onnx", preprocess="caffe")
    tensors = evaluate(graph, recorded["data"].reshape(1, 3, 227, 227))
    compared = 0
    for name in recorded.files:
        ours = tensors.get(name.replace("__", "/"))
        if ours is None or name == "data":
            continue
        theirs = recorded[name].reshape(ours.shape[2], *ours.shape[:2]).transpose(1, 2, 0)
        np.testing.assert_allclose(ours, theirs, atol=1e-2)
        compared += 1
    assert compared >= 20


def batch_norm(b: Builder, x: str) -> str:
    parameters = [b.const(b.rng.uniform(0.3, 1.5, 6) * sign) for sign in (1, 1, 1)]
    negative = b.const(b.rng.choice([-1, 1], 6) * b.rng.uniform(0.5, 2, 6))
    x = b.node("BatchNormalization", x, negative, *parameters, name="norm", epsilon=1e-3)
    return b.node("Relu", x, name="relu")


def relu_twice(b: Builder, x: str) -> str:
    return b.node("Relu", b.node("Identity", b.node("Relu", x, name="first")), name="second")


def clip(b: Builder, x: str) -> str:
    return b.node("Clip", x, b.const(0.0), name="relu")


def clip_infinite(b: Builder, x: str) -> str:
    return b.node("Clip", x, b.const(0.0), b.const(np.finfo(np.float32).max), name="relu")


def dropout(b: Builder, x: str) -> str:
    return b.node("Dropout", relu(b, x), b.const(0.5), b.const(False, bool), name="drop", outputs=("d", "mask"))


MIDDLES: dict[str, Callable[[Builder, str], str]] = {
    "batch_norm": batch_norm,
    "relu_twice": relu_twice,
    "clip": clip,
    "clip_infinite": clip_infinite,
    "dropout": dropout,
}


@pytest.mark.parametrize("name", MIDDLES)
def test_between_conv_and_pool(name: str, tmp_path: Path) -> None:
    model = fire_model(activation=MIDDLES[name])
    graph = load(model, tmp_path)
    assert_snapshot(graph, name)
    assert_same_function(graph, model)


PADDINGS = {
    "pad_asymmetric": {"pads": [0, 1, 2, 0]},
    "same_upper": {"auto_pad": "SAME_UPPER"},
    "same_lower": {"auto_pad": "SAME_LOWER", "strides": [1, 1]},
    "same_lower_even": {"auto_pad": "SAME_LOWER"},
    "valid": {"auto_pad": "VALID"},
}


@pytest.mark.parametrize("name", PADDINGS)
def test_padding(name: str, tmp_path: Path) -> None:
    model = fire_model(shape=(1, 3, 18, 21), **PADDINGS[name])
    graph = load(model, tmp_path)
    assert_snapshot(graph, name)
    assert_same_function(graph, model)


def test_pad_node_merges(tmp_path: Path) -> None:
    b = Builder()
    x = b.node("Pad", "x", b.const([0, 0, 1, 0, 0, 0, 1, 2], np.int64), name="pad")
    x = relu(b, b.conv(x, b.weights(6, 3, 3, 3), name="conv1", strides=[2, 2], pads=[0, 1, 0, 0]))
    x = b.node("Pad", fire(b, x, 6), b.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), b.const(0.0))
    x = relu(b, b.conv(x, b.weights(6, 8, 3, 3), name="conv3"))
    model = b.model(tail(b, fire(b, x, 6, "fire4")))
    graph = load(model, tmp_path)
    assert_snapshot(graph, "pad_node")
    assert_same_function(graph, model)


@pytest.mark.parametrize(("size", "ceil"), [(17, False), (16, True)])
def test_pool_padding_at_the_end(size: int, ceil: bool, tmp_path: Path) -> None:
    """One padded pixel after 16 makes the cut-off window that ceil mode has; after 17 it makes none."""
    b = Builder((1, 3, size + 2, size + 2))
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))
    x = b.node("MaxPool", x, name="pool1", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    model = b.model(tail(b, fire(b, x, 6)))
    graph = load(model, tmp_path)
    assert [n.ceil for n in graph.nodes if isinstance(n, ir.MaxPool)] == [ceil]
    assert_same_function(graph, model)


def split_relu(b: Builder) -> str:
    """One ReLU after the concatenation and its pooling, none in front."""
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))
    left, right = b.conv(x, b.weights(4, 6, 1, 1), name="left"), b.conv(x, b.weights(4, 6, 1, 1), name="right")
    x = b.node("Concat", left, right, name="concat", axis=-3)
    x = b.node("MaxPool", x, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    return b.node("Relu", x, name="late")


def test_relu_behind_concat_and_pool(tmp_path: Path) -> None:
    b = Builder()
    model = b.model(tail(b, split_relu(b)))
    graph = load(model, tmp_path)
    assert_snapshot(graph, "late_relu")
    assert_same_function(graph, model)


def test_bypass_is_an_add(tmp_path: Path) -> None:
    b = Builder()
    x = fire(b, relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1")), 6)
    y = b.node("Add", fire(b, x, 8, "fire3"), x, name="bypass")
    model = b.model(tail(b, b.node("Relu", y, name="no effect")))
    graph = load(model, tmp_path)
    assert_snapshot(graph, "bypass")
    assert_same_function(graph, model)


def test_folded_weights(tmp_path: Path) -> None:
    """Weights that reach the convolution through constant nodes."""
    b = Builder()
    stored = b.weights(3, 3, 3, 6)  # as TensorFlow writes them: (kh, kw, in, out)
    w = b.node("Transpose", b.const(stored), perm=[3, 2, 0, 1])
    w = b.node("Mul", w, b.node("Sqrt", b.const(2.0)))
    w = b.node("Reshape", w, b.node("Concat", b.const([6, 3], np.int64), b.const([3, -1], np.int64), axis=0))
    bias = b.node("Squeeze", b.node("Unsqueeze", b.node("Cast", b.const(np.arange(6), np.int64), to=1),
                                    b.const([0, 1], np.int64)))  # fmt: skip
    bias = b.node("Div", b.node("Gather", bias, b.const([5, 4, 3, 2, 1, 0], np.int64)), b.const(7.0))
    bias = b.node("Slice", bias, b.const([0], np.int64), b.const([6], np.int64))
    x = relu(b, b.node("Conv", "x", w, bias, name="conv1"))
    x = relu(b, b.conv(x, b.node("ConstantOfShape", b.const([4, 6, 1, 1], np.int64)), outputs_=4))
    model = b.model(tail(b, x, 4))
    graph = load(model, tmp_path)
    first = graph.nodes[0]
    assert isinstance(first, ir.Conv)
    np.testing.assert_array_equal(first.weight, (stored * np.float32(2**0.5)).transpose(3, 0, 1, 2))
    assert_same_function(graph, model)


def average_pool(b: Builder, x: str) -> str:
    return b.node("AveragePool", x, name="average", kernel_shape=[15, 17])


def mean_axes_attribute(b: Builder, x: str) -> str:
    return b.node("ReduceMean", x, name="average", axes=[-1, 2], keepdims=0)


def merged_pixels(b: Builder, x: str) -> str:
    x = b.node("Reshape", x, b.const([0, 0, -1], np.int64))
    return b.node("ReduceMean", x, name="average", axes=[2])


def pool_then_mean(b: Builder, x: str) -> str:
    return b.node("ReduceMean", b.node("GlobalAveragePool", x, name="average"), axes=[2, 3], keepdims=0)


def squeezed_softmax(b: Builder, x: str) -> str:
    x = b.node("Squeeze", b.node("GlobalAveragePool", x, name="average"), b.const([2, 3], np.int64))
    return b.node("LogSoftmax", x, axis=-1)


def softmax_first(b: Builder, x: str) -> str:
    x = b.node("Softmax", b.node("GlobalAveragePool", x, name="average"), axis=1)
    return b.node("Transpose", x, perm=[0, 2, 3, 1])


@pytest.mark.parametrize(
    "ending", [average_pool, mean_axes_attribute, merged_pixels, pool_then_mean, squeezed_softmax, softmax_first]
)
def test_endings(ending: Callable[[Builder, str], str], tmp_path: Path) -> None:
    """Whatever computes the mean and the softmax, the Graph ends in one GlobalAverage."""
    b = Builder((1, 3, 17, 19))
    x = relu(b, b.conv("x", b.weights(7, 3, 3, 3), name="conv1"))
    model = b.model(ending(b, x))
    graph = load(model, tmp_path)
    assert_snapshot(graph, "ending")
    x_in = picture(graph.input_shape)
    got, expected = logits(graph, x_in), onnxruntime_logits(model, x_in)
    softmax = np.exp(got) / np.exp(got).sum()
    wanted = {"squeezed_softmax": np.log(softmax), "softmax_first": softmax}.get(ending.__name__, got)
    np.testing.assert_allclose(wanted, expected, rtol=1e-4)


def test_unused_nodes_do_not_matter(tmp_path: Path) -> None:
    model = fire_model()
    model.graph.node.insert(0, helper.make_node("LSTM", ["x"], ["nobody reads this"]))
    assert len(load(model, tmp_path).nodes) == len(load(fire_model(), tmp_path).nodes)


def test_half_precision_weights(tmp_path: Path) -> None:
    model = fire_model()
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    node = load(model, tmp_path).nodes[0]
    assert isinstance(node, ir.Conv) and node.weight.dtype == np.float32


def test_input_size_from_the_user(tmp_path: Path) -> None:
    """A dynamic size is refused, unless the preprocessing says which one to compile for."""
    model = fire_model(shape=("N", 3, "height", "width"))
    with pytest.raises(InputError, match=r"^model.onnx: input 'x' has a dynamic height or width"):
        load(model, tmp_path)
    given = tmp_path / "given.json"
    given.write_text('{"input": [21, 33]}')
    assert load(model, tmp_path, preprocess=str(given)).input_shape == (21, 33, 3)
    fixed = load(fire_model(), tmp_path, preprocess=str(given))
    assert fixed.input_shape == (21, 33, 3)
    assert_same_function(fixed, model)
