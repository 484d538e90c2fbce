"""A small build, and folders with faked tools of the vendor."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from squeeze_hls import cli
from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.bitstream.project import make_project
from squeeze_hls.emit.block_design.hwh import handoff
from squeeze_hls.progress import SILENT
from tests.vendor.tcl import HERE, tclsh

DIGITS = HERE.parent / "fixtures" / "digits"
SYSTEM = "/usr/bin:/bin"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vendor") / "digits"
    arguments = ["build", str(DIGITS / "digits.onnx"), "--calibration", str(DIGITS / "calibration"), "-q"]
    options = ["--preprocess", "torchvision", "--board", "pynq-z2", "--verify", "none", "--out", str(folder)]
    assert cli.run(arguments + options) == 0
    return folder


@pytest.fixture(scope="session")
def handoff_file(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such as Vivado writes for the build."""
    path = tmp_path_factory.mktemp("handoff") / "system.hwh"
    path.write_bytes(handoff(make_project(open_build(built), "rtl", None, SILENT).design))
    return path


@pytest.fixture
def mine(built: Path, tmp_path: Path) -> Path:
    """A copy of the build that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "mine"))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> Result:
        """One line of error, with ``words`` in it."""
        assert self.code == code, self
        assert self.err.startswith("error: ") and self.err.count("\n") == 1, self.err
        assert self.err.strip().isprintable()
        for word in words:
            assert word in self.err, (word, self.err)
        return self


@dataclass(frozen=True)
class Tools:
    """Faked tools and what they were called with."""

    folder: Path
    patch: pytest.MonkeyPatch
    run: Callable[..., Result]

    def install(self, *names: str) -> None:
        for name in names:
            link = self.folder / name
            mock = shlex.quote(str(HERE / "mock_tool.py"))
            link.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {mock} {name} "$@"\n')
            link.chmod(0o755)

    def fake(self, **values: str) -> None:
        """Set or, where empty, unset FAKE_ variables."""
        for name, value in values.items():
            self.patch.setenv(f"FAKE_{name}", value)

    @property
    def calls(self) -> list[dict[str, Any]]:
        path = self.folder / "calls.json"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def steps(self) -> list[str]:
        """Steps that were run, in order."""
        return ["hls" if call["tool"] != "vivado" else call["SQUEEZE_STEPS"] for call in self.calls]

    def forget(self) -> None:
        (self.folder / "calls.json").unlink(missing_ok=True)


@pytest.fixture
def tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handoff_file: Path, capfd: pytest.CaptureFixture[str]
) -> Tools:
    """None is installed at first; the user's cache is the test's."""
    tclsh()
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{SYSTEM}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_CALLS", str(folder / "calls.json"))
    monkeypatch.setenv("FAKE_HWH", str(handoff_file))

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        code = cli.run(["bitstream", *map(str, arguments)])
        return Result(code, *capfd.readouterr())

    return Tools(folder, monkeypatch, run)


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())
