"""Every attribute, optional input and further output: honoured as others compute it, without effect, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.constants import Constants
from squeeze_hls.frontend.context import Context
from squeeze_hls.frontend.onnx_file import OnnxFile
from squeeze_hls.frontend.onnx_node import Node
from squeeze_hls.frontend.onnx_reader import _convert
from squeeze_hls.frontend.operator_check import OperatorCheck
from squeeze_hls.frontend.operator_parts import Part, Use
from squeeze_hls.frontend.operator_table import TABLE
from tests.frontend.build import load, logits, picture
from tests.frontend.operator_case import SIZE, Case
from tests.frontend.operator_cases import CASES


def parts(op: str) -> list[Part]:
    """All that may be left out, or that must not be used."""
    row = TABLE[op]
    return [*row.attributes, *(i for i in row.inputs if i.optional), *row.outputs[1:]]


def part_of(case: Case) -> Part:
    version = 1 if "." in case.op else case.opset
    found = [p for p in parts(case.op) if p.name == case.part and p.exists(version)]
    assert len(found) == 1, (case.op, case.part)
    return found[0]


@pytest.mark.parametrize("op", TABLE)
def test_every_part_has_a_case(op: str) -> None:
    for part in parts(op):
        assert any(c.op == op and part_of(c) == part for c in CASES), f"{op}: {part.name} {part.versions}"


def computed(case: Case, value: object, folder: Path) -> np.ndarray:
    """What this project makes of the model."""
    model = case.model(value)
    if case.fold:
        return folded(model)
    result = logits(load(model, folder), picture((*SIZE, 3)))
    if case.softmax:
        result = np.exp(result) / np.exp(result).sum()
    return np.log(result) if case.op == "LogSoftmax" else result


def folded(model: onnx.ModelProto) -> np.ndarray:
    """The constant that the nodes of ``model`` fold to."""
    file = OnnxFile(path=Path("model.onnx"), model=model)
    nodes = [Node(proto) for proto in model.graph.node]
    check = OperatorCheck.of(file, nodes, nodes[-1].output)
    context = Context(constants=Constants(file), opset=check.versions[""], input="", notify=print)
    for node in nodes:
        _convert(context, node, check)
    return np.asarray(context.constants[nodes[-1].output])


def assert_equal(case: Case, ours: np.ndarray, theirs: np.ndarray) -> None:
    if case.fold:
        assert ours.shape == theirs.shape
        assert ours.dtype in (theirs.dtype, np.float64)  # dequantized constants are not rounded
        np.testing.assert_allclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=1e-6)
    else:
        np.testing.assert_allclose(ours, theirs.reshape(-1), rtol=1e-4, atol=1e-5)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal but for the order in which floats were summed."""
    return one.shape == other.shape and one.dtype == other.dtype and np.allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_part(case: Case, tmp_path: Path) -> None:
    if case.opset > onnx.defs.onnx_opset_version():
        pytest.skip("this onnx is too old")
    ignored = part_of(case).use is Use.IGNORED
    plain, judged = computed(case, case.values[0], tmp_path), case.judged(case.values[0])
    assert_equal(case, plain, judged)
    matters = False
    for index, value in enumerate(case.values[1:] + case.others, 1):
        try:
            ours = computed(case, value, tmp_path)
        except InputError as error:
            message = str(error)
            assert case.refused in message and "\n" not in message and not ignored, message
            assert case.refused or index >= len(case.values), message
            matters = True
            continue
        assert not case.refused, f"{case.part} {value} is not refused"
        theirs = case.judged(value)
        assert_equal(case, ours, theirs)
        matters = matters or not alike(theirs, judged)
        if ignored:
            assert alike(ours, plain) and alike(theirs, judged), f"{case.part} {value} has an effect"
    assert matters or ignored, "the test is blind: no value makes a difference"
