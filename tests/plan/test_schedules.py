"""Schedules and maps beyond a chain: interleaved rows, a map that several stages read, one that nobody reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.errors import SqueezeError
from squeeze_hls.plan import PlanOptions, make_plan
from squeeze_hls.plan.hazards import HazardError
from squeeze_hls.plan.lowering import lower
from squeeze_hls.plan.memory import MemoryMap, layout, lifetimes
from squeeze_hls.plan.schedule import cut_into_stages, schedule
from squeeze_hls.plan.search import all_choices, search
from tests.networks import int_conv
from tests.plan.test_plan import run_two_frames
from tests.schedules import ENGINE, ONE, SIZE, chain, forked, forked_plan, interleaved, network_of, planned


def test_interleaved_rows_need_a_few_rows_of_the_maps_between() -> None:
    plan = interleaved(held=4)
    assert [step.layer for step in plan.steps[:12]] == [0, 0, 0, 1, 0, 1, 0, 1, 2, 0, 1, 2]
    whole = make_plan(plan.network, plan.board, PlanOptions(engine=ENGINE))
    assert plan.memory.ring("two").depth == 4 * SIZE // ENGINE.pix * 2 < whole.memory.ring("two").depth
    run_two_frames(plan, 1)


def test_too_few_rows_are_noticed() -> None:
    with pytest.raises(HazardError, match=r"overwrites pixel \d+, word \d+ of 'one' before its last use, by one"):
        interleaved(held=3)


def test_rows_that_are_not_there_yet_are_noticed() -> None:
    """A 3x3 convolution reads the row below, which must have been computed."""
    with pytest.raises(HazardError, match=r"instruction \d+ reads pixel \d+, word 0 of 'one', but finds nothing"):
        interleaved(held=4, ahead=0)


def test_a_map_that_two_stages_read_lives_until_the_later_one() -> None:
    _, layers = forked()
    alive = lifetimes(cut_into_stages(layers))
    assert {t: (life.first, life.last) for t, life in alive.items()} == {"one": (0, 2), "two": (1, 1), "three": (2, 3)}


def test_a_fork_is_planned_and_computed() -> None:
    plan = forked_plan()
    run_two_frames(plan, 2)
    rings = {ring.name: ring for ring in plan.memory.rings}
    assert not rings["map1"].collides(rings["unread1"]) and rings["map1"].last == 2


def test_a_map_is_not_given_away_while_a_later_stage_reads_it() -> None:
    """With the lifetimes of a chain the second convolution would write over what the third still reads."""
    network, layers = forked()
    stages = cut_into_stages(layers)
    fit = search(stages, all_choices(stages, ENGINE), ENGINE)
    one = fit.memory.ring("one")
    rings = [replace(r, base=one.base) if r.name == "unread1" else r for r in fit.memory.rings]
    base = make_plan(chain(), load_board("zcu104"), PlanOptions(engine=ENGINE))
    wrong = replace(fit.memory, rings=tuple(rings))
    with pytest.raises(SqueezeError, match="before its last use"):
        planned(replace(base, network=network), layers, schedule(stages, fit.chosen), wrong)


def test_a_tail_is_consumed_only_where_nobody_else_reads_its_source() -> None:
    rng = np.random.default_rng(9)
    one = int_conv(rng, "one", "image", (6, 3, 3, 3), pads=ONE)
    thin = int_conv(rng, "thin", "one", (4, 1, 1, 6))
    last = int_conv(rng, "classes", "thin", (5, 3, 3, 4), pads=ONE, wide=True)
    layers = lower(network_of([one, thin, last]), ENGINE)
    assert [len(stage.layers) for stage in cut_into_stages(layers)] == [2, 1]
    again = replace(layers[2], sources=("one",))
    assert [len(stage.layers) for stage in cut_into_stages((*layers[:2], again))] == [1, 1, 1]


def test_the_layout_of_a_chain_is_by_tensor() -> None:
    plan = make_plan(chain(), load_board("zcu104"), PlanOptions(engine=ENGINE))
    memory = layout(plan.stages, plan.chosen, [False] * len(plan.stages), ENGINE)
    assert isinstance(memory, MemoryMap)
    assert memory.places.keys() == {"image", "one", "two", "three"}
    assert memory.places["three"].banded  # the classes read it band by band
