"""The folder rtl/ of a build: it elaborates, its engine computes from initial contents, Vivado's script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import tools
from squeeze_hls.artifacts.bundle import Bundle
from squeeze_hls.board import load_board
from squeeze_hls.emit import rtl
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.entropy import STATES
from squeeze_hls.engine.packets import image_packet, parse_logits, program_packet, weights_packet
from squeeze_hls.flows.exact import assert_same
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.protocol import Transfer
from squeeze_hls.sim.rtl_engine import INTERRUPT, RtlEngine
from squeeze_hls.sim.verilate import compile_engine
from tests.networks import random_network
from tests.rtl.runner import BUILDS, require


def small_plan(seed: int, *, streamed: bool = False) -> Plan:
    """A random network on a small engine whose memories have several pieces."""
    engine = EngineConfig(
        pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=() if streamed else (8192, 2048, 512), param_depth=1536,
        program_depth=512, carry_words=4096, tables=0 if streamed else 2,
    )  # fmt: skip
    return make_plan(random_network(seed, small=True), load_board("zcu104"), PlanOptions(engine=engine))


def write(bundle: Bundle, folder: Path) -> None:
    for path, content in bundle.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.mark.parametrize("streamed", [False, True])
def test_folder_elaborates(tmp_path: Path, streamed: bool) -> None:
    require()
    write(rtl.emit(small_plan(1, streamed=streamed)), tmp_path)
    program, environment = tools.require_verilator()
    sources = (tmp_path / "sources.f").read_text().split()
    assert {f"src/{path.name}" for path in (tmp_path / "src").iterdir()} == set(sources)
    command = [str(program), "--lint-only", "-Wall", "-Wno-PINCONNECTEMPTY", "--top-module", rtl.TOP, *sources]
    tools.run(command, log=tmp_path / "log", cwd=tmp_path, env=environment)


def compute(engine: RtlEngine, plan: Plan, image: np.ndarray) -> np.ndarray:
    engine.queue(Transfer.of(image_packet(image, plan.program_bin)))
    start(engine)
    return parse_logits(engine.take().data, plan.network.classes)


def start(engine: RtlEngine) -> None:
    engine.write("ap_ctrl", 1)
    assert engine.run(1_000_000, until=INTERRUPT), "a start hung"
    engine.write("isr", 1)
    engine.read("ap_ctrl")
    assert engine.read("error") == 0


def test_computes_from_initial_contents(tmp_path: Path) -> None:
    """The first frame needs no loading; another program can still be loaded afterwards."""
    require()
    plan, other = small_plan(7), small_plan(9)  # whose logits depend on the picture
    write(rtl.emit(plan), tmp_path)
    extra = rtl.loaded(plan, f"{tmp_path}/contents/{rtl.INIT_PREFIX}")
    engine = RtlEngine(compile_engine(plan.engine, BUILDS, extra=extra), plan.engine)
    engine.reset()
    engine.write("gie", 1)
    engine.write("ier", 1)
    assert engine.read("loaded_flags") == 3
    assert engine.read("weights_id") == plan.program.header.weights_crc
    rng = np.random.default_rng(5)
    for chosen in (plan, plan, other):
        if chosen is other:
            for packet in (
                program_packet(chosen.program_bin, chosen.engine),
                weights_packet(chosen.weights_bin, chosen.engine),
            ):
                engine.queue(Transfer.of(packet))
                start(engine)
        image = rng.integers(0, 256, chosen.network.input_shape).astype(np.uint8)
        name = chosen.network.nodes[-1].output
        assert_same({name: compute(engine, chosen, image)}, golden.run(chosen.network, image), what="from contents")


def test_contents_fit_their_memories() -> None:
    """Every file has a line for each word of its memory, and no wider ones."""
    plan = small_plan(3)
    depths = {"instructions": (2 * plan.engine.program_depth, 64), "buffers": (plan.engine.buffer_depth, 34)}
    depths["tables"] = (2 * STATES, 18)
    depths |= {f"layer{k}": (plan.engine.layer_depth, 64) for k in range(6)}
    files = rtl.contents(plan)
    assert files["tables.mem"].count(b"\n") == len(plan.program.tables) * STATES > 0
    assert {f"store{bit}.mem" for bit in ("13", "11", "09")} <= set(files)
    assert {f"params{bit}.mem" for bit in ("10", "09")} <= set(files)
    for name, text in files.items():
        stem = name.removesuffix(".mem")
        depth, bits = depths.get(stem) or (1 << int(stem[-2:]), 72 if stem.startswith("store") else 44)
        words = [int(line, 16) for line in text.decode().splitlines()]
        assert len(words) == depth, name
        assert max(words) < 1 << bits, name


def test_no_store_contents_in_ultraram() -> None:
    plan = make_plan(random_network(3, small=True), load_board("zcu104"))
    assert plan.engine.store_uram
    assert not any(name.startswith("store") for name in rtl.contents(plan))
    assert rtl.loaded(plan, "x")["STORE_LOADED"] == "1'b0"
