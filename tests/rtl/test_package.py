"""The checked-in SystemVerilog package is what the table of bit layouts renders to."""

from __future__ import annotations

import re

import pytest

from squeeze_hls.emit.rtl import PACKAGE, render_package
from squeeze_hls.engine import fields


def test_checked_in_package_is_in_sync(root):
    checked_in = (root / "hw" / "rtl" / PACKAGE).read_text(encoding="utf-8")
    assert checked_in == render_package(), f"write render_package() to hw/rtl/{PACKAGE}"


@pytest.mark.parametrize("record", fields.RECORDS, ids=lambda record: record.name)
def test_struct_members_stand_at_the_bits_of_the_table(record):
    struct = re.search(rf"typedef struct packed {{([^}}]*)}} {record.name}_t;", render_package())
    assert struct
    members = re.findall(r"logic \[(\d+):0\] (\w+);", struct.group(1))
    low, found = 0, {}
    for high, name in reversed(members):  # the last member of a packed struct has the lowest bits
        width = int(high) + 1
        if not name.startswith("reserved"):
            found[name.rstrip("_")] = (low // 64, low % 64, width)
        low += width
    assert low == 64 * record.words
    assert found == {f.name: (f.word, f.low, f.width) for f in record.fields}
