"""The channels of the AXI DMAs in direct register mode (AMD PG021).

Caches: ``sendchannel.transfer`` of ``pynq.lib.dma`` flushes the buffer before the transfer; ``Channel.finished``
invalidates a received buffer after it.
"""

from __future__ import annotations

from typing import Any

from .errors import DmaError

DMACR, DMASR, LENGTH, S2MM = 0x00, 0x04, 0x28, 0x30
RESET = 0x04  # of DMACR
HALTED, IDLE = 0x01, 0x02  # of DMASR
ERRORS = (
    (0x10, "internal error: a packet longer than its buffer, or of no length"),
    (0x20, "slave error: the memory refused an access"),
    (0x40, "decode error: the address of the buffer is none"),
)


class Channel:
    """One direction of an AXI DMA; ``pynq.lib.dma`` starts transfers, the end of each is looked for here.

    ``stream`` is the engine's end of it.
    """

    def __init__(self, name: str, stream: str, dma: Any, channel: Any, base: int = 0):
        self.name, self.stream = name, stream
        self._dma, self._channel, self._base = dma, channel, base
        self._buffer: Any = None  # what is being transferred

    def __str__(self) -> str:
        return f"{self.name}, {self.stream}"

    def start(self) -> None:
        """Let the channel run, after a reset."""
        self._buffer = None
        self._channel.start()

    def transfer(self, buffer: Any, nbytes: int) -> None:
        """Begin to transfer the first ``nbytes`` of a buffer; raises DmaError where the channel has stopped."""
        self.check()
        try:
            self._channel.transfer(buffer, nbytes=nbytes)
        except RuntimeError as error:
            raise DmaError(self.name, str(error)) from error
        self._buffer = buffer

    def finished(self) -> bool:
        """Whether the transfer is over; what was received is then there to be read."""
        if self._buffer is None:
            return True
        if not self._checked_status() & IDLE:
            return False
        if self._base == S2MM:
            self._buffer.invalidate()
        self._buffer = None
        return True

    def received(self) -> int:
        """Bytes of the last packet received."""
        return int(self._dma.read(self._base + LENGTH))

    def check(self) -> None:
        """Raise DmaError where the channel stopped with an error."""
        self._checked_status()

    def state(self) -> str:
        """For messages."""
        status = self._status()
        word = "halted" if status & HALTED else "busy" if self._buffer is not None and not status & IDLE else "idle"
        return f"{self.name} {word} (DMASR 0x{status:08X})"

    def _checked_status(self) -> int:
        status = self._status()
        for bit, text in ERRORS:
            if status & bit:
                raise DmaError(self.name, text)
        return status

    def _status(self) -> int:
        return int(self._dma.read(self._base + DMASR))
