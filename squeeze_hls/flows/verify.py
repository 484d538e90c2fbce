"""Comparison of what an engine computed with the golden model, tensor by tensor, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze_hls.engine.executor import Executor
from squeeze_hls.errors import MismatchError, SqueezeError
from squeeze_hls.flows.exact import difference
from squeeze_hls.plan import Plan
from squeeze_hls.plan.hazards import Tracker
from squeeze_hls.plan.maps import Maps, logits_name
from squeeze_hls.report.build_report import Check

if TYPE_CHECKING:
    from squeeze_hls.sim.rtl import Frame, Watch, Window


def compare_all(name: str, got: Mapping[str, np.ndarray], golden: Mapping[str, np.ndarray]) -> Check:
    """The check ``name``: every tensor of ``got`` equals the golden one of that name.

    A failed check tells the first tensor, in the order of computation, that differs.
    """
    differences = [d for d in (difference(t, values, golden[t]) for t, values in got.items()) if d is not None]
    if differences:
        more = f"; {len(differences) - 1} further tensors differ" if len(differences) > 1 else ""
        return Check(name=name, status="failed", detail=f"{differences[0]}{more}")
    elements = sum(values.size for values in got.values())
    return Check(name=name, status="passed", detail=f"{len(got)} tensors, {elements:,} values equal the golden model's")


def require_passed(checks: Sequence[Check]) -> None:
    """Raise MismatchError for the first failed check."""
    for check in checks:
        if check.status == "failed":
            raise MismatchError(f"{check.name} and golden model differ: {check.detail}")


def run_executor(plan: Plan, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor that the program writes, logits included, with every memory access watched.

    ``image`` is u8 (H, W, 3).  Tensors have the golden model's names, shapes (H, W, C) and (classes,).
    """
    maps = Maps(plan)
    tracker = Tracker(plan.program, plan.layers, plan.bands, plan.engine)
    logits = Executor(plan.engine, plan.program_bin, plan.weights_bin).run(
        image, on_write=lambda written: maps.add(written.index, written.values), tracker=tracker
    )
    return maps.tensors() | {logits_name(plan): logits}


def check_executor(plan: Plan, image: np.ndarray, golden: Mapping[str, np.ndarray]) -> Check:
    """Golden model = program executor, and no memory hazard."""
    try:
        return compare_all("executor", run_executor(plan, image), golden)
    except (SqueezeError, ValueError) as error:
        return Check(name="executor", status="failed", detail=str(error))


def check_rtl(
    plan: Plan,
    image: np.ndarray,
    golden: Mapping[str, np.ndarray],
    library: Path,
    *,
    window: Window | None = None,
    watch: Watch | None = None,
) -> tuple[Check, Frame | None]:
    """Golden model = RTL simulation, and what was simulated (cycles, counters); None where it did not end well.

    ``library`` is the compiled engine; ``window`` writes a waveform; ``watch`` is told the cycles simulated so far.
    """
    from squeeze_hls.sim import rtl

    try:
        frame = rtl.run_frames(plan, [image], rtl.load(library, plan, watch=watch), window=window)[0]
    except (SqueezeError, ValueError) as error:  # hangs, error codes, words written elsewhere
        return Check(name="rtl", status="failed", detail=str(error)), None
    return compare_all("rtl", frame.tensors, golden), frame
