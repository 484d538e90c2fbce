"""``docs/operators.md``: the table of operators in words.

python -m squeeze_hls.frontend.operator_document > docs/operators.md
"""

from __future__ import annotations

from squeeze_hls.frontend.constants import _FOLDABLE
from squeeze_hls.frontend.operator_parts import ALWAYS, Attribute, Input, Part, Row, Use
from squeeze_hls.frontend.operator_table import NEWEST, TABLE
from squeeze_hls.frontend.operators import COMPUTING
from squeeze_hls.frontend.passing import PASSING
from squeeze_hls.frontend.quantizers import DEQUANTIZE, QUANT, QUANT_DOMAINS, QUANTIZE

_HEAD = f"""# ONNX operators: what is read of each

Generated from `squeeze_hls/frontend/operator_table.py` by `python -m squeeze_hls.frontend.operator_document`. What the
operators become is in [models.md](models.md#onnx).

The table has every attribute, input and output that ONNX gives these operators in opset 1 to {NEWEST[""]}; a test
compares it with ONNX's own schemas. Each is

- **read**: it is computed as ONNX defines it in the opset of the model. A value that the engine cannot compute is
  refused; what is said after the colon is what it can;
- **refused**, with the name of the node and the way out, wherever it is given, or where it has another value than the
  one said;
- **without effect**: the network is the same whatever it says, for the reason given.

A node with an attribute, an input or an output that its operator does not have in the opset of the model is refused,
and so is one that lacks what it must have. The first output of an operator is its result; another one may exist as long
as the network does not depend on it. An opset newer than {NEWEST[""]} is read as long as ONNX has not changed the
operators that the model uses; a constant must be of a type for which ONNX defines the operator. Any other operator is
refused by its name.

"on" says what an operator is read on: *feature maps*, which depend on the picture, *constants*, which are computed
when the model is read, or both.

"""


def document() -> str:
    """The whole page."""
    lines = ["| operator | on | attribute, input or output | what becomes of it |", "|---|---|---|---|"]
    for (since, on, parts), names in _groups().items():
        shown = ", ".join(f"`{name}`" for name in names) + (f" (from opset {since})" if since > 1 else "")
        for index, (what, fate) in enumerate(parts):
            lines.append(f"| {shown} | {on} | {what} | {fate} |" if index == 0 else f"| | | {what} | {fate} |")
    return _HEAD + "\n".join(lines) + "\n"


def _groups() -> dict[tuple[int, str, tuple[tuple[str, str], ...]], list[str]]:
    """Names of operators, those of QONNX without their domains, by first opset, ``on`` and parts."""
    groups: dict[tuple[int, str, tuple[tuple[str, str], ...]], list[str]] = {}
    for op, row in TABLE.items():
        name = op.rpartition(".")[2] if op.startswith(QUANT_DOMAINS) else op
        names = groups.setdefault((row.since, _on(op), tuple(_parts(row))), [])
        if name not in names:
            names.append(name)
    return groups


def _on(op: str) -> str:
    if op in QUANT + QUANTIZE + DEQUANTIZE:
        return "both"
    maps, constants = op in COMPUTING or op in PASSING, op in _FOLDABLE or op == "Constant"
    return "both" if maps and constants else "feature maps" if maps else "constants"


def _parts(row: Row) -> list[tuple[str, str]]:
    """Attributes, inputs and outputs, each with what becomes of it."""
    kinds: tuple[tuple[str, tuple[Part, ...]], ...] = (
        ("", row.attributes),
        ("input ", row.inputs),
        ("output ", row.outputs[1:]),
    )
    return [(f"{kind}`{part.name}`{_when(part)}", _fate(part)) for kind, parts in kinds for part in parts]


def _when(part: Part) -> str:
    optional = "optional" if isinstance(part, Input) and part.optional else ""
    words = ", ".join(filter(None, (optional, part.versions)))
    return f" ({words})" if words else ""


def _fate(part: Part) -> str:
    if part.use is Use.IGNORED:
        return f"without effect: {part.note}"
    if part.use is Use.UNREAD:
        return "refused where it is used"
    if part.use is Use.REFUSED:
        return f"refused: {part.note}"
    note = part.note
    if isinstance(part, Attribute) and part.use is Use.ONLY:
        values = " or ".join(str(v) for v in part.values)
        absent = "" if part.default is None else f", and must be given: left out it is {part.default}"
        return f"refused unless {values}{absent}" + (f" ({note})" if note else "")
    if isinstance(part, Input):
        many = "any number" if part.most == ALWAYS else f"up to {part.most}" if part.most > 1 else ""
        note = ", ".join(filter(None, (many, note)))
    return "read" + (f": {note}" if note else "")


if __name__ == "__main__":
    print(document(), end="")
