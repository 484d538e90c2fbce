"""Delays of 7 series cells in one table, in nanoseconds, for speed grade -1.

Source: the SDF files of Project X-Ray's database (prjxray-db, zynq7/timings), the largest of the slow corner and of the
slices with and without distributed RAM; clock-to-output times include what a slice puts between flip-flop and pin.
For speed grade -2 all are scaled: in AMD's data sheets of these families (DS181, DS187: block RAM clock-to-output
2.13 against 2.46 ns, flip-flop 0.44 against 0.53, LUT 0.11 against 0.13) the ratio is 0.83 to 0.87.
AMD publishes no delays of single cells for UltraScale+, and so there is no table for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from squeeze_hls.synth.cells import FLIP_FLOPS, GATES, Arc, Bit, arcs, ends, parameter

GRADES = {"-1": 1.0, "-2": 0.87, "-3": 0.87}  # of the delays for -1; nothing is claimed of what -3 gains over -2

LUT = 0.124
MUXES = {"MUXF7": {"I0": 0.217, "I1": 0.225, "S": 0.314}, "MUXF8": {"I0": 0.104, "I1": 0.098, "S": 0.283}}
# CARRY4, from input bit (rows) to output bit (columns); a carry runs upwards only.
CARRY = {
    ("S", "CO"): ((0.340, 0.433, 0.512, 0.508), (0, 0.469, 0.548, 0.528), (0, 0, 0.292, 0.376), (0, 0, 0, 0.380)),
    ("S", "O"): ((0.223, 0.400, 0.523, 0.582), (0, 0.205, 0.558, 0.618), (0, 0, 0.226, 0.330), (0, 0, 0, 0.227)),
    ("DI", "CO"): ((0.379, 0.465, 0.540, 0.526), (0, 0.445, 0.520, 0.507), (0, 0, 0.379, 0.390), (0, 0, 0, 0.396)),
    ("DI", "O"): ((0, 0.407, 0.556, 0.615), (0, 0, 0.537, 0.596), (0, 0, 0, 0.450), (0, 0, 0, 0)),
    ("CI", "CO"): ((0.271, 0.157, 0.228, 0.114),),
    ("CI", "O"): ((0.222, 0.334, 0.239, 0.313),),
    ("CYINIT", "CO"): ((0.536, 0.494, 0.592, 0.580),),
    ("CYINIT", "O"): ((0.482, 0.598, 0.584, 0.642),),
}
READ = {"RAM32M": 0.156}  # of distributed RAM, from an address; others as a LUT
FLIP_FLOP_OUT = 0.518
RAM_OUT = 1.344  # of distributed RAM, after a write
SHIFT_OUT = 1.628
BLOCK_OUT, BLOCK_OUT_REGISTERED = 2.454, 0.882
DSP_OUT = {"PREG": {"P": 0.434, "PCOUT": 0.478}, "MREG": {"P": 1.655, "PCOUT": 1.850}, "": {"P": 3.684, "PCOUT": 3.879}}
DSP_THROUGH = 4.5  # without any register

FLIP_FLOP_SETUP = {"D": 0.05, "CE": 0.205}  # others: reset and set
RESET_SETUP = 0.524
RAM_SETUP = {"D": 0.453, "WE": 0.654, "A": 0.36}
SHIFT_SETUP = {"D": 0.173, "CE": 0.638}
BLOCK_SETUP = {"ADDR": 0.566, "WE": 0.532, "EN": 0.443, "DI": 0.737, "REGCE": 0.36}
BLOCK_OTHER = 0.45
# A DSP48's inputs, by the first register on their way.
DSP_SETUP = {
    "A": {"AREG": 0.362, "ADREG": 1.756, "MREG": 1.928, "PREG": 4.5}, "A after the pre-adder": 3.288,
    "B": {"BREG": 0.450, "MREG": 1.743, "PREG": 4.2}, "C": {"CREG": 0.233, "PREG": 1.701},
    "D": {"DREG": 0.413, "ADREG": 1.626, "MREG": 3.158, "PREG": 4.5}, "PCIN": {"PREG": 1.400},
}  # fmt: skip
DSP_OTHER = 0.55

# Wires inside a slice or a column: they take no routing.
_OWN_WIRE = ("PCOUT", "ACOUT", "BCOUT")


class Start(NamedTuple):
    """An output that changes after a clock edge."""

    bit: Bit
    port: str
    delay: float


class End(NamedTuple):
    """An input that must be stable before a clock edge."""

    bit: Bit
    port: str
    setup: float


def starts(cell: Mapping[str, Any]) -> Iterator[Start]:
    """Outputs of registers and memories, with the time from the clock edge."""
    kind = cell["type"]
    if GATES.fullmatch(kind) or kind == "CARRY4":
        return
    for port, direction in cell["port_directions"].items():
        if direction == "output":
            delay = _clock_to_output(cell, kind, port)
            yield from (Start(bit, port, delay) for bit in cell["connections"].get(port, ()) if isinstance(bit, int))


def _clock_to_output(cell: Mapping[str, Any], kind: str, port: str) -> float:
    if kind in FLIP_FLOPS:
        return FLIP_FLOP_OUT
    if kind.startswith("SRL"):
        return SHIFT_OUT
    if kind.startswith("RAMB"):
        side = "DOA_REG" if port in ("DOADO", "DOPADOP") else "DOB_REG"
        return BLOCK_OUT_REGISTERED if parameter(cell, side, 0) else BLOCK_OUT
    if kind.startswith("RAM"):
        return RAM_OUT
    last = next((stage for stage in ("PREG", "MREG") if parameter(cell, stage, 1)), "")
    return DSP_OUT[last].get(port, DSP_OUT[last]["P"])


def setups(cell: Mapping[str, Any]) -> Iterator[End]:
    """Inputs that a clock edge takes, with their set-up times; none of constants."""
    kind = cell["type"]
    for port, bit in ends(cell):
        if isinstance(bit, int) and (setup := _setup(cell, kind, port)) is not None:
            yield End(bit, port, setup)


def _setup(cell: Mapping[str, Any], kind: str, port: str) -> float | None:
    if kind in FLIP_FLOPS:
        return FLIP_FLOP_SETUP.get(port, RESET_SETUP)
    if kind.startswith("RAMB"):
        return next((time for head, time in BLOCK_SETUP.items() if port.startswith(head)), BLOCK_OTHER)
    if kind.startswith("SRL"):
        return SHIFT_SETUP.get(port)  # an address is read, not taken
    if kind.startswith("RAM"):
        written = re.fullmatch(r"ADDRD|A\d*|WADR\d*", port)
        return RAM_SETUP["A"] if written else RAM_SETUP["WE"] if port == "WE" else _data_setup(port)
    return _dsp_setup(cell, port)


def _data_setup(port: str) -> float | None:
    return RAM_SETUP["D"] if port.startswith("D") and not port.startswith("DPRA") else None


def _dsp_setup(cell: Mapping[str, Any], port: str) -> float | None:
    if port in ("ACIN", "BCIN", "CARRYCASCIN", "MULTSIGNIN"):
        return None  # from the neighbour's register, in the column
    stages = DSP_SETUP.get(port)
    if not isinstance(stages, dict):
        return DSP_OTHER
    first = next((stage for stage in stages if parameter(cell, stage, 1) and _on_the_way(cell, port, stage)), "PREG")
    if port == "A" and first == "MREG" and _pre_adder(cell):
        return DSP_SETUP["A after the pre-adder"]  # type: ignore[return-value]
    return stages[first]


def _on_the_way(cell: Mapping[str, Any], port: str, stage: str) -> bool:
    """Whether a value passes a register: A takes that of the pre-adder only where there is one."""
    return stage != "ADREG" or port == "D" or _pre_adder(cell)


def _pre_adder(cell: Mapping[str, Any]) -> bool:
    return str(cell["parameters"].get("USE_DPORT", "FALSE")).strip() == "TRUE"


def through(cell: Mapping[str, Any]) -> Iterator[tuple[Arc, float]]:
    """Combinational ways through a cell, with their delays."""
    kind = cell["type"]
    for arc in arcs(cell):
        yield arc, _delay(kind, arc)


def _delay(kind: str, arc: Arc) -> float:
    if kind == "INV":
        return 0.0  # becomes part of what it drives
    if kind in MUXES:
        return MUXES[kind][arc.port]
    if kind == "CARRY4":
        return CARRY[arc.port, arc.output][arc.number][arc.output_number]
    if kind.startswith("DSP"):
        return DSP_THROUGH
    return READ.get(kind, LUT)


def dedicated(driver: str, output: str, load: str, port: str, fanout: int) -> bool:
    """Whether a wire from one cell to another stays inside a slice, a carry chain or a DSP column."""
    if driver == "CARRY4" and output == "CO" and load == "CARRY4" and port == "CI":
        return True
    if load == "INV" or output in _OWN_WIRE:
        return True
    if (driver == "MUXF7" and load == "MUXF8") or (driver.startswith("LUT") and load == "MUXF7" and port != "S"):
        return True
    packed = driver.startswith(("LUT", "MUXF")) or driver == "CARRY4"
    return fanout == 1 and (
        (driver.startswith("LUT") and load == "CARRY4" and port == "S")
        or (packed and load in FLIP_FLOPS and port == "D")
    )
