"""The scripts under tclsh: faked tools accept every call, and what they build is what everybody else expects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from squeeze_hls.board import load_board
from squeeze_hls.driver import _generated, hardware
from squeeze_hls.emit import hls, rtl
from squeeze_hls.emit.block_design.design import PROCESSORS, BlockDesign
from squeeze_hls.emit.block_design.hwh import handoff
from squeeze_hls.emit.block_design.vivado import board_design
from squeeze_hls.engine import registers
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from tests.networks import random_network
from tests.vendor.tcl import properties, run_tcl

BOARDS = ("pynq-z1", "pynq-z2", "zcu104", "kv260")
WEIGHTS, FLOWS = ("resident", "streamed"), ("rtl", "hls")
VARIANTS = [(board, weights, flow) for board in BOARDS for weights in WEIGHTS for flow in FLOWS]


def plan_of(board: str, weights: str, clock: float | None = None) -> Plan:
    options = PlanOptions(weights=weights, clock_mhz=clock)
    return make_plan(random_network(3, small=True), load_board(board), options)


def write(bundle: Mapping[str, bytes], folder: Path) -> None:
    for path, content in bundle.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def environment(plan: Plan, **more: str) -> dict[str, str]:
    return {
        "FAKE_BOARDS": "" if plan.board.processor else plan.board.board_part,
        "FAKE_STREAMED": str(int(plan.engine.streamed)),
        **more,
    }


def run_all(plan: Plan, flow: str, folder: Path, **env: str) -> list[list[str]]:
    """Every call of Vivado."""
    write((rtl if flow == "rtl" else hls).emit(plan), folder)
    if flow == "hls":
        run_tcl(folder / "run_hls.tcl", {"FAKE_TOOL": "hls"})
    return run_tcl(folder / "vivado" / "build.tcl", environment(plan, **env))


def design_of(plan: Plan, flow: str) -> BlockDesign:
    top = rtl.TOP if flow == "rtl" else ""
    return board_design(plan.board, plan.clock_mhz, streamed=plan.engine.streamed, rtl_top=top)


@pytest.mark.parametrize(("board", "weights", "flow"), VARIANTS)
def test_script_handoff_file_and_driver_agree(tmp_path: Path, board: str, weights: str, flow: str) -> None:
    """Names, versions, settings, addresses, wires and links; the fake checks what Vivado would."""
    plan = plan_of(board, weights)
    calls = run_all(plan, flow, tmp_path)
    design = design_of(plan, flow)
    root = ElementTree.fromstring(handoff(design))
    modules = {str(module.get("INSTANCE")): module for module in root.iter("MODULE")}

    made = {call[-1]: call for call in calls if call[0] == "create_bd_cell"}
    assert set(made) == set(modules)
    assert ("dma_weights" in made) == (weights == "streamed")
    for name, call in made.items():
        vlnv = str(modules[name].get("VLNV"))
        if "-vlnv" in call:
            assert f"{vlnv}:".startswith(f"{call[call.index('-vlnv') + 1]}:")
        else:
            assert vlnv == f"xilinx.com:module_ref:{call[call.index('-reference') + 1]}:1.0"

    # addresses: the script's, the handoff file's, and that nothing but DRAM is after the DMA
    ranges = {f"{e.get('INSTANCE')}/{e.get('SLAVEBUSINTERFACE')}": e for e in modules["ps"].iter("MEMRANGE")}
    assigned = {}
    memory = []
    for call in calls:
        if call[0] == "assign_bd_address" and "-offset" in call:
            words = dict(zip(call[1::2], call[2::2], strict=False))
            assert (words["-target_address_space"], call[-1]) == ("ps/Data", "-force")
            segment = next(word for word in call if word.endswith("/Reg"))
            assigned[segment.removesuffix("/Reg")] = int(words["-offset"], 16), int(words["-range"], 16)
        elif call[0] == "assign_bd_address":
            memory.append((call[2], call[3]))
    values = {name: [int(str(e.get(key)), 16) for key in ("BASEVALUE", "HIGHVALUE")] for name, e in ranges.items()}
    assert assigned == {name: (base, high - base + 1) for name, (base, high) in values.items()}
    zynq = board.startswith("pynq")
    places = {"engine": 0x43C0_0000, "dma": 0x4040_0000, "dma_weights": 0x4041_0000, "intc": 0x4180_0000}
    if not zynq:
        places = {"engine": 0xA000_0000, "dma": 0xA001_0000, "dma_weights": 0xA002_0000, "intc": 0xA003_0000}
    for name, (address, size) in assigned.items():
        assert (address, size) == (places[name.split("/")[0]], 0x1_0000)
    spaces = ["dma/Data_MM2S", "dma/Data_S2MM", *(["dma_weights/Data_MM2S"] if weights == "streamed" else [])]
    segment = "ps/S_AXI_HP0/HP0_DDR_LOWOCM" if zynq else "ps/SAXIGP2/HP0_DDR_LOW"
    assert memory == [(space, segment) for space in spaces]

    # settings, the clock's among them
    set_up = properties(calls)
    for name, settings in set_up.items():
        written = {p.get("NAME"): p.get("VALUE") for p in modules[name].iter("PARAMETER")}
        assert settings.items() <= written.items()
    clock = PROCESSORS[plan.board.family].clock_setting
    assert set_up["ps"][clock] == ("100" if zynq else "187.5")
    port = modules["engine"].find("PORTS/PORT[@NAME='ap_clk']")
    assert port is not None and port.get("CLKFREQUENCY") == str(round(design.made_clock_mhz * 1e6))

    # wires and links
    wires = {tuple(call[1:]) for call in calls if call[0] == "connect_bd_net"}
    ports = {
        (f"{c.get('INSTANCE')}/{c.get('PORT')}", f"{name}/{port.get('NAME')}")
        for name, module in modules.items()
        for port in module.iter("PORT")
        for c in port.iter("CONNECTION")
        if port.get("DIR") == "I"
    }
    assert ports == wires
    links = {call[1].replace("/", "_") for call in calls if call[0] == "connect_bd_intf_net"}
    assert links == {bus.get("BUSNAME") for bus in root.iter("BUSINTERFACE")}

    # identity
    user = next(call for call in calls if call[:2] == ["set_property", "BITSTREAM.CONFIG.USERID"])
    assert user[2] == f"0X{plan.engine.id.upper()}"
    header = (tmp_path / "vivado" / "squeeze_engine.bit").read_bytes()[:100]
    assert f"UserID=0X{plan.engine.id.upper()};".encode() in header


def test_the_driver_looks_for_what_the_design_has() -> None:
    """Cells by name, registers by offset, the interrupt's pin."""
    source = Path(hardware.__file__).parent.rglob("*.py")
    text = "\n".join(path.read_text() for path in source)
    design = design_of(plan_of("pynq-z2", "streamed"), "rtl")
    for cell in ("engine", "dma", "dma_weights"):
        assert re.search(rf"""['".]{cell}['"\b]""", text), cell
        assert cell in {c.name for c in design.cells}
    assert {r.name: r.offset for r in registers.REGISTERS} == _generated.REGISTERS
    assert "engine/interrupt" in design.interrupts


