"""Vivado's script that builds a bitstream from the block design."""

from __future__ import annotations

from collections.abc import Sequence

from squeeze_hls.board import Board
from squeeze_hls.emit.block_design.design import BlockDesign, describe
from squeeze_hls.emit.render import render


def block_design(
    board: Board,
    clock_mhz: float,
    *,
    streamed: bool,
    engine_id: str = "ffffffff",
    rtl_top: str = "",
    rtl_files: Sequence[str] = (),
) -> str:
    """Tcl that builds a bitstream; with ``streamed`` weights they get a DMA of their own.

    The engine is what Vitis HLS packages, or the module ``rtl_top`` (Verilog: Vivado refers to no other) of
    ``rtl_files``, whose paths are relative to the folder above the script's.  ``engine_id``, 8 hexadecimal digits,
    goes into the bitstream's header as its user ID.
    """
    design = board_design(board, clock_mhz, streamed=streamed, rtl_top=rtl_top)
    return render(
        "vivado/build.tcl.j2",
        design=design,
        ps=design.processor,
        rtl_top=rtl_top,
        rtl_files=rtl_files,
        user_id=engine_id.upper(),
    )


def board_design(board: Board, clock_mhz: float, *, streamed: bool, rtl_top: str = "") -> BlockDesign:
    """The block design on a board."""
    return describe(
        board.family,
        board.part,
        clock_mhz,
        streamed=streamed,
        board_part=board.board_part,
        settings=board.processor_settings,
        rtl_top=rtl_top,
    )
