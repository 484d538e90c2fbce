"""The block design and its handoff file.  That Vivado's script says the same is tested in tests/vendor."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from squeeze_hls.board import load_board
from squeeze_hls.emit.block_design.design import BlockDesign
from squeeze_hls.emit.block_design.hwh import handoff
from squeeze_hls.emit.block_design.vivado import board_design
from squeeze_hls.emit.rtl import TOP
from squeeze_hls.engine import registers


def design_of(board: str, streamed: bool, clock: float = 80.0) -> BlockDesign:
    return board_design(load_board(board), clock, streamed=streamed, rtl_top=TOP)


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