def test_widths_follow_the_engine(tmp_path: Path) -> None:
    """Streams of the DMA are as wide as those of the Verilog top, and its memory ports too; lengths suffice."""
    plan = plan_of("pynq-z2", "streamed")
    calls = run_all(plan, "rtl", tmp_path)
    top = (tmp_path / "src" / f"{rtl.TOP}.v").read_text()
    widths = {name: int(high) + 1 for high, name in re.findall(r"\[(\d+):0\] (\w+)_tdata", top)}
    set_up = properties(calls)
    for cell, stream in (("dma", "s_axis_in"), ("dma_weights", "s_axis_weights")):
        assert int(set_up[cell]["c_m_axis_mm2s_tdata_width"]) == widths[stream] == 64
        assert int(set_up[cell]["c_m_axi_mm2s_data_width"]) == widths[stream]
        assert len(plan.stream_bin) < 1 << int(set_up[cell]["c_sg_length_width"])
        assert set_up[cell]["c_include_sg"] == set_up[cell]["c_include_mm2s_dre"] == "0"
    assert int(set_up["dma"]["c_m_axi_s2mm_data_width"]) == widths["m_axis_out"]
    assert set_up["dma_weights"]["c_include_s2mm"] == "0"
    assert set_up["intc"] == {"C_IRQ_CONNECTION": "1"}
    assert int(set_up["concat"]["NUM_PORTS"]) == 4


