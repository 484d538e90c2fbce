"""Runs the emitted Tcl under tclsh, with Vivado and Vitis HLS faked (vendor.tcl)."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from squeeze_hls import tools

HERE = Path(__file__).parent
SECONDS = 60


def tclsh() -> list[str]:
    """What runs a Tcl script: tclsh, else Python's own Tcl; or skip."""
    found = tools.find_program("tclsh")
    if found is not None:
        return [str(found)]
    if importlib.util.find_spec("_tkinter") is None:
        pytest.skip("no Tcl: install Debian's tcl, or python3-tk")
    return [sys.executable, str(HERE / "tclsh.py")]


def run_tcl(script: Path, env: Mapping[str, str] | None = None, *, fails: str | None = None) -> list[list[str]]:
    """The vendor commands that a script calls, as words.  ``fails`` is what its error must hold."""
    record = script.parent / "calls.txt"
    record.unlink(missing_ok=True)
    done = subprocess.run(
        [*tclsh(), str(HERE / "vendor.tcl"), str(script), str(record)],
        cwd=script.parent,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    output = done.stdout + done.stderr
    if fails is None:
        assert done.returncode == 0, output
    else:
        assert done.returncode == 1 and fails in output, output
    return [line.split("\x1f") for line in record.read_text().splitlines()]


def properties(calls: list[list[str]]) -> dict[str, dict[str, str]]:
    """Settings by cell."""
    found: dict[str, dict[str, str]] = {}
    for call in calls:
        if call[:2] == ["set_property", "-dict"]:
            words = tcl_list(call[2])
            pairs = zip(words[::2], words[1::2], strict=True)
            found[call[3].removeprefix("cell:")] = {name.removeprefix("CONFIG."): value for name, value in pairs}
    return found


def tcl_list(text: str) -> list[str]:
    """Words of a Tcl list whose braces are not nested."""
    words = []
    for number, part in enumerate(text.replace("}", "{").split("{")):
        words += [part] if number % 2 else part.split()
    return words
