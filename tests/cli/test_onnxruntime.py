"""``--on onnxruntime``: models of other types, batches and sizes, and whatever ONNX Runtime refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from squeeze_hls.errors import InputError
from squeeze_hls.flows import onnx_runtime
from squeeze_hls.flows.onnx_runtime import OnnxModel, open_model
from squeeze_hls.frontend import load_graph
from tests.cli.conftest import Result, Run
from tests.frontend.build import Builder, fire, fire_model, relu, save
from tests.frontend.dialects import Qonnx, network

ort = pytest.importorskip("onnxruntime")

PLAIN = {"channels": "BGR", "mean": [104, 117, 123], "scale": [1 / 64] * 3}


@pytest.fixture
def classify(run: Run, here: Path) -> Callable[..., Result]:
    """Runs a model on one picture; logits go to l.npy."""
    np.save(here / "picture.npy", np.random.default_rng(3).integers(0, 256, (300, 300, 3), np.uint8))

    def call(model: onnx.ModelProto | Path, *arguments: object, size: tuple[int, int] | None = None) -> Result:
        path = model if isinstance(model, Path) else save(model, here)
        (here / "p.json").write_text(json.dumps(PLAIN if size is None else {**PLAIN, "input": size}))
        command = ("run", path, "picture.npy", "--preprocess", "p.json", "--on", "onnxruntime", "-q")
        return run(*command, "--logits", "l.npy", *arguments)

    return call


@pytest.fixture
def logits(classify: Callable[..., Result], here: Path) -> Callable[..., np.ndarray]:
    """Float32 (classes,) of the picture."""

    def call(model: onnx.ModelProto | Path, size: tuple[int, int] | None = None) -> np.ndarray:
        result = classify(model, size=size)
        assert result.code == 0, result.err
        found = np.load(here / "l.npy")
        assert found.dtype == np.float32 and found.shape[0] == 1
        return found[0]

    return call


def retyped(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """The model with weights, input and output of another type."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(kind))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    return model


def converting(kind: int) -> onnx.ModelProto:
    """fire_model for a picture of another type, which it converts to float."""
    model = fire_model(shape=(1, 3, 17, 19))
    model.graph.input[0].type.tensor_type.elem_type = kind
    model.graph.node[0].input[0] = "wide"
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT))
    return model


def ending(end: Callable[[Builder, str], str], shape: tuple = (1, 3, 17, 19)) -> onnx.ModelProto:
    """fire_model with something else than Flatten after the average."""
    b = Builder(shape)
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1", strides=[2, 2]))
    x = fire(b, b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2]), 6)
    x = b.node("Relu", b.conv(x, b.weights(7, 8, 1, 1), name="conv10"))
    return b.model(end(b, b.node("GlobalAveragePool", x, name="average")))


# --- type, batch, output ---


def test_double(logits: Callable[..., np.ndarray], classify: Callable[..., Result]) -> None:
    """Convolutions in double ONNX Runtime has none, but it takes such a picture where the model converts it."""
    classify(retyped(fire_model(), TensorProto.DOUBLE)).refused(2, "cannot run it (NOT_IMPLEMENTED", "--on golden")
    model = converting(TensorProto.DOUBLE)
    np.testing.assert_array_equal(logits(model), logits(fire_model()))


def test_float16(logits: Callable[..., np.ndarray]) -> None:
    expected = logits(fire_model())
    found = logits(retyped(fire_model(), TensorProto.FLOAT16))
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)  # 11 bits, through four convolutions


