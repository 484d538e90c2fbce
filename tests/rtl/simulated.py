"""Simulated engines for tests: compiled once, kept between runs; frames compared tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeeze_hls.engine.addresses import blocks
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.flows.exact import assert_same
from squeeze_hls.network import golden
from squeeze_hls.paths import RTL_SOURCES
from squeeze_hls.plan import Plan
from squeeze_hls.sim.rtl import Frame, load, run_frames
from squeeze_hls.sim.rtl_engine import IN, OUT, WEIGHTS, RtlEngine
from squeeze_hls.sim.verilate import compile_engine
from tests.rtl.runner import BUILDS, require

NONE = (0.0, 0.0, 0.0)
LIMIT = 5_000_000


def engine(config: EngineConfig) -> RtlEngine:
    """A fresh engine; the test is skipped where Verilator is missing."""
    require()
    return RtlEngine(compile_engine(config, BUILDS), config)


def products(plan: Plan) -> list[int]:
    """Cycles in which the array multiplies, of each instruction."""
    program, result = plan.program, []
    for instruction in program.instructions:
        layer = program.layers[instruction.layer]
        depth = sum(layer.depth(half) for group in range(layer.groups) for half in layer.halves_of(group))
        result.append(blocks(layer, instruction, plan.engine.pix) * depth)
    return result


def simulate(
    plan: Plan,
    images: Sequence[np.ndarray],
    pauses: Sequence[float] = NONE,
    *,
    seed: int = 1,
    what: str = "",
    rtl: Path = RTL_SOURCES,
) -> list[Frame]:
    """Compute images back to back, ``pauses`` on s_axis_in, s_axis_weights and m_axis_out; every tensor must agree."""
    require()
    simulated = load(compile_engine(plan.engine, BUILDS, rtl=rtl), plan, limit=LIMIT)
    for stream, probability in zip((IN, WEIGHTS, OUT), pauses, strict=True):
        simulated.engine.pauses(stream, probability, seed + stream)
    frames = run_frames(plan, images, simulated)
    names = {layer.target for layer in plan.layers}
    for number, (image, frame) in enumerate(zip(images, frames, strict=True)):
        assert set(frame.tensors) == names, f"{what}: {sorted(names ^ set(frame.tensors))} missing or unknown"
        assert_same(frame.tensors, golden.run(plan.network, image), what=f"{what}, picture {number}")
        counters = frame.result.counters
        stalls = sum(counters[f"stall_{cause}"] for cause in ("weights", "input", "output"))
        assert counters["cycles"] == counters["busy"] + stalls, f"{what}: {counters}"
        assert frame.result.activity[:, 0].tolist() == products(plan), f"{what}: products of other instructions"
        sums = frame.result.activity.sum(axis=0).tolist()
        assert sums == [counters[n] for n in ("busy", "stall_weights", "stall_input", "stall_output")], what
    return frames
