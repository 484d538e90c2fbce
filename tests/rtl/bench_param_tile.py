"""cocotb bench of the records of the last four tiles: written one at a time, read a word of CIN at once."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tests.rtl.common import failure, parameters, random_generator, start, unpack

PARAMETERS = parameters()
CIN, COUT = PARAMETERS["CIN"], PARAMETERS["COUT"]
CYCLES = 5000
WIDTHS = {"bias": 24, "multiplier": 16, "offset": 4}  # from bit 0 of a record on


@cocotb.test()
async def records(dut: Any) -> None:
    rng = random_generator()
    names = ("rw_valid", "rw_slot", "rw_half", "rw_channel", "rw_data", "rw_shift", "slot", "half", "word")
    await start(dut, dict.fromkeys(names, 0), CYCLES + 100)
    written: dict[tuple[int, int, int], int] = {}  # (slot, half, channel)
    shifts: dict[tuple[int, int], int] = {}
    checked = 0
    for cycle in range(CYCLES):
        slot, half = int(rng.integers(4)), int(rng.integers(2))
        channel, data, shift = int(rng.integers(COUT)), int(rng.integers(1 << 44)), int(rng.integers(64))
        valid = bool(rng.random() < 0.9)
        dut.rw_valid.value, dut.rw_slot.value, dut.rw_half.value = int(valid), slot, half
        dut.rw_channel.value, dut.rw_data.value, dut.rw_shift.value = channel, data, shift
        read_slot, read_half, word = (int(rng.integers(n)) for n in (4, 2, COUT // CIN))
        dut.slot.value, dut.half.value, dut.word.value = read_slot, read_half, word
        await RisingEdge(dut.clk)
        where = f"cycle {cycle}: slot {read_slot}, half {read_half}"
        got = {name: unpack(int(getattr(dut, name).value), CIN, bits).tolist() for name, bits in WIDTHS.items()}
        for lane in range(CIN):
            record = written.get((read_slot, read_half, word * CIN + lane))
            if record is None:
                continue
            low = 0
            for name, bits in WIDTHS.items():
                expected = record >> low & (1 << bits) - 1
                low += bits
                if got[name][lane] != expected:
                    raise failure(f"{where}, channel {word * CIN + lane}: {name} {got[name][lane]:x}, not {expected:x}")
            checked += 1
        expected = shifts.get((read_slot, read_half))
        if expected is not None and dut.shift.value != expected:
            raise failure(f"{where}: shift {int(dut.shift.value)}, expected {expected}")
        if valid:
            written[slot, half, channel] = data
            shifts[slot, half] = shift
    assert checked > CYCLES