@pytest.mark.parametrize("batch", [2, 8])
def test_a_fixed_batch_is_filled_with_the_picture(logits: Callable[..., np.ndarray], batch: int) -> None:
    expected = logits(fire_model())
    np.testing.assert_allclose(logits(fire_model(shape=(batch, 3, 17, 19))), expected, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_outputs_of_other_shapes(logits: Callable[..., np.ndarray], batch: int) -> None:
    shape = (batch, 3, 17, 19)
    expected = logits(ending(lambda b, x: b.node("Flatten", x), shape))
    assert len(expected) == 7
    np.testing.assert_array_equal(logits(ending(lambda b, x: b.node("Identity", x), shape)), expected)
    ends = [lambda b, x: b.node("Squeeze", x, b.const([2, 3], np.int64))]
    if batch == 1:
        ends += [
            lambda b, x: b.node("Squeeze", x, b.const([0, 2, 3], np.int64)),
            lambda b, x: b.node("Reshape", x, b.const([1, 1, 7], np.int64)),
            lambda b, x: b.node("Transpose", x, perm=[0, 2, 3, 1]),
        ]
    for end in ends:
        np.testing.assert_array_equal(logits(ending(end, shape)), expected)


def test_probabilities_in_float16_stay_what_they_are(classify: Callable[..., Result]) -> None:
    model = ending(lambda b, x: b.node("Softmax", b.node("Flatten", x), axis=1))
    expected = classify(model, "--json").json["results"][0]["top"]
    found = classify(retyped(model, TensorProto.FLOAT16), "--json").json["results"][0]["top"]
    assert sum(guess["probability"] for guess in found) > 0.7
    by_class = {guess["index"]: guess["probability"] for guess in expected}
    for guess in found:
        assert guess["probability"] == pytest.approx(by_class[guess["index"]], rel=0.03)  # 11 bits, as above


def test_evaluate(run: Run, here: Path, digits: Path) -> None:
    model = onnx.load(digits / "digits.onnx")
    expected = run("evaluate", digits / "digits.onnx", "--images", digits / "test", "--on", "onnxruntime", "--json")
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].Clear()
    dims[0].dim_value = 4
    last = model.graph.node[-1]  # it reshapes to one picture
    last.CopyFrom(helper.make_node("Flatten", last.input[:1], last.output))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    path = save(model, here, "batch.onnx")
    found = run("evaluate", path, "--images", digits / "test", "--on", "onnxruntime", "--json")
    assert found.json["top1"] == expected.json["top1"] > 90


def test_bfloat16(tmp_path: Path) -> None:
    """Convolutions in bfloat16 ONNX Runtime has none, but it takes such a picture where the model converts it."""
    graph = load_graph(save(fire_model(shape=(1, 3, 17, 19)), tmp_path), preprocess="caffe")
    model = converting(TensorProto.BFLOAT16)
    x = np.random.default_rng(0).normal(0, 1, (3, 17, 19)).astype(np.float32)
    upper = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
    up = (x.view(np.uint32) + 0x10000 & 0xFFFF0000).view(np.float32)
    nearest = np.where(np.abs(x - upper) <= np.abs(up - x), upper, up)  # no ties among these
    wide = open_model(save(fire_model(shape=(1, 3, 17, 19)), tmp_path), graph)
    narrow = open_model(save(model, tmp_path, "bf16.onnx"), graph)
    np.testing.assert_array_equal(narrow.logits(x), wide.logits(nearest))
    assert (narrow.logits(x) != wide.logits(x)).any()


# --- another size ---


def test_another_size_than_the_declared_one(logits: Callable[..., np.ndarray], here: Path) -> None:
    expected = logits(fire_model(shape=("N", 3, 41, 33)))
    model = fire_model(shape=(2, 3, 17, 19))
    stale = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    assert len(stale.graph.value_info) > 5
    stale.graph.output[0].CopyFrom(helper.make_tensor_value_info(stale.graph.output[0].name, TensorProto.FLOAT, (2, 7)))
    for one in (model, stale):
        np.testing.assert_allclose(logits(one, size=(41, 33)), expected, rtol=1e-5)
    own = logits(fire_model(shape=("N", 3, 17, 19)))
    assert not np.allclose(own, expected)
    dynamic = fire_model(shape=("N", 3, "H", "W"))
    np.testing.assert_array_equal(logits(dynamic, size=(41, 33)), expected)


@pytest.mark.parametrize("size", [None, (41, 33)])
def test_external_data(logits: Callable[..., np.ndarray], tmp_path: Path, size: tuple[int, int] | None) -> None:
    """Beside the model, not in the current folder."""
    expected = logits(fire_model(shape=(1, 3, *(size or (17, 19)))))
    model = fire_model(shape=(1, 3, 17, 19))
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    assert (folder / "weights.bin").stat().st_size > 1000
    np.testing.assert_allclose(logits(folder / "model.onnx", size=size), expected, rtol=1e-5)


