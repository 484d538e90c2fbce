"""The engine: executor, compiled C++ and simulated RTL on what the planner made of a case."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.flows.exact import assert_same
from squeeze_hls.flows.verify import run_executor
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from tests.conformance.cases import Case

# One engine for all: the RTL's is compiled for tests/rtl/test_engine.py as well.
CONFIG = EngineConfig(
    pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=(16384,), program_depth=512, carry_words=4096, tables=2
)


def plan(case: Case) -> Plan:
    return make_plan(case.network, load_board("zcu104"), PlanOptions(engine=CONFIG))


def check_executor(case: Case, _: np.random.Generator) -> None:
    assert_same(run_executor(plan(case), case.image), case.golden)


def check_csim(case: Case, _: np.random.Generator) -> None:
    from squeeze_hls.sim.csim import run_frames

    assert_same(run_frames(plan(case), [case.image], _compiled())[0], case.golden)


@cache
def _compiled() -> Any:
    from squeeze_hls import tools
    from squeeze_hls.sim.csim import CSim
    from tests.rtl.runner import BUILDS

    if tools.find_cxx() is None or tools.hls_headers() is None:
        pytest.skip("needs a C++ compiler and ap_int.h (extra csim)")
    return CSim(CONFIG, Path(BUILDS).with_name(f"{BUILDS.name}-csim"), options=("-DSQUEEZE_COUNT_PORTS",))


def check_rtl(case: Case, _: np.random.Generator) -> None:
    from tests.rtl.simulated import simulate

    simulate(plan(case), [case.image])
