"""``squeeze-hls synth``: the report afterwards, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from squeeze_hls import cli
from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.synth.cells import count
from squeeze_hls.synth.logic_levels import Path as LogicPath
from squeeze_hls.synth.run import Synthesis
from squeeze_hls.synth.static_timing import TimingGraph
from tests.synth.test_cells import cell, module, register

DIGITS = Path(__file__).resolve().parent.parent / "fixtures" / "digits"
# Two registers with a LUT between, which takes 1.142 ns where every wire takes 0.45.
PATH = module(register(9, 2), cell("LUT1", I0=2, O=3), register(3, 4), names={"a.from": 2, "b.to": 4})
CELLS = {"DSP48E1": 200, "RAMB36E1": 50, "RAMB18E1": 1, "LUT6": 20_000, "RAM64M": 100, "FDRE": 13_000}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "digits"
    arguments = ["build", str(DIGITS / "digits.onnx"), "--calibration", str(DIGITS / "calibration"), "-q"]
    options = ["--preprocess", "torchvision", "--board", "pynq-z2", "--verify", "none", "--out", str(folder)]
    assert cli.run(arguments + options) == 0
    return folder


@pytest.fixture
def mine(built: Path, tmp_path: Path) -> Path:
    """A copy of the build that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "mine"))


@pytest.fixture
def yosys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthesis with a known outcome, at once."""

    def synthesized(engine: object, family: str, log: Path, **_: Any) -> Synthesis:
        log.write_text("Yosys was here\n")
        path = LogicPath(levels=2, start="a.b[1]", end="c D", cells=("LUT6", "CARRY4"))
        return Synthesis(
            tool="Yosys 0.70", family=family, cells=CELLS, count=count(CELLS), deepest=path, memories=(),
            timing=TimingGraph(PATH) if family == "xc7" else None,
        )  # fmt: skip

    monkeypatch.setattr("squeeze_hls.flows.synth.synthesize_engine", synthesized)


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def refused(capfd: pytest.CaptureFixture[str], code: int, folder: Path, *words: str) -> None:
    """One line of error, with ``words`` in it."""
    capfd.readouterr()
    assert cli.run(["synth", str(folder)]) == code
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1, (out, err)
    for word in words:
        assert word in err, err


def test_the_report_afterwards(mine: Path, root: Path, yosys: None, capfd: pytest.CaptureFixture[str]) -> None:
    before = report_of(mine)
    capfd.readouterr()
    assert cli.run(["synth", str(mine), "--json"]) == 0
    report = report_of(mine)
    assert json.loads(capfd.readouterr().out) == report
    jsonschema.validate(report, json.loads((root / "docs" / "report.schema.json").read_text()))
    for name, used in (("dsp", 200), ("bram36", 51), ("lut", 20_400), ("ff", 13_000), ("uram", 0)):
        entry, planned = report["resources"][name], before["resources"][name]
        assert (entry["used"], entry["source"]) == (used, "synthesized")
        assert entry["estimate"] == planned["used"] and entry["available"] == planned["available"]
    assert report["resources_hls"] == before["resources_hls"] == before["resources"]
    assert report["synthesis"]["family"] == "xc7"
    assert report["synthesis"]["deepest_path"] == {
        "levels": 2, "start": "a.b[1]", "end": "c D", "cells": ["LUT6", "CARRY4"],
    }  # fmt: skip
    assert report["tools"]["yosys"] == "0.70"
    changed = {key for key in report if report[key] != before.get(key)}
    assert changed == {"resources", "synthesis", "timing", "tools"}
    timing = report["timing"]
    assert (timing["clock_mhz"], timing["uncertainty_ns"], timing["source"]) == (100, 0.3, "estimate")
    assert [m["name"] for m in timing["models"]] == ["flat45", "opt", "mix"]
    assert timing["models"][0]["worst_ns"] == 1.14 and timing["models"][0]["failing_endpoints"] == 0
    assert timing["models"][0]["fmax_mhz"] == round(1000 / (1.142 + 0.3), 1)
    (path,) = timing["paths"]
    assert (path["start"], path["end"], path["levels"], path["module"]) == ("a.from", "b.to", 1, "b")
    assert (mine / "synth" / "yosys.log").read_text() == "Yosys was here\n"
    open_build(mine)  # still whole
    assert cli.run(["synth", str(mine), "-q"]) == 0
    assert report_of(mine) == report


def test_for_people(mine: Path, yosys: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["synth", str(mine)]) == 0
    out = capfd.readouterr().out
    assert "deepest path: 2 logic levels, from a.b[1] to c D" in out
    assert "a.from" in out and "flat45" in out and "it is not implemented" in " ".join(out.split())
    row = next(line for line in out.splitlines() if line.startswith("LUT"))
    estimate = report_of(mine)["resources"]["lut"]["estimate"]
    assert row.split() == ["LUT", "20,400", f"{estimate:,}", "48,200"]


def test_without_yosys(mine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("squeeze_hls.tools.package_dir", lambda name: None)
    refused(capfd, 4, mine, "pip install 'squeeze-hls[synth]'")


def test_yosys_fails(mine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object, **__: object) -> Synthesis:
        raise ToolFailedError("Yosys: it fell over")

    monkeypatch.setattr("squeeze_hls.flows.synth.synthesize_engine", fails)
    before = (mine / "report.json").read_bytes()
    refused(capfd, 5, mine, "it fell over")
    assert (mine / "report.json").read_bytes() == before


def test_what_is_no_build(mine: Path, tmp_path: Path, yosys: None, capfd: pytest.CaptureFixture[str]) -> None:
    refused(capfd, 2, tmp_path / "absent", "no such build folder")
    (mine / "weights.bin").write_bytes(b"other")
    refused(capfd, 2, mine, "weights.bin", "build again")


def test_links_are_not_followed(mine: Path, tmp_path: Path, yosys: None, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs").mkdir()
    (mine / "synth").symlink_to(tmp_path / "theirs")
    refused(capfd, 2, mine, "symbolic link")
    assert list((tmp_path / "theirs").iterdir()) == []
    (mine / "synth").unlink()
    (mine / "synth").mkdir()
    (tmp_path / "precious").write_text("precious")
    (mine / "synth" / "yosys.log").symlink_to(tmp_path / "precious")
    assert cli.run(["synth", str(mine), "-q"]) == 0
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize(
    "change",
    [
        {"resources": None},
        {"resources": {"dsp": {"available": -1}}},
        {"resources": {"dsp": {"available": "many"}}},
        {"tools": [1]},
        {"board": "pynq-z2"},
        {"board": {"part": "\x1b[2J"}},
    ],
)
def test_reports_that_are_none(
    mine: Path, change: dict[str, Any], yosys: None, capfd: pytest.CaptureFixture[str]
) -> None:
    (mine / "report.json").write_text(json.dumps(report_of(mine) | change))
    refused(capfd, 2, mine)
