"""What the vendor's tools are given: the sources and scripts of a build's engine, written anew by this package.

Nothing in the build folder is executed: its program and weights are planned again, and must come out the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from squeeze_hls.artifacts.build_folder import Build
from squeeze_hls.artifacts.bundle import REPORT, Bundle
from squeeze_hls.board import Board, load_board
from squeeze_hls.emit import hls, rtl
from squeeze_hls.emit.block_design.design import BlockDesign
from squeeze_hls.emit.block_design.vivado import board_design
from squeeze_hls.emit.rtl import TOP
from squeeze_hls.errors import InputError
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.progress import Listener, tell

FLOWS = ("rtl", "hls")
IDENTITY = "identity.json"
VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Project:
    """Sources and scripts, and the design that they make."""

    flow: str  # one of FLOWS
    engine_id: str
    design: BlockDesign
    files: Mapping[str, bytes]  # by path below the project's folder, IDENTITY not among them

    @property
    def digest(self) -> str:
        """SHA-256 over all files: the same sources and scripts, the same digest."""
        listed = sorted((path, hashlib.sha256(content).hexdigest()) for path, content in self.files.items())
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    @property
    def identity(self) -> bytes:
        """IDENTITY, which travels with whatever is made of the project."""
        table = {"version": VERSION, "engine": self.engine_id, "flow": self.flow, "sources": self.digest}
        return (json.dumps(table, indent=2, sort_keys=True) + "\n").encode()

    @property
    def name(self) -> str:
        """For a folder of its own."""
        return f"{self.engine_id}-{self.flow}-{self.digest[:12]}"


def make_project(build: Build, flow: str | None, board: str | None, listener: Listener) -> Project:
    """The project of a build; ``flow`` None: the RTL's where the build has it.

    ``board`` is needed where the build was made for a board file of the user's own.  Raises InputError.
    """
    flow = flow or default_flow(build)
    tell(build.notes, listener)
    with listener.stage("sources") as stage:
        plan = _plan(build, _board(build, board))
        project = _emit(plan, flow)
        stage.outcome = f"{flow} flow, {len(project.files)} files"
    return project


def default_flow(build: Build) -> str:
    """The RTL, which is simulated and needs no Vitis HLS; the C++ where a build has nothing else."""
    listed = {str(entry["path"]).split("/")[0] for entry in build.report["files"]}
    return "hls" if "hls" in listed and "rtl" not in listed else "rtl"


def _board(build: Build, name: str | None) -> Board:
    table = build.report.get("board")
    if not isinstance(table, Mapping) or not all(isinstance(table.get(key), str) for key in ("name", "part")):
        raise InputError(f"{build.folder / REPORT}: not as docs/report.md describes it; build again")
    try:
        board = load_board(name or str(table["name"]))
    except InputError as error:
        if name:
            raise
        raise InputError(f"{error}; name the file that the build was made with: --board FILE.toml") from error
    if board.part != table["part"]:
        raise InputError(f"{build.folder}: was built for {table['part']}, but {board.name} has {board.part}")
    return board


def _plan(build: Build, board: Board) -> Plan:
    plan = make_plan(build.network(), board, PlanOptions(engine=build.engine, clock_mhz=_clock(build)))
    if (plan.program_bin, plan.weights_bin) != (build.program, build.store):
        raise InputError(f"{build.folder}: its program is not what this version plans for its model; build again")
    return plan


def _clock(build: Build) -> float:
    clock: Any = build.report["engine"].get("clock_mhz")
    if isinstance(clock, bool) or not isinstance(clock, (int, float)) or not 1 <= clock <= 1000:
        raise InputError(f"{build.folder / REPORT}: clock_mhz is no number from 1 to 1000; build again")
    return float(clock)


def _emit(plan: Plan, flow: str) -> Project:
    if flow == "rtl":
        files: Mapping[str, bytes] = rtl.emit(plan)
    else:  # no test bench: neither simulates here
        emitted = hls.emit(plan, logits=np.zeros(plan.network.classes, np.int32))
        files = Bundle({path: content for path, content in emitted.items() if not path.startswith("tb/")})
    return Project(
        flow=flow,
        engine_id=plan.engine.id,
        design=board_design(
            plan.board, plan.clock_mhz, streamed=plan.engine.streamed, rtl_top=TOP if flow == "rtl" else ""
        ),
        files=files,
    )
