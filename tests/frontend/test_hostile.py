"""Files from strangers: damaged, oversized, or made to read what they should not."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import input_limits, load_graph
from squeeze_hls.frontend.input_limits import MAX_MODEL_BYTES, MAX_NODES
from squeeze_hls.network import ir
from tests.frontend.build import Builder, fire_model, load, relu, save, tail
from tests.frontend.dialects import Qdq, Qonnx, network


def refusal(path: Path) -> str:
    """The message for a file; what is refused must not have cost memory."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            load_graph(path, preprocess="caffe")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 600
    return message


# --- the file itself ---


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a model", b"\x08\x08" * 50, os.urandom(1000)])
def test_no_model(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    message = refusal(path)
    assert message in (
        "model.onnx: not an ONNX model, or a truncated one. Export or download it again.",
        "model.onnx: the model has no nodes. Export or download it again.",
    )


def test_truncated_everywhere(tmp_path: Path) -> None:
    data = fire_model().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        refusal(path)


def test_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "model.onnx").endswith("model.onnx: no such file. Check the path.")
    assert refusal(tmp_path / "model\x1b[31m\0.onnx").endswith("cannot be read (invalid path). Check the path and its permissions.")  # noqa: E501  # fmt: skip


def test_not_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    assert "folder.onnx: not a regular file." in refusal(tmp_path / "folder.onnx")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.onnx")
        assert "pipe.onnx: not a regular file." in refusal(tmp_path / "pipe.onnx")


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)  # sparse: nothing is written
    assert "model.onnx: 67,108,865 bytes, more than the 67,108,864 that are accepted here." in refusal(path)


def test_too_many_nodes(tmp_path: Path) -> None:
    model = fire_model()
    for _ in range(MAX_NODES):
        model.graph.node.add()
    assert "nodes, more than the 10,000 accepted." in refusal(save(model, tmp_path))


def test_any_byte_may_be_wrong(tmp_path: Path) -> None:
    """Whatever is damaged: a network or one line."""
    rng = random.Random(20)
    path = tmp_path / "model.onnx"
    for model in (fire_model(), network(Qdq()), network(Qonnx())):
        good = model.SerializeToString()
        refused = 0
        for _ in range(400):
            data = bytearray(good)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(bytes(data))
            try:
                str(load_graph(path, preprocess="caffe"))
            except InputError as error:
                assert str(error).isprintable()
                refused += 1
        assert 50 < refused < 400


# --- tensors ---


def stored(change: Callable[[onnx.TensorProto], None]) -> onnx.ModelProto:
    """A model whose first weights are not what they seem."""
    model = fire_model()
    change(next(t for t in model.graph.initializer if len(t.dims) == 4))
    return model


def huge(tensor: onnx.TensorProto) -> None:
    tensor.dims[0] = 2**40


def overflowing(tensor: onnx.TensorProto) -> None:
    del tensor.dims[:]
    tensor.dims.extend([2**32, 2**32])


def negative(tensor: onnx.TensorProto) -> None:
    tensor.dims[1] = -3


def truncated(tensor: onnx.TensorProto) -> None:
    tensor.raw_data = tensor.raw_data[:-4]


def text(tensor: onnx.TensorProto) -> None:
    tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.STRING, [1], [b"weights"]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (huge, "elements, more than the 67,108,864 accepted."),
        (overflowing, "has 18,446,744,073,709,551,616 elements, more than"),
        (negative, "has a negative size. The file is damaged; export the model again."),
        (truncated, "holds less or more data than its shape [6, 3, 3, 3] says. The file is damaged or truncated"),
        (text, "does not hold numbers. Export the model again."),
    ],
)
def test_bad_tensor(change: Callable[[onnx.TensorProto], None], problem: str, tmp_path: Path) -> None:
    message = refusal(save(stored(change), tmp_path))
    assert message.startswith("model.onnx: tensor 'const1'") and problem in message


def test_sparse_tensor(tmp_path: Path) -> None:
    model = fire_model()
    model.graph.sparse_initializer.add()
    assert refusal(save(model, tmp_path)).startswith("model.onnx: sparse initializers are not supported.")


# --- constant folding ---


def folding(make: Callable[[Builder], str]) -> onnx.ModelProto:
    b = Builder()
    return b.model(tail(b, relu(b, b.conv("x", make(b), name="conv1", outputs_=6)), 6))


def shape_bomb(b: Builder) -> str:
    return b.node("ConstantOfShape", b.const([2**20, 2**20, 3, 3], np.int64), name="bomb")


