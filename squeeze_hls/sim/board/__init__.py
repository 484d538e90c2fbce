"""A simulated board: PYNQ, as it is, runs on the Verilated engine.

    from squeeze_hls.sim import board

    path = board.make("build/squeezenet1.1-w6-pynq-z2", "somewhere")   # squeeze_engine.bit and .hwh
    board.prepare(path)                                                # compiles the engine, half a minute, once
    board.register()                                                   # PYNQ's active device from now on

With SQUEEZE_HLS_BOARD=sim importing this package registers the board, and
``python -m squeeze_hls.sim.board SCRIPT ...`` runs a script on it.  PYNQ itself is imported by ``register`` alone.

=============  ==================================================================
``bitfile``    the bitstream's file, and ``make``
``compiled``   its engine as a library, and ``prepare``
``machine``    registers, DMAs, interrupt controller and time around the engine
``dma``        a DMA channel          ``intc``    the interrupt controller
``memory``     buffers                ``clocks``  the processor's clock registers
``faults``     what can go wrong      ``device``  the PYNQ device
=============  ==================================================================
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from squeeze_hls.sim.board.bitfile import make
from squeeze_hls.sim.board.compiled import prepare

if TYPE_CHECKING:
    from squeeze_hls.sim.board.device import SimulatedBoard

__all__ = ["make", "prepare", "register"]
VARIABLE = "SQUEEZE_HLS_BOARD"


def register() -> SimulatedBoard:
    """Make the simulated board PYNQ's active device.

    Raises MissingToolError without pynq.
    """
    from squeeze_hls.errors import MissingToolError

    try:
        import pynq  # noqa: F401
    except ImportError as error:
        raise MissingToolError("pynq is not installed: pip install 'squeeze-hls[board]'") from error
    from squeeze_hls.sim.board import device

    return device.register()


if os.environ.get(VARIABLE) == "sim":
    register()
