"""What can be made to go wrong on the simulated board.

board.faults.hang.add("m_axis_out")       # until it is removed
board.faults.dma_errors["dma/MM2S"] = "DMASlvErr"     # once
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Switched on by tests; those marked *once* are forgotten when they have happened."""

    # Next transfer of a channel (dma/MM2S, dma/S2MM, dma_weights/MM2S) -> DMAIntErr, DMASlvErr or DMADecErr; once.
    dma_errors: dict[str, str] = field(default_factory=dict)
    # Interrupt pins that are cut, such as engine/interrupt, dma/s2mm_introut, or intc/irq for all.
    lost_interrupts: set[str] = field(default_factory=set)
    # Streams on which nothing passes: s_axis_in, s_axis_weights, m_axis_out.
    hang: set[str] = field(default_factory=set)
    # A bit of a channel's next packet that is flipped, counted from its first byte's lowest: channel -> bit; once.
    flipped: dict[str, int] = field(default_factory=dict)
    # Byte of a buffer whose cache line the next flush leaves out; once.
    stale_line: int | None = None

    def clear(self) -> None:
        """Switch everything off."""
        self.__init__()  # type: ignore[misc]
