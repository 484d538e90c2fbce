"""The hardware as PYNQ shows it: the engine's registers, the DMA channels, buffers, and the way back after an error.

Caches: ``sendchannel.transfer`` of ``pynq.lib.dma`` flushes the buffer before the transfer; ``Channel.finished``
invalidates a received buffer after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._generated import ERRORS, REGISTERS
from .errors import AcceleratorError, AcceleratorTimeout, DmaError, EngineError
from .packets import probe_packets
from .waiting import Wait, finish

ENGINE, DMA, DMA_WEIGHTS = "engine", "dma", "dma_weights"

START, IDLE = 1, 4  # bits of ap_ctrl
DONE_INTERRUPT = 1  # bit of ier and isr

# AXI DMA in direct register mode (AMD PG021).
DMACR, DMASR, LENGTH, S2MM = 0x00, 0x04, 0x28, 0x30
RESET = 0x04  # of DMACR
HALTED, DMA_IDLE = 0x01, 0x02  # of DMASR
DMA_ERRORS = (
    (0x10, "internal error: a packet longer than its buffer, or of no length"),
    (0x20, "slave error: the memory refused an access"),
    (0x40, "decode error: the address of the buffer is none"),
)


class Channel:
    """One direction of an AXI DMA; ``pynq.lib.dma`` starts transfers, the end of each is looked for here."""

    def __init__(self, name: str, dma: Any, channel: Any, base: int):
        self.name = name
        self._dma, self._channel, self._base = dma, channel, base
        self._buffer: Any = None  # what is being transferred

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
        if not self._checked_status() & DMA_IDLE:
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
        word = "halted" if status & HALTED else "busy" if self._buffer is not None and not status & DMA_IDLE else "idle"
        return f"{self.name} {word} (DMASR 0x{status:08X})"

    def _checked_status(self) -> int:
        status = self._status()
        for bit, text in DMA_ERRORS:
            if status & bit:
                raise DmaError(self.name, text)
        return status

    def _status(self) -> int:
        return int(self._dma.read(self._base + DMASR))


class Hardware:
    """A loaded bitstream.  Raises AcceleratorError where it is none of this project's."""

    def __init__(self, bitfile: str, device: Any, timeout: float):
        self.timeout = timeout
        self.interrupts_seen = 0
        self.closing = False  # waits end with Closed
        self._bitfile, self._device = bitfile, device
        self._buffers: list[Any] = []
        # A simulated board brings its own clock, which tells the time that passes on the board.
        self.clock: Callable[[], float] = getattr(device, "monotonic", time.monotonic)
        self.load()

    def load(self) -> None:
        """Load the bitstream, from the beginning: nothing of what the engine held remains but its initial contents."""
        from pynq import Overlay

        _require_event_loop()
        _forget_waiters()
        try:
            overlay = Overlay(self._bitfile, device=self._device)
            self._engine = getattr(overlay, ENGINE)
            dma = getattr(overlay, DMA)
            self._dmas = [dma]
            self.send = Channel(f"{DMA}.sendchannel", dma, dma.sendchannel, 0)
            self.receive = Channel(f"{DMA}.recvchannel", dma, dma.recvchannel, S2MM)
            self.channels = [self.send, self.receive]
            self.send_weights = None
            if DMA_WEIGHTS in overlay.ip_dict:
                dma_weights = getattr(overlay, DMA_WEIGHTS)
                self._dmas.append(dma_weights)
                self.send_weights = Channel(f"{DMA_WEIGHTS}.sendchannel", dma_weights, dma_weights.sendchannel, 0)
                self.channels.append(self.send_weights)
        except (OSError, AttributeError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise AcceleratorError(
                f"{self._bitfile}: cannot be used ({error}); it takes a squeeze-hls bitstream and its .hwh beside it"
            ) from error
        self._overlay = overlay  # its destruction would end the drivers of its parts

    # --- registers ---

    def register(self, name: str) -> int:
        """A register of the engine."""
        return int(self._engine.read(REGISTERS[name]))

    def start(self) -> None:
        """Let the engine take one packet.

        Not auto-restart: the logits of an image that comes behind a refused one would be taken for those of the
        refused one.  The next image may be transferred before its start, so that this costs microseconds.
        """
        self._engine.write(REGISTERS["ap_ctrl"], START)

    def idle(self) -> bool:
        """Whether the packet of the last start is finished."""
        return bool(self.register("ap_ctrl") & IDLE)

    def check_engine(self, doing: str) -> None:
        """Raise EngineError where the last packet was refused."""
        code = self.register("error")
        if code:
            raise EngineError(code, ERRORS[code] if code < len(ERRORS) else "unknown", doing)

    def check_channels(self) -> None:
        """Raise DmaError where a channel stopped with an error."""
        for channel in self.channels:
            channel.check()

    def state(self) -> str:
        """Engine and DMA channels in one line, for messages."""
        names = ("ap_ctrl", "error", "loaded_flags", "frames", "cycles")
        registers = ", ".join(f"{name} 0x{self.register(name):X}" for name in names)
        return f"engine: {registers}; " + ", ".join(channel.state() for channel in self.channels)

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[Any]:
        """The engine's interrupt, switched on meanwhile; None where the bitstream has none."""
        interrupt = getattr(self._engine, "interrupt", None)
        if interrupt is None:
            yield None
            return
        self._engine.write(REGISTERS["ier"], DONE_INTERRUPT)
        self._engine.write(REGISTERS["gie"], 1)
        try:
            yield interrupt
        finally:
            self._engine.write(REGISTERS["gie"], 0)
            self._engine.write(REGISTERS["ier"], 0)
            self.clear_interrupt()

    def clear_interrupt(self) -> None:
        """Take the interrupt's request back."""
        self._engine.write(REGISTERS["isr"], self.register("isr"))

    # --- packets ---

    def load_packet(self, what: str, packet: np.ndarray) -> None:
        """Let the engine take the u8 packet of a program or of weights; raises what goes wrong."""
        buffer = self.allocate(len(packet))
        try:
            buffer[:] = packet
            finish(self._loading(what, buffer), self, self.timeout)
        except BaseException:
            with contextlib.suppress(AcceleratorError):
                self.reset_channels()  # no transfer from memory that is given back
            raise
        finally:
            self.free(buffer)

    def _loading(self, what: str, buffer: Any) -> Iterator[Wait]:
        self.start()
        self.send.transfer(buffer, buffer.nbytes)
        yield Wait(f"the engine to load the {what}", self.idle)
        self.check_engine(f"loading the {what}")
        yield Wait(f"the {what} to be sent ({self.send.name})", self.send.finished)

    # --- buffers ---

    def allocate(self, nbytes: int) -> Any:
        """A u8 buffer that the DMA reaches."""
        from pynq import allocate

        try:
            buffer = allocate((nbytes,), np.uint8, target=self._device)
        except (RuntimeError, MemoryError) as error:
            raise AcceleratorError(f"no DMA memory for {nbytes} bytes ({error}); free other buffers") from error
        self._buffers.append(buffer)
        return buffer

    def free(self, *buffers: Any) -> None:
        """Give buffers back; those that were freed already are passed over."""
        for buffer in buffers:
            kept = [other for other in self._buffers if other is not buffer]
            if len(kept) < len(self._buffers):
                self._buffers = kept
                buffer.freebuffer()

    def close(self) -> None:
        """Stop all transfers, then free all buffers; a transfer into freed memory would overwrite another's."""
        with contextlib.suppress(AcceleratorError):
            self.reset_channels()
        self.free(*self._buffers)

    # --- the way back ---

    def reset_channels(self) -> None:
        """Reset every DMA and let its channels run; transfers in work are cut off.  Raises AcceleratorTimeout."""
        for dma in self._dmas:
            dma.write(DMACR, RESET)  # of either channel: it resets the whole DMA
        for dma in self._dmas:
            name = "the reset of a DMA"
            end = self.clock() + self.timeout
            while dma.read(DMACR) & RESET:
                if self.clock() > end:
                    raise AcceleratorTimeout(name, self.timeout, self.state())
        for channel in self.channels:
            channel.start()

    def resynchronize(self) -> None:
        """Bring DMA and engine back in step after whatever happened: the next packet is then taken as a packet.

        The reset of the DMA may cut off a packet, and the engine waits for its end.  Two packets of one word are sent
        which change nothing and are refused with different codes; the first ends what was cut off, and once the engine
        answers with the code of the second, nothing is left over.  Logits of images that were complete are thrown away.
        Raises AcceleratorTimeout or DmaError where the engine does not come to rest: load the bitstream again.  That is
        the way with streamed weights, too: how many packets of them the engine still discards cannot be read.
        """
        self.reset_channels()
        probes = probe_packets()
        waste = self.allocate(1 << 18)  # logits of more classes than a program can have
        words = [self.allocate(len(data)) for _, data in probes]
        try:
            finish(self._probe(probes, words, waste), self, self.timeout)
        finally:
            self.reset_channels()  # no channel is left waiting for what does not come
            self.free(waste, *words)

    def _probe(self, probes: list[tuple[int, np.ndarray]], words: list[Any], waste: Any) -> Iterator[Wait]:
        remaining = list(range(len(probes)))
        for _ in range(len(probes) + 3):  # an image in work, one behind it, and the packet that was cut off
            if self.receive.finished():
                self.receive.transfer(waste, waste.nbytes)
            if self.idle():
                self.start()

            def come_to_rest() -> bool:
                if remaining and self.send.finished():
                    at = remaining.pop(0)
                    words[at][:] = probes[at][1]
                    self.send.transfer(words[at], words[at].nbytes)
                return self.idle()

            yield Wait("the engine to come to rest", come_to_rest)
            if not remaining and self.register("error") == probes[-1][0]:
                return
        raise AcceleratorTimeout("the engine to answer", self.timeout, self.state())


def _require_event_loop() -> None:
    """PYNQ makes its interrupts in the thread's event loop, which after ``asyncio.run`` does not exist any more."""
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())


def _forget_waiters() -> None:
    """PYNQ keeps what waited in vain for an interrupt of the overlay before; woken late, it would take ours away."""
    from pynq import interrupt

    controllers = getattr(interrupt, "_InterruptController", None)
    for controller in getattr(controllers, "_uio_devices", {}).values():
        controller.wait_events = []


def default_bitfile() -> str:
    """The bitstream beside this package."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(here, "squeeze_engine.bit")
