"""The content of ``report.json``: what was built, what it costs, how it was checked.

Its keys are an interface, described in docs/report.md and docs/report.schema.json.  It holds no times and no
absolute paths, so that the same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from squeeze_hls.artifacts.bundle import SCHEMA_VERSION
from squeeze_hls.network.arith import WEIGHT_BITS
from squeeze_hls.plan.overview import RESOURCES as RESOURCES  # for those that add figures to a report
from squeeze_hls.plan.overview import weight_bits
from squeeze_hls.plan.planner import Plan


@dataclass(frozen=True, kw_only=True)
class Check:
    """Outcome of one comparison; ``name`` begins with what was compared with the golden model."""

    name: str
    status: str  # "passed", "failed" or "skipped"
    detail: str


def build_report(
    plan: Plan,
    *,
    name: str,
    model_sha256: str,
    checks: Sequence[Check],
    tools: Mapping[str, str],
    files: Sequence[Mapping[str, str]],
    notes: Sequence[str] = (),
    simulated: int | None = None,
) -> dict[str, Any]:
    """The report as plain values; ``simulated`` are cycles of the simulated RTL for one frame."""
    board, engine = plan.board, plan.engine
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {
            "name": name,
            "sha256": model_sha256,
            "input_shape": list(plan.network.input_shape),
            "classes": plan.network.classes,
            "parameters": sum(conv.weight.size + conv.bias.size for conv in plan.network.convs),
            "macs": plan.macs,
        },
        "board": {"name": board.name, "part": board.part},
        "engine": {
            "id": engine.id,
            "pix": engine.pix,
            "cin": engine.cin,
            "cout": engine.cout,
            "clock_mhz": plan.clock_mhz,
            "config": asdict(engine),
        },
        "weights": _weights(plan),
        "resources": _resources(plan),
        "resources_hls": _resources(plan),
        "timing": None,
        "synthesis": None,
        "implementation": None,
        **speed(_cycles(plan), plan.clock_mhz, simulated),
        "layers": [asdict(row) | {"output_shape": list(row.output_shape)} for row in plan.table],
        "memory": _memory(plan),
        "checks": [asdict(check) for check in checks],
        "tools": dict(sorted(tools.items())),
        "hardware_verified": False,
        "notes": list(notes),
        "files": [dict(entry) for entry in files],
    }


def speed(cycles: Mapping[str, Any], clock_mhz: float, simulated: int | None) -> dict[str, Any]:
    """The entries ``cycles`` and ``fps``: by the frame's simulated cycles, or else by the predicted ones."""
    frame = simulated or cycles["predicted"]
    return {
        "cycles": {**cycles, "simulated": simulated, "utilization": round(cycles["ideal"] / frame, 4)},
        "fps": {
            "clock_mhz": clock_mhz,
            "value": round(clock_mhz * 1e6 / frame, 3),
            "source": "simulated" if simulated else "estimate",
        },
    }


def _weights(plan: Plan) -> dict[str, Any]:
    count = sum(conv.weight.size for conv in plan.network.convs)
    nonzero = sum(int(np.count_nonzero(conv.weight)) for conv in plan.network.convs)
    return {
        "residency": plan.residency,
        "bits": max(weight_bits(conv.weight) for conv in plan.network.convs),
        "dense_bytes": -(-count * WEIGHT_BITS // 8),
        "encoded_bytes": len(plan.weights_bin),
        "density": round(nonzero / count, 6),
        "bram36": plan.resources.bram36_parts["weights"],
        "uram": plan.resources.uram,
        "streamed_bytes_per_frame": len(plan.stream_bin),
    }


def _resources(plan: Plan) -> dict[str, Any]:
    """What the planner expects.  Both engines have the same array and memories, so that one estimate serves both."""
    board, used = plan.board, plan.resources
    result: dict[str, Any] = {
        name: {
            "used": getattr(used, name),
            "available": getattr(board, f"available_{name}"),
            "source": "estimate",
            "estimate": getattr(used, name),
        }
        for name in RESOURCES
    }
    result["bram36"]["parts"] = dict(used.bram36_parts)
    return result


def _cycles(plan: Plan) -> dict[str, Any]:
    timing = plan.timing
    return {
        "ideal": plan.ideal_cycles,
        "predicted": int(timing.total),
        "stalls": {cause: int(getattr(timing, f"stall_{cause}").sum()) for cause in ("weights", "input", "output")},
    }


def _memory(plan: Plan) -> dict[str, Any]:
    """Rings in the activation memory: words of CIN bytes in each of PIX banks, and the stages that use them."""
    return {
        "activation_bytes": plan.engine.pix * plan.engine.act_depth * plan.engine.cin,
        "bank_words": plan.engine.act_depth,
        "instructions": len(plan.program.instructions),
        "program_bytes": len(plan.program_bin),
        "rings": [
            {"name": r.name, "base": r.base, "depth": r.depth, "first_stage": r.first, "last_stage": r.last}
            for r in plan.memory.rings
        ],
    }
