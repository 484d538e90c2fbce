"""Fixtures that every test may use."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE = re.compile(r"\b\d+x\d+x\d+\b")  # the array, among a test's parameters
# What shares a compiled engine, a netlist or a network; the largest group runs first.
TOGETHER = {
    "tests/cli/test_simulate.py": "simulate",
    "tests/conformance/test_conformance.py::test_agrees[csim": "conformance",
    "tests/conformance/test_conformance.py::test_agrees[rtl": "2x4x8",
    "tests/rtl/test_engine.py": "whole networks",
    "tests/rtl/test_engine_cocotb.py": "cocotb",
    "tests/rtl/test_rtl_engine.py": "2x4x8",
    "tests/synth/": "synthesis",
    "tests/whole/": "whole networks",  # quantizing Deep Compression takes a minute
}


def pytest_configure() -> None:
    """What holds for every process of the tests, and for those that they start.

    A caller that ignores SIGINT (``nohup``, shells that start jobs in the background) hands that on to its children,
    and interruptions could not be tested.  Verilator's own library takes longer to compile than most modules: once for
    all tests that simulate RTL.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    objects = Path(tempfile.gettempdir()) / f"squeeze-hls-rtl-{os.getuid()}" / "objects"
    command = [sys.executable, str(ROOT / "scripts" / "objcache.py"), str(objects)]
    os.environ.setdefault("OBJCACHE", shlex.join(command))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders whose tests compile C++, or simulate or synthesize RTL, belong to the stages of these names."""
    for item in items:
        folders = set(item.path.relative_to(ROOT / "tests").parts[:-1])
        if {"hls", "whole"} & folders:
            item.add_marker(pytest.mark.csim)
        if {"rtl", "synth"} & folders:
            item.add_marker(pytest.mark.rtl)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n 2 --dist loadgroup one worker runs all tests of a group, so that nothing is compiled twice."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log)


def group(nodeid: str) -> str:
    """The name of a test's group; the test itself where it shares nothing."""
    if engine := ENGINE.search(nodeid):
        return engine[0]
    return next((name for path, name in TOGETHER.items() if nodeid.startswith(path)), nodeid)


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
