"""A double of PYNQ and of the board, for unit tests of the driver's order of steps and of its way back after errors.

The engine behaves as docs/program.md says, packet by packet and beat by beat, and computes with the program
executor; time passes with every register access.  What the driver does with the real package and the RTL is another
test's matter.
"""

from __future__ import annotations

import sys
import types
import zlib
from typing import Any

import numpy as np
import pytest

from squeeze_hls.engine import fields
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.executor import Executor
from squeeze_hls.engine.program import parse_program, program_crc
from squeeze_hls.engine.registers import REGISTERS

BEATS_AN_ACCESS = 40
COMPUTING = 30  # accesses
ACCESS_SECONDS = 1e-5


class FakeEngine:
    """Registers, packets in, logits out."""

    def __init__(self, board: FakeBoard):
        self.board = board
        self.config = board.config
        self.registers = {register.name: 0 for register in REGISTERS} | {"engine_id": self.config.identity}
        self.names = {register.offset: register.name for register in REGISTERS}
        self.program, self.store = b"", b""
        self.started = self.discard = False
        self.packet: tuple[dict[str, int], list[int]] | None = None
        self.frame: tuple[np.ndarray, int] | None = None
        self.ahead: np.ndarray | int | None = None  # the logits of the next image, or its error
        self.weights_beats: list[int] | None = None

    def read(self, offset: int) -> int:
        self.board.pass_time()
        name = self.names[offset]
        if name == "ap_ctrl":
            return 0 if self.started else 4
        return self.registers[name]

    def write(self, offset: int, value: int) -> None:
        self.board.pass_time()
        name = self.names[offset]
        if name == "ap_ctrl":
            assert value == 1 and not self.started, "started twice"
            self.started = True
        elif name == "isr":
            self.registers["isr"] ^= value
        else:
            self.registers[name] = value

    def finish(self, code: int) -> None:
        self.registers["error"] = code
        self.registers["isr"] |= self.registers["ier"]
        self.started = False

    def advance(self) -> None:
        if "hang" in self.board.faults:
            return
        if self.started and self.frame is None and self.ahead is not None:
            ahead, self.ahead = self.ahead, None
            if isinstance(ahead, int):
                self.finish(ahead)
            else:
                self.frame = (ahead, COMPUTING)
        if self.frame is not None:
            logits, left = self.frame
            if left:
                self.frame = (logits, left - 1)
            elif self.board.weights_arrived() and self.board.dma.receive(logits):
                self.frame = None
                self.registers["frames"] += 1
                self.registers["cycles"], self.registers["busy"] = 100, 100
                self.board.events.append("logits")
                self.finish(0)

    def accept(self, word: int, last: bool) -> bool:
        """Whether a beat is taken."""
        if "hang" in self.board.faults:
            return False
        if self.discard:
            self.discard = not last
            return True
        if self.packet is None:
            return self._header(fields.PACKET.unpack([word]), last)
        header, words = self.packet
        words.append(word)
        if len(words) < header["length"] and not last:
            return True
        self.packet, self.discard = None, not last
        self._payload(header["type"], words, 11 if not last else 10 if len(words) < header["length"] else 0)
        return True

    def _header(self, header: dict[str, int], last: bool) -> bool:
        code = self._check(header)
        if self.frame is not None and (code or header["type"] != fields.IMAGE or self.ahead is not None):
            return False
        if self.frame is None and not self.started:
            return False
        if code:
            self.finish(code)
            self.discard = not last
        else:
            self.packet = (header, [])
            if header["type"] == fields.PROGRAM:
                self.program = b""
            if header["type"] == fields.WEIGHTS:
                self.store = b""
        return True

    def _check(self, header: dict[str, int]) -> int:
        if header["magic"] != fields.PACKET_MAGIC:
            return 1
        own = self.config.identity & 0xFFFFFF
        if header["type"] == fields.IMAGE:
            if not self.program:
                return 7
            right = header["identity"] == program_crc(self.program) & 0xFFFFFF
            expected = parse_program(self.program).header.weights_crc
            return 4 if not right else 0 if self.config.streamed or zlib.crc32(self.store) == expected else 8
        if header["type"] == fields.PROGRAM or (header["type"] == fields.WEIGHTS and not self.config.streamed):
            return 0 if header["identity"] == own else 4
        return 2

    def _payload(self, kind: int, words: list[int], code: int) -> None:
        data = np.array(words, "<u8").tobytes()
        if kind == fields.IMAGE:
            self.board.events.append("image")
            code = code or self.board.refuse_image()
            result = code or self._compute(data)
            if self.frame is not None or not self.started:
                self.ahead = result
            elif isinstance(result, int):
                self.finish(result)
            else:
                self.frame = (result, COMPUTING)
            return
        good = zlib.crc32(data[:-8]).to_bytes(8, "little") == data[-8:]
        self.board.events.append("program" if kind == fields.PROGRAM else "weights")
        if kind == fields.PROGRAM:
            code = code or (0 if good else 5)
            self.program = b"" if code else data
            self.registers["program_id"] = int.from_bytes(data[-8:-4], "little")
        else:
            code = code or (0 if good else 6)
            self.store = b"" if code else data[: -8 - (len(data) - 8) % 9]
            self.registers["weights_id"] = zlib.crc32(self.store)
        self.registers["loaded_flags"] = bool(self.program) | 2 * bool(self.store or self.config.streamed)
        self.finish(code)

    def _compute(self, data: bytes) -> np.ndarray:
        header = parse_program(self.program).header
        image = np.frombuffer(data, np.uint8)[: header.height * header.width * 3]
        store = self.board.stored if self.config.streamed else self.store
        executor = Executor(self.config, self.program, store)
        return executor.run(image.reshape(header.height, header.width, 3)).astype(np.int32)


