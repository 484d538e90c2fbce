"""The simulated board as a PYNQ device: ``Overlay``, ``allocate``, ``MMIO`` and interrupts of PYNQ itself run on it.

PYNQ finds devices by their class (``pynq.pl_server.device.DeviceMeta``).  For the processor's interrupt there is no
such extension point: ``pynq.interrupt.get_uio_irq`` looks it up in /proc/interrupts, so that one function is replaced
here.  It answers with an open descriptor instead of a path; PYNQ opens that just as well, and reads and writes 4 bytes
as of a UIO device.
"""

from __future__ import annotations

import atexit
import math
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pynq.interrupt
from pynq.buffer import PynqBuffer
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata

from squeeze_hls.sim.board import bitfile
from squeeze_hls.sim.board.clocks import ClockRegisters
from squeeze_hls.sim.board.compiled import compiled
from squeeze_hls.sim.board.dma import BoardError
from squeeze_hls.sim.board.dram import BYTES, CACHE_LINE, Memory
from squeeze_hls.sim.board.faults import Faults
from squeeze_hls.sim.board.machine import Machine

_WORD = struct.Struct("<I")
_get_uio_irq = pynq.interrupt.get_uio_irq


@dataclass
class _Object:
    """What PYNQ calls a buffer object: where it is, and the processor's view of it."""

    address: int
    host: np.ndarray  # u8


class BoardBuffer(PynqBuffer):
    """A buffer of the simulated board; freeing it twice is harmless, as on a board."""

    memory: Memory | None = None  # of its views: None

    def freebuffer(self) -> None:
        memory, self.memory = self.memory, None
        if memory is not None:
            memory.free(self.bo.address)


