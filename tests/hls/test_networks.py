"""Whole networks: golden model = compiled C++ on every tensor, frames back to back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.flows.exact import assert_same
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.csim import CSim, SimulatedEngine, run_frames
from tests.networks import mixed_network
from tests.schedules import forked_plan, interleaved_rows

from .conftest import RESIDENT, STREAMED, Build

PORTS, WIDTHS = "-DSQUEEZE_COUNT_PORTS", "-DSQUEEZE_EXACT_WIDTHS"
SHAPES = [
    EngineConfig(
        pix=pix,
        cin=cin,
        cout=cout,
        act_pieces=(256, 128, 64),
        store_pieces=() if streamed else (16384, 8192),
        tile_words=256,
        carry_words=4096,
        program_depth=1024,
    )
    for pix, cin, cout, streamed in ((1, 4, 4, False), (2, 4, 8, True), (4, 16, 16, False), (7, 8, 8, True))
]


def plan_for(seed: int, engine: EngineConfig) -> Plan | None:
    """A random network on an engine, where it fits."""
    network = mixed_network(seed)
    try:
        return make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
    except (DoesNotFitError, InputError):
        return None


def check(plan: Plan, seed: int, simulation: CSim) -> None:
    """Three frames that stand in the stream at once, the second one twice."""
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, plan.network.input_shape).astype(np.uint8) for _ in range(2)]
    images.append(images[1])
    got = run_frames(plan, images, simulation)
    for frame, (tensors, image) in enumerate(zip(got, images, strict=True)):
        expected = golden.run(plan.network, image)
        assert tensors.keys() >= {layer.target for layer in plan.layers}
        assert_same(tensors, expected, what=f"seed {seed}, frame {frame}")


def campaign(engine: EngineConfig, seeds: range, simulation: CSim) -> int:
    checked = 0
    for seed in seeds:
        plan = plan_for(seed, engine)
        if plan is not None:
            check(plan, seed, simulation)
            checked += 1
    return checked


@pytest.mark.parametrize("engine", [RESIDENT, STREAMED], ids=["resident", "streamed"])
def test_random_networks(build: Build, engine: EngineConfig, full: bool) -> None:
    count = 1000 if full else 110
    assert campaign(engine, range(count), build(engine, PORTS)) > 0.9 * count


@pytest.mark.parametrize("engine", SHAPES, ids=lambda e: f"{e.pix}x{e.cin}x{e.cout}")
def test_random_networks_on_other_arrays_in_hardware_widths(build: Build, engine: EngineConfig, full: bool) -> None:
    count = 300 if full else 12
    assert campaign(engine, range(count), build(engine, PORTS, WIDTHS)) > 0.3 * count


def test_frames_that_were_fetched_ahead_do_not_wait(build: Build) -> None:
    saved = 0
    for seed in range(20):
        plan = plan_for(seed, RESIDENT)
        if plan is None or plan.program.header.credit < 4:
            continue
        image = np.zeros(plan.network.input_shape, np.uint8)
        engine = SimulatedEngine(plan.engine, plan.program_bin, plan.weights_bin, build(RESIDENT, PORTS))
        first, second = (result.counters for result in engine.run([image, image]))
        assert second["stall_input"] <= first["stall_input"]
        saved += first["cycles"] - second["cycles"]
        for counters in (first, second):
            assert counters["cycles"] == sum(counters[name] for name in counters if name not in ("frames", "cycles"))
    assert saved > 0


@pytest.mark.parametrize("make", [interleaved_rows, forked_plan])
def test_schedules_beyond_a_chain(build: Build, make: Callable[[EngineConfig], Plan]) -> None:
    """Rows of several layers that alternate; a map that two layers read."""
    check(make(RESIDENT), 4, build(RESIDENT, PORTS))
