"""The processor's clock registers, which PYNQ writes with every overlay: memory with the values after boot."""

from __future__ import annotations

# Zynq-7000, SLCR, of a 50 MHz crystal: PLLs of 1300, 1050 and 1000 MHz; fabric clocks of 100 MHz from the last one.
_PLL = {"arm": 26, "ddr": 21, "io": 20}
ZYNQ = 0xF800_0000, {
    0x100: _PLL["arm"] << 12, 0x104: _PLL["ddr"] << 12, 0x108: _PLL["io"] << 12, 0x120: 2 << 8,
    **{0x170 + 0x10 * i: 1 << 20 | 10 << 8 for i in range(4)},
}  # fmt: skip
# Zynq UltraScale+, CRL_APB and CRF_APB, of 33.333 MHz: PLLs of 1500 MHz, halved from twice that.
_ULTRA_PLL = 1 << 16 | 90 << 8
CRL = 0xFF5E_0000, {
    0x20: _ULTRA_PLL, 0x30: _ULTRA_PLL, **{0xC0 + 4 * i: 1 << 24 | 1 << 16 | 15 << 8 for i in range(4)},
}  # fmt: skip
CRF = 0xFD1A_0000, {0x20: _ULTRA_PLL, 0x2C: _ULTRA_PLL, 0x38: _ULTRA_PLL, 0x60: 1 << 8}
SIZE = 0x1000


class ClockRegisters:
    """Registers of both families."""

    def __init__(self) -> None:
        self._values = {base + offset: value for base, table in (ZYNQ, CRL, CRF) for offset, value in table.items()}

    @staticmethod
    def holds(address: int) -> bool:
        return any(base <= address < base + SIZE for base, _ in (ZYNQ, CRL, CRF))

    def read(self, address: int) -> int:
        return self._values.get(address, 0)

    def write(self, address: int, value: int) -> None:
        self._values[address] = value

    def mhz(self, family: str) -> float:
        """What they make the first fabric clock of a family's processor."""
        if family == "zynq-7000":
            control = self.read(ZYNQ[0] + 0x170)
            source, shift = 50.0 * (self.read(ZYNQ[0] + 0x108) >> 12 & 127), 20
        else:
            control = self.read(CRL[0] + 0xC0)
            source, shift = 33.333 * (self.read(CRL[0] + 0x20) >> 8 & 127) / 2, 16
        return source / (max(control >> 8 & 63, 1) * max(control >> shift & 63, 1))
