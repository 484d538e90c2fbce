"""split_memory and ram_lut against a NumPy array: random writes and reads in every cycle."""

from __future__ import annotations

import os
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from tests.rtl.common import failure, parameters, random_generator, start

CYCLES = 4000


@cocotb.test()
async def reads_what_was_written(dut):
    p = parameters()
    depth, width = p["DEPTH"], p["WIDTH"]
    latency = int(os.environ["READ_LATENCY"])
    rng = random_generator()
    memory: dict[int, int] = {}
    contents = os.environ.get("CONTENTS")
    if contents:
        words = Path(contents).read_text(encoding="ascii").split()
        memory = {n: int(word, 16) for n, word in enumerate(words)}
    await start(dut, {"we": 0, "waddr": 0, "wdata": 0, "raddr": 0}, CYCLES + depth + 100)
    expected: list[tuple[int, int | None]] = []
    ends = [depth >> b << b for b in range(depth.bit_length())]
    edges = [a for end in ends for a in (end - 1, end) if 0 <= a < depth]
    for cycle in range(CYCLES):
        # Half of the addresses stand at the ends of a piece.
        waddr, raddr = (int(rng.choice(edges) if rng.random() < 0.5 else rng.integers(depth)) for _ in range(2))
        we = int(rng.random() < 0.7 and (waddr != raddr or latency == 0))
        wdata = int.from_bytes(rng.bytes(16), "little") & ((1 << width) - 1)
        dut.we.value, dut.waddr.value, dut.wdata.value, dut.raddr.value = we, waddr, wdata, raddr
        expected.append((raddr, memory.get(raddr)))
        await RisingEdge(dut.clk)  # values read here are those before the edge
        if len(expected) > latency:
            address, word = expected[-1 - latency]
            if word is not None and int(dut.rdata.value) != word:
                raise failure(f"cycle {cycle}: address {address} reads {int(dut.rdata.value):x}, not {word:x}")
        if we:
            memory[waddr] = wdata
    assert len(memory) > min(depth, CYCLES) // 4
