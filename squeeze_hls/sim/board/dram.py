"""The board's memory as the DMA sees it: allocated buffers by physical address.

What the processor writes into a buffer stands in its cache until it is flushed; what a DMA writes is seen after an
invalidation.  So the bytes here are those of the memory chips, and the processor's view lies elsewhere.
"""

from __future__ import annotations

import numpy as np

PAGE = 4096
CACHE_LINE = 32  # bytes, of a Cortex-A9
FRESH = 0xE7  # what a new buffer holds, so that a forgotten flush is not mistaken for zeros
FIRST = 0x1600_0000  # of the addresses that are given out
BYTES = 128 * 2**20  # as PYNQ's images reserve


class Memory:
    """Buffers at page boundaries, at least a page apart."""

    def __init__(self) -> None:
        self._buffers: dict[int, np.ndarray] = {}

    def allocate(self, size: int) -> int:
        """The address of a new buffer; raises MemoryError where there is no room."""
        address = FIRST
        for start, buffer in sorted(self._buffers.items()):
            if start - address >= size + PAGE:
                break
            address = -(-(start + len(buffer)) // PAGE) * PAGE + PAGE
        if address + size > FIRST + BYTES:
            raise MemoryError(f"no {size:,} contiguous bytes are left for a buffer")
        self._buffers[address] = np.full(max(size, 1), FRESH, np.uint8)
        return address

    def free(self, address: int) -> None:
        """Give a buffer back; LookupError where there is none."""
        del self._buffers[address]

    @property
    def allocated(self) -> int:
        """Number of buffers."""
        return len(self._buffers)

    def view(self, address: int, size: int) -> np.ndarray:
        """u8 bytes, writable; LookupError where they are not all in one buffer."""
        for start, buffer in self._buffers.items():
            if start <= address and address + size <= start + len(buffer):
                return buffer[address - start : address - start + size]
        raise LookupError(f"no buffer holds {size:,} bytes at 0x{address:08X}")
