"""The table of operators against the schemas of ONNX, version by version, and against the handlers."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from squeeze_hls.frontend.constants import _FOLDABLE
from squeeze_hls.frontend.onnx_reader import _HANDLERS
from squeeze_hls.frontend.operator_document import document
from squeeze_hls.frontend.operator_parts import Row, Use
from squeeze_hls.frontend.operator_table import NEWEST, TABLE
from squeeze_hls.frontend.quantizers import QUANT

Versions = list[tuple[int, int, onnx.defs.OpSchema]]  # first and last operator set of each definition

# Operators without a schema in the onnx package, with all their attributes, inputs and outputs.
ELSEWHERE = {
    **dict.fromkeys(QUANT, (["narrow", "rounding_mode", "signed"], ["X", "scale", "zeropt", "bitwidth"], ["Y"])),
    "com.microsoft.QuantizeLinear": (["axis"], ["x", "y_scale", "y_zero_point"], ["y"]),
    "com.microsoft.DequantizeLinear": (["axis"], ["x", "x_scale", "x_zero_point"], ["y"]),
}


def definitions(op: str) -> Versions:
    """All definitions of a standard operator in the installed onnx."""
    found = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.name == op]
    found.sort(key=lambda s: s.since_version)
    ends = [s.since_version - 1 for s in found[1:]] + [onnx.defs.onnx_opset_version()]
    return [(s.since_version, end, s) for s, end in zip(found, ends, strict=True)]


def ours(row: Row, version: int) -> dict[str, object]:
    """What the table says about one version, to be compared with ``theirs``."""
    return {
        "attributes": {a.name: (a.kind, a.required) for a in row.attributes if a.exists(version)},
        "inputs": [(i.name, i.optional, i.most > 1) for i in row.inputs if i.exists(version)],
        "outputs": [(o.name, o.optional) for o in row.outputs if o.exists(version)],
    }


def theirs(schema: onnx.defs.OpSchema) -> dict[str, object]:
    option = onnx.defs.OpSchema.FormalParameterOption
    return {
        "attributes": {a.name: (a.type.name, a.required) for a in schema.attributes.values()},
        "inputs": [(i.name, i.option == option.Optional, i.option == option.Variadic) for i in schema.inputs],
        "outputs": [(o.name, o.option == option.Optional) for o in schema.outputs],
    }


STANDARD = sorted(op for op in TABLE if op not in ELSEWHERE)


@pytest.mark.parametrize("op", STANDARD)
def test_every_version_is_that_of_onnx(op: str) -> None:
    """A release of onnx that gives an operator a new attribute, input or output makes this fail."""
    versions = definitions(op)
    assert versions[0][0] == TABLE[op].since
    for first, last, schema in versions:
        assert not schema.deprecated
        for version in range(first, last + 1):
            assert ours(TABLE[op], version) == theirs(schema), (op, version)


@pytest.mark.parametrize("op", STANDARD)
def test_defaults_are_those_of_onnx(op: str) -> None:
    """What must have a certain value is checked with ONNX's default where the model leaves it out."""
    for first, last, schema in definitions(op):
        for attribute in TABLE[op].attributes:
            if attribute.use is not Use.ONLY or not attribute.exists(first) or not attribute.exists(last):
                continue
            default = schema.attributes[attribute.name].default_value
            if default.type:
                taken = attribute.values[0] if attribute.default is None else attribute.default
                assert taken == onnx.helper.get_attribute_value(default), (op, attribute.name)


@pytest.mark.parametrize("op", ELSEWHERE)
def test_operators_elsewhere(op: str) -> None:
    attributes, inputs, outputs = ELSEWHERE[op]
    row = TABLE[op]
    newest = NEWEST[op.rpartition(".")[0]]
    for version in range(1, newest + 1):
        assert sorted(a.name for a in row.attributes if a.exists(version)) == attributes
        assert [i.name for i in row.inputs if i.exists(version)] == inputs
        assert [o.name for o in row.outputs if o.exists(version)] == outputs


def test_attributes_of_qonnx() -> None:
    general = pytest.importorskip("qonnx.custom_op.general.quant", reason="qonnx is not installed (extra onnx-tools)")
    node = onnx.helper.make_node("Quant", ["x"], ["y"])
    kinds = {"i": "INT", "s": "STRING"}
    expected = {name: kinds[kind[0]] for name, kind in general.Quant(node).get_nodeattr_types().items()}
    for op in QUANT:
        assert {a.name: a.kind for a in TABLE[op].attributes} == expected


def test_attributes_of_onnxruntime() -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx-tools)")
    state = runtime.capi.onnxruntime_pybind11_state
    if not hasattr(state, "get_all_operator_schema"):
        pytest.skip("this onnxruntime does not tell its schemas")
    compared = 0
    for schema in state.get_all_operator_schema():
        if f"{schema.domain}.{schema.name}" in ELSEWHERE:
            attributes, inputs, outputs = ELSEWHERE[f"{schema.domain}.{schema.name}"]
            assert schema.since_version <= NEWEST[schema.domain]
            assert sorted(schema.attributes) == attributes
            assert [i.name for i in schema.inputs] == inputs and [o.name for o in schema.outputs] == outputs
            compared += 1
    assert compared == 2


def test_every_handler_has_a_row() -> None:
    assert set(TABLE) == {*_HANDLERS, *_FOLDABLE, "Constant"}


# What stands for the types of an input in ONNX's schemas.
TYPES = {
    "float": {"tensor(float)"},
    "signed": {"tensor(float)", "tensor(int64)"},
    "number": {"tensor(float)", "tensor(int32)", "tensor(uint8)"},
    "integer": {"tensor(int8)", "tensor(uint8)"},
    "index": {"tensor(int64)"},
    "bool": {"tensor(bool)"},
    "": set(),  # any, or the handler says
}


@pytest.mark.parametrize("op", STANDARD)
def test_no_type_is_read_that_onnx_does_not_define(op: str) -> None:
    schema = definitions(op)[-1][2]
    inputs = [i for i in TABLE[op].inputs if i.exists(schema.since_version)]
    allowed = {t.type_param_str: set(t.allowed_type_strs) for t in schema.type_constraints}
    for entry, formal in zip(inputs, schema.inputs, strict=True):
        given = allowed.get(formal.type_str, {formal.type_str})
        assert TYPES[entry.types] <= given, (op, entry.name)


def test_document(root: Path) -> None:
    """python -m squeeze_hls.frontend.operator_document > docs/operators.md"""
    assert (root / "docs" / "operators.md").read_text() == document()


def test_reasons_are_given() -> None:
    """Whatever has no effect says why; whatever is refused says what it would have been."""
    for op, row in TABLE.items():
        for part in (*row.attributes, *row.inputs):
            assert part.note or part.use in (Use.READ, Use.ONLY), (op, part.name)
        for output in row.outputs[1:]:
            assert output.use is not Use.READ, (op, output.name)