def test_memory_contents_are_found_or_it_is_an_error(tmp_path: Path) -> None:
    """Vivado only warns where it does not find a file, which the script turns into an error; every file is added."""
    plan = plan_of("pynq-z2", "resident")
    calls = run_all(plan, "rtl", tmp_path)
    assert ["set_msg_config", "-id", "Synth 8-4445", "-new_severity", "ERROR"] in calls
    added = {(tmp_path / "vivado" / call[-1]).resolve() for call in calls if call[0] == "add_files"}
    assert added == {path.resolve() for path in (*(tmp_path / "src").iterdir(), *(tmp_path / "contents").iterdir())}
    names = [call[0] for call in calls]
    assert names.index("set_msg_config") < names.index("launch_runs")


def test_a_clock(tmp_path: Path) -> None:
    """Vivado is asked for what the processor can make, and takes nothing faster."""
    calls = run_all(plan_of("pynq-z2", "resident", clock=96), "rtl", tmp_path)
    assert properties(calls)["ps"]["PCW_FPGA0_PERIPHERAL_FREQMHZ"] == "90.9090909"


def test_board_files_are_used_where_there_are_some(tmp_path: Path) -> None:
    plan = plan_of("pynq-z2", "resident")
    calls = run_all(plan, "rtl", tmp_path, FAKE_BOARDS=plan.board.board_part)
    assert ["set_property", "board_part", plan.board.board_part, "project:squeeze_engine"] in calls
    run_tcl(tmp_path / "vivado" / "build.tcl", {"FAKE_BOARDS": plan.board.board_part})
    other = plan_of("kv260", "resident")
    write(rtl.emit(other), tmp_path / "kv260")
    run_tcl(tmp_path / "kv260" / "vivado" / "build.tcl", {"FAKE_BOARDS": ""}, fails="are not installed")


def test_steps_one_by_one(tmp_path: Path) -> None:
    plan = plan_of("pynq-z2", "resident")
    write(rtl.emit(plan), tmp_path)
    script = tmp_path / "vivado" / "build.tcl"
    run_tcl(script, {"SQUEEZE_STEPS": "implementation"}, fails="Can't find specified project")
    for step, last in (
        ("synthesis", ["close_project"]),
        ("implementation", ["report_utilization", "-cells", "system_i/engine", "-file", "engine.rpt"]),
        ("bitstream", ["write_bitstream", "-force", "squeeze_engine.bit"]),
    ):
        calls = run_tcl(script, {"SQUEEZE_STEPS": step, "SQUEEZE_JOBS": "5"})
        assert last in calls
        assert ("launch_runs" in [call[0] for call in calls]) == (step != "bitstream")
        assert all(call[call.index("-jobs") + 1] == "5" for call in calls if call[0] == "launch_runs")
    run_tcl(script, {"SQUEEZE_STEPS": "implementation"})  # again: the run is reset


