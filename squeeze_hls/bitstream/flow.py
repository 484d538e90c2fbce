"""Runs the vendor's tools on a project, step by step, going on after the last one that was done.

They work in a folder of the user's cache, named by the sources' digest: a build folder may come from a stranger, whose
Vivado project must not be opened.  Their logs go to ``vendor/`` of the build.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from squeeze_hls import tools
from squeeze_hls.artifacts.bundle import write_file
from squeeze_hls.bitstream.archive import MADE
from squeeze_hls.bitstream.explain import explain
from squeeze_hls.bitstream.project import IDENTITY, Project
from squeeze_hls.bitstream.reports import parse_timing
from squeeze_hls.bitstream.result import BIT, CSYNTH, HWH, LIMITS, TIMING, UTILIZATION, require_timing
from squeeze_hls.bitstream.vendor_tools import Program, command
from squeeze_hls.errors import InputError, ToolFailedError
from squeeze_hls.frontend.download import cache_dir
from squeeze_hls.progress import Listener, Stage

LOGS = "vendor"
_RUNS = "vivado/project/squeeze_engine.runs"
# What a line of the tools' output says of where they are.
_PHASES = (
    re.compile(r"squeeze-hls: (.+)"),
    re.compile(r"(Phase \d[\d.]* [^|]+?)\s*(?:\||$)"),
    re.compile(r"Start(?:ing)? ((?!of session)[A-Za-z][^:|]+?)\s*(?:[:|]|$)"),
    re.compile(r"INFO: \[HLS [\d-]+\] -- (.+?) ?-*$"),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of a tool."""

    name: str
    hls: bool = False  # Vitis HLS, not Vivado
    script: str = "vivado/build.tcl"
    makes: tuple[str, ...]  # below the working folder
    runs: tuple[str, ...] = ()  # of Vivado, each with a log of its own


STEPS = (
    Step(
        name="hls",
        hls=True,
        script="run_hls.tcl",
        makes=("squeeze_engine_hls/solution/impl/ip/component.xml", MADE[CSYNTH]),
    ),
    Step(name="synthesis", makes=("vivado/project/squeeze_engine.xpr",), runs=("synth_1",)),
    Step(name="implementation", makes=(MADE[TIMING], MADE[UTILIZATION]), runs=("impl_1",)),
    Step(name="bitstream", makes=(MADE[BIT], MADE[HWH])),
)


def steps_of(project: Project) -> tuple[Step, ...]:
    return tuple(step for step in STEPS if project.flow == "hls" or not step.hls)


def run_flow(
    project: Project, vivado: Program, hls: Program | None, logs: Path, listener: Listener, *, jobs: int, fresh: bool
) -> dict[str, bytes]:
    """Run what has not been run yet and return the files of ``result.LIMITS``.

    ``logs`` is the folder of the build that takes the tools' output.  Raises ToolFailedError, with the vendor's message
    and what it means, where a tool fails or the timing is not met.
    """
    work = cache_dir() / "vendor" / project.name
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{work}: cannot be made: {error.strerror}; set XDG_CACHE_HOME") from error
    with _locked(work):
        if fresh:
            _empty(work)
        _write_sources(project, work)
        done = True
        for step in steps_of(project):
            program = hls if step.hls and hls is not None else vivado
            done = done and _stamped(step, project, program, work)
            if not done:
                _run_step(step, project, program, work, logs, listener, jobs)
            if step.name == "implementation":
                text = (work / MADE[TIMING]).read_text(errors="replace")
                require_timing(
                    parse_timing(text), project.design.made_clock_mhz, f"the report is {work / MADE[TIMING]}"
                )
        return _collect(project, work)


def _run_step(
    step: Step, project: Project, program: Program, work: Path, logs: Path, listener: Listener, jobs: int
) -> None:
    """Raises ToolFailedError; leaves a stamp otherwise, and none of a later step."""
    for later in STEPS[STEPS.index(step) :]:
        _stamp(later, work).unlink(missing_ok=True)
    log = logs / f"{step.name}.log"
    if log.is_symlink():
        log.unlink()
    sources = [log, *(work / _RUNS / run / "runme.log" for run in step.runs)]
    for path in sources[1:]:
        path.unlink(missing_ok=True)
    env = {"SQUEEZE_STEPS": step.name, "SQUEEZE_JOBS": str(jobs), "SQUEEZE_HLS_STEPS": "csynth export"}
    with listener.stage(step.name) as stage:
        follower = _Follower(sources, stage)
        code = tools.run(command(program, step.script), log=log, cwd=work, env=env, check=False, watch=follower.look)
        missing = [path for path in step.makes if not (work / path).is_file()]
        if code or missing:
            message, advice = explain(sources[::-1], code)
            reason = message or (f"exit code {code}" if code else f"{missing[0]} was not made")
            advice = f" ({advice})" if advice else ""
            raise ToolFailedError(f"{program.title}, {step.name}: {reason}{advice}; the whole log is {log}")
        stage.outcome = f"{program.title}, log in {log}"
    write_file(_key(step, project, program), _stamp(step, work))


class _Follower:
    """Shows the phase that the newest log names last."""

    def __init__(self, logs: list[Path], stage: Stage):
        self._positions = dict.fromkeys(logs, 0)
        self._stage = stage

    def look(self) -> None:
        for path, position in self._positions.items():
            try:
                if path.stat().st_size <= position:
                    continue
                with path.open("rb") as stream:
                    stream.seek(position)
                    data = stream.read(2**20)
            except OSError:
                continue
            whole = data.rfind(b"\n") + 1
            self._positions[path] = position + (whole or len(data))
            for line in data[:whole].decode(errors="replace").splitlines():
                found = phase(line)
                if found:
                    self._stage.progress(0, None, found)


def phase(line: str) -> str:
    """What a line of the tools' output says of where they are, or nothing."""
    for pattern in _PHASES:
        match = pattern.match(line.strip())
        if match:
            return match[1][:80]
    return ""


def _key(step: Step, project: Project, program: Program) -> bytes:
    """What a step's outcome depends on."""
    table = {"step": step.name, "sources": project.digest, "tool": program.title}
    return (json.dumps(table, sort_keys=True) + "\n").encode()


def _stamp(step: Step, work: Path) -> Path:
    return work / f"{step.name}.done"


def _stamped(step: Step, project: Project, program: Program, work: Path) -> bool:
    stamp = _stamp(step, work)
    return (
        stamp.is_file()
        and stamp.read_bytes() == _key(step, project, program)
        and all((work / path).is_file() for path in step.makes)
    )


def _write_sources(project: Project, work: Path) -> None:
    """Only what differs."""
    for path, content in {**project.files, IDENTITY: project.identity}.items():
        target = work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or hashlib.sha256(target.read_bytes()).digest() != hashlib.sha256(content).digest():
            write_file(content, target)


def _empty(work: Path) -> None:
    for path in work.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _collect(project: Project, work: Path) -> dict[str, bytes]:
    files = {IDENTITY: project.identity}
    for name, path in MADE.items():
        if (work / path).is_file() and (project.flow == "hls" or name != CSYNTH):
            if (work / path).stat().st_size > LIMITS[name]:
                raise ToolFailedError(f"{work / path}: has more than {LIMITS[name]:,} bytes")
            files[name] = (work / path).read_bytes()
    return files


_LOCK = "lock"


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """One run at a time in a folder; the lock ends with its process."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (work / _LOCK).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{work}: another squeeze-hls is making this bitstream; wait for it") from error
        yield
