"""What Yosys makes of the data path: DSP48E1 and block RAM exactly, LUTs and flip-flops within a bound."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="pyosys is not installed")


def synthesize(root, module: str, **parameters: int) -> dict:
    command = [sys.executable, str(root / "scripts" / "synth_module.py"), module]
    done = subprocess.run(
        [*command, *(f"{name}={value}" for name, value in parameters.items())],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_small_array_takes_half_a_dsp_a_product(root):
    assert synthesize(root, "mac_array", PIX=1, CIN=4, COUT=4)["dsp"] == 8


def test_requantizer_takes_one_dsp_a_lane(root):
    found = synthesize(root, "requantizer", CIN=4)
    assert found["dsp"] == 4
    assert found["lut"] <= 4 * 220 and found["ff"] <= 4 * 120, found


def test_memory_in_pieces_is_exact(root):
    assert synthesize(root, "split_memory", DEPTH=5120, WIDTH=72)["bram18"] == 20
    assert synthesize(root, "split_memory", DEPTH=5120, WIDTH=64)["bram18"] == 20


def test_whole_array_of_the_pynq(root, full):
    if not full:
        pytest.skip("a minute of synthesis; set SQUEEZE_HLS_ALL=1")
    found = synthesize(root, "mac_array", PIX=3, CIN=8, COUT=16)
    assert found["dsp"] == 192
    assert found["lut"] <= 2600 and found["ff"] <= 2800, found
