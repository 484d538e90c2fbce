"""The typed records have the fields that `fields` gives bits to, no more and no fewer."""

from __future__ import annotations

import dataclasses
import random

import pytest

from squeeze_hls.engine.fields import RECORDS
from squeeze_hls.engine.records import CLASSES, HalfRecord, LayerRecord


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.record.name)
def test_fields_and_bits_agree(kind: type) -> None:
    rng = random.Random(5)
    for _ in range(20):
        values = {f.name: rng.randrange(1 << f.width) for f in kind.record.fields}
        row = kind.of(values)
        assert row.fields() == values
        assert row.pack() == kind.record.pack(values)
        assert kind.unpack(row.pack()) == row


def test_every_record_of_a_program_has_a_class() -> None:
    assert {kind.record.name for kind in CLASSES} == {record.name for record in RECORDS} - {"packet"}


def test_an_attribute_that_is_no_field_is_an_error() -> None:
    layer = LayerRecord.of({f.name: 0 for f in LayerRecord.record.fields})
    with pytest.raises(AttributeError):
        layer.top_a = 3  # type: ignore[attr-defined]
    assert not dataclasses.fields(HalfRecord)[0].name.endswith("_a")


def test_halves() -> None:
    values = {f.name: 0 for f in LayerRecord.record.fields}
    both = LayerRecord.of(
        values | {"half_a": 1, "half_b": 1, "groups_a": 2, "groups_b": 5, "words": 3, "rows0": 3, "columns": 3}
    )
    assert [half.name for half in both.halves] == ["a", "b"] and both.groups == 5
    assert [half.name for half in both.halves_of(2)] == ["b"]
    assert [both.depth(half) for half in both.halves] == [27, 3]
    only = LayerRecord.of(values | {"half_a": 1, "groups_a": 2, "groups_b": 7})
    assert only.halves == (only.a,) and only.groups == 2
