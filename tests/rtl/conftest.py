"""Options of the RTL benches: waveforms, and RTL from elsewhere.  Give this folder, or a file in it, with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.rtl.runner import WAVEFORMS


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("RTL benches")
    group.addoption("--waves", action="store_true", help="leave a waveform of every bench, and say where")
    group.addoption("--rtl", type=Path, metavar="DIR", help="run the engine's bench on the .v and .sv files of DIR")
    group.addoption("--build", type=Path, metavar="DIR", help="the build folder that --rtl was made from")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--waves", False):
        os.environ["SQUEEZE_HLS_WAVES"] = "1"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for path in WAVEFORMS:
        terminalreporter.write_line(f"waveform: {path}")


@pytest.fixture
def exported(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Folders of --rtl and --build."""
    rtl, build = (request.config.getoption(name, None) for name in ("--rtl", "--build"))
    if rtl is None:
        pytest.skip("needs RTL from elsewhere: pytest tests/rtl/test_engine_cocotb.py --rtl DIR --build DIR")
    if build is None:
        pytest.fail("--rtl needs --build, the build folder that the RTL was made from", pytrace=False)
    return rtl, build