class SimulatedBoard(Device):
    """The board.  ``faults`` can be switched on at any time; ``machine`` is there once an overlay was downloaded."""

    _probe_priority_ = 10  # before what a real board has
    _board: SimulatedBoard | None = None

    @classmethod
    def _probe_(cls) -> list[SimulatedBoard]:
        if cls._board is None:
            cls._board = cls()
        return [cls._board]

    def __init__(self) -> None:
        super().__init__("squeeze_hls_simulated")
        self.name = "squeeze-hls simulated board"
        self.arch = "armv7l"
        self.capabilities = {"REGISTER_RW": True}
        self.faults = Faults()
        self.memory = Memory()
        self.clocks = ClockRegisters()
        self.machine: Machine | None = None
        self._uio: _Uio | None = None
        atexit.register(self.close)

    # --- configuration ---

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> RuntimeMetadataParser:
        """PYNQ's own view of the handoff file beside a bitstream."""
        if partial:
            raise RuntimeError("the simulated board has no partial reconfiguration")
        path = Path(bitfile_name)
        self.arch = "armv7l" if bitfile.read(path).family == "zynq-7000" else "aarch64"
        parser = RuntimeMetadataParser(Metadata(input=str(path.with_suffix(".hwh"))))
        # What XRT adds on a board.
        parser.mem_dict["PSDDR"] = {
            "raw_type": 2, "used": 1, "base_address": 0, "size": BYTES, "tag": "PSDDR", "idx": 0, "streaming": False,
        }  # fmt: skip
        parser.refresh_hierarchy_dict()
        return parser

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Configure the board; the engine is compiled, with a message, where that has not happened before."""
        contents = bitfile.read(Path(bitstream.bitfile_name))
        with compiled(contents.engine, before=_announce) as library:
            machine = Machine(contents, library, self.clocks, self.memory, self.faults)
        self.close()
        self.machine = machine
        self.post_download(bitstream, parser, self.name)

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Nothing is kept between programs."""

    def close(self) -> None:
        """End the simulation, before the interpreter takes it from the thread that runs it."""
        machine, self.machine = self.machine, None
        if machine is not None:
            machine.close()

    def _configured(self) -> Machine:
        if self.machine is None:
            raise BoardError("nothing answers before an overlay is downloaded")
        return self.machine

    def monotonic(self) -> float:
        """Seconds on the board (see ``Machine.monotonic``): what time-outs are to be measured with."""
        return self._configured().monotonic()

    # --- registers ---

    def read_registers(self, address: int, length: int) -> bytes:
        """Aligned 32-bit reads."""
        machine = self._bus(address)
        return b"".join(_WORD.pack(machine.read(address + i)) for i in range(0, length, _WORD.size))

    def write_registers(self, address: int, data: bytes) -> None:
        """Aligned 32-bit writes."""
        machine = self._bus(address)
        for i, (value,) in enumerate(_WORD.iter_unpack(data)):
            machine.write(address + i * _WORD.size, value)

    def _bus(self, address: int) -> ClockRegisters | Machine:
        return self.clocks if self.clocks.holds(address) else self._configured()

    # --- memory ---

    def allocate(self, shape: Any, dtype: Any, **_: Any) -> BoardBuffer:
        """A buffer that is cached: not coherent with the DMA."""
        self._configured()
        kind = np.dtype(dtype)
        size = math.prod(shape if hasattr(shape, "__iter__") else (shape,)) * kind.itemsize
        try:
            place = _Object(self.memory.allocate(size), np.zeros(size, np.uint8))
        except MemoryError as error:
            raise RuntimeError(f"BO allocation failed: {error}") from error
        buffer = BoardBuffer(
            shape, kind, buffer=place.host, device=self, device_address=place.address, bo=place, coherent=False
        )
        buffer.memory = self.memory
        return buffer

    def flush(self, bo: _Object, offset: int, _ptr: int, size: int) -> None:
        """Write a range of a buffer back to memory."""
        view = self.memory.view(bo.address, len(bo.host))
        left_out = self.faults.stale_line
        kept = view.copy()
        view[offset : offset + size] = bo.host[offset : offset + size]
        if left_out is not None:
            self.faults.stale_line = None
            line = slice(left_out // CACHE_LINE * CACHE_LINE, (left_out // CACHE_LINE + 1) * CACHE_LINE)
            view[line] = kept[line]

    def invalidate(self, bo: _Object, offset: int, _ptr: int, size: int) -> None:
        """Forget what the cache holds of a range: it is read from memory again."""
        bo.host[offset : offset + size] = self.memory.view(bo.address, len(bo.host))[offset : offset + size]

    # --- the processor's interrupt ---

    def uio(self, irq: int) -> int | None:
        """A new descriptor that acts as the UIO device of an interrupt, or None where the board has no such."""
        if self.machine is None or irq != self.machine.design.processor.first_interrupt:
            return None
        self._uio = _Uio(self)
        return self._uio.descriptor


class _Uio:
    """The generic UIO driver: 4 bytes written enable the interrupt; when it comes it is disabled and counted."""

    def __init__(self, board: SimulatedBoard) -> None:
        self._board = board
        self._socket, theirs = socket.socketpair()
        self.descriptor = theirs.detach()
        threading.Thread(target=self._serve, name="simulated interrupt", daemon=True).start()

    def _serve(self) -> None:
        count = 0
        while self._socket.recv(_WORD.size):
            while (machine := self._board.machine) is None or not machine.wait_interrupt():
                time.sleep(0.01)  # until the board is configured again
            count += 1
            self._socket.send(_WORD.pack(count))


def _announce() -> None:
    """For whoever waits at a cell or a script; ``squeeze_hls.sim.board.prepare`` compiles beforehand."""
    print("simulated board: compiling its engine, once; this takes about half a minute", file=sys.stderr, flush=True)


def _uio_of(irq: int) -> Any:
    """Stands for ``pynq.interrupt.get_uio_irq``."""
    board = Device.active_device
    descriptor = board.uio(irq) if isinstance(board, SimulatedBoard) else None
    return _get_uio_irq(irq) if descriptor is None else descriptor


def register() -> SimulatedBoard:
    """Make the simulated board PYNQ's active device."""
    board = SimulatedBoard._probe_()[0]
    if board not in Device.devices:  # they had been looked for before
        Device.devices.insert(0, board)
    Device.active_device = board
    pynq.interrupt.get_uio_irq = _uio_of
    return board
