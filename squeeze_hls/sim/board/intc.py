"""The AXI interrupt controller (AMD PG099) with level-sensitive inputs, as PYNQ uses it."""

from __future__ import annotations

from collections.abc import Callable

from squeeze_hls.emit.block_design.design import INTC_REGISTERS

ENABLED, HARDWARE = 1, 2  # bits of MER
_NAMES = {offset: name for name, offset in INTC_REGISTERS.items()}


class InterruptController:
    """Registers over ``lines``, which gives the levels of the inputs, input 0 in bit 0.

    An input's bit in ISR stays until it is acknowledged, and is set again at once where the input is still high.
    """

    def __init__(self, lines: Callable[[], int]) -> None:
        self._lines = lines
        self._status = self._enable = self._master = 0

    @property
    def output(self) -> bool:
        """The level of its output."""
        return bool(self._master & ENABLED and self._sample() & self._enable)

    def _sample(self) -> int:
        if self._master & HARDWARE:
            self._status |= self._lines()
        return self._status

    def read(self, offset: int) -> int:
        name = _NAMES.get(offset)
        pending = self._sample() & self._enable
        if name == "IVR":
            return (pending & -pending).bit_length() - 1 & 0xFFFF_FFFF
        return {"ISR": self._status, "IPR": pending, "IER": self._enable, "MER": self._master}.get(name or "", 0)

    def write(self, offset: int, value: int) -> None:
        self._sample()
        match _NAMES.get(offset):
            case "ISR" if not self._master & HARDWARE:
                self._status |= value
            case "IER":
                self._enable = value
            case "IAR":
                self._status &= ~value
            case "SIE":
                self._enable |= value
            case "CIE":
                self._enable &= ~value
            case "MER":  # the hardware enable stays once it is set
                self._master = value & (ENABLED | HARDWARE) | self._master & HARDWARE
