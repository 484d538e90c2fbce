"""Each rule that the tracker and the planner's checks watch, broken on purpose in a good program."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.addresses import Reads
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.program import Program
from squeeze_hls.errors import SqueezeError
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.plan.checks import PlanError, check_program, set_waits
from squeeze_hls.plan.hazards import HazardError, Tracker, prove
from tests.networks import random_network


@pytest.fixture
def plan() -> Plan:
    """A plan with pooling, bands, a chained ring and image rows loaded piece by piece."""
    engine = EngineConfig(
        pix=3, cin=4, cout=8, act_pieces=(420,), tile_words=256, store_pieces=(8192,), carry_words=4096
    )
    for seed in range(400):
        network = random_network(seed, small=False)
        try:
            found = make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
        except SqueezeError:  # too large for this engine
            continue
        conv1 = [b for b in found.bands if b.image_rows]
        if len(conv1) > 3 and found.layers[0].pool and any("-" in r.name for r in found.memory.rings):
            return found
    raise AssertionError("no network fills the engine")


def broken(plan: Plan) -> Program:
    return copy.deepcopy(plan.program)


def run(plan: Plan, program: Program) -> None:
    prove(program, plan.layers, plan.bands, plan.engine)


def test_the_good_program_passes(plan: Plan) -> None:
    run(plan, broken(plan))
    check_program(plan.program, plan.engine)


def test_a_wrong_source_pointer_reads_the_wrong_pixel(plan: Plan) -> None:
    program = broken(plan)
    index = next(i for i, b in enumerate(plan.bands) if plan.layers[b.layer].pad)
    instruction = program.instructions[index]
    depth = program.buffers[instruction.source].depth
    instruction.source_ptr = (instruction.source_ptr + program.layers[instruction.layer].pitch) % depth
    with pytest.raises(HazardError, match=f"instruction {index} reads pixel"):
        run(plan, program)


def test_a_wrong_row_step_reads_the_wrong_pixel(plan: Plan) -> None:
    program = broken(plan)
    layer = next(row for row in program.layers if row.pad)
    layer.row_mod = (layer.row_mod + 1) % plan.engine.pix
    with pytest.raises(HazardError, match="but finds"):
        run(plan, program)


def test_a_wrong_target_overwrites_live_rows(plan: Plan) -> None:
    program = broken(plan)
    squeeze = [
        i for i, b in enumerate(plan.bands) if plan.layers[b.layer].pointwise and not plan.layers[b.layer].average
    ]
    for index in squeeze[1:]:
        program.instructions[index].target_ptr = program.instructions[squeeze[0]].target_ptr
    with pytest.raises(HazardError, match="before its last use"):
        run(plan, program)


def test_a_ring_that_is_too_short_is_noticed(plan: Plan) -> None:
    program = broken(plan)
    for buffer, ring in zip(program.buffers, plan.memory.rings, strict=True):
        if "-" in ring.name:
            buffer.depth -= plan.layers[1].target_layout.words * 2
    with pytest.raises(HazardError):
        run(plan, program)


def test_credits_that_come_too_early_overwrite_image_rows(plan: Plan) -> None:
    program = broken(plan)
    granted = [i for i in program.instructions if i.credit]
    for later in granted[1:]:
        granted[0].credit += later.credit
        later.credit = 0
    with pytest.raises(HazardError, match="before its last use"):
        run(plan, program)


def test_credits_that_come_too_late_are_noticed(plan: Plan) -> None:
    program = broken(plan)
    granted = [i for i in program.instructions if i.credit]
    granted[-1].credit += granted[0].credit
    granted[0].credit = 0
    with pytest.raises(PlanError, match="waits for rows"):
        check_program(program, plan.engine)
    with pytest.raises(HazardError, match="reads pixel"):
        run(plan, program)


def test_credits_that_do_not_add_up_are_noticed(plan: Plan) -> None:
    program = broken(plan)
    program.instructions[0].credit += 1
    with pytest.raises(PlanError, match="credits of a frame"):
        check_program(program, plan.engine)


def test_missing_edge_masks_are_noticed(plan: Plan) -> None:
    program = broken(plan)
    next(row for row in program.layers if row.pad).pad = 0
    with pytest.raises(HazardError, match="edge masks"):
        run(plan, program)


def test_halves_that_write_the_same_words_are_noticed(plan: Plan) -> None:
    program = broken(plan)
    layer = next(row for row in program.layers if row.b.present)
    layer.a.offset = layer.b.offset
    with pytest.raises(HazardError, match="same words"):
        run(plan, program)


def test_two_lanes_in_one_bank_are_noticed(plan: Plan) -> None:
    tracker = Tracker(plan.program, plan.layers, plan.bands, plan.engine)
    half = plan.program.layers[0].a
    pixels, needed = tracker.expected(0, half)
    reads = Reads(np.zeros_like(pixels), np.zeros_like(pixels), needed)
    with pytest.raises(HazardError, match="same bank"):
        tracker.read(0, half, reads, np.zeros((*pixels.shape, 1), np.int64))


def test_a_wait_stands_where_a_read_follows_its_write_too_soon() -> None:
    waits = [
        i
        for seed in range(30)
        for i in make_plan(random_network(seed), load_board("pynq-z2")).program.instructions
        if i.wait
    ]
    assert waits
    plan = make_plan(random_network(3), load_board("pynq-z2"))
    program = broken(plan)
    for instruction in program.instructions:
        instruction.wait = 0
    set_waits(program, plan.engine)
    assert [i.wait for i in program.instructions] == [i.wait for i in plan.program.instructions]


def test_steps_that_wrap_a_ring_twice_are_noticed(plan: Plan) -> None:
    program = broken(plan)
    layer = next(row for row in program.layers if row.pad)
    layer.row_ptr = 419
    with pytest.raises(PlanError, match="wraps its ring twice"):
        check_program(program, plan.engine)


def test_too_few_carry_words_are_noticed(plan: Plan) -> None:
    program = broken(plan)
    next(row for row in program.layers if row.pool).carry = plan.engine.carry_words - 1
    with pytest.raises(PlanError, match="carry words"):
        check_program(program, plan.engine)
