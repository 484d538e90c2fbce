"""Synthesis of a build's engine, written into the build's report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from squeeze_hls.artifacts.build_folder import Build, open_build
from squeeze_hls.artifacts.bundle import REPORT, to_json, write_file
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.resources import resources
from squeeze_hls.errors import InputError
from squeeze_hls.progress import Listener
from squeeze_hls.report.build_report import RESOURCES
from squeeze_hls.synth.delays import GRADES
from squeeze_hls.synth.run import Synthesis, family_of, synthesize_engine
from squeeze_hls.synth.static_timing import NET_MODELS, PATHS, UNCERTAINTY_NS

FOLDER, LOG = "synth", "yosys.log"
MAX_CLOCK_MHZ = 1000


def synthesize_build(folder: Path, listener: Listener) -> dict[str, Any]:
    """Synthesize the engine of a build folder and rewrite its report; returns the report.

    The sources are this package's own: nothing in the folder is compiled or executed.  What Yosys says is kept in
    ``synth/yosys.log`` of the folder.  Raises InputError for what is no build, MissingToolError, ToolFailedError.
    """
    build = open_build(folder)
    family = family_of(str(_entry(build, "board", "part")))
    available = {name: _count(build, "resources", name, "available") for name in RESOURCES}
    tools = _entry(build, "tools")
    if not isinstance(tools, Mapping):
        raise _malformed(build)
    log = _log(folder)
    with listener.stage("synthesis") as stage:
        done = synthesize_engine(build.engine, family, log, stage=stage)
        found = done.count
        stage.outcome = (
            f"{done.tool}: {found.dsp} DSP, {found.bram36} BRAM36, {found.lut:,} LUT, {found.ff:,} FF; "
            f"at most {done.deepest.levels} logic levels"
        )
    with listener.stage("timing") as stage:
        timing = _timing(build, done)
        stage.outcome = _timing_outcome(timing)
    name, version = done.tool.split()
    report = build.report | {
        "resources": _resources(build.engine, available, done),
        "timing": timing,
        "synthesis": {
            "tool": done.tool,
            "family": done.family,
            "cells": dict(done.cells),
            "deepest_path": asdict(done.deepest) | {"cells": list(done.deepest.cells)},
        },
        "tools": dict(sorted({**tools, name.lower(): version}.items())),
    }
    write_file(to_json(report), folder / REPORT)
    return report


def _resources(engine: EngineConfig, available: Mapping[str, int], done: Synthesis) -> dict[str, Any]:
    """What synthesis counted, beside the planner's estimate."""
    planned = resources(engine)
    table: dict[str, Any] = {
        name: {
            "used": getattr(done.count, name),
            "available": available[name],
            "source": "synthesized",
            "estimate": getattr(planned, name),
        }
        for name in RESOURCES
    }
    table["bram36"]["parts"] = dict(planned.bram36_parts)
    return table


def _timing(build: Build, done: Synthesis) -> dict[str, Any] | None:
    """Static timing at the build's clock by every model of wires; None where delays are not public."""
    if done.timing is None:
        return None
    clock = _entry(build, "engine", "clock_mhz")
    if not isinstance(clock, (int, float)) or not 0 < clock < MAX_CLOCK_MHZ:
        raise _malformed(build)
    done.timing.scale = GRADES.get(speed_grade(str(_entry(build, "board", "part"))), 1.0)
    analyses = [done.timing.analyse(model, clock) for model in NET_MODELS]
    return {
        "clock_mhz": clock,
        "uncertainty_ns": UNCERTAINTY_NS,
        "source": "estimate",
        "models": [
            {
                "name": found.model.name,
                "wire": found.model.meaning,
                "worst_ns": round(found.worst_ns, 2),
                "fmax_mhz": round(found.fmax_mhz, 1),
                "endpoints": found.endpoints,
                "failing_endpoints": found.failing,
            }
            for found in analyses
        ],
        "paths": [asdict(path) | {"ns": round(path.ns, 2)} for path in analyses[-1].paths[:PATHS]],
    }


def speed_grade(part: str) -> str:
    """The end of a 7 series part's name: ``-1`` of xc7z020clg400-1; "" where it has none."""
    found = re.search(r"-[123]$", part)
    return found.group() if found else ""


def _timing_outcome(timing: Mapping[str, Any] | None) -> str:
    if timing is None:
        return "no estimate: the delays of this family's cells are not public"
    fastest = ", ".join(f"{m['name']} {m['fmax_mhz']:g}" for m in timing["models"])
    return f"estimated MHz by model of the wires: {fastest}; not implemented"


def _log(folder: Path) -> Path:
    """Where the log goes: a file of our own, not through a link to somebody else's."""
    if (folder / FOLDER).is_symlink():
        raise InputError(f"{folder / FOLDER}: a symbolic link in a build folder is not followed")
    (folder / FOLDER).mkdir(exist_ok=True)
    log = folder / FOLDER / LOG
    log.unlink(missing_ok=True)
    return log


def _entry(build: Build, *keys: str) -> Any:
    value: Any = build.report
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            raise _malformed(build)
        value = value[key]
    return value


def _count(build: Build, *keys: str) -> int:
    value = _entry(build, *keys)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _malformed(build)
    return value


def _malformed(build: Build) -> InputError:
    return InputError(f"{build.folder / REPORT}: not as docs/report.md describes it; build again")
