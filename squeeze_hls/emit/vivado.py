"""Vivado's script that builds a bitstream from the block design."""

from __future__ import annotations

from collections.abc import Sequence

from squeeze_hls.board import Board
from squeeze_hls.emit.design import describe
from squeeze_hls.emit.render import render


def block_design(
    board: Board, clock_mhz: float, *, streamed: bool, rtl_top: str = "", rtl_files: Sequence[str] = ()
) -> str:
    """Tcl that builds a bitstream; with ``streamed`` weights they get a DMA of their own.

    The engine is what Vitis HLS packages, or the module ``rtl_top`` (Verilog: Vivado refers to no other) of
    ``rtl_files``, whose paths are relative to the folder above the script's.
    """
    design = describe(
        board.family, board.part, clock_mhz, streamed=streamed, board_part=board.board_part, rtl_top=rtl_top
    )
    return render("vivado/build.tcl.j2", design=design, ps=design.processor, rtl_top=rtl_top, rtl_files=rtl_files)