def many_shapes(b: Builder) -> str:
    """Each within the limit, all together not; the last one must not be made."""
    b.rng = np.random.default_rng(0)
    name = b.node("ConstantOfShape", b.const([2**19], np.int64))
    for _ in range(127):
        name = b.node("Neg", name)
    return b.node("Neg", name, name="bomb")


def negative_shape(b: Builder) -> str:
    return b.node("ConstantOfShape", b.const([6, -3, 1, 1], np.int64), name="bomb")


def broadcast_bomb(b: Builder) -> str:
    return b.node("Add", b.const(np.ones((9000, 1))), b.const(np.ones((1, 9000))), name="bomb")


def gather_bomb(b: Builder) -> str:
    rows = b.const(np.ones((1, 9000)))
    return b.node("Gather", rows, b.const(np.zeros(9000), np.int64), name="bomb")


def rank_bomb(b: Builder) -> str:
    return b.node("Reshape", b.const(1.0), b.const(np.ones(60), np.int64), name="bomb")


def quant_bomb(b: Builder) -> str:
    inputs = (b.const(np.ones((9000, 1))), b.const(np.ones((1, 9000))), b.const(0.0), b.const(6.0))
    return b.node("qonnx.custom_op.general.Quant", *inputs, name="bomb", signed=1, narrow=0)


def linear_bomb(b: Builder) -> str:
    return b.node("DequantizeLinear", b.const(np.ones((9000, 1)), np.int8), b.const(np.ones(9000)), name="bomb", axis=1)


LARGER = (
    "it would make the constants larger than the 67,108,864 elements accepted. Export the model with stored weights."
)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (shape_bomb, LARGER),
        (negative_shape, "shape [6, -3, 1, 1] has a negative size."),
        (broadcast_bomb, LARGER),
        (gather_bomb, LARGER),
        (rank_bomb, "a shape of 17 dimensions is not supported."),
        (quant_bomb, "its scale of shape [1, 9000] does not fit values of shape [9000, 1]."),
        (linear_bomb, "its scale of shape [1, 9000] does not fit values of shape [9000, 1]."),
    ],
)
def test_folding_bomb(make: Callable[[Builder], str], problem: str, tmp_path: Path) -> None:
    assert f"'bomb': {problem}" in refusal(save(folding(make), tmp_path))


def test_folding_limit_is_for_all_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from squeeze_hls.frontend import constants

    monkeypatch.setattr(constants, "MAX_FOLDED_ELEMENTS", 128 << 19)
    assert "'bomb': it would make the constants larger" in refusal_of(many_shapes, tmp_path)
    assert input_limits.MAX_FOLDED_ELEMENTS == 1 << 26


def refusal_of(make: Callable[[Builder], str], folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(folding(make), folder)
    return str(caught.value)


def test_huge_feature_map(tmp_path: Path) -> None:
    """A small file can ask for a large feature map."""
    b = Builder(("N", 3, 1000, 1000))
    x = relu(b, b.conv("x", b.node("ConstantOfShape", b.const([100, 3, 1, 1], np.int64)), name="wide", outputs_=100))
    message = refusal(save(b.model(tail(b, x, 100)), tmp_path))
    assert message.startswith("Conv 'wide': its output has 100,000,000 elements, more than the 67,108,864 accepted.")


def test_circle(tmp_path: Path) -> None:
    b = Builder()
    b.node("Relu", "two", name="a", outputs=("one",))
    b.node("Relu", "one", name="b", outputs=("two",))
    assert refusal(save(b.model("two"), tmp_path)).startswith(
        "Relu 'a': it reads 'two', which no node before it writes."
    )


def test_written_twice(tmp_path: Path) -> None:
    b = Builder()
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))
    b.node("Identity", x, name="again", outputs=(x,))
    message = refusal(save(b.model(tail(b, x, 6)), tmp_path))
    assert message.startswith("Identity 'again': it writes 'relu_out', which exists already.")


# --- external data ---


