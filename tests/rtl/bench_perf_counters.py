"""cocotb bench of the performance counters against a model that counts the same cycles."""

from __future__ import annotations

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

SEED = cocotb.RANDOM_SEED
CASES = int(os.environ.get("CASES", "60"))
NAMES = ("total", "busy_cycles", "stall_weights", "stall_input", "stall_output")
LATENCY = 3  # cycles from frame_end to the outputs


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def frames(dut) -> None:
    """Frames of random length, also directly behind each other, some abandoned, and a reset between."""
    rng = random.Random(SEED)
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    inputs = dut.running, dut.busy, dut.wait_weights, dut.wait_input
    dut.rst.value = 1
    for signal in (*inputs, dut.frame_end, dut.frame_clear):
        signal.value = 0
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    completed = 0
    expected = [0] * len(NAMES)
    for case in range(CASES):
        abandoned = rng.random() < 0.2
        counts = [0] * len(NAMES)
        for cycle in range(length := rng.randint(1, 60)):
            values = [1, *(int(rng.random() < p) for p in (0.6, 0.3, 0.3))]
            for signal, value in zip(inputs, values, strict=True):
                signal.value = value
            dut.frame_end.value = int(not abandoned and cycle == length - 1)
            cause = next((i for i in (1, 2, 3) if values[i]), 4)
            counts[0] += 1
            counts[cause] += 1
            await RisingEdge(dut.clk)
        dut.frame_end.value = 0
        if abandoned:
            dut.running.value = 0
            dut.frame_clear.value = 1
            await RisingEdge(dut.clk)
            dut.frame_clear.value = 0
        else:
            completed, expected = completed + 1, counts
        if rng.random() < 0.5:  # else the next frame begins at once
            dut.running.value = 0
            for signal in inputs[1:]:
                signal.value = rng.randrange(2)
            for _ in range(LATENCY):
                await RisingEdge(dut.clk)
            got = [int(getattr(dut, name).value) for name in NAMES]
            what = f"seed {SEED}, frame {case}"
            assert got == expected, f"{what}: {dict(zip(NAMES, got, strict=True))}, expected {expected}"
            assert dut.frames.value == completed, f"{what}: {dut.frames.value} frames, expected {completed}"
            assert sum(got[1:]) == got[0]
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    assert all(int(getattr(dut, name).value) == 0 for name in (*NAMES, "frames"))
