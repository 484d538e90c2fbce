"""The hardware as PYNQ shows it: the engine's registers, the DMA channels, buffers, and the way back after an error."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import channels
from ._generated import ERRORS, REGISTERS
from .channels import Channel
from .errors import AcceleratorError, AcceleratorTimeout, EngineError
from .overlays import interrupt_here, load_overlay
from .packets import last_word, probe_packets
from .waiting import Wait, finish

ENGINE, DMA, DMA_WEIGHTS = "engine", "dma", "dma_weights"

START, IDLE = 1, 4  # bits of ap_ctrl
DONE_INTERRUPT = 1  # bit of ier and isr
QUIET_SECONDS = 1e-3  # in which an engine that discards packets has long taken a word


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
        try:
            overlay = load_overlay(self._bitfile, self._device)
            self._engine = getattr(overlay, ENGINE)
            dma = getattr(overlay, DMA)
            self._dmas = [dma]
            self.send = Channel(f"{DMA}.sendchannel", "s_axis_in", dma, dma.sendchannel)
            self.receive = Channel(f"{DMA}.recvchannel", "m_axis_out", dma, dma.recvchannel, channels.S2MM)
            self.send_weights = None
            if DMA_WEIGHTS in overlay.ip_dict:
                dma = getattr(overlay, DMA_WEIGHTS)
                self._dmas.append(dma)
                self.send_weights = Channel(f"{DMA_WEIGHTS}.sendchannel", "s_axis_weights", dma, dma.sendchannel)
        except AcceleratorError:
            raise
        except Exception as error:  # PYNQ and what it reads the .hwh with raise whatever they stumble over
            raise AcceleratorError(
                f"{self._bitfile}: cannot be used ({error}); it takes a squeeze-hls bitstream and its .hwh beside it"
            ) from error
        self.channels = [self.send, self.receive, *([] if self.send_weights is None else [self.send_weights])]
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

    def blocked(self, doing: str, image_sent: bool = False) -> str:
        """What an image in work waits for; ``image_sent``: it is in, and the channel has another to send.

        The engine waits for nothing but its streams: where it has all that it takes, its logits are not taken.
        """
        unsent = [] if image_sent or self.send.finished() else [f"{doing} to be sent ({self.send})"]
        if self.send_weights is not None and not self.send_weights.finished():
            unsent.append(f"the weights of {doing} to be sent ({self.send_weights})")
        return " or ".join(unsent) or (
            f"the logits of {doing} to be taken ({self.receive}): the engine has all that it needs and does not end"
        )

    def state(self) -> str:
        """Engine and DMA channels in one line, for messages."""
        names = ("ap_ctrl", "error", "loaded_flags", "frames", "cycles")
        registers = ", ".join(f"{name} 0x{self.register(name):X}" for name in names)
        return f"engine: {registers}; " + ", ".join(channel.state() for channel in self.channels)

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[Any]:
        """The engine's interrupt, switched on meanwhile; None where the bitstream has none."""
        if getattr(self._engine, "interrupt", None) is None:
            yield None
            return
        interrupt = interrupt_here(f"{ENGINE}/interrupt")
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
        yield Wait(f"the {what} to be sent ({self.send})", self.send.finished)
        yield Wait(f"the engine to load the {what}", self.idle)
        self.check_engine(f"loading the {what}")

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
            dma.write(channels.DMACR, channels.RESET)  # of either channel: it resets the whole DMA
        for dma in self._dmas:
            end = self.clock() + self.timeout
            while dma.read(channels.DMACR) & channels.RESET:
                if self.clock() > end:
                    raise AcceleratorTimeout("the reset of a DMA", self.timeout, self.state())
        for channel in self.channels:
            channel.start()

    def resynchronize(self, owed: bool = False) -> None:
        """Bring DMA and engine back in step after whatever happened: the next packet is then taken as a packet.

        The reset of the DMA may cut off a packet, and the engine waits for its end.  Two packets of one word are sent
        which change nothing and are refused with different codes; the first ends what was cut off, and once the engine
        answers with the code of the second, nothing is left over.  Logits of images that were complete are thrown away.

        ``owed``: with streamed weights, the engine may also be in the middle of a packet of weights, or still discard
        packets of images that failed.  How many cannot be read: single words that end a packet are sent for as long as
        the engine takes them.

        Raises AcceleratorTimeout or DmaError where the engine does not come to rest: load the bitstream again.
        """
        self.reset_channels()
        probes = probe_packets()
        waste = self.allocate(1 << 18)  # logits of more classes than a program can have
        words = [self.allocate(len(data)) for _, data in probes]
        ending = self.allocate(len(last_word()))
        ending[:] = last_word()
        weights = self.send_weights if owed else None
        try:
            finish(self._probe(probes, words, waste, weights, ending), self, self.timeout)
        finally:
            self.reset_channels()  # no channel is left waiting for what does not come
            self.free(waste, ending, *words)

    def _probe(
        self, probes: list[tuple[int, np.ndarray]], words: list[Any], waste: Any, weights: Channel | None, ending: Any
    ) -> Iterator[Wait]:
        remaining = list(range(len(probes)))

        def come_to_rest() -> bool:
            if self.receive.finished():
                self.receive.transfer(waste, waste.nbytes)
            if remaining and self.send.finished():
                at = remaining.pop(0)
                words[at][:] = probes[at][1]
                self.send.transfer(words[at], words[at].nbytes)
            if weights is not None and weights.finished():
                weights.transfer(ending, ending.nbytes)
            return self.idle()

        for _ in range(len(probes) + 3):  # an image in work, one behind it, and the packet that was cut off
            if self.idle():
                self.start()
            yield Wait("the engine to come to rest", come_to_rest)
            if not remaining and self.register("error") == probes[-1][0]:
                break
        else:
            raise AcceleratorTimeout("the engine to answer", self.timeout, self.state())
        if weights is not None:
            taken = self.clock()

            def nothing_is_taken() -> bool:
                nonlocal taken
                if weights.finished():
                    weights.transfer(ending, ending.nbytes)
                    taken = self.clock()
                return self.clock() > taken + QUIET_SECONDS

            yield Wait(f"the engine to have discarded all weights ({weights})", nothing_is_taken)


def default_bitfile() -> str:
    """The bitstream beside this package."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(here, "squeeze_engine.bit")
