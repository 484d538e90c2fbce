"""Sequencer, output stage, weight stream and the memories of records under cocotb."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from squeeze_hls.board import load_board
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.plan import PlanOptions, make_plan
from squeeze_hls.plan.engine import EngineConfig
from squeeze_hls.plan.program import Program
from tests.networks import random_network
from tests.rtl.runner import run

SHAPES = [(3, 8, 16), (2, 4, 8), (1, 4, 4), (4, 16, 16)]


def random_programs(array: tuple[int, int, int], seeds: range) -> list[Program]:
    """Programs of the random networks that fit."""
    pix, cin, cout = array
    engine = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(300,), tile_words=256, store_pieces=(65536,),
        program_depth=512, carry_words=4096,
    )  # fmt: skip
    programs = []
    for seed in seeds:
        try:
            plan = make_plan(random_network(seed), load_board("zcu104"), PlanOptions(engine=engine))
        except DoesNotFitError:
            continue
        programs.append(plan.program)
    assert programs
    return programs


@pytest.mark.parametrize("array", SHAPES)
def test_sequencer(array: tuple[int, int, int], tmp_path: Path, full: bool) -> None:
    if array not in SHAPES[:2] and not full:
        pytest.skip("runs with scripts/test --all")
    (tmp_path / "programs").write_bytes(pickle.dumps(random_programs(array, range(80 if full else 16))))
    parameters = dict(zip(("PIX", "CIN", "COUT"), array, strict=True)) | {"TILE_WORDS": 256}
    run("sequencer", "bench_sequencer", parameters, environment={"SQUEEZE_HLS_PROGRAMS": str(tmp_path / "programs")})
