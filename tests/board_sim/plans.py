"""Small networks on a small engine, so that one compiled engine serves most tests."""

from __future__ import annotations

import asyncio
from functools import cache

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from tests.networks import random_network

SEED, OTHER = 7, 9  # 10 and 7 classes


@cache
def small_plan(seed: int = SEED, *, streamed: bool = False, board: str = "pynq-z2", small: bool = True) -> Plan:
    engine = EngineConfig(
        pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=() if streamed else (8192, 2048, 512), param_depth=1536,
        program_depth=512, carry_words=4096, tables=0 if streamed else 2,
    )  # fmt: skip
    return make_plan(random_network(seed, small=small), load_board(board), PlanOptions(engine=engine))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def notebook_loop() -> asyncio.AbstractEventLoop:
    """The loop to which PYNQ ties its interrupts when it first meets them, as in Jupyter; the present one."""
    asyncio.set_event_loop(_loop())
    return _loop()