class FakeChannel:
    """What ``pynq.lib.dma`` does, in short."""

    def __init__(self, dma: FakeDma, base: int):
        self.dma, self.base = dma, base

    def start(self) -> None:
        self.dma.write(self.base, 1)
        self.first = True

    def transfer(self, array: FakeBuffer, start: int = 0, nbytes: int = 0) -> None:
        status = self.dma.read(self.base + 4)
        if status & 1:
            raise RuntimeError("DMA channel not started")
        if not status & 2 and not self.first:
            raise RuntimeError("DMA channel not idle")
        if self.base == 0:
            array.flush()
        self.dma.write(self.base + 0x18, array.physical_address)
        self.dma.write(self.base + 0x28, nbytes or array.nbytes)
        self.first = False


class FakeDma:
    """One AXI DMA in direct register mode."""

    def __init__(self, board: FakeBoard, name: str):
        self.board, self.name = board, name
        self.sendchannel, self.recvchannel = FakeChannel(self, 0), FakeChannel(self, 0x30)
        self.reset()

    def reset(self) -> None:
        self.registers = dict.fromkeys(range(0, 0x60, 4), 0) | {0x04: 1, 0x34: 1}
        self.sending: list[int] | None = None
        self.armed = False

    def read(self, offset: int) -> int:
        self.board.pass_time()
        return self.registers[offset]

    def write(self, offset: int, value: int) -> None:
        self.board.pass_time()
        if offset in (0, 0x30) and value & 4:
            self.reset()
        elif offset in (0, 0x30):
            self.registers[offset] = value
            self.registers[offset + 4] = 0 if value & 1 else 1
        elif offset == 0x28:
            self.registers[4] &= ~2
            address = self.registers[0x18]
            if f"{self.name} decode error" in self.board.faults or address not in self.board.memory:
                self.registers[4] |= 0x41
                return
            data = self.board.memory[address][:value]
            assert len(data) == value and value % 8 == 0
            self.sending = np.frombuffer(bytes(data), "<u8").tolist()
        elif offset == 0x58:
            self.registers[offset], self.registers[0x34] = value, 0
            self.armed = True
            assert self.registers[0x48] in self.board.memory, "received into freed memory"
        else:
            self.registers[offset] = value

    def advance(self, accept: Any) -> None:
        for _ in range(BEATS_AN_ACCESS):
            if not self.sending:
                return
            if not accept(self.sending[0], len(self.sending) == 1):
                return
            self.sending.pop(0)
            if not self.sending:
                self.sending = None
                self.registers[4] |= 0x1002

    def receive(self, logits: np.ndarray) -> bool:
        """Whether a packet of logits could be taken."""
        if not self.armed:
            return False
        self.armed = False
        data = logits.astype("<i4").tobytes()
        if "receive error" in self.board.faults or len(data) > self.registers[0x58]:
            self.registers[0x34] = 0x11
            return False
        self.board.memory[self.registers[0x48]][: len(data)] = data
        self.registers[0x58] = len(data) - (4 if "short packet" in self.board.faults else 0)
        self.registers[0x34] = 0x1002
        return True


