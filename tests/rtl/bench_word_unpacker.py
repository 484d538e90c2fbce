"""cocotb bench of the gearbox from 64-bit beats to 72-bit words: random pauses on both sides, and clears."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tests.rtl.common import failure, random_generator, start

CYCLES = 6000


@cocotb.test()
async def words_of_bytes(dut: Any) -> None:
    """Every word, one cycle behind the beat with its last byte; the phase."""
    await start(dut, dict.fromkeys(("clear", "in_data", "in_valid", "out_ready"), 0), CYCLES + 100)
    rng = random_generator()
    data, taken, words = b"", 0, 0  # bytes taken since the last clear, beats, words that left
    beat: bytes | None = None
    idle, pressure = 0.0, 0.0
    for cycle in range(CYCLES):
        if cycle % 200 == 0:
            idle, pressure = (float(rng.choice([0, 0.3, 0.8])) for _ in range(2))
        if beat is None and rng.random() >= idle:
            beat = rng.bytes(8)
        ready, clear = bool(rng.random() >= pressure), bool(rng.random() < 0.01)
        dut.in_valid.value, dut.in_data.value = int(beat is not None), int.from_bytes(beat or rng.bytes(8), "little")
        dut.out_ready.value, dut.clear.value = int(ready), int(clear)
        await RisingEdge(dut.clk)
        due = len(data) // 9  # words whose bytes are all there
        if bool(dut.out_valid.value) != (words < due):
            raise failure(f"cycle {cycle}: {words} of {due} words left, out_valid is {dut.out_valid.value}")
        if bool(dut.in_ready.value) != (words == due or ready):
            raise failure(f"cycle {cycle}: in_ready is {dut.in_ready.value}")
        if dut.phase.value != taken % 9:
            raise failure(f"cycle {cycle}: phase {int(dut.phase.value)} after {taken} beats")
        if words < due:
            expected = int.from_bytes(data[9 * words : 9 * words + 9], "little")
            if dut.out_data.value != expected:
                raise failure(f"cycle {cycle}: word {words} is {int(dut.out_data.value):018x}, not {expected:018x}")
            words += ready
        if beat is not None and dut.in_ready.value:
            data, taken, beat = data + beat, taken + 1, None
        if clear:
            data, taken, words = b"", 0, 0
