"""Synthesize one module of hw/rtl with Yosys for Xilinx 7 series and print what it takes, as JSON.

    python scripts/synth_module.py mac_array PIX=3 CIN=8 COUT=16

RAM32M and RAM64M count as 4 LUTs each, SRLs as one.  An error in Yosys ends the whole process, so that callers run this
script rather than import it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

RTL = Path(__file__).resolve().parent.parent / "hw" / "rtl"
LUTS = {"RAM32M": 4, "RAM64M": 4, "RAM128X1D": 4, "RAM64X1D": 2, "RAM32X1D": 2, "SRL16E": 1, "SRLC32E": 1}
LUTS |= {f"LUT{n}": 1 for n in range(1, 7)}
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")


def synthesize(top: str, parameters: dict[str, str]) -> dict[str, int]:
    """Cells of the flattened netlist by type."""
    from pyosys import libyosys as yosys

    design = yosys.Design()
    package = RTL / "squeeze_pkg.sv"
    files = [package, *(path for path in sorted(RTL.glob("*.sv")) if path != package)]
    for path in _needed(top, files):
        yosys.run_pass(f"read_verilog -sv -defer {path}", design)
    for name, value in parameters.items():
        yosys.run_pass(f"chparam -set {name} {value} {top}", design)
    yosys.run_pass(f"synth_xilinx -family xc7 -flatten -noiopad -top {top}", design)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "stat.json"
        yosys.run_pass(f"tee -q -o {report} stat -json", design)
        return json.loads(report.read_text(encoding="utf-8"))["design"]["num_cells_by_type"]


def _needed(top: str, files: list[Path]) -> list[Path]:
    """The package and the files of ``top`` and of everything below it, found by module name in the text."""
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    found, queue = [files[0]], [top]
    while queue:
        name = queue.pop()
        path = RTL / f"{name}.sv"
        if path in found:
            continue
        found.append(path)
        words = set(texts[path].replace("#", " ").replace("(", " ").split())
        queue += [other.stem for other in files[1:] if other.stem in words and other not in found]
    return found


def summary(cells: dict[str, int]) -> dict[str, int]:
    """Resources by kind; brams in halves of a BRAM36."""
    return {
        "dsp": cells.get("DSP48E1", 0),
        "bram18": 2 * cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0),
        "lut": sum(count * LUTS.get(cell, 0) for cell, count in cells.items()),
        "ff": sum(cells.get(cell, 0) for cell in FLIP_FLOPS),
    }


def main() -> None:
    top, *rest = sys.argv[1:]
    cells = synthesize(top, dict(entry.split("=", 1) for entry in rest))
    print(json.dumps({"module": top, **summary(cells), "cells": cells}, sort_keys=True))


if __name__ == "__main__":
    main()
