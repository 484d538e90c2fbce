"""What no handler reads is refused before one sees it: by name, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import operator_check
from tests.frontend.build import Builder, fire_model, load, picture, relu, tail
from tests.frontend.compare import onnxruntime_logits
from tests.frontend.dialects import Qdq, Qonnx, network

Change = Callable[[onnx.ModelProto], None]


def refusal(model: onnx.ModelProto, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(model, folder)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400
    return message


def node(model: onnx.ModelProto, op: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.op_type == op)


def attribute(op: str, name: str, value: object) -> Change:
    return lambda model: node(model, op).attribute.append(helper.make_attribute(name, value))


def without(op: str, name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        kept = [a for a in node(model, op).attribute if a.name != name]
        del node(model, op).attribute[:]
        node(model, op).attribute.extend(kept)

    return change


def more_inputs(op: str, *names: str) -> Change:
    return lambda model: node(model, op).input.extend(names)


def more_outputs(op: str, *names: str) -> Change:
    return lambda model: node(model, op).output.extend(names)


def empty_input(op: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        node(model, op).input[0] = ""

    return change


def reference(model: onnx.ModelProto) -> None:
    """An attribute of the function that the node would stand in."""
    node(model, "MaxPool").attribute.add(name="ceil_mode", ref_attr_name="ceil", type=onnx.AttributeProto.INT)


def overload(model: onnx.ModelProto) -> None:
    node(model, "Relu").overload = "mine"


def imports(*sets: tuple[str, int]) -> Change:
    def change(model: onnx.ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(*pair) for pair in sets)

    return change


EXPORT = "Re-export the model."
CHANGES: dict[str, tuple[Change, str]] = {
    "unknown attribute": (
        attribute("Relu", "alpha", 0.1),
        f"Relu 'relu': attribute 'alpha' does not exist in opset 13. {EXPORT}",
    ),
    "attribute of another opset": (
        attribute("Flatten", "consumed_inputs", [0]),
        "Flatten 'flatten': attribute 'consumed_inputs' does not exist in opset 13.",
    ),
    "attribute of older opsets": (
        attribute("Relu", "consumed_inputs", [0]),
        f"Relu 'relu': attribute 'consumed_inputs' (opset 1 to 5) does not exist in opset 13. {EXPORT}",
    ),
    "attribute that disturbs a terminal": (
        attribute("Relu", "\x1b[31m", 1),
        r"Relu 'relu': attribute '\x1b\x5b31m' does not exist in opset 13.",
    ),
    "attribute twice": (attribute("Concat", "axis", 1), "Concat 'fire2/concat': attribute 'axis' is given twice."),
    "attribute without effect, of another type": (
        attribute("MaxPool", "storage_order", "columns"),
        "MaxPool 'pool1': attribute 'storage_order' has the wrong type.",
    ),
    "attribute of a function": (reference, "MaxPool 'pool1': attribute 'ceil_mode' has the wrong type."),
    "no axis": (without("Concat", "axis"), f"Concat 'fire2/concat': attribute 'axis' is missing. {EXPORT}"),
    "no kernel": (without("MaxPool", "kernel_shape"), "MaxPool 'pool1': attribute 'kernel_shape' is missing."),
    "too many inputs": (
        more_inputs("Conv", "x"),
        f"Conv 'conv1': it has 4 inputs; in opset 13 up to 3 are read. {EXPORT}",
    ),
    "input after a gap": (more_inputs("Relu", "", "x"), "Relu 'relu': it has 3 inputs; in opset 13 up to 1 are read."),
    "no input": (empty_input("Relu"), "Relu 'relu': input 0 is missing."),
    "no input of a list": (empty_input("Concat"), "Concat 'fire2/concat': input 0 is missing."),
    "too many outputs": (
        more_outputs("Relu", "y"),
        "Relu 'relu': it has an output 1, which does not exist in opset 13.",
    ),
    "overload": (overload, "Relu 'relu': it calls a function of the model's own. Export the model with its functions"),
    "two opsets": (
        imports(("", 13), ("ai.onnx", 12)),
        "model.onnx: it imports versions 13 and 12 of one operator set.",
    ),
    "no opset": (
        imports(("com.example", 1)),
        "model.onnx: it does not say which operator set (opset) its nodes are of.",
    ),
    "opset 0": (imports(("", 0)), "model.onnx: operator set version 0 does not exist."),
    "opset of the future": (
        imports(("", 999)),
        "Conv 'conv1': opset 999 is newer than 28, the newest that is known. Export the model with opset 28.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_changed(case: str, tmp_path: Path) -> None:
    change, start = CHANGES[case]
    model = fire_model()
    change(model)
    assert refusal(model, tmp_path)[: len(start)] == start


@pytest.mark.parametrize("change", [imports(("", 13), ("ai.onnx", 13)), imports(("ai.onnx", 13)),
                                    more_inputs("Relu", ""), more_outputs("Relu", "")])  # fmt: skip
def test_harmless(change: Change, tmp_path: Path) -> None:
    model = fire_model()
    change(model)
    assert str(load(model, tmp_path)) == str(load(fire_model(), tmp_path))


def test_without_an_opset_before_there_were_any(tmp_path: Path) -> None:
    """Files of IR version 2 are of opset 1, whatever they import."""
    model = fire_model()
    imports()(model)
    model.ir_version = 2
    assert str(load(model, tmp_path)) == str(load(fire_model(), tmp_path))


def test_operator_before_its_time(tmp_path: Path) -> None:
    model = network(Qdq())
    imports(("", 9))(model)
    assert "it does not exist before opset 10; the model is of 9." in refusal(model, tmp_path)


def test_newer_than_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that ONNX has not changed since is read; one that it has is refused."""
    if onnx.defs.onnx_opset_version() < 28:
        pytest.skip("this onnx is too old")
    monkeypatch.setitem(operator_check.NEWEST, "", 25)
    assert load(fire_model(opset=28), tmp_path)
    model = fire_model(opset=28, activation=lambda b, x: relu(b, b.node("Cast", x, to=1)))
    message = refusal(model, tmp_path)
    assert message.startswith("Cast 'cast") and "opset 28 is newer than 25, the newest that is known." in message


