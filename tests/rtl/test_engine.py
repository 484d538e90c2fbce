"""The whole engine: random small networks and the two ImageNet networks, every tensor and all cycles."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import pictures
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.quantize import to_int
from squeeze_hls.sim.rtl import load
from squeeze_hls.sim.verilate import compile_engine
from tests.networks import mixed_network
from tests.rtl.runner import BUILDS, require
from tests.rtl.simulated import simulate
from tests.schedules import forked_plan, interleaved_rows

SAMPLED = ((3, 8, 16), (2, 4, 8))  # arrays of every run
ARRAYS = (*SAMPLED, (4, 8, 8), (1, 16, 16), (5, 4, 12), (4, 16, 16))  # of the campaign
PAUSES = (0.0, 0.0, 0.2, 0.5, 0.8)


def config(array: tuple[int, int, int], streamed: bool) -> EngineConfig:
    pix, cin, cout = array
    return EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(512,), store_pieces=() if streamed else (16384,),
        program_depth=512, carry_words=4096, tables=0 if streamed else cin // 2,
    )  # fmt: skip


def run_case(seed: int, engine: EngineConfig) -> bool:
    """One random (network, pictures, stall pattern); False where the network does not fit the engine."""
    network = mixed_network(seed)
    try:
        plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
    except DoesNotFitError:
        return False
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, plan.network.input_shape).astype(np.uint8) for _ in range(2 + seed % 2)]
    pauses = rng.choice(PAUSES, 3).tolist()
    array = f"{engine.pix} x {engine.cin} x {engine.cout}"
    simulate(plan, images, pauses, seed=seed, what=f"seed {seed}, {array}, weights {plan.residency}, pauses {pauses}")
    return True


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: "x".join(map(str, array)))
def test_random_networks(array: tuple[int, int, int], streamed: bool, full: bool) -> None:
    if not full and array not in SAMPLED:
        pytest.skip("another array of the campaign: scripts/test --all")
    wanted = 28 if full else 16
    first = 1000 * ARRAYS.index(array) + 500 * streamed
    engine = config(array, streamed)
    done = sum(run_case(seed, engine) for seed in range(first, first + wanted + wanted // 2))
    assert done >= wanted, f"only {done} of {wanted + wanted // 2} networks fitted"


@pytest.mark.parametrize("make", [interleaved_rows, forked_plan])
def test_schedules_beyond_a_chain(make: Callable[[EngineConfig], Plan]) -> None:
    """Rows of several layers that alternate; a map that two layers read: every tensor, with and without pauses."""
    plan = make(config(SAMPLED[1], False))
    images = list(np.random.default_rng(4).integers(0, 256, (2, *plan.network.input_shape)).astype(np.uint8))
    first, _ = simulate(plan, images, what=make.__name__)
    assert abs(plan.timing.total - first.cycles) <= 0.01 * first.cycles
    simulate(plan, images, [0.5, 0.0, 0.5], seed=3, what=make.__name__)


def whole(network: IntNetwork, most_cycles: int) -> None:
    """Two real pictures back to back on the PYNQ-Z2's engine."""
    plan = make_plan(network, load_board("pynq-z2"))
    known = {Path(p.name).stem: p for p in pictures.builtin()}
    chosen = [known[name] for name in ("coffee", "chelsea")]
    images = list(pictures.stack(chosen, network.input_shape, network.preprocess))
    first, second = simulate(plan, images, what=network.name)
    logits = network.nodes[-1].output
    assert int(np.argmax(first.tensors[logits])) == 967, "coffee is no espresso"
    assert int(np.argmax(second.tensors[logits])) in {281, 282, 285}, "chelsea is no cat"
    assert first.cycles <= most_cycles
    assert abs(plan.timing.total - first.cycles) <= 0.01 * first.cycles
    assert second.result.end - first.result.end <= first.cycles, "the second frame takes longer"
    assert second.result.counters["cycles"] <= first.result.counters["cycles"]


def test_v11_whole() -> None:
    whole(to_int(load_graph("squeezenet1.1-w6")), 990_000)


def test_speed(full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 100,000 cycles a second of one core; with --all, at most 180 seconds of it to compile."""
    monkeypatch.delenv("OBJCACHE", raising=False)
    plan = make_plan(to_int(load_graph("squeezenet1.1-w6")), load_board("pynq-z2"))
    require()
    before = os.times()
    library = compile_engine(plan.engine, tmp_path if full else BUILDS)
    after = os.times()
    assert after.children_user - before.children_user <= 180
    image = pictures.stack(pictures.builtin()[:1], plan.network.input_shape, plan.network.preprocess)[0]
    simulated = load(library, plan)
    cycle, started = simulated.engine.cycle, time.process_time()
    simulated.run([image])
    speed = (simulated.engine.cycle - cycle) / (time.process_time() - started)
    print(f"{speed:,.0f} cycles a second, compiled in {after.children_user - before.children_user:.0f} s")
    assert speed >= 100_000


def test_deep_compression_whole(shared: Path, full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are rounded to the nearest integers, which takes a tenth of the quantizer's time, but with --all."""
    graph = load_graph(shared / "models" / "compressed_SqueezeNet.net")
    calibration = pictures.load(shared / "images" / "calibration100.npz")
    images = pictures.stack(calibration, graph.input_shape, graph.preprocess)
    if not full:
        quantize = "squeeze_hls.quantize"
        monkeypatch.setattr(f"{quantize}.statistics.best_weights", lambda given, start, support: start)
        monkeypatch.setattr(f"{quantize}.rounding.round_weights", lambda t, h, scale, s: nearest(t / scale[:, None]))
        monkeypatch.setattr(f"{quantize}.rounding.descend", lambda integers, *rest: integers)
    network = to_int(graph, images[: 8 if full else 1])
    whole(network, 2_360_000)


def nearest(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), -32, 31)