class FakeBuffer(np.ndarray):
    """A buffer whose device copy changes only by ``flush``, and the host's only by ``invalidate``."""

    board: FakeBoard
    physical_address: int

    def flush(self) -> None:
        if "no flush" not in self.board.faults:
            self.board.memory[self.physical_address][:] = self.tobytes()

    def invalidate(self) -> None:
        if "no invalidate" not in self.board.faults:
            np.ndarray.__setitem__(
                self, slice(None), np.frombuffer(self.board.memory[self.physical_address], self.dtype)
            )

    def freebuffer(self) -> None:
        del self.board.memory[self.physical_address]


class FakeInterrupt:
    """``pynq.Interrupt``, as far as it is waited for."""

    def __init__(self, board: FakeBoard):
        self.board = board

    def parent(self) -> None:
        """It is read in every loop."""

    async def wait(self) -> None:
        import asyncio

        while not self.board.interrupt:
            await asyncio.sleep(0)
            self.board.pass_time()


class FakeBoard:
    """The device: clock, memory, engine, DMAs; ``faults`` are switched on by name."""

    def __init__(self, config: EngineConfig, stored: bytes = b""):
        self.config = config
        self.stored = stored  # weights that are streamed
        self.tag = "fake"
        self.faults: set[str] = set()
        self.refuse: list[int] = []  # error codes of the images to come
        self.events: list[str] = []
        self.memory: dict[int, bytearray] = {}
        self.seconds = 0.0
        self.loads = 0
        self.next_address = 0x1000
        self.configure()

    def configure(self) -> None:
        self.engine = FakeEngine(self)
        if "no interrupt pin" not in self.faults:
            self.engine.interrupt = FakeInterrupt(self)  # type: ignore[attr-defined]
        self.dma = FakeDma(self, "dma")
        self.dma_weights = FakeDma(self, "dma_weights")
        self.weights_word = 0

    def monotonic(self) -> float:
        return self.seconds

    def pass_time(self) -> None:
        self.seconds += ACCESS_SECONDS
        self.engine.advance()
        self.dma.advance(self.engine.accept)
        if self.engine.frame is not None:
            self.dma_weights.advance(self._weights_beat)

    def _weights_beat(self, word: int, last: bool) -> bool:
        self.weights_word += 1
        if last:
            self.events.append(f"weights {self.weights_word}")
            self.weights_word = 0
            self.weights_whole = True
        return True

    weights_whole = False

    def weights_arrived(self) -> bool:
        if not self.config.streamed:
            return True
        arrived, self.weights_whole = self.weights_whole, False
        return arrived

    def refuse_image(self) -> int:
        return self.refuse.pop(0) if self.refuse else 0

    @property
    def interrupt(self) -> bool:
        """The level of the engine's interrupt."""
        registers = self.engine.registers
        return bool(registers["gie"] and registers["isr"]) and "missing interrupt" not in self.faults

    def allocate(self, shape: tuple[int, ...], dtype: Any, target: Any = None) -> FakeBuffer:
        buffer = np.zeros(shape, dtype).view(FakeBuffer)
        buffer.board, buffer.physical_address = self, self.next_address
        self.memory[self.next_address] = bytearray(buffer.nbytes)
        self.next_address += buffer.nbytes + 64
        return buffer

    def overlay(self, bitfile: str, download: bool = True, device: Any = None) -> types.SimpleNamespace:
        assert not download, "PYNQ 4.0.0 fails on a Zynq-7000 before its clocks are completed"
        self.loads += 1
        self.configure()
        for fault in [fault for fault in self.faults if fault.startswith("hang once")]:
            self.faults.discard(fault)
        parts = {"engine": self.engine, "dma": self.dma}
        for dma in (self.dma, self.dma_weights):
            dma.sendchannel.start()
        self.dma.recvchannel.start()
        if self.config.streamed:
            parts["dma_weights"] = self.dma_weights
            self.dma_weights.recvchannel = None  # type: ignore[assignment]
        if "no dma" in self.faults:
            del parts["dma"]
        return types.SimpleNamespace(
            ip_dict=dict.fromkeys(parts, {}), clock_dict={}, download=lambda: None, device=self, **parts
        )

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let ``import pynq`` find this board."""
        module = types.ModuleType("pynq")
        module.Overlay = self.overlay  # type: ignore[attr-defined]
        module.allocate = self.allocate  # type: ignore[attr-defined]
        module.Interrupt = lambda _: FakeInterrupt(self)  # type: ignore[attr-defined]
        module.Device = types.SimpleNamespace(active_device=self)  # type: ignore[attr-defined]
        module.interrupt = types.SimpleNamespace()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pynq", module)
