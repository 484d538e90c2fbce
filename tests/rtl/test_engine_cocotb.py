"""The whole engine under cocotb: random networks sent in every manner, v1.1 whole, and RTL that Vitis HLS exported.

pytest tests/rtl/test_engine_cocotb.py --rtl DIR --build BUILD     # DIR: the exported .v files (and .dat)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import cli
from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import pictures
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.quantize import to_int
from squeeze_hls.sim.verilate import parameters, rtl_sources
from tests.networks import mixed_network
from tests.rtl.engine_cases import WAITS, Case, make_case, save
from tests.rtl.runner import RTL, run, shapes

TOP = "squeeze_engine"
PORTS = ("ap_clk", "ap_rst_n", "interrupt", "s_ax*", "m_axis*")
DIGITS = Path(__file__).resolve().parent.parent / "fixtures" / "digits"


@pytest.fixture(scope="module")
def v11() -> Plan:
    """SqueezeNet v1.1 as it is embedded, on the smallest board."""
    return make_plan(to_int(load_graph("squeezenet1.1-w6")), load_board("pynq-z2"))


def simulate(cases: Sequence[Case], folder: Path, engine: EngineConfig) -> None:
    run(TOP, "bench_engine", parameters(engine), public=PORTS, environment=save(cases, folder / "cases"))


def random_cases(engine: EngineConfig, seeds: Sequence[int]) -> list[Case]:
    """Three frames of the random networks that fit the engine."""
    cases = []
    for seed in seeds:
        network = mixed_network(seed)
        try:
            plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
        except DoesNotFitError:
            continue
        rng = np.random.default_rng(seed)
        images = [rng.integers(0, 256, network.input_shape).astype(np.uint8) for _ in range(3)]
        cases.append(make_case(network, engine, plan.program_bin, plan.weights_bin, images, seed=seed))
    return cases


@pytest.mark.parametrize(
    ("array", "streamed"),
    shapes([((3, 8, 16), True), ((2, 4, 8), False)], [((3, 8, 16), False), ((2, 4, 8), True)]),
)
def test_random_networks(array, streamed, v11: Plan, tmp_path: Path, full: bool) -> None:
    pix, cin, cout = array
    engine = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(512,), store_pieces=() if streamed else (16384,),
        program_depth=512, carry_words=4096, tables=0 if streamed else cin // 2,
    )  # fmt: skip
    if (v11.engine.pix, v11.engine.cin, v11.engine.cout, v11.engine.streamed) == (*array, streamed):
        engine = v11.engine  # one engine less to compile
    cases = random_cases(engine, range(1, 200 if full else 12))
    assert len(cases) >= 6
    simulate(cases, tmp_path, engine)


def test_v11_whole(v11: Plan, tmp_path: Path) -> None:
    images = list(pictures.stack(pictures.builtin()[:1], v11.network.input_shape, v11.network.preprocess))
    case = make_case(v11.network, v11.engine, v11.program_bin, v11.weights_bin, images, seed=1, whole=True)
    simulate([case], tmp_path, v11.engine)


# --- RTL from elsewhere ---


def simulate_exported(rtl: Path, build: Path, folder: Path) -> None:
    """The engine's bench on every .v and .sv file of ``rtl``, whose top has the ports of squeeze_engine."""
    sources = sorted([*rtl.glob("*.v"), *rtl.glob("*.sv")])
    assert sources, f"{rtl} holds no .v or .sv files"
    made = open_build(build)
    network = made.network()
    images = list(pictures.stack(pictures.builtin()[:3], network.input_shape, network.preprocess))
    whole = network.input_shape[0] > 64
    ways = ["interrupt"] if whole else WAITS
    cases = [
        make_case(
            network, made.engine, made.program, made.store, images[:1] if whole else images,
            seed=seed, exact=False, whole=whole, wait=wait,
        )
        for seed, wait in enumerate(ways)
    ]  # fmt: skip
    environment = save(cases, folder / "cases")
    data = sorted(rtl.glob("*.dat"))
    run(TOP, "bench_engine", sources=sources, library=None, public=PORTS, data=data, environment=environment)


def test_exported(exported: tuple[Path, Path], tmp_path: Path) -> None:
    simulate_exported(*exported, tmp_path)


def as_exported(engine: EngineConfig, folder: Path) -> None:
    """Write the engine as Vitis HLS exports one.

    No parameters, AXI suffixes in capitals, TSTRB beside TKEEP, no s_axis_weights where weights are resident, contents
    of memories in .dat files in the current folder (here, one that holds the reset down unless it was read).
    """
    modules = [path.read_text() for path in rtl_sources()]
    text = "\n".join(modules).replace(f"module {TOP}\n", "module core\n")
    (folder / "core.sv").write_text(text)
    head = re.search(r"\) \(\n(    input wire logic ap_clk.*?)\n\);", (RTL / f"{TOP}.sv").read_text(), re.S)
    assert head
    ports, connections = [], []
    for direction, width, name in re.findall(r"(input|output)(?: wire)? logic (\[\d+:0\] )?(\w+)", head[1]):
        if name.startswith("s_axis_weights") and not engine.streamed:
            connections.append(f".{name}({'' if direction == 'output' else chr(39) + '0'})")
            continue
        prefix, _, suffix = name.rpartition("_")
        outer = f"{prefix}_{suffix.upper()}" if "_ax" in name else name
        ports.append(f"{direction} {width}{outer}")
        if suffix == "tkeep":
            ports.append(f"{direction} {width}{prefix}_TSTRB")
        connections.append(f".{name}({outer}{' && loaded[0]' if name == 'ap_rst_n' else ''})")
    given = ", ".join(f".{name}({value})" for name, value in parameters(engine).items())
    (folder / f"{TOP}.v").write_text(
        f"module {TOP} (\n  " + ",\n  ".join(ports) + "\n);\n"
        f'reg loaded[0:0];\ninitial $readmemh("./{TOP}_loaded.dat", loaded);\n'
        f"core #({given}) core_i (\n  " + ",\n  ".join(connections) + "\n);\nendmodule\n"
    )
    (folder / f"{TOP}_loaded.dat").write_text("1\n")


def test_exported_way(tmp_path: Path) -> None:
    """The way of --rtl and --build, with this engine in the shape of an export."""
    model, build, rtl = tmp_path / "digits.onnx", tmp_path / "build", tmp_path / "rtl"
    rtl.mkdir()
    quantize = ["quantize", DIGITS / "digits.onnx", "--calibration", DIGITS / "calibration", "-o", model, "-q"]
    quantize += ["--labels", DIGITS / "labels.txt", "--preprocess", "torchvision"]
    for command in (quantize, ["build", model, "--board", "pynq-z2", "--verify", "none", "--out", build, "-q"]):
        assert cli.run([str(a) for a in command]) == 0
    as_exported(open_build(build).engine, rtl)
    simulate_exported(rtl, build, tmp_path)
