"""The programmed logic of the simulated board: engine, DMAs and interrupt controller on one address map.

Time is the engine's clock.  It goes on with every register access of the software, by ACCESS_CYCLES, and where
somebody waits for an interrupt (``wait_interrupt``); nothing of PYNQ is in here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from squeeze_hls.emit.block_design.design import BlockDesign
from squeeze_hls.engine.packets import program_packet, weights_packet
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.sim.board.bitfile import Bitfile
from squeeze_hls.sim.board.clocks import ClockRegisters
from squeeze_hls.sim.board.dma import CHANNEL_BYTES, CONTROL, RESET, BoardError, Channel, Receiver, Sender
from squeeze_hls.sim.board.dram import Memory
from squeeze_hls.sim.board.faults import Faults
from squeeze_hls.sim.board.intc import InterruptController
from squeeze_hls.sim.protocol import Transfer
from squeeze_hls.sim.rtl_engine import IN, INTERRUPT, OUT, PACKET_OUT, WEIGHTS, RtlEngine

ACCESS_CYCLES = 1_000  # of one register access: Python takes about 10 us on a board, at 100 MHz
SEND_CYCLES = 1_000  # between two looks at a channel that sends; it reads ahead by more than that
SLICE = 20_000  # between two looks at anything else
SETTLED = 100
LOAD_LIMIT = 5_000_000


class Machine:
    """A configured board.  ``library`` is the compiled engine; clocks, memory and faults outlive the configuration.

    All accesses may come from several threads.
    """

    def __init__(self, bitfile: Bitfile, library: Path, clocks: ClockRegisters, memory: Memory, faults: Faults) -> None:
        self.design: BlockDesign = bitfile.design
        self._family, self._clocks = bitfile.family, clocks
        self._faults = faults
        self._engine = RtlEngine(library, bitfile.engine)
        self._configure(bitfile)
        self._dmas = {"dma": self._dma("dma", IN, "s_axis_in", memory)}
        if self.design.streamed:
            self._dmas["dma_weights"] = self._dma("dma_weights", WEIGHTS, "s_axis_weights", memory)
        self.intc = InterruptController(self._lines)
        self._still_after = 4 * bitfile.cycles + 200_000  # cycles without any change: nothing more will happen
        self._still = self._still_after
        self._seen: tuple[int, ...] = ()
        self._skipped = 0  # cycles in which nothing could change, and which were not simulated
        self._spent = 0.0  # seconds that simulating took
        self._closed = False
        self._guests = 0  # that wait for the lock, or have it
        self._counting = threading.Lock()
        self._changed = threading.Condition()

    def _configure(self, bitfile: Bitfile) -> None:
        """Bring the engine into the state in which a bitstream's initial contents leave it."""
        engine = self._engine
        engine.reset()
        packets = [program_packet(bitfile.program, bitfile.engine)]
        if bitfile.engine.store_loaded:
            packets.append(weights_packet(bitfile.weights, bitfile.engine))
        engine.write("gie", 1)
        engine.write("ier", 1)
        for packet in packets:
            engine.queue(Transfer.of(packet))
            engine.write("ap_ctrl", 1)
            if not engine.run(LOAD_LIMIT, until=INTERRUPT) or engine.read("error"):
                raise ToolFailedError("simulated board: the engine does not take its initial contents")
            engine.write("isr", 1)
            engine.read("ap_ctrl")  # clears done
        engine.write("gie", 0)
        engine.write("ier", 0)
        engine.step(2 * engine.config.tile_words * engine.config.chunks_per_word + SETTLED)
        engine.stamps(IN)

    def _dma(self, name: str, stream: int, pin: str, memory: Memory) -> list[Channel]:
        common = self._engine, memory, self._faults
        channels: list[Channel] = [Sender(f"{name}/MM2S", stream, pin, *common)]
        if name == "dma":
            channels.append(Receiver(f"{name}/S2MM", OUT, "m_axis_out", *common))
        return channels

    def close(self) -> None:
        """End the simulation; whoever waits for an interrupt is sent away."""
        with self._guest():
            self._closed = True
            self._changed.notify_all()
            self._engine.close()

    # --- registers ---

    def read(self, address: int) -> int:
        """A register's value; raises BoardError where nothing answers."""
        with self._guest():
            self._advance(ACCESS_CYCLES)
            cell, offset = self._decode(address)
            if cell == "engine":
                return self._engine.read(offset)
            if cell == "intc":
                return self.intc.read(offset)
            channel, offset = self._channel(cell, offset)
            return channel.read(offset) if channel else 0

    def write(self, address: int, value: int) -> None:
        with self._guest():
            self._still = 0
            self._advance(ACCESS_CYCLES)
            cell, offset = self._decode(address)
            if cell == "engine":
                self._engine.write(offset, value)
            elif cell == "intc":
                self.intc.write(offset, value)
            else:
                channel, offset = self._channel(cell, offset)
                if channel and offset == CONTROL and value & RESET:
                    for each in self._dmas[cell]:  # it resets the whole DMA
                        each.reset()
                elif channel:
                    channel.write(offset, value)
                    channel.move()
            self._changed.notify_all()

    def _decode(self, address: int) -> tuple[str, int]:
        for slave in self.design.slaves:
            if slave.address <= address < slave.address + slave.range:
                return slave.cell, address - slave.address
        raise BoardError(f"bus error: nothing answers at 0x{address:08X}")

    def _channel(self, cell: str, offset: int) -> tuple[Channel | None, int]:
        channels = self._dmas[cell]
        number, offset = divmod(offset, CHANNEL_BYTES)
        return (channels[number] if number < len(channels) else None), offset

    # --- time ---

    def monotonic(self) -> float:
        """Seconds on the board: those of the software, and of the engine's clock in place of its simulation."""
        return time.monotonic() - self._spent + self.cycle / (self._clocks.mhz(self._family) * 1e6)

    @property
    def cycle(self) -> int:
        """Clock cycles since the board was configured."""
        return self._engine.cycle + self._skipped

    def wait_interrupt(self) -> bool:
        """Run until the processor's interrupt line is high; False where the board was closed first.

        Others may access registers meanwhile; where nothing can change before they do, time stands still.
        """
        while True:
            while self._guests:
                time.sleep(1e-4)  # a lock gives nobody precedence
            with self._changed:
                if self._closed:
                    return False
                if self.intc.output and "intc/irq" not in self._faults.lost_interrupts:
                    return True
                if self._still >= self._still_after:
                    self._changed.wait(0.02)  # a fault may be switched off meanwhile
                else:
                    self._advance(SLICE)

    @contextmanager
    def _guest(self) -> Iterator[None]:
        with self._counting:
            self._guests += 1
        try:
            with self._changed:
                yield
        finally:
            with self._counting:
                self._guests -= 1

    def _advance(self, cycles: int) -> None:
        if self._closed:
            raise BoardError("the board was configured anew")
        started = time.monotonic()
        end = self._engine.cycle + cycles
        while (left := end - self._engine.cycle) > 0:
            if self._still >= self._still_after:
                self._skipped += left
                break
            self._run(left)
        self._spent += time.monotonic() - started

    def _run(self, most: int) -> None:
        """Some cycles, after which the channels have seen all that happened."""
        channels = [channel for dma in self._dmas.values() for channel in dma]
        for channel in channels:
            channel.move()
        sending = any(channel.active and isinstance(channel, Sender) for channel in channels)
        before = self._engine.cycle
        until = PACKET_OUT | (0 if self._lines() else INTERRUPT)
        self._engine.run(min(most, SEND_CYCLES if sending else SLICE), until=until)
        for channel in channels:
            channel.move()
        seen = (*(self._engine.waiting(stream) for stream in (IN, WEIGHTS, OUT)), self._lines())
        self._still = 0 if seen != self._seen else self._still + self._engine.cycle - before
        self._seen = seen

    def _lines(self) -> int:
        """Levels of the interrupt controller's inputs."""
        levels = {"engine/interrupt": bool(self._engine.run(0, until=INTERRUPT))}
        for dma in self._dmas.values():
            for channel in dma:
                cell, direction = channel.name.split("/")
                levels[f"{cell}/{direction.lower()}_introut"] = channel.interrupt
        lost = self._faults.lost_interrupts
        return sum(levels[pin] << i for i, pin in enumerate(self.design.interrupts) if pin not in lost)
