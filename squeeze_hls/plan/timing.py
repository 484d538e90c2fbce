"""Cycles of a program, tile by tile: compute, expansion, image rows, requantizers and drains.

The model follows the hardware's three sequencers. The expander fills one of two tiles while the MAC array
works on the other; the output stage follows the MAC array; the loader follows the credits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze_hls.plan.addresses import blocks
from squeeze_hls.plan.engine import EngineConfig
from squeeze_hls.plan.program import Program, Row, half_depth, tile_halves

PIPELINE = 40  # cycles from the last product of a set to its last word in memory, holding registers free
TILE_SETUP = 4  # cycles of the expander between two tiles
ROW_SETUP = 4  # cycles of the loader between two image rows
START = 30  # cycles from the first beat to the loader's first row


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """Cycle counts from the first beat of a frame; one entry per instruction in the arrays."""

    start: np.ndarray
    end: np.ndarray
    total: int  # first pixel in to last logit out
    stall_weights: np.ndarray  # waiting for the expander
    stall_input: np.ndarray  # waiting for image rows
    stall_output: np.ndarray  # waiting for requantizers or for earlier writes


def block_cycles(layer: Row, group: int, engine: EngineConfig) -> int:
    """Cycles for one pixel block: its products, or its turn at the requantizers."""
    halves = tile_halves(layer, group)
    return max(sum(half_depth(layer, h) for h in halves), len(halves) * engine.set_cycles)


def raw_distance(engine: EngineConfig) -> int:
    """Cycles after which a finished set has surely been written, both holding registers ahead of it."""
    return PIPELINE + 4 * engine.set_cycles


def predict(program: Program, engine: EngineConfig) -> Timing:
    """Simulate one frame that starts with an idle engine, its first tiles expanded and no image row loaded.

    In streamed mode nothing is expanded before the frame starts.
    """
    n = len(program.instructions)
    start, end = np.zeros(n, np.int64), np.zeros(n, np.int64)
    stalls = np.zeros((3, n), np.int64)
    loader = _Loader(program)
    expander = _Expander(engine)
    clock = 0
    for i, instruction in enumerate(program.instructions):
        layer = program.layers[instruction.layer]
        loader.grant(instruction.credit, clock)
        ready = max(clock, loader.loaded_by(instruction.need))
        stalls[1, i] = ready - clock
        if instruction.wait:
            stalls[2, i] = PIPELINE
            ready += PIPELINE
        start[i] = clock = ready
        band_blocks = blocks(layer, instruction, engine.pix)
        for group in range(program.groups(layer)):
            depth = sum(half_depth(layer, h) for h in tile_halves(layer, group))
            tile = expander.expand(depth * engine.chunks_per_word)
            stalls[0, i] += max(0, tile - clock)
            cycles = band_blocks * block_cycles(layer, group, engine)
            stalls[2, i] += cycles - band_blocks * depth
            clock = max(clock, tile) + cycles
            expander.release(clock)
        end[i] = clock
    last = program.layers[program.instructions[-1].layer]
    total = clock + PIPELINE + max(0, last.border - 1) * (engine.cout // engine.cin) + engine.cout // 2
    return Timing(
        start=start, end=end, total=int(total), stall_weights=stalls[0], stall_input=stalls[1], stall_output=stalls[2]
    )


class _Loader:
    """When each image row stands in memory, given the credits."""

    def __init__(self, program: Program) -> None:
        header = program.header
        width = header.pad_left + header.width
        self._row_cycles = max(header.columns * header.gather_words, width) + ROW_SETUP
        self._rows = header.rows
        self._clock = START
        self._loaded: list[int] = []
        self._credit = 0
        self.grant(header.credit, 0)

    def grant(self, rows: int, now: int) -> None:
        """Credit for further rows, from cycle `now`; what exceeds this frame is for the next."""
        self._credit = min(self._credit + rows, self._rows)
        while len(self._loaded) < self._credit:
            self._clock = max(self._clock, now) + self._row_cycles
            self._loaded.append(self._clock)

    def loaded_by(self, rows: int) -> int:
        """Cycle at which the first `rows` rows are there."""
        return self._loaded[rows - 1] if rows else 0


class _Expander:
    """When each tile is ready: one tile ahead of the one in use."""

    def __init__(self, engine: EngineConfig) -> None:
        self._done = 0
        self._idle = 0 if engine.streamed else 2  # tiles that were expanded before the frame began
        self._released = [0, 0]

    def expand(self, cycles: int) -> int:
        """Expand the next tile into the buffer that was released the tile before last; returns when it is ready."""
        begin = max(self._done, self._released[-2])
        if self._idle:
            self._idle -= 1
            return 0
        self._done = begin + cycles + TILE_SETUP
        return self._done

    def release(self, now: int) -> None:
        self._released = [self._released[-1], now]
