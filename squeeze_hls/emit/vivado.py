"""The Vivado block design: processor, AXI DMA and engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squeeze_hls.board import Board
from squeeze_hls.emit.render import render

HLS_VLNV = "squeeze-hls:hls:squeeze_engine:1.0"


@dataclass(frozen=True, kw_only=True)
class Processor:
    """A family's processing system as a block design cell: its pins and settings."""

    vlnv: str
    rule: str
    automation: str
    clock: str
    reset: str
    master: str  # to the registers
    master_clock: str
    slave: str  # to the memory
    slave_clock: str
    interrupt: str
    clock_setting: str  # MHz
    settings: tuple[tuple[str, str], ...]


PROCESSORS = {
    "zynq-7000": Processor(
        vlnv="xilinx.com:ip:processing_system7",
        rule="xilinx.com:bd_rule:processing_system7",
        automation='make_external "FIXED_IO, DDR" apply_board_preset 1 Master Disable Slave Disable',
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        master="M_AXI_GP0",
        master_clock="M_AXI_GP0_ACLK",
        slave="S_AXI_HP0",
        slave_clock="S_AXI_HP0_ACLK",
        interrupt="IRQ_F2P",
        clock_setting="PCW_FPGA0_PERIPHERAL_FREQMHZ",
        settings=(
            ("PCW_USE_S_AXI_HP0", "1"),
            ("PCW_USE_FABRIC_INTERRUPT", "1"),
            ("PCW_IRQ_F2P_INTR", "1"),
        ),
    ),
    "zynq-ultrascale+": Processor(
        vlnv="xilinx.com:ip:zynq_ultra_ps_e",
        rule="xilinx.com:bd_rule:zynq_ultra_ps_e",
        automation="apply_board_preset 1",
        clock="pl_clk0",
        reset="pl_resetn0",
        master="M_AXI_HPM0_FPD",
        master_clock="maxihpm0_fpd_aclk",
        slave="S_AXI_HP0_FPD",
        slave_clock="saxihp0_fpd_aclk",
        interrupt="pl_ps_irq0",
        clock_setting="PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
        settings=(
            ("PSU__USE__M_AXI_GP0", "1"),
            ("PSU__USE__M_AXI_GP1", "0"),
            ("PSU__USE__M_AXI_GP2", "0"),
            ("PSU__USE__S_AXI_GP2", "1"),
            ("PSU__SAXIGP2__DATA_WIDTH", "64"),
            ("PSU__USE__IRQ0", "1"),
        ),
    ),
}


def block_design(
    board: Board, clock_mhz: float, *, streamed: bool, rtl_top: str = "", rtl_files: Sequence[str] = ()
) -> str:
    """Tcl that builds a bitstream; with ``streamed`` weights they get a DMA of their own.

    The engine is what Vitis HLS packages, or the module ``rtl_top`` (Verilog: Vivado refers to no other) of
    ``rtl_files``, whose paths are relative to the folder above the script's.
    """
    processor = PROCESSORS[board.family]
    return render(
        "vivado/build.tcl.j2",
        part=board.part,
        board_part=board.board_part,
        clock_mhz=clock_mhz,
        ps=processor,
        settings=(*processor.settings, (processor.clock_setting, f"{clock_mhz:g}")),
        streamed=streamed,
        hls_vlnv=HLS_VLNV,
        rtl_top=rtl_top,
        rtl_files=rtl_files,
    )
