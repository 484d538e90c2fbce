"""The emitted project: complete, reproducible, compiles, and its Tcl calls what the vendor's tools have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from squeeze_hls import tools
from squeeze_hls.board import load_board
from squeeze_hls.emit import hls
from squeeze_hls.emit.vivado import block_design
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.paths import HLS_SOURCES, TEMPLATES
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.csim import FLAGS
from tests.networks import random_network

HERE = Path(__file__).parent


def plan_on(board: str, weights: str = "auto", seed: int = 3) -> Plan:
    return make_plan(random_network(seed), load_board(board), PlanOptions(weights=weights))


def write(bundle: Mapping[str, bytes], folder: Path) -> None:
    for path, content in bundle.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def compile_bench(folder: Path) -> Path:
    """What `csim_design` does."""
    sources = [str(folder / "src" / "squeeze_engine.cpp"), str(folder / "tb" / "testbench.cpp")]
    binary = folder / "tb" / "testbench"
    headers = tools.require_hls_headers()
    command = ["g++", *FLAGS, "-isystem", str(headers), "-I", str(folder / "src"), *sources, "-o", str(binary)]
    tools.run(command, log=folder / "compile.log")
    return binary


@pytest.mark.parametrize(
    ("board", "weights", "uram"),
    [("pynq-z2", "resident", False), ("pynq-z2", "streamed", False), ("kv260", "resident", True)],
)
def test_the_test_bench_passes(needs_compiler: None, tmp_path: Path, board: str, weights: str, uram: bool) -> None:
    plan = plan_on(board, weights)
    assert plan.engine.store_uram == uram
    write(hls.emit(plan), tmp_path)
    binary = compile_bench(tmp_path)
    for arguments in ([], ["quick"]):
        tools.run([str(binary), *arguments], log=tmp_path / "run.log", cwd=tmp_path / "tb", timeout=60)
        text = (tmp_path / "run.log").read_text()
        assert "all logits equal the golden model's" in text
        assert ("damaged program is refused: passed" in text) == (not arguments)


def test_the_test_bench_fails_where_a_logit_differs(needs_compiler: None, tmp_path: Path) -> None:
    plan = plan_on("pynq-z2")
    image = hls._pattern(plan.network.input_shape)
    from squeeze_hls import golden

    logits = golden.run(plan.network, image)[plan.network.nodes[-1].output].copy()
    logits[-1] += 1
    write(hls.emit(plan, image=image, logits=logits), tmp_path)
    with pytest.raises(ToolFailedError):
        tools.run([str(compile_bench(tmp_path))], log=tmp_path / "run.log", cwd=tmp_path / "tb", timeout=60)
    assert "image: FAILED" in (tmp_path / "run.log").read_text()


def test_the_same_plan_gives_the_same_bytes() -> None:
    first, second = (dict(hls.emit(plan_on("pynq-z2"))) for _ in range(2))
    assert first == second


def test_every_source_is_there() -> None:
    bundle = hls.emit(plan_on("pynq-z2"))
    for header in HLS_SOURCES.glob("*.hpp"):
        assert bundle[f"src/{header.name}"] == header.read_bytes()
    for text in (
        bundle["src/squeeze_engine.cpp"],
        bundle["tb/testbench.cpp"],
        *map(Path.read_bytes, HLS_SOURCES.glob("*")),
    ):
        for name in re.findall(rb'#include "([^"]+)"', text):
            ours = f"src/{name.decode()}" in bundle
            assert ours or name in (b"ap_int.h", b"hls_stream.h", b"ap_axi_sdata.h"), name


def test_names_from_a_model_do_not_reach_generated_text() -> None:
    plan = plan_on("pynq-z2")
    hostile = replace(plan.network, name='"; exec rm ;#\n#error', labels=("$(x)", "]"))
    assert dict(hls.emit(replace(plan, network=hostile))) == dict(hls.emit(plan))


def test_every_pragma_goes_through_one_header() -> None:
    for path in [*HLS_SOURCES.glob("*"), *TEMPLATES.glob("hls/*pp.j2")]:
        text = path.read_text()
        assert "#pragma HLS" not in text, path
        assert ("_Pragma" in text) == (path.name == "pragmas.hpp"), path


def test_every_loop_has_a_label() -> None:
    """Loops that are pipelined, and all in functions that hardware runs, are named in the reports of csynth."""
    for path in HLS_SOURCES.glob("*.hpp"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if "HLS_PIPELINE(1)" in line and "define" not in line:
                label = lines[number - 2].strip()
                assert re.fullmatch(r"[a-z_]+:", label), f"{path.name}:{number + 1}: {label}"


# --- Tcl ---

# Options of the commands that the scripts use: UG1399 for Vitis HLS, UG835 for Vivado.
HLS_OPTIONS = {
    "open_project": {"-reset"},
    "set_top": set(),
    "add_files": {"-tb", "-cflags"},
    "open_solution": {"-reset", "-flow_target"},
    "set_part": set(),
    "create_clock": {"-period", "-name"},
    "config_rtl": {"-reset"},
    "csim_design": set(),
    "csynth_design": set(),
    "cosim_design": {"-rtl", "-argv"},
    "export_design": {"-rtl", "-format", "-vendor", "-library", "-ipname", "-version"},
}
VIVADO_OPTIONS = {
    "create_project": {"-force", "-part"},
    "set_property": {"-dict"},
    "update_ip_catalog": set(),
    "create_bd_design": set(),
    "create_bd_cell": {"-type", "-vlnv", "-reference"},
    "add_files": {"-norecurse"},
    "update_compile_order": {"-fileset"},
    "apply_bd_automation": {"-rule", "-config"},
    "connect_bd_net": set(),
    "connect_bd_intf_net": set(),
    "assign_bd_address": {"-offset", "-range", "-target_address_space", "-force"},
    "validate_bd_design": set(),
    "save_bd_design": set(),
    "make_wrapper": {"-files", "-top", "-import"},
    "launch_runs": {"-to_step", "-jobs"},
    "wait_on_run": set(),
    "open_run": set(),
    "report_utilization": {"-file"},
    "report_timing_summary": {"-file"},
}


def run_tcl(script: Path, env: Mapping[str, str] | None = None) -> list[list[str]]:
    """The vendor commands that a script calls, as words."""
    tclsh = tools.find_program("tclsh")
    if tclsh is None:
        pytest.skip("no tclsh: install Debian's tcl")
    record = script.with_suffix(".record")
    command = [str(tclsh), str(HERE / "vendor.tcl"), str(script), str(record)]
    tools.run(command, log=script.with_suffix(".log"), cwd=script.parent, env=env, timeout=60)
    splitter = script.with_name("split.tcl")
    splitter.write_text(
        'set f [open [lindex $argv 0]]\nset text [read $f]\nset line ""\n'
        'foreach part [split $text "\\n"] {\n append line $part\n'
        ' if {[info complete $line]} { puts [join $line "\\x1f"]; set line "" } else { append line " " }\n}\n'
    )
    tools.run([str(tclsh), str(splitter), str(record)], log=script.with_suffix(".words"), timeout=60)
    lines = script.with_suffix(".words").read_text().splitlines()[1:]
    return [line.split("\x1f") for line in lines if line]


def check_options(calls: list[list[str]], known: Mapping[str, set[str]]) -> None:
    for call in calls:
        assert call[0] in known, call
        options = {word for word in call[1:] if re.match(r"-[a-z_]+$", word)}
        assert options <= known[call[0]], call


@pytest.mark.parametrize("weights", ["resident", "streamed"])
def test_hls_script(tmp_path: Path, weights: str) -> None:
    plan = plan_on("pynq-z2", weights)
    write(hls.emit(plan), tmp_path)
    calls = run_tcl(tmp_path / "run_hls.tcl")
    check_options(calls, HLS_OPTIONS)
    names = [call[0] for call in calls]
    assert names[-3:] == ["csim_design", "csynth_design", "export_design"]
    assert ["set_part", "xc7z020clg400-1"] in calls
    assert ["create_clock", "-period", "10.000", "-name", "default"] in calls
    for call in calls:
        if call[0] == "add_files":
            file = next(word for word in call[1:] if word.startswith("/"))
            assert Path(file).is_file()
            assert Path(file).is_relative_to(tmp_path)
    added = {Path(word).name for call in calls if call[0] == "add_files" for word in call}
    assert {path.name for path in (tmp_path / "tb").iterdir()} <= added
    calls = run_tcl(tmp_path / "run_hls.tcl", {"SQUEEZE_HLS_STEPS": "cosim"})
    assert [call[0] for call in calls][-2:] == ["csynth_design", "cosim_design"]
    check_options(calls, HLS_OPTIONS)


@pytest.mark.parametrize("board", ["pynq-z1", "pynq-z2", "kv260", "zcu104"])
@pytest.mark.parametrize("streamed", [False, True])
def test_block_design(tmp_path: Path, board: str, streamed: bool) -> None:
    script = tmp_path / "build.tcl"
    script.write_text(block_design(load_board(board), 100.0, streamed=streamed))
    for made in (
        "project/squeeze_engine.runs/impl_1/system_wrapper.bit",
        "project/squeeze_engine.gen/sources_1/bd/system/hw_handoff/system.hwh",
    ):
        (tmp_path / made).parent.mkdir(parents=True)
        (tmp_path / made).write_text(made)
    calls = run_tcl(script)
    check_options(calls, VIVADO_OPTIONS)
    assert (tmp_path / "squeeze_engine.bit").is_file()
    assert (tmp_path / "squeeze_engine.hwh").is_file()
    cells = {call[-1] for call in calls if call[0] == "create_bd_cell"}
    assert ("dma_weights" in cells) == streamed
    wired = [tuple(call[1:]) for call in calls if call[0] in ("connect_bd_net", "connect_bd_intf_net")]
    pins = [pin for pair in wired for pin in pair]
    assert all(pin.split("/")[0] in cells for pin in pins)
    driven = [pair[1] for pair in wired]
    assert len(set(driven)) == len(driven), "a pin is driven twice"
    wanted = {"engine/s_axis_in", "engine/ap_clk", "engine/ap_rst_n"}
    wanted |= {"engine/s_axis_weights"} if streamed else set()
    assert wanted <= set(driven)
    sources = {pair[0] for pair in wired}
    assert {"engine/m_axis_out", "engine/interrupt", "dma/M_AXI_MM2S", "dma/M_AXI_S2MM"} <= sources
    # every stream, register file and memory port of the DMA is wired
    assert {"dma/S_AXIS_S2MM", "dma/s_axi_lite_aclk", "dma/axi_resetn"} <= set(driven)
    assert ("control/M01_AXI", "dma/S_AXI_LITE") in wired
    # interrupts: all into the controller, which drives the processor
    assert ("concat/dout", "intc/intr") in wired
    assert [pair[0] for pair in wired if pair[1].startswith("concat/")][: 3 + streamed] == [
        "engine/interrupt", "dma/mm2s_introut", "dma/s2mm_introut", "dma_weights/mm2s_introut",
    ][: 3 + streamed]  # fmt: skip
    assert any(pair[0] == "intc/irq" and pair[1].startswith("ps/") for pair in wired)
    check_addresses(calls, zynq=board.startswith("pynq"), streamed=streamed)


def check_addresses(calls: list[list[str]], *, zynq: bool, streamed: bool) -> None:
    """Explicit and apart, as the driver expects them; what is left is assigned last."""
    places = [0x43C0_0000, 0x4040_0000, 0x4041_0000, 0x4180_0000] if zynq else range(0xA000_0000, 0xA004_0000, 1 << 16)
    interfaces = ("engine/s_axi_control", "dma/S_AXI_LITE", "dma_weights/S_AXI_LITE", "intc/s_axi")
    wanted = {
        i: (place, 0x1_0000) for i, place in zip(interfaces, places, strict=True) if streamed or "weights" not in i
    }
    found = [call[1:] for call in calls if call[0] == "assign_bd_address"]
    assert found.pop() == []
    assert all(call[4:6] == ["-target_address_space", "ps/Data"] and call[7] == "-force" for call in found)
    assert {call[6]: (int(call[1], 16), int(call[3], 16)) for call in found} == wanted
