"""The models of the board without PYNQ: interrupt controller, memory, clocks."""

from __future__ import annotations

import pytest

from squeeze_hls.emit.block_design.design import INTC_REGISTERS as R
from squeeze_hls.sim.board.clocks import CRL, ZYNQ, ClockRegisters
from squeeze_hls.sim.board.dram import FIRST, PAGE, Memory
from squeeze_hls.sim.board.intc import InterruptController


class Lines:
    """Interrupt inputs, and the controller on them."""

    def __init__(self) -> None:
        self.levels = 0
        self.intc = InterruptController(lambda: self.levels)

    def read(self, name: str) -> int:
        return self.intc.read(R[name])

    def write(self, name: str, value: int) -> None:
        self.intc.write(R[name], value)


def enabled(mask: int) -> Lines:
    lines = Lines()
    lines.write("SIE", mask)
    lines.write("MER", 3)
    return lines


def test_inputs_are_latched_enabled_and_acknowledged() -> None:
    lines = enabled(0b110)
    assert not lines.intc.output
    lines.levels = 0b011
    assert lines.intc.output
    assert (lines.read("ISR"), lines.read("IPR"), lines.read("IER"), lines.read("IVR")) == (0b011, 0b010, 0b110, 1)
    lines.levels = 0
    assert lines.intc.output, "it stays until it is acknowledged"
    lines.write("IAR", 0b010)
    assert not lines.intc.output
    assert (lines.read("ISR"), lines.read("IPR"), lines.read("IVR")) == (0b001, 0, 0xFFFF_FFFF)


def test_a_level_that_stays_is_latched_again() -> None:
    lines = enabled(1)
    lines.levels = 1
    lines.write("IAR", 1)
    assert lines.read("ISR") == 1


def test_enables_are_set_and_cleared_by_bits() -> None:
    lines = enabled(0b1001)
    lines.write("SIE", 0b0010)
    assert lines.read("IER") == 0b1011
    lines.write("CIE", 0b1001)
    assert lines.read("IER") == 0b0010
    lines.write("IER", 0b0100)
    assert lines.read("IER") == 0b0100


def test_master_enables() -> None:
    lines = Lines()
    lines.write("IER", 1)
    lines.levels = 1
    assert lines.read("ISR") == 0, "inputs are not looked at before the hardware enable"
    lines.write("ISR", 1)  # by software, until then
    assert lines.read("IPR") == 1
    assert not lines.intc.output
    lines.write("MER", 1)
    assert lines.intc.output
    lines.levels = 0
    lines.write("MER", 2)
    assert not lines.intc.output
    lines.write("MER", 0)
    assert lines.read("MER") == 2, "the hardware enable stays"
    lines.write("ISR", 0b100)
    assert lines.read("ISR") == 1


def test_memory() -> None:
    memory = Memory()
    first, second = memory.allocate(100), memory.allocate(PAGE)
    assert first == FIRST
    assert second % PAGE == 0
    assert second >= first + 100 + PAGE
    memory.view(first + 50, 50)[:] = 1
    assert int(memory.view(first, 100).sum()) == 50 * 0xE7 + 50
    for address, size in ((first - 1, 1), (first + 50, 51), (first + 100, 1), (second, PAGE + 1)):
        with pytest.raises(LookupError):
            memory.view(address, size)
    third = memory.allocate(100)
    memory.free(second)
    assert memory.allocate(3 * PAGE) > third, "the gap is too small"
    assert memory.allocate(PAGE) == second
    with pytest.raises(LookupError):
        memory.free(first + 1)
    with pytest.raises(MemoryError, match="no 268,435,456 contiguous bytes"):
        memory.allocate(2**28)


def test_clocks() -> None:
    clocks = ClockRegisters()
    assert clocks.mhz("zynq-7000") == 100.0
    assert clocks.mhz("zynq-ultrascale+") == pytest.approx(100, abs=0.01)
    clocks.write(ZYNQ[0] + 0x170, 2 << 20 | 10 << 8)
    clocks.write(CRL[0] + 0xC0, 1 << 16 | 5 << 8)
    assert clocks.mhz("zynq-7000") == 50.0
    assert clocks.mhz("zynq-ultrascale+") == pytest.approx(300, abs=0.01)
    assert clocks.holds(ZYNQ[0] + 0x170)
    assert not clocks.holds(0x43C0_0000)
