"""The simulated engine as an object: streams, registers, reset, clock, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.packets import parse_logits
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.flows.exact import assert_same
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.protocol import Packets, Transfer
from squeeze_hls.sim.rtl import SimulatedRtl, load, run_frames
from squeeze_hls.sim.rtl_engine import IN, IN_EMPTY, INTERRUPT, OUT, PACKET_OUT, RtlEngine
from squeeze_hls.sim.verilate import compile_engine
from tests.networks import random_network
from tests.rtl.runner import BUILDS
from tests.rtl.simulated import engine

CONFIG = EngineConfig(
    pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=(16384,), program_depth=512, carry_words=4096
)
OTHER = EngineConfig(pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=(), program_depth=512, carry_words=4096)
SEED = 1


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(random_network(SEED), load_board("zcu104"), PlanOptions(engine=CONFIG))


@pytest.fixture
def fresh() -> RtlEngine:
    made = engine(CONFIG)
    made.reset()
    return made


@pytest.fixture
def loaded(plan: Plan, fresh: RtlEngine) -> SimulatedRtl:
    return SimulatedRtl(fresh, plan.program_bin, plan.weights_bin, limit=1_000_000)


def picture(plan: Plan) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 256, plan.network.input_shape).astype(np.uint8)


def test_registers_and_cycles(fresh: RtlEngine) -> None:
    assert fresh.cycle == 5
    assert fresh.read("engine_id") == fresh.read(0x50) == CONFIG.identity
    before = fresh.cycle
    assert fresh.read("loaded_flags") == 0 and fresh.cycle > before
    fresh.write("ier", 3)
    assert fresh.read("ier") == 3
    before = fresh.cycle
    fresh.step(100)
    assert fresh.cycle == before + 100


def test_the_limit_is_kept(fresh: RtlEngine) -> None:
    watched: list[int] = []
    assert fresh.run(120_000, until=INTERRUPT, watch=watched.append) == 0
    assert fresh.cycle == 120_005 and watched == [50_000, 100_000]


def test_a_start_that_hangs_is_an_error(loaded: SimulatedRtl) -> None:
    with pytest.raises(ToolFailedError, match="did not end within 1,000,000 cycles"):
        loaded.start()  # and no packet


def test_an_error_code_is_an_error(plan: Plan, loaded: SimulatedRtl) -> None:
    with pytest.raises(ToolFailedError, match="image 0 ended with error code"):
        loaded.run([np.zeros((1, 1, 3), np.uint8)])


def test_beats_wait_and_stay(plan: Plan, fresh: RtlEngine) -> None:
    """Before a start beats stay, but for those that input registers hold; `clear` drops all."""
    packet = Packets(CONFIG, plan.program_bin, plan.weights_bin).load[0]
    fresh.queue(packet)
    fresh.step(50)
    assert len(packet.words) - 4 <= fresh.waiting(IN) <= len(packet.words) and fresh.stamps(IN) == []
    fresh.write("ap_ctrl", 1)
    assert fresh.run(10_000, until=IN_EMPTY) == IN_EMPTY
    fresh.step(20)
    assert fresh.read("error") == 0 and fresh.read("loaded_flags") == 1
    stamps = fresh.stamps(IN)
    assert len(stamps) == 1 and stamps[0].last - stamps[0].first >= len(packet.words) - 1
    fresh.queue(packet)
    fresh.clear(IN)
    fresh.write("ap_ctrl", 1)
    fresh.step(1_000)
    assert fresh.waiting(IN) == 0 and fresh.stamps(IN) == []


def test_engines_end_in_any_order() -> None:
    first, second = engine(CONFIG), engine(CONFIG)
    second.close()
    third = engine(CONFIG)
    first.close()
    third.reset()
    assert third.read("engine_id") == CONFIG.identity
    third.close()
    third.close()


def test_pauses_hold_beats_back(plan: Plan) -> None:
    cycles = []
    for probability in (0.0, 0.5, 0.9):
        paused = engine(CONFIG)
        paused.reset()
        paused.pauses(IN, probability, 7)
        packet = Packets(CONFIG, plan.program_bin, plan.weights_bin).load[0]
        paused.queue(packet)
        paused.write("ap_ctrl", 1)
        paused.run(100_000, until=IN_EMPTY)
        stamp = paused.stamps(IN)[0]
        cycles.append((stamp.last - stamp.first + 1) / len(packet.words))
    assert cycles[0] < 1.3 and 1.7 < cycles[1] < 2.4 and 8 < cycles[2] < 12, cycles


def test_output_beats(plan: Plan, loaded: SimulatedRtl) -> None:
    """By hand, as the simulated board will do it: the packet, its flags and its cycles."""
    simulated, image = loaded.engine, picture(plan)
    for transfer in Packets(CONFIG, plan.program_bin, plan.weights_bin).frame(image):
        simulated.queue(transfer)
    simulated.write("ap_ctrl", 1)
    assert simulated.run(1_000_000, until=PACKET_OUT) == PACKET_OUT
    beats, stamps = simulated.take(), simulated.stamps(OUT)
    logits = golden.run(plan.network, image)[plan.network.nodes[-1].output]
    np.testing.assert_array_equal(parse_logits(beats.data, len(logits)), logits)
    assert beats.last.tolist() == [False] * (len(beats.data) - 1) + [True]
    assert beats.keep.tolist() == [0xFF] * (len(logits) // 2) + [0x0F] * (len(logits) % 2)
    assert np.all(np.diff(beats.cycle.astype(int)) > 0)
    assert [(s.first, s.last) for s in stamps] == [(beats.cycle[0], beats.cycle[-1])]
    assert simulated.waiting(OUT) == 0 and len(simulated.take().data) == 0


def test_engines_live_side_by_side(plan: Plan) -> None:
    """Of one library and of two: neither notices the others."""
    streamed = make_plan(plan.network, plan.board, PlanOptions(engine=OTHER))
    image = picture(plan)
    expected = golden.run(plan.network, image)
    library = compile_engine(CONFIG, BUILDS)
    simulations = [load(library, plan), load(library, plan), load(compile_engine(OTHER, BUILDS), streamed)]
    simulations[1].run([255 - image])
    for simulation, of in zip(simulations, (plan, plan, streamed), strict=True):
        assert_same(run_frames(of, [image], simulation)[0].tensors, expected)
    assert [s.engine.read("frames") for s in simulations] == [1, 2, 1]


def test_tlast_where_it_is_asked_for(fresh: RtlEngine) -> None:
    assert Transfer(words=np.zeros(4, np.uint64)).last_flags.tolist() == [0, 0, 0, 1]
    assert Transfer(words=np.zeros(4, np.uint64), last=(0, 2)).last_flags.tolist() == [1, 0, 1, 0]
    fresh.queue(Transfer(words=np.zeros(4, np.uint64), last=(1, 3)))
    for _ in range(2):  # no packet of ours: discarded up to TLAST, one a start
        fresh.write("ap_ctrl", 1)
        fresh.step(50)
        assert fresh.read("error") == 1
    assert [s.last - s.first for s in fresh.stamps(IN)] == [1, 1]


def test_a_model_that_gives_up_is_an_error(full: bool) -> None:
    """Such as on a parameter that a module refuses by $fatal: the process goes on."""
    if not full:
        pytest.skip("compiles an engine for this alone: scripts/test --all")
    library = compile_engine(CONFIG, BUILDS, extra={"LAYER_DEPTH": "128"})
    with pytest.raises(ToolFailedError, match="program_memory.sv"):
        RtlEngine(library, CONFIG)


def test_no_waves_without_a_library_for_them(fresh: RtlEngine, tmp_path) -> None:
    with pytest.raises(ToolFailedError, match="compiled without waves"):
        fresh.waves(tmp_path / "waves.vcd")
