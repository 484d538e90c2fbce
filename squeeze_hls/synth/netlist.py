"""The netlist of an engine, simulated: the same logits in the same cycles as the RTL it was made from."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeeze_hls import tools
from squeeze_hls.errors import MissingToolError
from squeeze_hls.paths import SIM_SOURCES
from squeeze_hls.plan.planner import Plan
from squeeze_hls.report.build_report import Check
from squeeze_hls.sim.rtl import RtlResult, SimulatedRtl
from squeeze_hls.sim.rtl_engine import RtlEngine
from squeeze_hls.sim.verilate import compile_engine
from squeeze_hls.synth.run import synthesize_engine

FAMILY = "xc7"  # whose cells there are models of
LIMIT = 2_000_000  # cycles of one start
# Initial contents of block RAM that nobody gave, and which its models do not take.
NO_CONTENTS = re.compile(r"^ *\.INITP?_[0-9A-F]{1,2}\(\d+'[hb][0x]+\),\n", re.MULTILINE)


def sources(netlist: Path) -> list[Path]:
    """A netlist with the models of its cells: those of Yosys, and of block RAM, for which it has empty modules only.

    Verilator takes the first of two modules of one name, so that ours come first.
    """
    package = tools.package_dir("pyosys")
    if package is None:
        raise MissingToolError("Yosys was not found: pip install 'squeeze-hls[synth]'")
    return [netlist, SIM_SOURCES / "block_ram.v", package / "share" / "xilinx" / "cells_sim.v"]


def check_netlist(plans: Sequence[Plan], images: Sequence[np.ndarray], build_dir: Path) -> Check:
    """Synthesize the engine that all plans share; netlist and RTL must agree on every plan's image.

    Compared are error codes, the beats of the logits and all counters.  Libraries are kept in ``build_dir``.
    Raises MissingToolError, ToolFailedError.
    """
    engine = plans[0].engine
    if any(plan.engine != engine for plan in plans):
        raise ValueError("the plans are for different engines")
    with tempfile.TemporaryDirectory(prefix="squeeze-hls-") as folder:
        netlist = Path(folder) / "netlist.v"
        done = synthesize_engine(engine, FAMILY, build_dir / f"netlist-{engine.id}.log", verilog=netlist)
        netlist.write_text(NO_CONTENTS.sub("", netlist.read_text()))
        library = compile_engine(engine, build_dir, sources=sources(netlist))
    reference = compile_engine(engine, build_dir)
    cycles = 0
    for number, (plan, image) in enumerate(zip(plans, images, strict=True)):
        results = []
        for chosen in (library, reference):
            model = RtlEngine(chosen, engine)
            simulated = SimulatedRtl(model, plan.program_bin, plan.weights_bin, limit=LIMIT)
            results.append(simulated.run([image, image])[-1])
            model.close()
        differing = difference(*results)
        if differing:
            return Check(name="netlist", status="failed", detail=f"network {number}: {differing}")
        cycles += results[0].cycles
    cells = sum(done.cells.values())
    detail = f"{cells:,} cells = RTL in logits and cycles of {len(plans)} networks ({cycles:,} cycles)"
    return Check(name="netlist", status="passed", detail=detail)


def difference(netlist: RtlResult, rtl: RtlResult) -> str:
    """What differs between two results, or nothing."""
    if netlist.counters != rtl.counters:
        return f"counters {netlist.counters}, of the RTL {rtl.counters}"
    if netlist.cycles != rtl.cycles:
        return f"{netlist.cycles:,} cycles, of the RTL {rtl.cycles:,}"
    if not np.array_equal(netlist.beats, rtl.beats):
        wrong = np.flatnonzero(netlist.beats != rtl.beats) if netlist.beats.shape == rtl.beats.shape else [0]
        return f"beat {wrong[0]} of the logits"
    return ""
