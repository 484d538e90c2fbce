"""Records of the program in benches: made with zeros, packed to one integer."""

from __future__ import annotations

from types import SimpleNamespace

from squeeze_hls.engine.fields import Record
from squeeze_hls.engine.program import Row


def blank(record: Record, **values: int) -> Row:
    """A record whose other fields are 0."""
    return SimpleNamespace(**(dict.fromkeys((f.name for f in record.fields), 0) | values))


def packed(record: Record, row: Row) -> int:
    """The record as its packed struct of squeeze_pkg."""
    return sum(word << 64 * n for n, word in enumerate(record.pack(vars(row))))