@pytest.mark.parametrize("opset", [1, 5, 6])
def test_networks_of_the_first_operator_sets(opset: int, tmp_path: Path) -> None:
    model = fire_model(opset=opset)
    assert str(load(model, tmp_path)) == str(load(fire_model(), tmp_path))


def test_newer_qonnx(tmp_path: Path) -> None:
    model = network(Qonnx())
    imports(("", 13), ("qonnx.custom_op.general", 3))(model)
    assert "opset 3 is newer than 2, the newest that is known." in refusal(model, tmp_path)


# --- types ---


def weights(make: Callable[[Builder], str], opset: int = 13) -> onnx.ModelProto:
    """A network whose first weights are what ``make`` writes."""
    b = Builder(opset=opset)
    return b.model(tail(b, relu(b, b.conv("x", make(b), outputs_=6)), 6))


def ints(b: Builder) -> str:
    return b.const(np.ones((6, 3, 3, 3)), np.int64)


def floats(b: Builder, kind: type = np.float32) -> str:
    return b.const(b.weights(6, 3, 3, 3), kind)


TYPES: dict[str, tuple[Callable[[Builder], str], str]] = {
    "fractional padding": (
        lambda b: b.node("Pad", floats(b), b.const([0.5] * 8)),
        "Pad 'pad3': its input pads cannot be of type float32.",
    ),
    "root of integers": (lambda b: b.node("Sqrt", ints(b)), "Sqrt 'sqrt2': its input X cannot be of type int64."),
    "reciprocal of integers": (lambda b: b.node("Reciprocal", ints(b)), "Reciprocal 'reciprocal2': its input X cannot"),
    "negative of unsigned": (
        lambda b: b.node("Neg", b.const(np.ones((6, 3, 3, 3)), np.uint8)),
        "Neg 'neg2': its input X cannot be of type uint8.",
    ),
    "sum of truths": (
        lambda b: b.node("Add", b.const([True], bool), b.const([True], bool)),
        "Add 'add3': its input A cannot be of type bool.",
    ),
    "sum of two types": (
        lambda b: b.node("Add", floats(b), ints(b)),
        f"Add 'add3': its inputs are of different types: float32, int64. {EXPORT}",
    ),
    "sum of two precisions": (
        lambda b: b.node("Add", floats(b), floats(b, np.float16)),
        "Add 'add3': its inputs are of different types: float16, float32.",
    ),
    "product of a double and an integer": (
        lambda b: b.node("Mul", floats(b, np.float64), ints(b)),
        "Mul 'mul3': its inputs are of different types: float64, int64.",
    ),
    "bounds of another type": (
        lambda b: b.node("Clip", floats(b), b.const(0, np.int64)),
        "Clip 'clip3': its inputs are of different types: float32, int64.",
    ),
    "several bounds": (
        lambda b: b.node("Clip", floats(b), b.const([0, 1])),
        "Clip 'clip3': its bounds are not single numbers.",
    ),
    "sum of two integers": (
        lambda b: b.node("Add", ints(b), b.const([1], np.int32)),
        "Add 'add3': its inputs are of different types: int32, int64.",
    ),
    "concatenation of two types": (
        lambda b: b.node("Concat", floats(b), ints(b), axis=0),
        "Concat 'concat3': its inputs are of different types: float32, int64.",
    ),
    "fractional index": (
        lambda b: b.node("Gather", floats(b), b.const([0.7, 1])),
        "Gather 'gather3': its input indices cannot be of type float32.",
    ),
    "fractional shape": (
        lambda b: b.node("Reshape", floats(b), b.const([6.0, 3, 3, 3])),
        "Reshape 'reshape3': its input shape cannot be of type float32.",
    ),
    "cast to a type that is none": (
        lambda b: b.node("Cast", floats(b), to=99),
        "Cast 'cast2': a cast to this type is not supported.",
    ),
    "cast to text": (lambda b: b.node("Cast", floats(b), to=TensorProto.STRING), "Cast 'cast2': a cast to this type"),
    "cast of what integers cannot hold": (
        lambda b: b.node("Cast", b.const([300.0]), to=TensorProto.UINT8),
        "Cast 'cast2': values that its type UINT8 cannot hold are not supported.",
    ),
    "cast of NaN": (lambda b: b.node("Cast", b.const([np.nan]), to=TensorProto.INT64), "Cast 'cast2': values that"),
    "division by zero": (
        lambda b: b.node("Div", ints(b), b.const([0], np.int64)),
        "Div 'div3': it divides an integer by zero.",
    ),
    "two axes that are one": (
        lambda b: b.node("Unsqueeze", floats(b), b.const([0, 0], np.int64)),
        "Unsqueeze 'unsqueeze3': axes [0, 0] name one twice.",
    ),
    "two slices of an axis": (
        lambda b: b.node("Slice", floats(b), *(b.const(v, np.int64) for v in ([0, 1], [2, 3], [0, 0]))),
        "Slice 'slice5': axes [0, 0] name one twice.",
    ),
    "negative permutation": (
        lambda b: b.node("Transpose", floats(b), perm=[0, 1, 3, -2]),
        "Transpose 'transpose2': perm [0, 1, 3, -2] has negative axes.",
    ),
    "several numbers to repeat": (
        lambda b: b.node("ConstantOfShape", b.const([2], np.int64), value=numpy_helper.from_array(np.ones(2))),
        "ConstantOfShape 'constantofshape2': it repeats one number, not 2.",
    ),
    "two values": (
        lambda b: b.node("Constant", value_int=1, value_float=1.0),
        "Constant 'constant1': a constant has one value.",
    ),
    "eight-bit floats": (
        lambda b: b.node("QuantizeLinear", floats(b), b.const(0.1), output_dtype=TensorProto.FLOAT8E4M3FN),
        "QuantizeLinear 'quantizelinear3': its output type is not supported.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TYPES)
def test_types_of_constants(case: str, tmp_path: Path) -> None:
    make, start = TYPES[case]
    message = refusal(weights(make, opset=21), tmp_path)
    assert message[: len(start)].replace("\\x5b", "[").replace("\\x5d", "]") == start


def test_truncating_division(tmp_path: Path) -> None:
    """Of integers, also of those that no float holds."""
    b = Builder()
    large = 2**62 + 3
    quotient = b.node("Div", b.const([-7, 7, -6, large], np.int64), b.const([2, -2, 3, 1], np.int64))
    wanted = b.const([-3, -3, -2, large], np.int64)
    same = b.node("Cast", b.node("Sub", quotient, wanted), to=1)  # four zeros
    total = b.node("Add", b.const(b.weights(4, 3, 3, 3)), b.node("Reshape", same, b.const([4, 1, 1, 1], np.int64)))
    graph = load(b.model(tail(b, relu(b, b.conv("x", total, outputs_=4)), 4)), tmp_path)
    np.testing.assert_array_equal(graph.nodes[0].weight.transpose(0, 3, 1, 2), numpy_helper.to_array(b.initializers[3]))


# --- feature maps ---


@pytest.mark.parametrize("op", ["GlobalAveragePool", "Relu", "Dropout", "Cast"])
def test_computing_on_integers(op: str, tmp_path: Path) -> None:
    """Behind a QuantizeLinear without its DequantizeLinear a value stands for another."""
    b = Builder(opset=21)
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))
    x = b.node("QuantizeLinear", x, b.const(0.01), b.const(3, np.uint8))
    x = b.node(op, x, name="on integers", **({"to": 1} if op == "Cast" else {}))
    model = b.model(x if op == "GlobalAveragePool" else b.node("GlobalAveragePool", x))
    assert refusal(model, tmp_path).startswith(f"{op} 'on integers': it computes on integers.")


