"""Sequencer, output stage, weight stream and the memories of records under cocotb."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.program import Program
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.network.ir import GlobalAverage, IntNetwork, Pads
from squeeze_hls.plan import PlanOptions, make_plan
from tests.networks import int_conv, random_network
from tests.rtl.runner import run, shapes

SHAPES = shapes([(3, 8, 16), (2, 4, 8)], [(1, 4, 4), (4, 16, 16)])


def few_pixels(seed: int) -> IntNetwork:
    """A last convolution of few pixels, a border and many groups: its logits wait for each other."""
    rng = np.random.default_rng(seed)
    height, width = (int(v) for v in rng.choice([3, 5, 7], 2))
    channels, classes = int(rng.integers(2, 20)), int(rng.integers(30, 90))
    border = Pads(top=1, left=1, bottom=1, right=1)
    nodes = (
        int_conv(rng, "conv1", "image", (channels, 3, 3, 3), stride=2),
        int_conv(rng, "conv10", "conv1", (classes, 1, 1, channels), pads=border, wide=True),
        GlobalAverage(name="average", inputs=("conv10",), output="logits"),
    )
    return IntNetwork(
        name=f"few{seed}", input="image", input_shape=(height, width, 3), nodes=nodes, pad_value=(0, 0, 0)
    )


def random_programs(array: tuple[int, int, int], seeds: range) -> list[Program]:
    """Programs of the random networks that fit."""
    pix, cin, cout = array
    engine = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(300,), tile_words=256, store_pieces=(65536,),
        program_depth=512, carry_words=4096,
    )  # fmt: skip
    programs = []
    for network in [*map(random_network, seeds), *map(few_pixels, seeds)]:
        try:
            plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
        except DoesNotFitError:
            continue
        programs.append(plan.program)
    assert programs
    return programs


@pytest.mark.parametrize(("pix", "cin", "cout"), SHAPES)
def test_sequencer(pix: int, cin: int, cout: int, tmp_path: Path, full: bool) -> None:
    programs = random_programs((pix, cin, cout), range(80 if full else 16))
    (tmp_path / "programs").write_bytes(pickle.dumps(programs))
    parameters = {"PIX": pix, "CIN": cin, "COUT": cout, "TILE_WORDS": 256}
    run("sequencer", "bench_sequencer", parameters, environment={"SQUEEZE_HLS_PROGRAMS": str(tmp_path / "programs")})


@pytest.mark.parametrize(("pix", "cin", "cout"), SHAPES)
def test_output_stage(pix: int, cin: int, cout: int) -> None:
    run("output_stage", "bench_output_stage", {"PIX": pix, "CIN": cin, "COUT": cout, "CARRY_WORDS": 256})


def test_weight_stream() -> None:
    run("weight_stream", "bench_weight_stream")


def test_word_unpacker() -> None:
    run("word_unpacker", "bench_word_unpacker")


def test_stream_register() -> None:
    run("stream_register", "bench_stream_register", {"WIDTH": 65})


def test_param_memory() -> None:
    run("param_memory", "bench_param_memory", {"PARAM_DEPTH": 88})


@pytest.mark.parametrize(("cin", "cout"), shapes([(8, 16), (4, 12)], [(4, 4)]))
def test_param_tile(cin: int, cout: int) -> None:
    run("param_tile", "bench_param_tile", {"CIN": cin, "COUT": cout})


def test_program_memory() -> None:
    depths = {"PROGRAM_DEPTH": 40, "LAYER_DEPTH": 12, "BUFFER_DEPTH": 9}
    run("program_memory", "bench_program_memory", depths)
