"""Files that can be read in more than one way are refused: shadowed names, operators of their own, bare integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from squeeze_hls.errors import InputError
from tests.frontend.build import Builder, fire_model, load, relu


def refused(model: onnx.ModelProto, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(model, folder)
    return str(caught.value)


def test_a_constant_that_is_written_again(tmp_path: Path) -> None:
    model = fire_model()
    name = model.graph.node[0].input[1]
    shape = next(t for t in model.graph.initializer if t.name == name).dims
    other = onnx.numpy_helper.from_array(np.zeros(shape, np.float32))
    model.graph.node.insert(0, helper.make_node("Constant", [], [name], name="again", value=other))
    assert (
        refused(model, tmp_path) == f"Constant 'again': it writes '{name}', which exists already. Re-export the model."
    )


def test_two_constants_of_one_name(tmp_path: Path) -> None:
    b = Builder()
    w = b.node("Identity", b.const(b.weights(7, 3, 3, 3)), name="first", outputs=("w",))
    b.node("Identity", b.const(b.weights(7, 3, 3, 3)), name="second", outputs=("w",))
    x = relu(b, b.conv("x", w, outputs_=7))
    assert "it writes 'w', which exists already" in refused(b.model(b.node("GlobalAveragePool", x)), tmp_path)


def test_an_operator_that_the_file_redefines(tmp_path: Path) -> None:
    """A function of the file goes before the standard operator of that name."""
    model = fire_model()
    body = [helper.make_node("Abs", ["a"], ["b"])]
    function = helper.make_function("", "Relu", ["a"], ["b"], body, [helper.make_opsetid("", 13)])
    model.functions.append(function)
    assert "the file defines this operator itself. Export the model with its functions" in refused(model, tmp_path)


def test_integer_weights_without_a_scale(tmp_path: Path) -> None:
    b = Builder()
    x = relu(b, b.conv("x", b.const(np.ones((7, 3, 3, 3)), np.int8), outputs_=7))
    assert "its weights are integers (int8) without a scale." in refused(
        b.model(b.node("GlobalAveragePool", x)), tmp_path
    )
