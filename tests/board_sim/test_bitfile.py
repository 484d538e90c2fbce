"""The bitstream's file of the simulated board, from a plan and from a build folder; PYNQ is not needed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from squeeze_hls import cli
from squeeze_hls.errors import InputError
from squeeze_hls.sim import board
from squeeze_hls.sim.board import bitfile
from tests.board_sim.plans import small_plan


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_written_is_read(tmp_path: Path, streamed: bool) -> None:
    plan = small_plan(streamed=streamed)
    path = board.make(plan, tmp_path / "new")
    found = bitfile.read(path)
    assert (found.engine, found.family, found.part) == (plan.engine, "zynq-7000", "xc7z020clg400-1")
    assert (found.program, found.weights) == (plan.program_bin, plan.weights_bin)
    assert (found.clock_mhz, found.cycles) == (plan.clock_mhz, plan.timing.total)
    root = ElementTree.fromstring(path.with_suffix(".hwh").read_bytes())
    cells = {module.get("INSTANCE") for module in root.iter("MODULE")}
    assert {"engine", "dma", "intc"} <= cells
    assert ("dma_weights" in cells) == streamed


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (board.make(small_plan(), tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".hwh").read_bytes() == second.with_suffix(".hwh").read_bytes()


def test_of_a_build_folder(tmp_path: Path, root: Path) -> None:
    build = tmp_path / "build"
    model = next((root / "tests" / "fixtures" / "digits").glob("*.onnx"))
    assert cli.run(["build", str(model), "--board", "pynq-z2", "--verify", "none", "--out", str(build), "-q"]) == 0
    path = board.make(build, tmp_path / "board")
    found = bitfile.read(path)
    assert found.program == (build / "program.bin").read_bytes()
    assert found.weights == (build / "weights.bin").read_bytes()
    assert found.clock_mhz == 100.0
    (build / "program.bin").write_bytes(b"other")
    with pytest.raises(InputError, match="program.bin: differs"):
        board.make(build, tmp_path / "board")


def test_what_is_refused(tmp_path: Path) -> None:
    good = bitfile.pack(bitfile._of_plan(small_plan()))
    other = bitfile._of_plan(small_plan())
    cases = {
        "not a bitstream of the simulated board": b"\0\x09" + os.urandom(100),
        "the checksum differs": good[:-1],
        "malformed .unknown family": bitfile.pack(replace(other, family="x", part="xc7z020clg400-1")),
        "malformed .absurd clock": bitfile.pack(replace(other, clock_mhz=float("nan"))),
        "malformed .array 9 x 4 x 8": good.replace(b'"pix": 2', b'"pix": 9'),
    }
    path = tmp_path / "squeeze_engine.bit"
    for message, content in cases.items():
        if message.endswith("x 8"):  # with a checksum that holds
            import hashlib

            start = content.find(bitfile.MAGIC)
            content = content[:-32] + hashlib.sha256(content[start:-32]).digest()
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            bitfile.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        bitfile.read(tmp_path / "absent.bit")
