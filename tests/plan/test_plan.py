"""Whole plans of random networks: the executor's tensors are the golden model's, without a single hazard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.executor import Executor
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.flows.exact import assert_same
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.plan.hazards import Tracker
from squeeze_hls.plan.maps import Maps, logits_name
from tests.networks import mixed_network, random_network
from tests.plan.test_planner import deep_network

ARRAYS = [(1, 4, 4), (2, 4, 8), (3, 8, 16), (4, 16, 16), (2, 8, 8), (5, 4, 16), (3, 4, 4), (7, 8, 8)]


def cramped_plan(seed: int) -> Plan | None:
    """A random network on a random engine whose activation memory is just large enough, or nearly."""
    network = mixed_network(seed)
    rng = np.random.default_rng(seed)
    pix, cin, cout = ARRAYS[seed % len(ARRAYS)]
    engine = EngineConfig(
        pix=pix,
        cin=cin,
        cout=cout,
        act_pieces=(int(rng.integers(40, 600)),),
        tile_words=256,
        store_pieces=(65536,) if rng.integers(2) else (),
        program_depth=512,
        carry_words=4096,
    )
    try:
        return make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
    except DoesNotFitError:
        return None


def run_two_frames(plan: Plan, seed: int) -> None:
    """Two frames back to back, the second's first rows fetched during the first."""
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, plan.network.input_shape).astype(np.uint8) for _ in range(2)]
    executor = Executor(plan.engine, plan.program_bin, plan.weights_bin)
    tracker = Tracker(plan.program, plan.layers, plan.bands, plan.engine)
    for image, following in (images, images[::-1]):
        maps = Maps(plan)
        logits = executor.run(
            image, following=following, tracker=tracker, on_write=lambda w, maps=maps: maps.add(w.index, w.values)
        )
        expected = golden.run(plan.network, image)
        assert_same(maps.tensors() | {logits_name(plan): logits}, expected, what=f"seed {seed}")
        tracker.next_frame()


@pytest.mark.parametrize("seed", range(40))
def test_executor_equals_golden_on_the_pynq_z2(seed: int) -> None:
    run_two_frames(make_plan(random_network(seed, limited=seed % 4 == 2), load_board("pynq-z2")), seed)


def test_executor_equals_golden_on_cramped_engines() -> None:
    planned = [(seed, plan) for seed in range(200) if (plan := cramped_plan(seed))]
    for seed, plan in planned:
        run_two_frames(plan, seed)
    assert len(planned) >= 100
    # The campaign is only worth something if it reaches the rare cases.
    assert any("-" in ring.name for _, plan in planned for ring in plan.memory.rings), "no map grew in place"
    assert any(i.wait for _, plan in planned for i in plan.program.instructions), "no instruction had to wait"
    assert any(plan.program.header.credit for _, plan in planned), "no image row was fetched ahead"
    layers = [layer for _, plan in planned for layer in plan.program.layers]
    assert any(layer.gather and layer.a.top < 255 for layer in layers), "no first convolution had a limit"
    assert any(layer.average and layer.a.top < 65535 for layer in layers), "no average had a limit"
    assert any(layer.b.present and 255 > layer.a.top != layer.b.top < 255 for layer in layers), (
        "no halves had two limits"
    )
    assert any(plan.chosen[1].bands != 1 for _, plan in planned if len(plan.chosen) > 1), "no stage had bands"


def test_maps_share_buffers_where_a_program_would_need_too_many() -> None:
    """16 Fire modules have 34 maps and bands, for which a program has 32 buffers."""
    plan = make_plan(deep_network(16), load_board("pynq-z2"))
    assert len(plan.memory.rings) <= plan.engine.buffer_depth == 32
    run_two_frames(plan, 0)


def test_the_same_network_gives_the_same_bytes() -> None:
    plans = [make_plan(random_network(5), load_board("pynq-z2")) for _ in range(2)]
    assert plans[0].program_bin == plans[1].program_bin
    assert plans[0].weights_bin == plans[1].weights_bin


def test_a_network_is_planned_for_a_frozen_engine() -> None:
    board = load_board("pynq-z2")
    engine = make_plan(random_network(1), board).engine
    roomy = replace(engine, act_pieces=(4096,), store_pieces=(16384,))
    plan = make_plan(random_network(2), board, PlanOptions(engine=roomy))
    assert plan.engine == roomy
    run_two_frames(plan, 2)


def test_weights_that_exceed_a_frozen_store_are_refused() -> None:
    board = load_board("pynq-z2")
    engine = replace(make_plan(random_network(1), board).engine, store_pieces=(1,))
    with pytest.raises(DoesNotFitError, match="words of the store"):
        make_plan(random_network(1), board, PlanOptions(engine=engine))
