"""The deepest combinational path of a netlist, in logic levels.

A level is a cell between two clock edges: a LUT, a wide multiplexer (MUXF), a carry block of 4 (8 in UltraScale+), an
asynchronous read of distributed RAM, a DSP48 without registers on the way.  Levels say nothing of routing and so
nothing of a clock frequency; their trend shows where to look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squeeze_hls.synth.cells import IGNORED, Bit, arcs, ends
from squeeze_hls.synth.names import bit_names, cell_name


@dataclass(frozen=True, kw_only=True)
class Path:
    """From a register, memory or input port to a register, memory or output port."""

    levels: int
    start: str
    end: str
    cells: tuple[str, ...]  # types on the way, in order


def deepest_path(module: Mapping[str, Any]) -> Path:
    """The deepest path of a flat module as Yosys' write_json gives it; among equals the first by name.

    Raises ValueError for a combinational loop.
    """
    before: dict[Bit, list[Bit]] = {}  # bits that an output follows
    through: dict[Bit, str] = {}  # type of the cell that drives it
    for cell in module["cells"].values():
        for arc in arcs(cell):
            before.setdefault(arc.target, []).append(arc.source)
            through[arc.target] = cell["type"]
    levels = _levels(before)
    names = bit_names(module)
    found: list[tuple[int, str, Bit]] = []
    for name, cell in module["cells"].items():
        for port, bit in ends(cell):
            if bit in before:
                found.append((-levels[bit], f"{cell_name(name, cell, names)} {port}", bit))
    for name, port in module["ports"].items():
        if port["direction"] == "output":
            found += [(-levels[bit], name, bit) for bit in port["bits"] if bit in before]
    if not found:
        return Path(levels=0, start="", end="", cells=())
    depth, end, bit = min(found, key=lambda entry: entry[:2])
    kinds = []
    while bit in before:
        kinds.append(through[bit])
        bit = max(before[bit], key=lambda a: (levels.get(a, 0), str(a)))
    return Path(levels=-depth, start=_start_name(bit, module, names), end=end, cells=tuple(reversed(kinds)))


def _levels(before: Mapping[Bit, list[Bit]]) -> dict[Bit, int]:
    """Cells on the deepest way to each driven bit."""
    levels: dict[Bit, int] = {}
    open_bits: set[Bit] = set()  # on the stack, below what they wait for
    for root in before:
        stack = [root]
        while stack:
            bit = stack[-1]
            missing = [a for a in before[bit] if a in before and a not in levels]
            if bit in levels or not missing:
                levels[bit] = 1 + max(levels.get(a, 0) for a in before[bit])
                open_bits.discard(bit)
                stack.pop()
                continue
            open_bits.add(bit)
            if any(a in open_bits for a in missing):
                raise ValueError("the netlist has a combinational loop")
            stack += missing
    return levels


def _start_name(bit: Bit, module: Mapping[str, Any], names: Mapping[Bit, str]) -> str:
    for name, cell in module["cells"].items():
        if cell["type"] in IGNORED:
            continue
        for port, direction in cell["port_directions"].items():
            if direction == "output" and bit in cell["connections"].get(port, ()):
                return names[bit] if port == "Q" and bit in names else f"{cell_name(name, cell, names)} {port}"
    return names.get(bit, str(bit))
