"""Static timing on netlists worked by hand, and of a processor whose speed is published."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from squeeze_hls.flows.synth import speed_grade
from squeeze_hls.synth import job
from squeeze_hls.synth.static_timing import NET_MODELS, OPTIMISTIC, PESSIMISTIC, UNCERTAINTY_NS, NetModel, TimingGraph
from tests.synth.test_cells import cell, module, register

FLAT = NET_MODELS[0]


def worst(*cells: dict, model: NetModel = FLAT, clock: float = 100.0) -> float:
    return TimingGraph(module(*cells)).analyse(model, clock).worst_ns


def test_register_to_register() -> None:
    """Clock to Q 0.518, a wire 0.45, a LUT 0.124, then D beside the LUT: no wire, set-up 0.05."""
    lut = cell("LUT2", I0=2, I1=9, O=3)
    assert worst(register(9, 2), lut, register(3, 4)) == pytest.approx(0.518 + 0.45 + 0.124 + 0.05)


def test_two_readers_need_a_wire() -> None:
    """Only a LUT's single register is packed with it."""
    cells = (register(9, 2), cell("LUT1", I0=2, O=3), register(3, 4), register(3, 5))
    assert worst(*cells) == pytest.approx(0.518 + 0.45 + 0.124 + 0.45 + 0.05)


@pytest.mark.parametrize(("pin", "setup"), [("CE", 0.205), ("R", 0.524), ("D", 0.05)])
def test_set_up_times(pin: str, setup: float) -> None:
    end = cell("FDRE", **{"C": 1, "CE": "1", "R": "0", "D": 8, "Q": 5} | {pin: 2})
    assert worst(register(9, 2), end) == pytest.approx(0.518 + 0.45 + setup)


def test_carry_chain() -> None:
    """A LUT beside S, S0 to CO3 0.508, then in the next block without a wire CI to CO2 0.228, and a wire to CE."""
    first = cell(
        "CARRY4", CI="0", CYINIT="0", DI=["0"] * 4, S=[3, "0", "0", "0"], O=[20, 21, 22, 23], CO=[24, 25, 26, 27]
    )
    second = cell("CARRY4", CI=27, CYINIT="0", DI=["0"] * 4, S=["0"] * 4, O=[30, 31, 32, 33], CO=[34, 35, 36, 37])
    end = cell("FDRE", C=1, CE=36, R="0", D=8, Q=5)
    total = 0.518 + 0.45 + 0.124 + 0.508 + 0.228 + 0.45 + 0.205
    assert worst(register(9, 2), cell("LUT1", I0=2, O=3), first, second, end) == pytest.approx(total)


def test_block_ram_and_its_output_register() -> None:
    def ram(registered: int) -> dict:
        return cell("RAMB36E1", {"DOA_REG": f"{registered:b}"}, CLKARDCLK=1, ADDRARDADDR=2, DOADO=3)

    for registered, out in ((0, 2.454), (1, 0.882)):
        assert worst(ram(registered), register(3, 4)) == pytest.approx(out + 0.45 + 0.05)
    assert worst(register(9, 2), ram(0)) == pytest.approx(0.518 + 0.45 + 0.566)


def test_distributed_ram_is_read_through() -> None:
    """Through its address, if that is late; at least 1.344 after a write."""
    ram = cell("RAM32M", WCLK=1, WE=8, ADDRA=[2], ADDRD=[7], DIA=6, DOA=3)
    assert worst(register(9, 2), ram, register(3, 4)) == pytest.approx(1.344 + 0.45 + 0.05)
    late = cell("LUT1", I0=12, O=2)
    total = 0.518 + 0.45 + 0.124 + 0.45 + 0.156 + 0.45 + 0.05
    assert worst(register(9, 12), late, ram, register(3, 4)) == pytest.approx(total)


def test_dsp_registers() -> None:
    """With AREG the set-up of A is short; without, the multiplier is before MREG."""
    for registers, setup in (("1", 0.362), ("0", 1.928)):
        dsp = cell("DSP48E1", {"AREG": registers, "MREG": "1", "PREG": "1"}, CLK=1, A=2, P=3)
        assert worst(register(9, 2), dsp) == pytest.approx(0.518 + 0.45 + setup)
    dsp = cell("DSP48E1", {"PREG": "1"}, CLK=1, A=8, P=3)
    assert worst(dsp, register(3, 4)) == pytest.approx(0.434 + 0.45 + 0.05)


def test_an_inverter_is_free_but_its_wire_is_not() -> None:
    assert worst(register(9, 2), cell("INV", I=2, O=3), register(3, 4)) == pytest.approx(0.518 + 0.45 + 0.05)


