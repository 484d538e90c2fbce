"""Fixtures that every test may use."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE = re.compile(r"\[(\d+x\d+x\d+-(resident|streamed))\b")  # of a test's parameters


def pytest_configure() -> None:
    """Verilator's own library takes longer to compile than most modules: once for all tests that simulate RTL."""
    objects = Path(tempfile.gettempdir()) / f"squeeze-hls-rtl-{os.getuid()}" / "objects"
    command = [sys.executable, str(ROOT / "scripts" / "objcache.py"), str(objects)]
    os.environ.setdefault("OBJCACHE", shlex.join(command))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders whose tests compile C++, or simulate or synthesize RTL, belong to the stages of these names.

    Tests of one simulated engine run in one worker (pytest -n 2 --dist loadgroup), so that it is compiled once.
    """
    for item in items:
        folders = set(item.path.relative_to(ROOT / "tests").parts[:-1])
        if {"hls", "whole"} & folders:
            item.add_marker(pytest.mark.csim)
        if {"rtl", "synth"} & folders:
            item.add_marker(pytest.mark.rtl)
            if engine := ENGINE.search(item.nodeid):
                item.add_marker(pytest.mark.xdist_group(engine[1]))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the long campaigns run: ``scripts/test --all``."""
    return bool(os.environ.get("SQUEEZE_HLS_ALL"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Models and real pictures that are not part of this repository."""
    folder = Path(os.environ.get("SQUEEZE_HLS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set SQUEEZE_HLS_SHARED to the folder of shared models and pictures")
    return folder


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test depends on the user's colours or vendor tools."""
    for name in ("FORCE_COLOR", "XILINX_HLS", "CXX"):
        monkeypatch.delenv(name, raising=False)
    yield
