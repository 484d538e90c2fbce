"""Accelerators on the simulated board: small networks, whole deploy folders, scripts in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.artifacts.bundle import Bundle, write_bundle
from squeeze_hls.driver import Accelerator
from squeeze_hls.emit import board_folder as deploy
from squeeze_hls.plan import Plan
from tests.board_sim.plans import small_plan
from tests.driver.conftest import deployed, expected, random_images

SEEDS = 11, 9
TIMEOUT = 0.5  # seconds on the board, those of the software among them
ROOT = Path(__file__).resolve().parents[2]


def plan_of(streamed: bool, which: int = 0) -> Plan:
    """One of two networks for the same engine."""
    return small_plan(SEEDS[which], streamed=streamed)


@cache
def _deploy(streamed: bool) -> Bundle:
    return deploy.emit(plan_of(streamed), name="a network")


def long_plan(streamed: bool) -> Plan:
    """A network for the same engine that computes for some time: 20,000 cycles, in which software waits."""
    return small_plan(1, streamed=streamed, small=False)


def folder_of(folder: Path, streamed: bool = False) -> Path:
    """A whole deploy folder with its bitstream, and other networks for it in ``other.sqz`` and ``long.sqz``."""
    from squeeze_hls.sim import board

    write_bundle(_deploy(streamed), folder)
    (folder / "other.sqz").write_bytes(deployed(plan_of(streamed, 1)))
    (folder / "long.sqz").write_bytes(deployed(long_plan(streamed)))
    board.make(plan_of(streamed), folder)
    return folder


def opened(folder: Path, timeout: float = TIMEOUT) -> Accelerator:
    return Accelerator(folder / "squeeze_engine.bit", timeout=timeout)


def check(accelerator: Accelerator, plan: Plan, count: int = 3, seed: int = 5) -> None:
    """Random pictures give the golden model's logits, which differ from picture to picture."""
    images = random_images(plan, count, seed)
    right = expected(plan, images)
    assert count == 1 or (right[0] != right[1]).any()
    np.testing.assert_array_equal(accelerator.run(images), right)


def run_script(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m squeeze_hls.sim.board SCRIPT``, in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "squeeze_hls.sim.board", script, *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment, check=False
    )


def needs_pynq() -> None:
    """Skip a module where PYNQ is not installed."""
    pytest.importorskip("pynq", reason="PYNQ is not installed in this environment", exc_type=ImportError)