def test_models_of_wires() -> None:
    """By fan-out: 0.45 always; 0.35 + 0.14 log2, up to 1.3; the same, and from 64 on 0.35 ns a doubling."""
    assert [FLAT.delay(n) for n in (1, 1000)] == [0.45, 0.45]
    assert [round(OPTIMISTIC.delay(n), 3) for n in (1, 4, 64, 1024)] == [0.35, 0.63, 1.19, 1.3]
    assert [round(PESSIMISTIC.delay(n), 3) for n in (1, 4, 64, 1024)] == [0.35, 0.63, 1.19, 2.59]


def test_failing_ends_are_counted_by_the_clock() -> None:
    """1.142 and 1.592 ns; a budget of 1.5 ns is a clock of 1 / 1.8 ns."""
    cells = (
        register(9, 2),
        cell("LUT1", I0=2, O=3),
        cell("LUT1", I0=2, O=6),
        register(3, 4),
        register(6, 5),
        register(6, 7),
    )
    graph = TimingGraph(module(*cells))
    found = graph.analyse(FLAT, 1000 / (1.5 + UNCERTAINTY_NS))
    assert (found.endpoints, found.failing) == (3, 2)
    assert found.fmax_mhz == pytest.approx(1000 / (1.592 + UNCERTAINTY_NS))
    assert graph.analyse(FLAT, 1000 / (1.6 + UNCERTAINTY_NS)).failing == 0


def test_clusters_name_start_end_levels_and_fanout() -> None:
    cells = (register(9, 2), cell("LUT1", I0=2, O=3), register(3, 4), register(2, 5), register(2, 6))
    netlist = module(*cells, names={"a.from": 2, "b.to": 4, "b.word[0]": 5, "b.word[1]": 6})
    slowest, other = TimingGraph(netlist).analyse(FLAT, 900).paths
    assert (slowest.start, slowest.end, slowest.module) == ("a.from", "b.to", "b")
    assert (slowest.levels, slowest.fanout, slowest.endpoints, slowest.failing) == (1, 3, 1, 1)
    assert (other.end, other.endpoints, other.levels) == ("b.word", 2, 0)


def test_registers_with_many_loads_come_first() -> None:
    cells = (register(9, 2), *(register(2, 10 + n) for n in range(4)), register(10, 20))
    graph = TimingGraph(module(*cells, names={"wide": 2, "narrow": 10}))
    assert [*graph.fanouts()][:2] == [(4, "wide"), (1, "narrow")]


def test_a_faster_speed_grade_scales_everything() -> None:
    netlist = module(register(9, 2), cell("LUT1", I0=2, O=3), register(3, 4))
    assert TimingGraph(netlist, 0.5).analyse(FLAT, 100).worst_ns == pytest.approx(1.142 / 2)
    assert [speed_grade(p) for p in ("xc7z020clg400-1", "xc7a100tcsg324-2", "xczu7ev-ffvc1156-2-e")] == ["-1", "-2", ""]


def test_a_loop_is_refused() -> None:
    netlist = module(cell("LUT2", I0=2, I1=3, O=4), cell("LUT1", I0=4, O=2), register(4, 5))
    with pytest.raises(ValueError, match="loop"):
        TimingGraph(netlist).analyse(FLAT, 100)


def test_picorv32(tmp_path: Path) -> None:
    """Its authors publish 250 to 450 MHz for 7 series parts of all speed grades, with an ALU of two cycles.

    For the slowest of them this estimate must not promise more than 250, and the models must lie in their order.
    """
    for package in ("pyosys", "pythondata_cpu_picorv32"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    package = importlib.util.find_spec("pythondata_cpu_picorv32")
    assert package is not None and package.origin is not None
    source = Path(package.origin).parent / "verilog" / "picorv32.v"
    wanted = {
        "top": "picorv32", "parameters": {"TWO_CYCLE_ALU": "1"}, "sources": [str(source)], "family": "xc7",
        "uram": False, "verilog": False, "folder": str(tmp_path),
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(wanted))
    subprocess.run(
        [sys.executable, "-P", job.__file__, str(tmp_path / "job.json")], check=True, capture_output=True, timeout=300
    )
    graph = TimingGraph(json.loads((tmp_path / "netlist.json").read_text())["modules"]["picorv32"])
    flat, optimistic, pessimistic = (graph.analyse(model, 100).fmax_mhz for model in NET_MODELS)
    assert 190 < flat <= 250
    assert 140 < optimistic < flat and pessimistic <= optimistic
