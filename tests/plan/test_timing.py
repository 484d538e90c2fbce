"""The planner's cycle prediction, worked by hand; tests/rtl/test_timing.py compares it with the simulated RTL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.timing import predict
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from tests.networks import random_network
from tests.plan.test_planner import fire_network


def one_fire() -> Plan:
    """Array 3 x 8 x 16, image 17 x 17: conv1 8 x 8 x 16, pool 3 x 3, Fire 4 -> 8 + 8, conv10 with 10 classes.

    An engine without the decoder of entropy-coded layers.
    """
    network, board = fire_network(), load_board("pynq-z2")
    engine = replace(make_plan(network, board).engine, tables=0, store_pieces=(2048,))
    return make_plan(network, board, PlanOptions(engine=engine))


@pytest.fixture(scope="module")
def fire() -> Plan:
    plan = one_fire()
    assert [instruction.wait for instruction in plan.program.instructions] == [0, 1, 1, 1]
    return plan


def test_every_cycle_of_one_fire_by_hand(fire: Plan) -> None:
    """A set leaves in 6 cycles, and 17 after its last step at the earliest; the first one of an instruction counts 20.

    conv1 needs 15 rows of 18 cycles (17 pixels and one), the first in cycle 5 + 22: the last in 279, so the first step
    is in 282.  19 blocks of 6 steps; the third waits for the first, 15 cycles late: 282 + 19 * 6 + 9 = 405.
    Its last set (404) leaves in 421 to 426; 13 cycles later squeeze starts.  441: 3 blocks of 2 steps end in 442, 444,
    463.  The last set leaves in 480 to 485: 499.  expand's tile was begun in 406, after conv1; its first words are
    there in 411, 2 tags and 160 chunks end in 572, the tile is used from 579 on.  Sets end in 587, 588, 608, 614, 623,
    626; the last leaves in 646 to 651, so conv10 runs from 666 on: 667, 669, 688.  That leaves until 710, the 10th
    logit is ready in 728, its beat in 730.
    """
    timing = fire.timing
    assert timing.start.tolist() == [282, 441, 500, 666]
    assert timing.end.tolist() == [405, 464, 627, 689]
    assert timing.total == 731
    assert timing.busy.tolist() == [114, 6, 30, 6]
    assert timing.stall_input.tolist() == [281, 0, 0, 0]
    assert timing.stall_weights.tolist() == [0, 0, 79, 0]
    assert timing.stall_output.tolist() == [10, 53, 54, 98]


def test_a_stream_is_expanded_in_the_frame_and_pauses_behind_eight_words(fire: Plan) -> None:
    """The first tag is read in cycle 10, so that conv1's tile of 96 chunks is ready long before its rows.

    expand's tile is words 49 to 89 of the stream.  It is begun in 406 and does not wait four cycles for its first
    words, but two more words are in sight of the last one, and none comes for a cycle before words 56, 64, 72, 80, 88.
    """
    assert [layer.weights for layer in fire.program.layers] == [0, 40, 49, 90]
    streamed = predict(fire.program, replace(fire.engine, store_pieces=()))
    assert streamed.stall_weights.tolist() == [0, 0, 79 - 4 + 5, 0]
    assert streamed.start.tolist() == [282, 441, 500, 667]
    assert streamed.total == 732


def test_causes_add_up_to_the_total() -> None:
    engine = EngineConfig(
        pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=(16384,), program_depth=512, carry_words=4096
    )
    tested = 0
    for seed in range(12):
        try:
            plan = make_plan(random_network(seed), load_board("zcu104"), PlanOptions(engine=engine))
        except DoesNotFitError:
            continue
        for timing in (plan.timing, predict(plan.program, replace(engine, store_pieces=()))):
            causes = timing.busy, timing.stall_weights, timing.stall_input, timing.stall_output
            assert sum(int(c.sum()) for c in causes) == timing.total
            assert min(int(c.min()) for c in causes) >= 0
            assert (timing.start < timing.end).all() and (timing.end[:-1] <= timing.start[1:]).all()
        tested += 1
    assert tested >= 8


def test_a_border_lengthens_the_last_sets_of_each_group() -> None:
    """Each of the border pixel's two words takes `border` cycles; those before the last group are hidden or not."""
    plan = one_fire()
    layer = plan.program.layers[-1]
    layer.border = 8  # one more pixel: of 9 pixels in 3 blocks, the 10th needs a fourth block
    padded = predict(plan.program, plan.engine)
    # Sets end in 667, 669, 688, 694, which leaves in 711 and takes 6 + 2 * 7 cycles.
    assert padded.end[-1] == 695
    assert padded.total == 731 + 6 + 2 * 7