@pytest.mark.parametrize("case", ["fp16", "fixed_batch8"])
def test_cases_of_others(run: Run, shared: Path, case: str) -> None:
    cases = shared / "cases"
    command = ("run", cases / "internal" / f"{case}.onnx", cases / "p.png", "--preprocess", cases / "p.json", "--json")
    top = [run(*command, "--on", on).json["results"][0]["top"][0] for on in ("onnxruntime", "golden")]
    assert top[0]["index"] == top[1]["index"]
    assert top[0]["probability"] == pytest.approx(top[1]["probability"], abs=0.01)  # 6-bit weights


# --- refusals ---


def test_what_onnx_runtime_does_not_know_is_one_line(classify: Callable[..., Result], tmp_path: Path) -> None:
    """QONNX's operators are none of ONNX."""
    path = save(network(Qonnx()), tmp_path)
    classify(path).refused(2, "model.onnx: ONNX Runtime cannot run it (", "; use --on golden")
    classify(path, size=(65, 65)).refused(2, "cannot run it at 65x65, which is not its own size (", "use --on golden")


class Broken:
    """A session of another model."""

    def __init__(self, results: Any):
        self.results = results

    def get_inputs(self) -> list[Any]:
        return ort.InferenceSession(fire_model().SerializeToString()).get_inputs()

    def run(self, *arguments: object) -> Any:
        if isinstance(self.results, Exception):
            raise self.results
        return self.results


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        (ValueError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : odd\x1b[31m\nmore"), r"cannot run it \(INVALID_ARG"),
        (RuntimeError(""), r"cannot run it \(RuntimeError\)"),
        ([np.zeros(7), np.zeros(7)], "gives 2 results, not one"),
        ([], "gives 0 results"),
        ([["a", "b"]], "are no numbers"),
        ([np.array(["a"] * 7)], "are no numbers"),
        ([{"a": 1.0}], "are no numbers"),
        ([np.zeros(7, np.complex64)], "are no numbers"),
        ([np.zeros((1, 8), np.float32)], "gives 1 x 8, not 7 logits"),
        ([np.ones(())], "gives one number, not 7 logits"),
        ([np.full((1, 7), np.nan)], "gives NaN or infinity"),
        ([np.full((1, 7), np.inf, np.float16)], "gives NaN or infinity"),
    ],
)
def test_what_cannot_be_logits_is_one_line(results: Any, problem: str) -> None:
    model = OnnxModel(name="m.onnx", cannot="m.onnx: ONNX Runtime cannot run it", session=Broken(results), batch=1, classes=7)  # noqa: E501  # fmt: skip
    with pytest.raises(InputError, match=f"^m.onnx: .*{problem}.*; use --on golden$") as caught:
        model.logits(np.zeros((3, 17, 19), np.float32))
    assert "\n" not in str(caught.value)


def test_an_input_type_that_pictures_do_not_have(tmp_path: Path) -> None:
    graph = load_graph(save(fire_model(shape=(1, 3, 17, 19)), tmp_path), preprocess="caffe")
    model = converting(TensorProto.INT32)
    opened = open_model(save(model, tmp_path), graph)
    with pytest.raises(InputError, match=r"cannot run it \(its input is tensor\(int32\), .*; use --on golden"):
        opened.logits(np.zeros((3, 17, 19), np.float32))


def test_float16_that_overflows_is_refused(classify: Callable[..., Result]) -> None:
    model = fire_model()
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            values = numpy_helper.to_array(tensor) * 1000
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    classify(retyped(model, TensorProto.FLOAT16)).refused(2, "NaN or infinity", "use --on golden")


def test_a_batch_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    small = load_graph(save(fire_model(), tmp_path), preprocess="caffe")
    path = save(fire_model(shape=(2_000_000, 3, 17, 19)), tmp_path)
    with pytest.raises(InputError, match="its fixed batch of 2,000,000 pictures is too large; use --on golden, or"):
        open_model(path, replace(small, name="large"))


def test_sessions_of_the_package_go_through_one_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(model: object) -> None:
        raise MemoryError

    monkeypatch.setattr(onnx_runtime, "onnx_session", fail)
    path = save(fire_model(), tmp_path)
    with pytest.raises(InputError, match=r"cannot run it \(MemoryError\)"):
        open_model(path, load_graph(path, preprocess="caffe"))