def test_training_mode_that_is_computed(tmp_path: Path) -> None:
    b = Builder()
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))
    model = b.model(tail(b, b.node("Dropout", x, "", x, name="drop"), 6))
    assert refusal(model, tmp_path).startswith("Dropout 'drop': its training modes depend on the picture.")


@pytest.mark.parametrize(("opset", "axis"), [(9, -1), (13, -5), (13, 5)])
def test_flatten_at_an_axis_that_is_none(opset: int, axis: int, tmp_path: Path) -> None:
    b = Builder(opset=opset)
    x = b.node("GlobalAveragePool", relu(b, b.conv("x", b.weights(6, 3, 3, 3))))
    model = b.model(b.node("Flatten", x, name="f", axis=axis))
    assert refusal(model, tmp_path).startswith(f"Flatten 'f': axis {axis} does not exist in a tensor of 4 dimensions.")


def test_unsqueeze_without_axes(tmp_path: Path) -> None:
    b = Builder()
    x = b.node("GlobalAveragePool", relu(b, b.conv("x", b.weights(6, 3, 3, 3))))
    model = b.model(b.node("Unsqueeze", x, name="u"))
    assert refusal(model, tmp_path).startswith("Unsqueeze 'u': input 1 is missing.")


@pytest.mark.parametrize(("opset", "axis"), [(12, -1), (12, 2), (13, 1)])
def test_softmax_over_nothing(opset: int, axis: int, tmp_path: Path) -> None:
    """Over an axis of one element all classes are certain."""
    b = Builder((1, 3, 9, 9), opset)
    x = b.node("GlobalAveragePool", relu(b, b.conv("x", b.weights(6, 3, 3, 3))))
    x = b.node("Flatten", x, axis=2) if axis != 2 else x
    model = b.model(b.node("Softmax", x, name="s", axis=axis))
    assert np.ptp(onnxruntime_logits(model, picture((9, 9, 3)))) == 0
    assert "is not that of the classes." in refusal(model, tmp_path)
