"""Every node is compared with ``operator_table`` before anything else reads it.

What is in the file and not in the table has no meaning that is known here, and is refused.  So is what a handler
does not read, unless the table says why it has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.context import Context
from squeeze_hls.frontend.onnx_file import OnnxFile
from squeeze_hls.frontend.onnx_node import RE_EXPORT, STANDARD_DOMAINS, Node
from squeeze_hls.frontend.operator_parts import Attribute, Input, Row, Use
from squeeze_hls.frontend.operator_table import NEWEST, TABLE
from squeeze_hls.frontend.text import safe_name

_Kind = onnx.AttributeProto.AttributeType
_MAX_SHOWN = 8


def operator_sets(file: OnnxFile) -> dict[str, int]:
    """Version of every operator set that the model imports, the standard one under ``""``."""
    where = safe_name(file.path.name)
    sets: dict[str, int] = {}
    for imported in file.model.opset_import:
        domain = "" if imported.domain in STANDARD_DOMAINS else imported.domain
        if sets.setdefault(domain, imported.version) != imported.version:
            raise InputError(
                f"{where}: it imports versions {sets[domain]} and {imported.version} of one operator set. {RE_EXPORT}"
            )
        if imported.version < 1:
            raise InputError(f"{where}: operator set version {imported.version} does not exist. {RE_EXPORT}")
    if "" not in sets:
        if file.model.ir_version >= 3:  # the first that names operator sets
            raise InputError(f"{where}: it does not say which operator set (opset) its nodes are of. {RE_EXPORT}")
        sets[""] = 1
    return sets


@dataclass(frozen=True, kw_only=True)
class OperatorCheck:
    """What ``check`` must know of the model around a node."""

    versions: dict[str, int]  # of operator sets, by domain
    used: frozenset[str]  # tensors that the result depends on

    @classmethod
    def of(cls, file: OnnxFile, nodes: list[Node], result: str) -> OperatorCheck:
        return cls(
            versions=operator_sets(file),
            used=frozenset([result, *(name for node in nodes for name in node.inputs)]),
        )

    def check(self, context: Context, node: Node) -> None:
        """Raise InputError where the node says anything that is neither honoured nor without effect."""
        row = TABLE.get(node.op)
        if row is None:
            return  # to be refused by name
        if node.proto.overload:
            raise node.refuse("it calls a function of the model's own.", "Export the model with its functions inlined.")
        version = self._version(node, row)
        _check_attributes(node, row, version)
        inputs = _check_inputs(node, row, version)
        _check_types(context, node, row, inputs)
        self._check_outputs(node, row, version)

    def _version(self, node: Node, row: Row) -> int:
        domain = "" if node.proto.domain in STANDARD_DOMAINS else node.proto.domain
        version = self.versions.get(domain, 1)
        newest = NEWEST[domain]
        if version > newest and not (domain == "" and _unchanged(node.op, newest, version)):
            raise node.refuse(
                f"opset {version} is newer than {newest}, the newest that is known.",
                f"Export the model with opset {newest}.",
            )
        if version < row.since:
            raise node.refuse(f"it does not exist before opset {row.since}; the model is of {version}.", RE_EXPORT)
        return version

    def _check_outputs(self, node: Node, row: Row, version: int) -> None:
        outputs = [o for o in row.outputs if o.exists(version)]
        for index, name in enumerate(node.outputs):
            if not name:
                continue
            if index >= len(outputs):
                raise node.refuse(f"it has an output {index}, which does not exist in opset {version}.", RE_EXPORT)
            output = outputs[index]
            if output.use is Use.REFUSED:
                raise node.refuse(output.problem, output.way_out)
            if output.use is Use.UNREAD and name in self.used:
                raise node.refuse(f"its output {output.name} is used; only the first is computed.", RE_EXPORT)


def _unchanged(op: str, known: int, version: int) -> bool:
    """Whether ONNX itself, where it knows ``version``, has no newer definition of the operator than ``known``."""
    if version > onnx.defs.onnx_opset_version():
        return False
    return onnx.defs.get_schema(op, version).since_version <= known


def _check_attributes(node: Node, row: Row, version: int) -> None:
    known = {a.name: a for a in row.attributes if a.exists(version)}
    given = set()
    for proto in node.proto.attribute:
        shown = safe_name(proto.name, 40)
        attribute = known.get(proto.name)
        if attribute is None:
            other = next((f" ({a.versions})" for a in row.attributes if a.name == proto.name), "")
            raise node.refuse(f"attribute '{shown}'{other} does not exist in opset {version}.", RE_EXPORT)
        if proto.name in given:
            raise node.refuse(f"attribute '{shown}' is given twice.", RE_EXPORT)
        given.add(proto.name)
        if proto.type not in (_Kind.Value(attribute.kind), _Kind.UNDEFINED) or proto.ref_attr_name:
            raise node.refuse(f"attribute '{shown}' has the wrong type.", RE_EXPORT)
        if attribute.use is Use.REFUSED:
            raise node.refuse(attribute.problem or f"{attribute.note} are not supported.", attribute.way_out)
    for attribute in known.values():
        if attribute.required and attribute.use is Use.READ and attribute.name not in given:
            raise node.refuse(f"attribute '{attribute.name}' is missing.", RE_EXPORT)
        if attribute.use is Use.ONLY:
            _check_values(node, attribute)


def _check_values(node: Node, attribute: Attribute) -> None:
    default = attribute.values[0] if attribute.default is None else attribute.default
    values: tuple[int | str, ...]
    if attribute.kind == "INTS":
        values = node.integers(attribute.name, (int(default),))
    elif attribute.kind == "INT":
        values = (node.integer(attribute.name, int(default)),)
    else:
        values = (node.string(attribute.name, str(default)),)
    if not set(values) <= set(attribute.values):
        shown = ", ".join(safe_name(str(v), 40) for v in values[:_MAX_SHOWN])
        raise node.refuse(attribute.problem or f"{attribute.name} {shown} is not supported.", attribute.way_out)


def _check_inputs(node: Node, row: Row, version: int) -> list[tuple[Input, str]]:
    """The inputs that the node has, with their names."""
    given = node.inputs
    while given and not given[-1]:
        given.pop()  # left out at the end
    known = [i for i in row.inputs if i.exists(version)]
    if known and known[-1].most > 1:
        known += [known[-1]] * (min(known[-1].most, len(given)) - len(known))
    if len(given) > len(known):
        raise node.refuse(f"it has {len(given)} inputs; in opset {version} up to {len(known)} are read.", RE_EXPORT)
    for index, slot in enumerate(known):
        if not node.input(index):
            if not slot.optional:
                raise node.refuse(f"input {index} is missing.", RE_EXPORT)
        elif slot.use is Use.REFUSED:
            raise node.refuse(slot.problem or f"{slot.note} is not supported.", slot.way_out)
    return [(slot, name) for slot, name in zip(known, given, strict=False) if name]


def _check_types(context: Context, node: Node, row: Row, inputs: list[tuple[Input, str]]) -> None:
    """Constants hold what the operator is defined for; integers of a feature map are read where they may be."""
    seen: set[str] = set()
    for slot, name in inputs:
        found = context.maps.get(name)
        if found is not None and found.grid is not None and not row.integers:
            raise node.refuse(
                "it computes on integers.", "Export the model in QDQ format (QuantizeLinear, DequantizeLinear)."
            )
        if (slot.types or row.one_type) and name in context.constants:
            dtype = context.constants[name].dtype
            if not _is(dtype, slot.types):
                raise node.refuse(f"its input {slot.name} cannot be of type {dtype}.", RE_EXPORT)
            seen.add(dtype.name)
    if any(name.startswith(("float", "bfloat")) for name in seen - {"float64"}):
        seen.discard("float64")  # dequantized constants are kept so, whatever their type is in the model
    if row.one_type and len(seen) > 1:
        raise node.refuse(f"its inputs are of different types: {', '.join(sorted(seen))}.", RE_EXPORT)


def _is(dtype: np.dtype, types: str) -> bool:
    real = dtype.kind == "f" or dtype.name.startswith(("float", "bfloat"))
    signed = dtype.kind == "i" or dtype.name.startswith("int")  # int4 is no kind of NumPy's
    unsigned = dtype.kind == "u" or dtype.name.startswith("uint")
    return {
        "": True,
        "float": real,
        "signed": real or signed,
        "number": real or signed or unsigned,
        "integer": signed or unsigned,
        "index": dtype in (np.int32, np.int64),
        "bool": dtype.kind == "b",
    }[types]
