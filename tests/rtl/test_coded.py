"""Entropy-coded weights that no encoder wrote, under checksums that hold: the executor refuses them where it can tell;
the engine goes on, in time.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.entropy import EXTRA_MAX, STATE_BITS
from squeeze_hls.engine.executor import Executor
from squeeze_hls.engine.program import pack_program, parse_program
from squeeze_hls.errors import InputError
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.rtl import SimulatedRtl
from tests.networks import random_network
from tests.rtl.simulated import engine

ARRAYS = {(2, 4, 8): 7, (3, 8, 16): 26}  # and the seed of a network that fits
KINDS = ("random", "ones", "zeros", "long")


def plan_for(array: tuple[int, int, int]) -> Plan:
    pix, cin, cout = array
    config = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(512,), store_pieces=(16384,), program_depth=512, carry_words=4096,
        tables=cin // 2,
    )  # fmt: skip
    network = random_network(ARRAYS[array], small=bool(ARRAYS[array] % 3))
    plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=config))
    assert any(plan.store.codes)
    return plan


def garbage(plan: Plan, kind: str) -> tuple[bytes, bytes]:
    """A program and weights; "long": every item has as many bits as there can be."""
    length = len(plan.weights_bin)
    weights = {"ones": b"\xff" * length, "zeros": bytes(length)}.get(kind) or np.random.default_rng(1).bytes(length)
    program = parse_program(plan.program_bin)
    program.header.weights_crc = zlib.crc32(weights)
    for table in program.tables if kind == "long" else ():
        table.bits[:], table.extra[:] = STATE_BITS, EXTRA_MAX
    return pack_program(program), weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: "x".join(map(str, array)))
def test_garbage_takes_as_long_and_leaves_nothing_behind(array: tuple[int, int, int], kind: str) -> None:
    plan = plan_for(array)
    image = np.random.default_rng(2).integers(0, 256, plan.network.input_shape).astype(np.uint8)
    program, weights = garbage(plan, kind)
    rtl = engine(plan.engine)
    limit = 10 * (plan.timing.total + len(weights) + len(program))
    (result,) = SimulatedRtl(rtl, program, weights, limit=limit).run([image])
    assert result.cycles == plan.timing.total
    logits = SimulatedRtl(rtl, plan.program_bin, plan.weights_bin).logits(image)
    np.testing.assert_array_equal(logits, golden.run(plan.network, image)[plan.network.nodes[-1].output])


def test_the_executor_refuses_chunks_that_are_too_long() -> None:
    plan = plan_for((3, 8, 16))
    with pytest.raises(InputError, match="cut off or altered"):
        Executor(plan.engine, *garbage(plan, "long"))