def external(folder: Path, location: str, **entries: object) -> Path:
    """A model whose first weights lie in another file."""
    model = fire_model()
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    data = numpy_helper.to_array(tensor).tobytes()
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(bytes(16) + data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": 16, "length": len(data), **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return save(model, folder)


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    graph = load_graph(external(tmp_path, "weights.bin"))
    plain = load(fire_model(), tmp_path)
    first, other = graph.nodes[0], plain.nodes[0]
    assert isinstance(first, ir.Conv) and isinstance(other, ir.Conv)
    np.testing.assert_array_equal(first.weight, other.weight)


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../weights.bin",
        "a/../../weights.bin",
        "a/../weights.bin",
        "..\\weights.bin",
        "C:\\weights.bin",
        "",
        "a\0b",
        ".",
    ],
)
def test_external_path_leaves_the_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(10_000))
    message = refusal(external(tmp_path / "folder", location))
    assert message.startswith("model.onnx: tensor 'const1': external data location '")
    assert "is not a path inside the model's folder." in message or "leads out of the model's folder." in message


def test_external_link_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(10_000))
    path = external(tmp_path / "folder", "link.bin")
    (tmp_path / "folder" / "link.bin").symlink_to(tmp_path / "secret")
    assert "location 'link.bin' leads out of the model's folder. Copy the file there." in refusal(path)
    (tmp_path / "folder" / "sub").symlink_to(tmp_path)
    assert "leads out of the model's folder." in refusal(external(tmp_path / "folder", "sub/secret"))


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"location": "other.bin"}, "its external data file 'other.bin' is missing. Put it beside the model."),
        ({"location": "folder"}, "external data location 'folder' is not a regular file."),
        ({"length": 10**9}, "its external data file 'weights.bin' is truncated. Copy it again."),
        ({"offset": -1}, "its external data file 'weights.bin' is truncated."),
        ({"offset": 10**20}, "its external data file 'weights.bin' is truncated."),
        ({"offset": "x"}, "its external data has an invalid offset or length."),
        ({"length": 4}, "holds less or more data than its shape [6, 3, 3, 3] says."),
    ],
)
def test_bad_external_data(entries: dict[str, object], problem: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert problem in refusal(external(tmp_path, **{"location": "weights.bin", **entries}))  # type: ignore[arg-type]


def test_external_data_too_large(tmp_path: Path) -> None:
    path = external(tmp_path, "large.bin", length=300 << 20)
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(301 << 20)
    assert "external data exceeds the 268,435,456 bytes accepted in all." in refusal(path)


# --- names ---


def test_names_are_printed_safely(tmp_path: Path) -> None:
    """Terminal escapes, markup and line ends in names reach neither the Graph nor a message."""
    evil = "a\x1b[31m[bold]\r\nb\u202e" + "x" * 5000
    b = Builder()
    x = b.conv("x", b.weights(6, 3, 3, 3), name=evil)
    model = b.model(tail(b, b.node("Relu", x, name=evil + "relu", outputs=(evil + "1",)), 6))
    graph = load(model, tmp_path)
    printed = str(graph)
    assert printed.replace("\n", "").isprintable() and "[bold]" not in printed and max(map(len, printed.split())) < 200
    tensors = [n.output for n in graph.nodes]
    assert tensors[0].startswith(r"a\x1b\x5b31m\x5bbold\x5d\x0d\x0ab\u202exxx") and len(tensors[0]) == 120

    unsupported = fire_model(activation=lambda b, x: b.node("Elu\x1b[2J", x, name=evil))
    assert refusal(save(unsupported, tmp_path)).startswith(r"Elu\x1b\x5b2J 'a\x1b\x5b31m\x5bbold\x5d\x0d\x0ab\u202exxx")


def test_names_stay_unique(tmp_path: Path) -> None:
    """Names that differ only after the cut, and equal node names, are told apart."""
    long = "n" * 200
    b = Builder()
    x = b.node("Relu", b.conv("x", b.weights(6, 3, 3, 3), name="c"), name="r1", outputs=(long + "1",))
    x = b.node("Relu", b.conv(x, b.weights(6, 6, 1, 1), name="d"), name="r2", outputs=(long + "2",))
    model = b.model(tail(b, x, 6))
    for node in model.graph.node:
        node.name = "same"
    graph = load(model, tmp_path)
    assert len({n.output for n in graph.nodes}) == len({n.name for n in graph.nodes}) == len(graph.nodes)
    assert [n.name for n in graph.nodes[:3]] == ["same", "same~2", "same~3"]
    assert graph.nodes[1].output == "n" * 117 + "...~2"


def test_nameless_nodes_are_called_by_their_output(tmp_path: Path) -> None:
    model = fire_model()
    for node in model.graph.node:
        node.name = ""
    assert [n.name for n in load(model, tmp_path).nodes][:2] == ["conv1_out", "pool1_out"]
