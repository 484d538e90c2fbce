"""Records of the program in benches: made with zeros or random bits, packed to one integer."""

from __future__ import annotations

import random
from typing import Any

from squeeze_hls.engine.fields import Record
from squeeze_hls.engine.records import CLASSES

_CLASS = {kind.record.name: kind for kind in CLASSES}


def blank(record: Record, rng: random.Random | None = None, **values: int) -> Any:
    """A typed record whose other fields are 0, or random."""
    row = {f.name: rng.randrange(1 << f.width) if rng else 0 for f in record.fields}
    return _CLASS[record.name].of(row | values)


def packed(row: Any) -> int:
    """The record as its packed struct of squeeze_pkg."""
    return sum(word << 64 * n for n, word in enumerate(row.pack()))
