"""cocotb bench of the requantization records' memory: writes of section 3 alone, a read in every cycle."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tests.rtl.common import failure, parameters, random_generator, start

DEPTH = parameters()["PARAM_DEPTH"]
CYCLES = 4000
LATENCY = 2
BITS = 44


@cocotb.test()
async def records(dut: Any) -> None:
    rng = random_generator()
    names = ("pw_valid", "pw_section", "pw_index", "pw_data", "raddr")
    await start(dut, dict.fromkeys(names, 0), CYCLES + 100)
    memory: dict[int, int] = {}
    reads: list[tuple[int, int | None]] = []
    for cycle in range(CYCLES):
        write, read = (int(v) for v in rng.integers(DEPTH, size=2))
        section, data = int(rng.choice([0, 1, 2, 3, 3, 3])), int.from_bytes(rng.bytes(8), "little")
        valid = bool(rng.random() < 0.8) and write != read
        dut.pw_valid.value, dut.pw_section.value, dut.pw_index.value, dut.pw_data.value = (
            int(valid),
            section,
            write,
            data,
        )
        dut.raddr.value = read
        reads.append((read, memory.get(read)))
        await RisingEdge(dut.clk)
        if len(reads) > LATENCY:
            address, expected = reads[-1 - LATENCY]
            if expected is not None and dut.rdata.value != expected:
                raise failure(f"cycle {cycle}: record {address} reads {int(dut.rdata.value):x}, not {expected:x}")
        if valid and section == 3:
            memory[write] = data & (1 << BITS) - 1
    assert len(memory) > DEPTH // 4
