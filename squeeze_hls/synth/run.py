"""Synthesizes a module of hw/rtl, or the whole engine, with Yosys."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squeeze_hls import tools
from squeeze_hls.emit.rtl import parameters, rtl_sources
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import InputError, MissingToolError, ToolFailedError
from squeeze_hls.paths import RTL_SOURCES
from squeeze_hls.progress import Stage
from squeeze_hls.sim.verilate import TOP
from squeeze_hls.synth import job
from squeeze_hls.synth.cells import Count, count
from squeeze_hls.synth.logic_levels import Path as LogicPath
from squeeze_hls.synth.logic_levels import deepest_path
from squeeze_hls.synth.static_timing import TimingGraph

FAMILIES = {"xc7": r"xc7", "xcup": r"xczu|xck26|xcku\d+p|xcvu\d+p|xcau"}  # of Yosys, by the beginning of a part's name
TIMED = "xc7"
SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Memory:
    """One memory of the design, before it becomes block or distributed RAM."""

    name: str
    depth: int  # words
    width: int  # bits
    style: str  # "block", "distributed", "ultra"; empty: left to the tool


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What Yosys made of a module."""

    tool: str  # name and version
    family: str
    cells: Mapping[str, int]  # by type
    count: Count
    deepest: LogicPath
    memories: tuple[Memory, ...]
    timing: TimingGraph | None = None  # at speed grade -1; None where the delays of the family's cells are not public


def family_of(part: str) -> str:
    """Yosys' name for the family of a part; InputError where the engine was not made for it."""
    for family, pattern in FAMILIES.items():
        if re.match(pattern, part):
            return family
    raise InputError(f"part {part!r} is neither a 7 series nor an UltraScale+ one, which Yosys is used for here")


def synthesize_engine(
    engine: EngineConfig, family: str, log: Path, *, stage: Stage | None = None, verilog: Path | None = None
) -> Synthesis:
    """Synthesize the whole engine, without initial contents: they change nothing that is counted."""
    uram = engine.store_uram
    return synthesize(TOP, parameters(engine), family, log, uram=uram, stage=stage, verilog=verilog)


def synthesize(
    top: str,
    parameters: Mapping[str, str],
    family: str,
    log: Path,
    *,
    uram: bool = False,
    stage: Stage | None = None,
    verilog: Path | None = None,
) -> Synthesis:
    """Synthesize one module of hw/rtl; ``log`` keeps all that Yosys says.

    ``parameters`` are values as Yosys' chparam takes them, ``uram`` allows UltraRAM, ``verilog`` is where to put the
    netlist.  Raises MissingToolError without Yosys, ToolFailedError where it fails.
    """
    if tools.package_dir("pyosys") is None:
        raise MissingToolError("Yosys was not found: pip install 'squeeze-hls[synth]'")
    with tempfile.TemporaryDirectory(prefix="squeeze-hls-") as name:
        folder = Path(name)
        wanted = {
            "top": top,
            "parameters": dict(parameters),
            "sources": [source.name for source in rtl_sources()],
            "family": family,
            "uram": uram,
            "verilog": verilog is not None,
            "folder": name,
        }
        (folder / "job.json").write_text(json.dumps(wanted), encoding="utf-8")
        command = [sys.executable, "-P", job.__file__, str(folder / "job.json")]
        watch = _Watch(log, stage) if stage else None
        if tools.run(command, log=log, cwd=RTL_SOURCES, timeout=SECONDS, check=False, watch=watch):
            raise ToolFailedError(f"Yosys: {_reason(log)}; the whole log is {log}")
        netlist = json.loads((folder / "netlist.json").read_bytes())
        memories = json.loads((folder / "memories.json").read_bytes())
        if verilog is not None:
            verilog.write_bytes((folder / "netlist.v").read_bytes())
    return _read(netlist, memories, top, family)


def _reason(log: Path) -> str:
    """What Yosys itself calls an error, else its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return next((line for line in lines if "ERROR: " in line), lines[-1])[: tools.EXCERPT]


def _read(netlist: Mapping[str, Any], memories: list[dict[str, Any]], top: str, family: str) -> Synthesis:
    module = netlist["modules"][top]
    cells = Counter(cell["type"] for cell in module["cells"].values())
    try:
        return Synthesis(
            tool=" ".join(str(netlist["creator"]).split()[:2]),
            family=family,
            cells=dict(sorted(cells.items())),
            count=count(cells),
            deepest=deepest_path(module),
            memories=tuple(Memory(**memory) for memory in memories),
            timing=TimingGraph(module) if family == TIMED else None,
        )
    except ValueError as error:
        raise ToolFailedError(f"the netlist of {top} cannot be read: {error}") from error


class _Watch:
    """Tells a stage how far the log says Yosys has come."""

    def __init__(self, log: Path, stage: Stage) -> None:
        self._log, self._stage, self._read = log, stage, 0

    def __call__(self) -> None:
        with self._log.open("rb") as stream:
            stream.seek(self._read)
            text = stream.read()
        whole = text.rfind(b"\n") + 1
        self._read += whole
        for line in text[:whole].decode(errors="replace").splitlines():
            if line.startswith(job.PROGRESS):
                done, total, step = line.removeprefix(job.PROGRESS).split()
                self._stage.progress(int(done), int(total), f"Yosys: {step}")
