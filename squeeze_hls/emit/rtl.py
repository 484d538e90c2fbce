"""What the RTL back end renders: the SystemVerilog package of bit layouts."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from squeeze_hls.paths import TEMPLATES
from squeeze_hls.plan import fields

PACKAGE = "squeeze_pkg.sv"
KEYWORDS = frozenset({"type", "wait"})  # field names that SystemVerilog reserves


@dataclass(frozen=True)
class _Member:
    name: str
    width: int
    doc: str = ""


@dataclass(frozen=True)
class _Struct:
    name: str
    words: int
    bits: int
    fields: tuple[_Member, ...]


def render_package() -> str:
    """Text of ``squeeze_pkg.sv``: records as packed structs, packet constants, pipeline latencies."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("rtl/squeeze_pkg.sv.j2").render(
        records=[_struct(record) for record in fields.RECORDS],
        format_version=fields.FORMAT_VERSION,
        packet_magic=fields.PACKET_MAGIC,
        packet_types={"image": fields.IMAGE, "weights": fields.WEIGHTS, "program": fields.PROGRAM},
    )


def _struct(record: fields.Record) -> _Struct:
    """The record's members from the most significant bit down, gaps filled with reserved bits."""
    members: list[_Member] = []
    end, gaps = 0, 0
    for field in record.fields:
        start = field.word * fields.WORD_BITS + field.low
        if start > end:
            members.append(_Member(f"reserved{gaps}", start - end))
            gaps += 1
        members.append(_Member(_identifier(field.name), field.width, field.doc))
        end = start + field.width
    if record.words * fields.WORD_BITS > end:
        members.append(_Member(f"reserved{gaps}", record.words * fields.WORD_BITS - end))
    return _Struct(record.name, record.words, end, tuple(reversed(members)))


def _identifier(name: str) -> str:
    return f"{name}_" if name in KEYWORDS else name
