"""Predicted cycles against the simulated RTL: random small networks, all that come up and fit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim import rtl
from tests.networks import random_network
from tests.rtl.runner import BUILDS, require

TOLERANCE = 0.01  # of a frame's cycles
MEAN = 0.002  # of all frames, on average
EXACT = 0.3  # of all frames, at least


def plans(engine: EngineConfig) -> Iterator[Plan]:
    """Networks of seeds 0, 1, ... without those that do not fit."""
    for seed in range(60):
        try:
            yield make_plan(
                random_network(seed, small=bool(seed % 3)), load_board("zcu104"), PlanOptions(engine=engine)
            )
        except DoesNotFitError:
            continue


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
@pytest.mark.parametrize("array", [(3, 8, 16), (2, 4, 8)], ids=lambda array: "x".join(map(str, array)))
def test_predicted_cycles_are_those_of_the_rtl(array: tuple[int, int, int], streamed: bool, full: bool) -> None:
    require()
    pix, cin, cout = array
    engine = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(512,), store_pieces=() if streamed else (16384,),
        program_depth=512, carry_words=4096, tables=0 if streamed else cin // 2,
    )  # fmt: skip
    wanted = 20 if full else 8
    errors: list[float] = []
    for plan in islice(plans(engine), wanted):
        image = np.random.default_rng(len(errors)).integers(0, 256, plan.network.input_shape).astype(np.uint8)
        frame = rtl.run(plan, image, BUILDS)
        error = plan.timing.total / frame.cycles - 1
        what = f"{plan.network.name}: {plan.timing.total} cycles predicted, {frame.cycles} simulated"
        assert abs(error) <= TOLERANCE, what
        check_causes(plan, frame.result.activity, frame.cycles, what)
        errors.append(error)
    assert len(errors) == wanted
    print(f"{array}: mean {np.mean(np.abs(errors)):.3%}, max {np.max(np.abs(errors)):.3%}, exact {errors.count(0)}")
    assert np.mean(np.abs(errors)) <= MEAN
    assert errors.count(0) >= EXACT * wanted


def check_causes(plan: Plan, activity: np.ndarray, cycles: int, what: str) -> None:
    """What the array did in each instruction: products exactly, and waits within the tolerance of the whole frame."""
    timing = plan.timing
    predicted = np.stack([timing.busy, timing.stall_weights, timing.stall_input, timing.stall_output], axis=1)
    assert activity[:, 0].tolist() == timing.busy.tolist(), what
    # The counters begin with the frame, 5 cycles behind its first beat, and end when the channels that fill up the last
    # group have passed, too.
    predicted[0, 2] -= 5
    least, most = predicted - TOLERANCE * cycles, predicted + TOLERANCE * cycles
    most[-1, 3] += -plan.network.classes % plan.engine.cout
    assert ((least <= activity) & (activity <= most)).all(), f"{what}\n{predicted - activity}"
