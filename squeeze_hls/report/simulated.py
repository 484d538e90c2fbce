"""The figures of a simulation in a report, and on the screen instruction by instruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.table import Table

from squeeze_hls.plan import Plan
from squeeze_hls.report.build_report import Check, speed
from squeeze_hls.report.summary import make_table, short_name

WAITS = {"weights": "weights", "input": "image rows", "output": "the output stage"}
STALLS = tuple(WAITS)


def with_simulation(
    report: Mapping[str, Any], check: Check, cycles: int | None, tools: Mapping[str, str]
) -> dict[str, Any]:
    """A copy of ``report`` with the check ``rtl`` and the figures that follow from ``cycles``, first pixel in to last
    logit out; None goes back to the prediction.
    """
    checks = {entry["name"]: entry for entry in report["checks"]} | {check.name: asdict(check)}
    return {
        **report,
        **speed(report["cycles"], report["engine"]["clock_mhz"], cycles),
        "checks": list(checks.values()),
        "tools": dict(sorted({**report["tools"], **tools}.items())),
    }


def instruction_rows(plan: Plan, activity: np.ndarray) -> list[dict[str, Any]]:
    """One entry per instruction: layer, rows of its convolution, cycles by what the array did, useful share.

    ``activity`` is RtlEngine.activity, int64 (instructions, 4).  ``utilization`` counts products of the network
    against those that the array could have done in the instruction's cycles.
    """
    pixels = [0] * len(plan.layers)
    for band, instruction in zip(plan.bands, plan.program.instructions, strict=True):
        pixels[band.layer] += instruction.pixels
    rows = []
    for band, instruction, counts in zip(plan.bands, plan.program.instructions, activity.tolist(), strict=True):
        layer = plan.layers[band.layer]
        macs = layer.macs * instruction.pixels / pixels[band.layer]
        rows.append(
            {
                "layer": layer.name,
                "rows": list(band.conv_rows),
                "cycles": sum(counts),
                "busy": counts[0],
                "stalls": dict(zip(STALLS, counts[1:], strict=True)),
                "utilization": round(macs / max(1, sum(counts) * plan.engine.macs), 4),
            }
        )
    return rows


def instruction_table(rows: list[dict[str, Any]]) -> Table:
    """The same for people."""
    numbers = ("cycles", "busy", "useful", *STALLS)
    view = make_table("layer", "rows", *numbers, right=numbers)
    for row in rows:
        first, end = row["rows"]
        view.add_row(
            short_name(row["layer"]),
            f"{first}-{end - 1}",
            f"{row['cycles']:,}",
            f"{row['busy']:,}",
            f"{100 * row['utilization']:.1f} %",
            *(f"{row['stalls'][cause]:,}" if row["stalls"][cause] else "" for cause in STALLS),
        )
    return view


def totals(report: Mapping[str, Any], counters: Mapping[str, int]) -> list[str]:
    """Lines with the sums, the prediction beside them, and the speed."""
    cycles, fps = report["cycles"], report["fps"]
    simulated, predicted = cycles["simulated"], cycles["predicted"]
    lost = ", ".join(f"{counters[f'stall_{cause}']:,} waiting for {what}" for cause, what in WAITS.items())
    return [
        f"cycles    {simulated:,} (simulated) from the first pixel to the last logit; predicted {predicted:,} "
        f"({100 * (predicted - simulated) / simulated:+.2f} %), ideal {cycles['ideal']:,}",
        f"          {counters['busy']:,} busy, {lost}",
        f"useful    {100 * cycles['utilization']:.1f} % of the array's products",
        f"speed     {fps['value']:.1f} pictures a second at {fps['clock_mhz']:g} MHz ({fps['source']})",
    ]
