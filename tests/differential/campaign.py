"""Many random models: ``python -m tests.differential.campaign --graphs 20000 --seed 1 [--seconds S] [--jobs 2]``.

Every model is refused in one clear line, or computed as ONNX Runtime (QONNX's executor, where it has Quant nodes)
computes it; layers.py and compare.py say within what.  What fails is shrunk to its smallest decisions and printed;
``--save FOLDER`` keeps the models.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.differential.case import Case
from tests.differential.choices import shrink
from tests.differential.grammar import generate
from tests.differential.judge import Verdict, judge

SHOWN = 12  # failures that are shrunk
CHUNK = 25  # models that a process takes at a time


@dataclass
class Failure:
    case: Case
    verdict: Verdict

    def __str__(self) -> str:
        return f"{self.verdict.kind}: {self.verdict.reason}\n{self.case.listing()}"


@dataclass
class Tally:
    """What became of the models."""

    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    by_dialect: dict[str, collections.Counter[str]] = field(default_factory=dict)
    reasons: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    failed: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # kind and reason -> seeds
    dull: int = 0  # accepted, but the logits of two pictures are the same
    exact: int = 0  # accepted and judged integer by integer
    losses: list[float] = field(default_factory=list)  # of float networks, of the logits' span
    seconds: float = 0.0

    @property
    def graphs(self) -> int:
        return sum(self.kinds.values())

    def add(self, seed: int, dialect: str, verdict: Verdict) -> None:
        self.kinds[verdict.kind] += 1
        self.by_dialect.setdefault(dialect, collections.Counter())[verdict.kind] += 1
        if verdict.kind == "accepted":
            self.dull += int(verdict.figures["dull"])
            self.exact += int(verdict.figures["exact"])
            if not verdict.figures["exact"]:
                self.losses.append(verdict.figures["loss"])
            return
        self.reasons[verdict.kind, alike(verdict)] += 1
        if verdict.failed:
            self.failed.setdefault((verdict.kind, alike(verdict)), []).append(seed)

    def __str__(self) -> str:
        rate = self.graphs / max(self.seconds, 1e-9)
        share = self.kinds["accepted"] / max(self.graphs, 1)
        shown = " and ".join(f"{x:.1%}" for x in np.quantile(self.losses or [0.0], (0.5, 0.95)))
        lines = [
            f"{self.graphs} graphs in {self.seconds:.0f} s ({rate:.1f}/s): {share:.0%} accepted, "
            + ", ".join(f"{n} {kind}" for kind, n in self.kinds.most_common()),
            f"accepted: {self.exact} judged integer by integer, {self.dull} do not depend on the picture; "
            f"float networks lose {shown} of the logits' span (median, 95 of 100)",
        ]
        for dialect, kinds in self.by_dialect.items():
            lines.append(f"  {dialect}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))
        lines += [f"{n:6d} {kind}: {reason}" for (kind, reason), n in self.reasons.most_common()]
        return "\n".join(lines)


def alike(verdict: Verdict) -> str:
    """The reason without names and numbers, which differ from case to case."""
    text = re.sub(r"'(?:[^' ]*)'", "'..'", verdict.reason)
    return re.sub(r"-?\d+(?:[.,x]\d+)*(?:e[-+]?\d+)?|\binf\b|\bnan\b", "N", text)[:160]


def _judged(seeds: list[int]) -> list[tuple[int, str, Verdict]]:
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for seed in seeds:
            try:
                case = generate(seed)
            except Exception as error:
                error.add_note(f"the grammar fails for seed {seed}")
                raise
            results.append((seed, case.dialect, judge(case, Path(folder))))
        return results


def run(first: int, graphs: int | None, seconds: float | None = None, jobs: int = 1) -> Tally:
    """Judge the models of ``graphs`` seeds from ``first`` on, or as many as ``seconds`` allow."""
    tally, start = Tally(), time.monotonic()
    end = None if graphs is None else first + graphs
    chunks = _chunks(first, end, None if seconds is None else start + seconds)
    for results in _parallel(chunks, jobs):
        for result in results:
            tally.add(*result)
    tally.seconds = time.monotonic() - start
    return tally


def _chunks(first: int, end: int | None, deadline: float | None) -> Iterator[list[int]]:
    while (end is None or first < end) and (deadline is None or time.monotonic() < deadline):
        last = first + CHUNK if end is None else min(first + CHUNK, end)
        yield list(range(first, last))
        first = last


def _parallel(chunks: Iterator[list[int]], jobs: int) -> Iterable[list[tuple[int, str, Verdict]]]:
    if jobs == 1:
        yield from map(_judged, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        waiting = collections.deque(pool.apply_async(_judged, (c,)) for c in itertools.islice(chunks, 2 * jobs))
        while waiting:
            yield waiting.popleft().get()
            waiting.extend(pool.apply_async(_judged, (c,)) for c in itertools.islice(chunks, 1))


def shrunk(seed: int) -> Failure:
    """The smallest case of a seed that fails in the same way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def kind(case: Case) -> tuple[str, str]:
            verdict = judge(case, folder)
            words = alike(verdict).split()
            return verdict.kind if verdict.failed else "", " ".join(words[:2])

        case = generate(seed)
        wanted = kind(case)
        case = generate(seed, shrink(case.made, lambda made: kind(generate(seed, made)) == wanted))
        return Failure(case, judge(case, folder))


def failures(tally: Tally, most: int = SHOWN) -> Iterator[Failure]:
    """One shrunk case of each kind of failure."""
    for seeds in list(tally.failed.values())[:most]:
        yield shrunk(seeds[0])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.campaign", description=__doc__)
    parser.add_argument("--graphs", type=int, help="how many models (default 1000, or as many as --seconds allow)")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--seed", type=int, default=0, help="of the first model; they count up from it")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--show", type=int, default=SHOWN, help="shrink and print so many failures")
    parser.add_argument("--save", type=Path, help="folder for the shrunk models")
    chosen = parser.parse_args(arguments)
    graphs = chosen.graphs or (None if chosen.seconds else 1000)
    tally = run(chosen.seed, graphs, chosen.seconds, chosen.jobs)
    print(tally, flush=True)
    for failure in failures(tally, chosen.show):
        print(f"\n{failure}", flush=True)
        if chosen.save:
            chosen.save.mkdir(parents=True, exist_ok=True)
            failure.case.write(chosen.save)[0].rename(chosen.save / f"{failure.verdict.kind}_{failure.case.seed}.onnx")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
