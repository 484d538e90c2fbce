"""cocotb bench of the register slice: order, latency, throughput, capacity, reset."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tests.rtl.common import failure, parameters, random_generator, start

WIDTH = parameters()["WIDTH"]
CYCLES = 6000


@cocotb.test()
async def beats(dut: Any) -> None:
    """As a queue of two beats: offered in the cycle after the first was taken, and one a cycle."""
    await start(dut, dict.fromkeys(("in_data", "in_valid", "out_ready"), 0), CYCLES + 100)
    await RisingEdge(dut.clk)
    rng = random_generator()
    held: deque[int] = deque()
    beat: int | None = None
    idle, pressure, free = 0.0, 0.0, True
    for cycle in range(CYCLES):
        if cycle % 200 == 0:
            idle, pressure = (float(rng.choice([0, 0.3, 0.8])) for _ in range(2))
        if beat is None and rng.random() >= idle:
            beat = int.from_bytes(rng.bytes(WIDTH // 8 + 1), "little") & (1 << WIDTH) - 1
        ready, reset = bool(rng.random() >= pressure), bool(rng.random() < 0.005)
        dut.in_valid.value, dut.in_data.value = int(beat is not None), beat or 0
        dut.out_ready.value, dut.rst.value = int(ready), int(reset)
        await RisingEdge(dut.clk)
        if bool(dut.out_valid.value) != bool(held):
            raise failure(f"cycle {cycle}: out_valid is {dut.out_valid.value} with {len(held)} beats inside")
        if held and dut.out_data.value != held[0]:
            raise failure(f"cycle {cycle}: {int(dut.out_data.value):x} comes out, expected {held[0]:x}")
        if bool(dut.in_ready.value) != free:
            raise failure(f"cycle {cycle}: in_ready is {dut.in_ready.value} with {len(held)} beats inside")
        if beat is not None and free:
            held.append(beat)
            beat = None
        if ready and held and dut.out_valid.value:
            held.popleft()
        free = len(held) < 2
        if reset:
            held.clear()
            free = False
