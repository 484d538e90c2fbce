"""The AXI DMA in direct register mode (AMD PG021): the registers of a channel, and what a transfer does.

A channel is one of two halves of a DMA; the machine calls ``move`` as the engine's clock goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from squeeze_hls.emit.block_design.design import LENGTH_BITS
from squeeze_hls.sim.board.dram import Memory
from squeeze_hls.sim.board.faults import Faults
from squeeze_hls.sim.protocol import Transfer
from squeeze_hls.sim.rtl_engine import OUT, RtlEngine

CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
CHANNEL_BYTES = 0x30  # of registers
RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE = 1 << 0, 1 << 1
ERRORS = {"DMAIntErr": 1 << 4, "DMASlvErr": 1 << 5, "DMADecErr": 1 << 6}
COMPLETE, ERROR = 1 << 12, 1 << 14  # interrupts, in both registers
CONTROL_RESET = 0x0001_0002
WRITABLE = RUN | COMPLETE | 1 << 13 | ERROR | 0xFFFF_0000
BEAT = 8  # bytes
FIFO = 1024  # beats that a sending channel reads ahead


class BoardError(RuntimeError):
    """Software did what a board answers with undefined behaviour, or with a bus error that ends the program."""


class Channel(ABC):
    """What both directions have in common.  ``name`` is its DMA's and its own: ``dma/MM2S``."""

    def __init__(self, name: str, stream: int, pin: str, engine: RtlEngine, memory: Memory, faults: Faults) -> None:
        self.name = name
        self._stream, self._pin = stream, pin
        self._engine, self._memory, self._faults = engine, memory, faults
        self.reset()

    def reset(self) -> None:
        """A soft reset: a transfer is given up, its stream ends where it is."""
        self._control, self._status = CONTROL_RESET, HALTED
        self._address = self._length = self._moved = 0
        self.active = False
        self._engine.clear(self._stream)

    @property
    def interrupt(self) -> bool:
        """The level of its interrupt pin."""
        return bool(self._control & self._status & (COMPLETE | ERROR))

    def read(self, offset: int) -> int:
        values = {
            CONTROL: self._control,
            STATUS: self._status,
            ADDRESS: self._address & 0xFFFF_FFFF,
            ADDRESS_MSB: self._address >> 32,
            LENGTH: self._length,
        }
        return values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Raises BoardError for what undefined behaviour follows."""
        if offset == CONTROL:
            self._control = self._control & ~WRITABLE | value & WRITABLE
            if value & RUN and not self._status & sum(ERRORS.values()):
                self._status &= ~HALTED
            elif not value & RUN:
                self._stop()
        elif offset == STATUS:
            self._status &= ~(value & (COMPLETE | 1 << 13 | ERROR))
        elif offset == ADDRESS:
            self._address = self._address & ~0xFFFF_FFFF | value
        elif offset == ADDRESS_MSB:
            self._address = self._address & 0xFFFF_FFFF | value << 32
        elif offset == LENGTH and not self._status & HALTED:
            self._start(value & (1 << LENGTH_BITS) - 1)

    def _start(self, length: int) -> None:
        if self.active:
            raise BoardError(f"{self.name}: LENGTH was written during a transfer")
        if self._address % BEAT:
            raise BoardError(
                f"{self.name}: address 0x{self._address:08X} is no multiple of {BEAT}, and there is no DRE"
            )
        self._length, self._moved = length, 0
        self._status &= ~IDLE
        kind = self._faults.dma_errors.pop(self.name, "")
        if kind or not length:
            self._fail(kind or "DMAIntErr")
            return
        try:
            self._memory.view(self._address, 1)
        except LookupError:
            self._fail("DMADecErr")
            return
        self.active = True

    def _stop(self) -> None:
        if self.active:
            self._engine.clear(self._stream)
        self.active = False
        self._status = self._status & ~IDLE | HALTED

    def _done(self) -> None:
        self.active = False
        self._status |= IDLE | COMPLETE

    def _fail(self, kind: str) -> None:
        self._stop()
        self._control &= ~RUN
        self._status |= ERRORS[kind] | ERROR

    @abstractmethod
    def move(self) -> None:
        """Bring memory and stream up to date with the engine's clock."""


class Sender(Channel):
    """Memory to stream (MM2S)."""

    def move(self) -> None:
        if not self.active:
            return
        waiting = self._engine.waiting(self._stream)
        if self._moved == self._length:
            if not waiting:
                self._done()
            return
        if self._pin in self._faults.hang:
            return
        size = min(self._length - self._moved, (FIFO - waiting) * BEAT)
        try:
            data = self._memory.view(self._address + self._moved, size).copy()
        except LookupError:
            self._fail("DMADecErr")
            return
        self._flip(data)
        self._moved += size
        words = np.frombuffer(data.tobytes() + bytes(-size % BEAT), "<u8")
        last = self._moved == self._length
        keep = (1 << (size % BEAT or BEAT)) - 1
        whole = words[:-1] if last else words
        weights = self._pin == "s_axis_weights"
        self._engine.queue(Transfer(words=whole, last=(), weights=weights))
        if last:
            self._engine.queue(Transfer(words=words[-1:], weights=weights), keep=keep)

    def _flip(self, data: np.ndarray) -> None:
        byte = self._faults.flipped.get(self.name, -1) // 8 - self._moved
        if 0 <= byte < len(data):
            data[byte] ^= 1 << self._faults.flipped.pop(self.name) % 8


class Receiver(Channel):
    """Stream to memory (S2MM).  The stream is taken only while a transfer runs."""

    def reset(self) -> None:
        super().reset()
        self._ended = False
        self._engine.accept(0)

    def _stop(self) -> None:
        super()._stop()
        self._engine.accept(0)

    def _start(self, length: int) -> None:
        super()._start(length)
        self._ended = False
        if self.active:
            self.move()

    def move(self) -> None:
        if not self.active:
            return
        beats = self._engine.take()
        self._engine.stamps(OUT)
        if len(beats.data):
            kept = np.unpackbits(beats.keep[:, None], axis=1, bitorder="little").astype(bool)
            data = beats.data.astype("<u8").view(np.uint8).reshape(-1, BEAT)[kept]
            fitting = data[: self._length - self._moved]
            try:
                self._memory.view(self._address + self._moved, len(fitting))[:] = fitting
            except LookupError:
                self._fail("DMADecErr")
                return
            self._moved += len(fitting)
            self._ended = bool(beats.last[-1])
            if len(fitting) < len(data) or (self._moved == self._length and not self._ended):
                self._fail("DMAIntErr")
                return
        if self._ended:
            self._length = self._moved
            self._done()
            return
        room = -(-(self._length - self._moved) // BEAT)
        self._engine.accept(0 if self._pin in self._faults.hang else room)