def test_a_late_signal_gives_no_bitstream(tmp_path: Path) -> None:
    write(rtl.emit(plan_of("pynq-z2", "resident")), tmp_path)
    for env in ({"FAKE_WNS": "-0.3"}, {"FAKE_WHS": "-0.01"}):
        run_tcl(tmp_path / "vivado" / "build.tcl", env, fails="timing failed")
        assert not (tmp_path / "vivado" / "squeeze_engine.bit").exists()


def test_vitis_hls(tmp_path: Path) -> None:
    plan = plan_of("pynq-z2", "resident")
    write(hls.emit(plan), tmp_path)
    script = tmp_path / "run_hls.tcl"
    calls = run_tcl(script, {"FAKE_TOOL": "hls"})
    assert [call[0] for call in calls][-3:] == ["csim_design", "csynth_design", "export_design"]
    assert ["set_part", "xc7z020clg400-1"] in calls
    assert ["create_clock", "-period", "10.000", "-name", "default"] in calls
    assert ["set_clock_uncertainty", "12.5%"] in calls
    assert ["config_rtl", "-reset", "control"] in calls
    added = {Path(word).name for call in calls if call[0] == "add_files" for word in call}
    assert {path.name for path in (tmp_path / "tb").iterdir()} <= added
    calls = run_tcl(script, {"FAKE_TOOL": "hls", "SQUEEZE_HLS_STEPS": "cosim"})
    assert [call[0] for call in calls][-2:] == ["csynth_design", "cosim_design"]
    calls = run_tcl(script, {"FAKE_TOOL": "hls", "SQUEEZE_HLS_STEPS": "csynth export"})
    assert not any("-tb" in call for call in calls)


MISTAKES = [
    ("CONFIG.c_sg_length_width {26}", "CONFIG.c_sg_length_width {27}", "out of the range"),
    ("CONFIG.c_include_sg", "CONFIG.c_include_scatter", "Parameter does not exist"),
    ("CONFIG.c_m_axis_mm2s_tdata_width {64}", "CONFIG.c_m_axis_mm2s_tdata_width {32}", "TDATA_NUM_BYTES"),
    ("CONFIG.NUM_PORTS {3}", "CONFIG.NUM_PORTS {4}", "/concat/In3"),
    ("CONFIG.PCW_USE_S_AXI_HP0 {1}", "CONFIG.PCW_USE_S_AXI_HP0 {0}", "No interface pins matched 'ps/S_AXI_HP0'"),
    ("CONFIG.C_IRQ_CONNECTION {1}", "CONFIG.C_IRQ_CONNECTION {0}", "intc/irq"),
    ("axi_dma:7.1", "axi_dma:7.2", "VLNV"),
    ("engine/s_axi_control 0x43C00000", "engine/s_axi_control 0x43C00100", "cannot be at"),
    ("dma/S_AXI_LITE 0x40400000", "dma/S_AXI_LITE 0x41800000", "overlaps"),
    ("engine/s_axi_control 0x43C00000", "engine/s_axi_control 0x83C00000", "cannot be at"),
    ("        dma/Data_S2MM\n", "", "is not assigned"),
    ("    ps/FCLK_CLK0 dma/s_axi_lite_aclk\n", "\n", "dma/s_axi_lite_aclk"),
    ("dma/M_AXIS_MM2S engine/s_axis_in", "engine/s_axis_in dma/M_AXIS_MM2S", "cannot be connected"),
    ("-reference squeeze_engine_top", "-reference squeeze_engine", "must be Verilog"),
    ("../$file", "$file", "does not exist"),
    ("make_wrapper -files $bd -top -import", "", "no top"),
    ("wait_on_run $run", "wait_on_runs $run", "invalid command name"),
    ("0X", "0x", "no user ID"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_in_the_script_are_noticed(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The fake is no yes-man."""
    write(rtl.emit(plan_of("pynq-z2", "resident")), tmp_path)
    script = tmp_path / "vivado" / "build.tcl"
    text = script.read_text()
    assert old in text, old
    script.write_text(text.replace(old, new))
    run_tcl(script, fails=message)
