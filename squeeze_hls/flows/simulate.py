"""Runs the RTL of a build on a picture: every tensor against the golden model, cycles into the report."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from squeeze_hls import tools
from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.artifacts.bundle import REPORT, check_output_file, to_json, write_file
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.flows.build import tool_versions
from squeeze_hls.flows.classify import require_own_program
from squeeze_hls.flows.verify import check_rtl, require_passed
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.pictures import One
from squeeze_hls.plan import Plan
from squeeze_hls.progress import Listener, tell
from squeeze_hls.report.build_report import Check
from squeeze_hls.report.simulated import instruction_rows, with_simulation
from squeeze_hls.sim import rtl
from squeeze_hls.sim.cache import compiled_folder
from squeeze_hls.sim.verilate import fst_builds


@dataclass(frozen=True, kw_only=True)
class Waves:
    """Which waveform is wanted; the kind follows from the file's ending, without one from what can be built."""

    path: Path | None  # None: beside the build's report
    first: int  # cycles counted from the start of the picture
    last: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """What a simulated picture showed."""

    cycles: int  # from the first pixel to the last logit
    instructions: list[dict[str, Any]]  # see report.simulated.instruction_rows
    counters: dict[str, int]  # of the hardware
    waves: Path | None
    report: dict[str, Any] | None = None  # of the build, with the simulated figures; None where there is no build


def simulate(folder: Path, image: One, waves: Waves | None, listener: Listener) -> Simulation:
    """Simulate one picture on a build and write the figures into the build's report.

    Raises MismatchError where a tensor differs (the report then says so), MissingToolError without Verilator.
    """
    tools.require_verilator()
    build = open_build(folder)
    tell(build.notes, listener)
    network = build.network()
    picture = pictures.prepare(pictures.single(image), network.input_shape, network.preprocess)
    with listener.stage("plan"):
        plan = require_own_program(build, network)
    check, frame, target = _frame(plan, picture, waves, build.folder, listener)
    report = with_simulation(build.report, check, frame.cycles if frame else None, tool_versions("rtl"))
    write_file(to_json(report), folder / REPORT)
    return replace(_simulation(plan, check, frame, target), report=report)


def simulate_plan(plan: Plan, image: One, waves: Waves | None, listener: Listener) -> Simulation:
    """Simulate one picture on what has been planned.

    Without a path the waveform goes into the current folder.  Raises MismatchError where a tensor differs,
    MissingToolError without Verilator.
    """
    tools.require_verilator()
    picture = pictures.prepare(pictures.single(image), plan.network.input_shape, plan.network.preprocess)
    return _simulation(plan, *_frame(plan, picture, waves, Path(), listener))


def _simulation(plan: Plan, check: Check, frame: rtl.Frame | None, waves: Path | None) -> Simulation:
    require_passed([check])
    assert frame is not None
    return Simulation(
        cycles=frame.cycles,
        instructions=instruction_rows(plan, frame.result.activity),
        counters=frame.result.counters,
        waves=waves,
    )


def _frame(
    plan: Plan, picture: np.ndarray, waves: Waves | None, folder: Path, listener: Listener
) -> tuple[Check, rtl.Frame | None, Path | None]:
    """Compile the engine and compare; the waveform goes to the last, by default into ``folder``."""
    with compiled_folder("rtl") as compiled:
        target, kind = _waveform(folder, waves, compiled)
        with listener.stage("verilate") as stage:
            engine = rtl.compile_engine(plan.engine, compiled, waves=kind)
            stage.outcome = f"{plan.engine.pix} x {plan.engine.cin} x {plan.engine.cout} array"
        check, frame = _compare(plan, picture, engine, waves, target, listener)
    return check, frame, target


def _compare(
    plan: Plan, image: np.ndarray, library: Path, waves: Waves | None, target: Path | None, listener: Listener
) -> tuple[Check, rtl.Frame | None]:
    """The check, and the frame where it passed."""
    expected = golden.run(plan.network, image)
    with listener.stage("simulate") as stage, _written(target) as path:

        def watch(cycles: int) -> None:
            stage.progress(cycles, plan.timing.total, f"{cycles:,} cycles")

        window = rtl.Window(path, waves.first, waves.last) if waves and path else None
        check, frame = check_rtl(plan, image, expected, library, window=window, watch=watch)
        if frame is not None:
            stage.outcome = f"{frame.cycles:,} cycles; {check.detail}"
    return check, frame if check.status == "passed" else None


def _waveform(folder: Path, waves: Waves | None, compiled: Path) -> tuple[Path | None, str | None]:
    """File and kind of the waveform."""
    if waves is None:
        return None, None
    path = waves.path
    kind = "vcd" if path and path.suffix == ".vcd" else "fst" if fst_builds(compiled) else "vcd"
    if path and path.suffix == ".fst" and kind != "fst":
        raise ToolFailedError(f"{path}: FST needs lz4.h and zlib.h (liblz4-dev, zlib1g-dev); name a .vcd file instead")
    path = path or folder / f"waves.{kind}"
    check_output_file(path)
    return path, kind


@contextlib.contextmanager
def _written(target: Path | None) -> Iterator[Path | None]:
    """A temporary file that becomes ``target`` in the end, whatever was found: waves show where it went wrong."""
    if target is None:
        yield None
        return
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.absolute().parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
