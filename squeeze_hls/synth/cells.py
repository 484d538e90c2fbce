"""Cells of AMD's parts: what each counts as, and where combinational paths begin, pass and end in it.

The names are those of Yosys' netlists for 7 series (xc7) and UltraScale+ (xcup); see AMD UG953 and UG974.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Bit = int | str  # a number names a net; "0", "1" and "x" are constants


class Arc(NamedTuple):
    """From an input to an output that follows it without a clock edge."""

    source: Bit
    port: str
    number: int  # of the bit in its port
    target: Bit
    output: str
    output_number: int


# LUT sites of a cell.  MUXF and CARRY have sites of their own; an inverter is a LUT unless the placer finds better.
LUTS = {
    "INV": 1, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1S": 2, "RAM256X1S": 4,
    "RAM128X1D": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8,
} | {f"LUT{n}": 1 for n in range(1, 7)}  # fmt: skip
FLIP_FLOPS = frozenset({"FDRE", "FDSE", "FDCE", "FDPE"})
DSPS = frozenset({"DSP48E1", "DSP48E2"})
BLOCK_RAMS = {"RAMB36E1": 2, "RAMB18E1": 1, "RAMB36E2": 2, "RAMB18E2": 1}  # in RAMB18
ULTRA_RAMS = frozenset({"URAM288", "URAM288_BASE"})
# Neither logic nor registers: clock and pin buffers, constants, and Yosys' notes on the hierarchy.
IGNORED = frozenset({"BUFG", "IBUF", "OBUF", "VCC", "GND", "$scopeinfo"})

GATES = re.compile(r"LUT[1-6]|INV|MUXF[789]")
_CARRIES = frozenset({"CARRY4", "CARRY8"})
CLOCKS = frozenset({"C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"})
# Registers of a DSP48 between an input and P: with all of them 0 the path is combinational.
_DSP_STAGES = {
    "A": ("AREG", "ADREG", "MREG", "PREG"), "ACIN": ("AREG", "ADREG", "MREG", "PREG"),
    "D": ("DREG", "ADREG", "MREG", "PREG"), "B": ("BREG", "MREG", "PREG"), "BCIN": ("BREG", "MREG", "PREG"),
    "C": ("CREG", "PREG"), "PCIN": ("PREG",), "CARRYIN": ("CARRYINREG", "PREG"), "OPMODE": ("OPMODEREG", "PREG"),
    "ALUMODE": ("ALUMODEREG", "PREG"), "CARRYINSEL": ("CARRYINSELREG", "PREG"), "INMODE": ("INMODEREG", "MREG", "PREG"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Count:
    """What a netlist takes."""

    dsp: int
    bram18: int  # halves of a BRAM36
    uram: int
    lut: int
    ff: int

    @property
    def bram36(self) -> int:
        """Whole blocks: two halves share one."""
        return -(-self.bram18 // 2)


def count(cells: Mapping[str, int]) -> Count:
    """Resources of cells by type; ValueError for a type that is not known, since it might cost something."""
    for kind in cells:
        if not _known(kind):
            raise ValueError(f"cell {kind} is not known")
    return Count(
        dsp=sum(cells.get(kind, 0) for kind in DSPS),
        bram18=sum(halves * cells.get(kind, 0) for kind, halves in BLOCK_RAMS.items()),
        uram=sum(cells.get(kind, 0) for kind in ULTRA_RAMS),
        lut=sum(luts * cells.get(kind, 0) for kind, luts in LUTS.items()),
        ff=sum(cells.get(kind, 0) for kind in FLIP_FLOPS),
    )


def _known(kind: str) -> bool:
    groups = (LUTS, FLIP_FLOPS, DSPS, BLOCK_RAMS, ULTRA_RAMS, IGNORED, _CARRIES)
    return any(kind in group for group in groups) or GATES.fullmatch(kind) is not None


def arcs(cell: Mapping[str, Any]) -> Iterator[Arc]:
    """Every combinational way through a cell of a JSON netlist, from nets alone: constants begin no path."""
    return (arc for arc in _all_arcs(cell) if isinstance(arc.source, int))


def _all_arcs(cell: Mapping[str, Any]) -> Iterator[Arc]:
    kind, pins = cell["type"], cell["connections"]
    if GATES.fullmatch(kind):
        yield from (arc for port in pins if port != "O" for arc in _between(pins, port, "O"))
    elif kind in _CARRIES:
        yield from _carry_arcs(pins)
    elif kind in DSPS:
        yield from _dsp_arcs(cell)
    elif kind in LUTS:
        yield from _memory_arcs(pins)


def _between(pins: Mapping[str, list[Bit]], port: str, output: str) -> Iterator[Arc]:
    """From every bit of one port to every bit of another."""
    for index, source in enumerate(pins.get(port, ())):
        for number, target in enumerate(pins.get(output, ())):
            yield Arc(source, port, index, target, output, number)


def ends(cell: Mapping[str, Any]) -> Iterator[tuple[str, Bit]]:
    """Ports and bits of a cell whose value a clock edge takes."""
    kind = cell["type"]
    if kind in IGNORED or kind in _CARRIES or GATES.fullmatch(kind):
        return
    through = {arc.source for arc in _dsp_arcs(cell)} if kind in DSPS else set()
    for port, direction in cell["port_directions"].items():
        if direction == "input" and port not in CLOCKS:
            yield from ((port, bit) for bit in cell["connections"].get(port, ()) if bit not in through)


def _carry_arcs(pins: Mapping[str, list[Bit]]) -> Iterator[Arc]:
    """A carry runs upwards: operand bit k reaches the sums and carries from k on."""
    for output in ("O", "CO"):
        for port in ("DI", "S"):
            yield from (arc for arc in _between(pins, port, output) if _upwards(arc))
        for port in ("CI", "CYINIT", "CI_TOP"):
            yield from (a for a in _between(pins, port, output) if port != "CI_TOP" or a.output_number >= 4)


def _upwards(arc: Arc) -> bool:
    """Whether a carry takes this way; an operand's DI is not in the sum of its own bit, which takes S."""
    return arc.output_number >= arc.number + (arc.port == "DI" and arc.output == "O")


def _memory_arcs(pins: Mapping[str, list[Bit]]) -> Iterator[Arc]:
    """Distributed RAM and shift registers: each read address to its own output."""
    for port in pins:
        if port.startswith("ADDR"):
            outputs = [f"DO{port[4:]}"]  # ADDRA reads DOA
        elif port.startswith("DPRA"):
            outputs = ["DPO"]
        elif re.fullmatch(r"A\d*", port):
            outputs = ["O", "SPO", "Q", "Q15", "Q31"]
        else:
            continue
        yield from (arc for output in outputs for arc in _between(pins, port, output))


def _dsp_arcs(cell: Mapping[str, Any]) -> Iterator[Arc]:
    pins = cell["connections"]
    for port, stages in _DSP_STAGES.items():
        if not any(parameter(cell, stage, 0) for stage in stages):
            for output in ("P", "PCOUT", "CARRYOUT", "PATTERNDETECT"):
                yield from _between(pins, port, output)


def parameter(cell: Mapping[str, Any], name: str, default: int) -> int:
    """A parameter that is a number, which Yosys writes in binary digits."""
    value = cell["parameters"].get(name, default)
    return value if isinstance(value, int) else int(value, 2)
