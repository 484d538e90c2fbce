"""The register map stands in one place; pragmas and documentation agree with it."""

from __future__ import annotations

import re
from pathlib import Path

from squeeze_hls.board import load_board
from squeeze_hls.emit import hls
from squeeze_hls.engine import registers
from squeeze_hls.plan import make_plan
from tests.networks import random_network


def test_documentation(root: Path) -> None:
    text = (root / "docs" / "registers.md").read_text()
    table = text.split("<!-- table -->\n")[1].split("<!-- end -->")[0]
    assert table == registers.markdown_table()


def test_offsets() -> None:
    assert [r.offset for r in registers.CONTROL] == [0, 4, 8, 12]
    assert [r.offset for r in registers.STATUS] == [0x40 + 0x10 * i for i in range(len(registers.STATUS))]
    assert len({r.name for r in registers.REGISTERS}) == len(registers.REGISTERS)
    assert registers.offset("error") == 0x40


def test_pragmas() -> None:
    top = hls.emit(make_plan(random_network(3), load_board("pynq-z2")))["src/squeeze_engine.cpp"].decode()
    found = re.findall(r"s_axilite port = (\w+) bundle = control offset = (\d+)", top)
    assert [(name, int(offset)) for name, offset in found] == [(r.name, r.offset) for r in registers.STATUS]
    for register in registers.STATUS:  # each is a pointer argument and is written once
        assert f"uint32_t* {register.name}" in top
        assert len(re.findall(rf"^    \*{register.name} = ", top, re.M)) == 1
