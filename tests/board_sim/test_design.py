"""The block design is one source of truth: Vivado's script, the handoff file and the register map say the same."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from squeeze_hls.board import load_board
from squeeze_hls.emit import registers
from squeeze_hls.emit.design import BlockDesign, describe
from squeeze_hls.emit.hwh import handoff
from squeeze_hls.emit.rtl import TOP
from squeeze_hls.emit.vivado import block_design
from tests.hls.test_emit import VIVADO_OPTIONS, check_options, run_tcl

VARIANTS = [
    (board, streamed, top) for board in ("pynq-z2", "zcu104") for streamed in (False, True) for top in ("", TOP)
]


def design_of(board: str, streamed: bool, top: str = TOP, clock: float = 80.0) -> BlockDesign:
    target = load_board(board)
    return describe(target.family, target.part, clock, streamed=streamed, board_part=target.board_part, rtl_top=top)


def script(folder: Path, board: str, streamed: bool, top: str) -> list[list[str]]:
    path = folder / "build.tcl"
    path.write_text(block_design(load_board(board), 80.0, streamed=streamed, rtl_top=top))
    for made in (
        "project/squeeze_engine.runs/impl_1/system_wrapper.bit",
        "project/squeeze_engine.gen/sources_1/bd/system/hw_handoff/system.hwh",
    ):
        (folder / made).parent.mkdir(parents=True)
        (folder / made).write_text(made)
    calls = run_tcl(path)
    check_options(calls, VIVADO_OPTIONS)
    return calls


def properties(calls: list[list[str]]) -> dict[str, dict[str, str]]:
    """Settings by cell."""
    found = {}
    for call in calls:
        if call[:2] == ["set_property", "-dict"]:
            words = call[2].split()
            pairs = zip(words[::2], words[1::2], strict=True)
            found[call[3]] = {name.removeprefix("CONFIG."): value for name, value in pairs}
    return found


@pytest.mark.parametrize(("board", "streamed", "top"), VARIANTS)
def test_script_and_handoff_file_agree(tmp_path: Path, board: str, streamed: bool, top: str) -> None:
    calls = script(tmp_path, board, streamed, top)
    root = ElementTree.fromstring(handoff(design_of(board, streamed, top)))
    modules = {module.get("INSTANCE"): module for module in root.iter("MODULE")}

    # cells, and versions where the script names one
    made = {call[-1]: call for call in calls if call[0] == "create_bd_cell"}
    assert set(made) == set(modules)
    for name, call in made.items():
        vlnv = str(modules[name].get("VLNV"))
        if "-vlnv" in call:
            assert f"{vlnv}:".startswith(f"{call[call.index('-vlnv') + 1]}:")
        else:
            assert vlnv == f"xilinx.com:module_ref:{call[call.index('-reference') + 1]}:1.0"

    # addresses
    ranges = {
        f"{entry.get('INSTANCE')}/{entry.get('SLAVEBUSINTERFACE')}": entry
        for entry in modules["ps"].iter("MEMRANGE")
    }  # fmt: skip
    assigned = {call[7]: call for call in calls if call[0] == "assign_bd_address" and len(call) > 1}
    assert set(assigned) == set(ranges)
    for name, call in assigned.items():
        base, high = (int(str(ranges[name].get(key)), 16) for key in ("BASEVALUE", "HIGHVALUE"))
        assert (int(call[2], 16), int(call[4], 16)) == (base, high - base + 1)

    # settings, the clock's among them
    for name, settings in properties(calls).items():
        written = {p.get("NAME"): p.get("VALUE") for p in modules[name].iter("PARAMETER")}
        assert settings.items() <= written.items()
    clock = "PCW_FPGA0_PERIPHERAL_FREQMHZ" if board == "pynq-z2" else "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"
    assert properties(calls)["ps"][clock] == "80"
    assert modules["engine"].find("PORTS/PORT[@NAME='ap_clk']").get("CLKFREQUENCY") == "80000000"  # type: ignore[union-attr]

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
    links = {tuple(end.replace("/", "_") for end in call[1:2]) for call in calls if call[0] == "connect_bd_intf_net"}
    assert links == {(bus.get("BUSNAME"),) for bus in root.iter("BUSINTERFACE")}


@pytest.mark.parametrize("streamed", [False, True])
def test_widths(streamed: bool) -> None:
    """The DMA's streams are as wide as the engine's, its lengths reach every packet, and there is no realignment."""
    design = design_of("pynq-z2", streamed)
    for cell in design.cells:
        if cell.kind == "axi_dma":
            parameters = dict(cell.parameters)
            assert parameters["c_m_axis_mm2s_tdata_width"] == parameters["c_m_axi_mm2s_data_width"] == "64"
            assert parameters["c_include_mm2s_dre"] == parameters["c_include_sg"] == "0"
            assert parameters["c_sg_length_width"] == "26"
            assert parameters["c_include_s2mm"] == str(int(cell.name == "dma"))
    assert all(link.bits == 64 for link in design.links if link.protocol == "axis")


def test_registers_of_the_handoff_file() -> None:
    root = ElementTree.fromstring(handoff(design_of("pynq-z2", False)))
    engine = next(module for module in root.iter("MODULE") if module.get("INSTANCE") == "engine")
    found = {}
    for register in engine.iter("REGISTER"):
        values = {p.get("NAME"): p.get("VALUE") for p in register.iter("PROPERTY")}
        found[register.get("NAME")] = (int(str(values["ADDRESS_OFFSET"]), 16), values["ACCESS"], values["DESCRIPTION"])
    assert found == {
        r.name: (r.offset, "read-write" if r.writable else "read-only", r.doc) for r in registers.REGISTERS
    }


def test_registers_lie_apart() -> None:
    for board in ("pynq-z2", "kv260"):
        slaves = sorted(design_of(board, True).slaves, key=lambda slave: slave.address)
        for low, high in zip(slaves, slaves[1:], strict=False):
            assert low.address % low.range == 0
            assert low.address + low.range <= high.address


@pytest.mark.parametrize("clock", [50.0, 80.0, 100.0, 133.0])
def test_the_clock_is_never_faster_than_asked_for(clock: float) -> None:
    root = ElementTree.fromstring(handoff(design_of("pynq-z2", False, clock=clock)))
    values = {p.get("NAME"): p.get("VALUE") for p in root.iter("PARAMETER")}
    made = float(str(values["PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ"]))
    assert clock * 0.9 < made <= clock
    divisors = [int(str(values[f"PCW_FCLK0_PERIPHERAL_DIVISOR{i}"])) for i in (0, 1)]
    assert made == pytest.approx(1000 / (divisors[0] * divisors[1]), abs=1e-6)
