"""The compiled RTL engine as an object: streams, registers, reset and clock, as a driver or a board sees them.

    library = compile_engine(config, folder)
    engine = RtlEngine(library, config)
    engine.reset()
    engine.queue(Transfer.of(program_packet(program, config)))
    engine.write(AP_CTRL, 1)
    engine.run(1_000_000, until=INTERRUPT)

Every call runs clock cycles in C++; nothing of Python happens per cycle.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.registers import offset
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.sim.protocol import Transfer
from squeeze_hls.sim.trace import trace_type

IN, WEIGHTS, OUT = range(3)  # streams
INTERRUPT, IN_EMPTY, WEIGHTS_EMPTY, PACKET_OUT = 1, 2, 4, 8  # what `run` waits for
SLICE = 50_000  # cycles in one call, so that an interrupt of the user is seen
CAUSES = ("busy", "weights", "input", "output")

_u8, _u32, _u64 = (np.ctypeslib.ndpointer(t, flags="C_CONTIGUOUS") for t in (np.uint8, np.uint32, np.uint64))
_P, _N, _I = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "new": (_P, ()),
    "delete": (None, (_P,)),
    "error": (ctypes.c_char_p, (_P,)),
    "queue": (None, (_P, _I, _u64, _u8, ctypes.c_uint8, _N)),
    "clear": (None, (_P, _I)),
    "waiting": (_N, (_P, _I)),
    "pauses": (None, (_P, _I, ctypes.c_double, _N)),
    "accept": (None, (_P, ctypes.c_int64)),
    "reset": (ctypes.c_int64, (_P, _N)),
    "run": (ctypes.c_int64, (_P, _N, ctypes.c_uint32)),
    "read": (ctypes.c_int64, (_P, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))),
    "write": (ctypes.c_int64, (_P, ctypes.c_uint32, ctypes.c_uint32)),
    "now": (_N, (_P,)),
    "take": (_N, (_P, _N, _u64, _u8, _u8, _u64)),
    "stamps": (_N, (_P, _I, _N, _u64, _u64)),
    "waves": (ctypes.c_int64, (_P, ctypes.c_char_p)),
}
_OBSERVING: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "observe": (None, (_P, _I)),
    "writes": (_N, (_P, _N, ctypes.c_void_p)),
    "activity": (_N, (_P, _N, ctypes.c_void_p)),
}


@cache
def _load(library: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(library))
    for name, (result, arguments) in (_FUNCTIONS | _OBSERVING).items():
        if name in _OBSERVING and not hasattr(loaded, f"engine_{name}"):
            continue  # a netlist
        function = getattr(loaded, f"engine_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


@dataclass(frozen=True, eq=False)
class Beats:
    """What m_axis_out sent; one entry per beat in each array."""

    data: np.ndarray  # uint64
    keep: np.ndarray  # u8
    last: np.ndarray  # bool
    cycle: np.ndarray  # uint64, in which the beat was taken


@dataclass(frozen=True)
class Stamp:
    """Cycles in which the first and the last beat of a packet passed."""

    first: int
    last: int


class RtlEngine:
    """One simulated engine.  It begins out of reset, with all its registers 0: call ``reset`` first, as a board does.

    Cycles count from 0.  Beats that are queued are offered as soon as the stream is free, one a cycle, and stay until
    taken; ``pauses`` holds some of them back.  Several engines, also of different libraries, may live side by side.

    Raises ToolFailedError where the model itself gives up, such as on parameters that the RTL refuses.
    """

    def __init__(self, library: Path, config: EngineConfig) -> None:
        self.config = config
        self._calls = _load(library)
        self._engine = self._calls.engine_new()
        if not self._engine:
            raise ToolFailedError(f"{library}: no engine {config.id}: {self._message()}")

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation, and the waveform where one is written."""
        if getattr(self, "_engine", None):
            self._calls.engine_delete(self._engine)
            self._engine = None

    # --- streams ---

    def queue(self, transfer: Transfer, *, keep: int = 0xFF) -> None:
        """Append beats to s_axis_in, or to s_axis_weights where the transfer says so; ``keep`` is their TKEEP."""
        words = np.ascontiguousarray(transfer.words, np.uint64)
        stream = WEIGHTS if transfer.weights else IN
        self._calls.engine_queue(self._engine, stream, words, transfer.last_flags, keep, len(words))

    def clear(self, stream: int) -> None:
        """Forget what is queued (IN, WEIGHTS) or was received (OUT), and a packet begun, as a DMA's reset does."""
        self._calls.engine_clear(self._engine, stream)

    def waiting(self, stream: int) -> int:
        """Beats queued and not yet taken by the engine; of OUT, sent and not yet taken by ``take``."""
        return int(self._calls.engine_waiting(self._engine, stream))

    def pauses(self, stream: int, probability: float, seed: int = 1) -> None:
        """Chance in each cycle that no new beat is offered (IN, WEIGHTS), or that none is taken (OUT)."""
        self._calls.engine_pauses(self._engine, stream, probability, seed)

    def accept(self, beats: int | None) -> None:
        """Take at most that many beats from m_axis_out, and none after the next TLAST; None: all, always."""
        self._calls.engine_accept(self._engine, -1 if beats is None else beats)

    def take(self) -> Beats:
        """All beats that m_axis_out has sent since the last call."""
        count = self.waiting(OUT)
        data, cycle = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
        keep, last = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
        self._calls.engine_take(self._engine, count, data, keep, last, cycle)
        return Beats(data, keep, last.astype(bool), cycle)

    def stamps(self, stream: int) -> list[Stamp]:
        """When each packet that has passed whole since the last call did so."""
        most = 4096
        first, last = np.zeros(most, np.uint64), np.zeros(most, np.uint64)
        count = int(self._calls.engine_stamps(self._engine, stream, most, first, last))
        return [Stamp(int(a), int(b)) for a, b in zip(first[:count], last[:count], strict=True)]

    # --- clock, reset and registers ---

    @property
    def cycle(self) -> int:
        """Clock cycles since the beginning."""
        return int(self._calls.engine_now(self._engine))

    def reset(self, cycles: int = 5) -> None:
        """Hold ap_rst_n low for some cycles.  Queued beats stay queued; an offered one stays offered."""
        self._checked(self._calls.engine_reset(self._engine, cycles))

    def step(self, cycles: int) -> None:
        """Run some cycles."""
        self.run(cycles)

    def run(self, limit: int, *, until: int = 0, watch: Callable[[int], None] | None = None) -> int:
        """Run until one of the things in ``until`` is true, which may be at once, or ``limit`` cycles have passed.

        ``until`` is a sum of INTERRUPT (the pin is high), IN_EMPTY, WEIGHTS_EMPTY (every queued beat was taken) and
        PACKET_OUT (a whole packet was sent; ``stamps(OUT)`` forgets it).  Returns those that are true: 0 is the limit.
        ``watch`` is called every 50,000 cycles with the number of those run.
        """
        done = 0
        while True:
            part = min(SLICE, limit - done)
            found = self._checked(self._calls.engine_run(self._engine, part, until))
            done += part
            if found or done >= limit:
                return found
            if watch is not None:
                watch(done)

    def read(self, address: int | str) -> int:
        """Read a register, by offset or by its name in docs/registers.md, over AXI4-Lite."""
        value = ctypes.c_uint32()
        if not self._checked(self._calls.engine_read(self._engine, _offset(address), ctypes.byref(value))):
            raise ToolFailedError(f"RTL simulation: no answer to a read of register {address}")
        return value.value

    def write(self, address: int | str, value: int) -> None:
        """Write a register over AXI4-Lite."""
        if not self._checked(self._calls.engine_write(self._engine, _offset(address), value)):
            raise ToolFailedError(f"RTL simulation: no answer to a write of register {address}")

    # --- what happens inside ---

    def observe(self, on: bool = True) -> None:
        """Record activation writes and the work of each instruction from now on."""
        self._calls.engine_observe(self._engine, on)

    def writes(self) -> np.ndarray:
        """Every activation word that the output stage wrote since the last call: records of ``trace_type``."""
        count = int(self._calls.engine_writes(self._engine, 0, None))
        records = np.zeros(count, np.uint8)
        if count:
            self._calls.engine_writes(self._engine, count, records.ctypes.data)
        return records.view(trace_type(self.config))

    def activity(self, instructions: int) -> np.ndarray:
        """int64 (instructions, 4): cycles since the last call in which the array was busy, or waited for weights,
        image rows or the output stage, by instruction.  Only cycles of a frame are counted, as by the registers.
        """
        counts = np.zeros((instructions, len(CAUSES)), np.uint64)
        self._calls.engine_activity(self._engine, instructions, counts.ctypes.data)
        return counts.astype(np.int64)

    def waves(self, path: Path | None) -> None:
        """Write a waveform from now on (None: end it); the library must have been compiled with waves."""
        self._checked(self._calls.engine_waves(self._engine, None if path is None else bytes(path)))

    def _checked(self, code: int) -> int:
        if code < 0:
            raise ToolFailedError(f"RTL simulation: {self._message()}")
        return int(code)

    def _message(self) -> str:
        return str(self._calls.engine_error(self._engine).decode(errors="replace"))


def _offset(address: int | str) -> int:
    return offset(address) if isinstance(address, str) else address
