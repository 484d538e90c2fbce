"""Which bank and address each access of an instruction touches, derived as the sequencer derives it.

Used by the program executor and by the planner's hazard checks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze_hls.engine.program import Program
from squeeze_hls.engine.records import BufferRecord, HalfRecord, InstructionRecord, LayerRecord


@dataclass(frozen=True)
class Tap:
    """One tap of a half: ring offset and bank of pixel 0 of the band, and its displacement for the masks."""

    ptr: int
    mod: int
    dy: int
    dx: int


def blocks(layer: LayerRecord, instruction: InstructionRecord, pix: int) -> int:
    """Pixel blocks of a band; a border adds one virtual pixel."""
    return -(-(instruction.pixels + (layer.border > 0)) // pix)


def taps(layer: LayerRecord, instruction: InstructionRecord, half: HalfRecord, pix: int) -> list[Tap]:
    """Taps of one half in order, stepping exactly as docs/program.md says."""

    def step(ptr: int, mod: int, by_ptr: int, by_mod: int) -> tuple[int, int]:
        ptr, mod = ptr + by_ptr, mod + by_mod
        return (ptr + layer.pitch, mod - pix) if mod >= pix else (ptr, mod)

    start = instruction.source_ptr, instruction.source_mod
    if half.pointwise:
        ptr, mod = step(*start, layer.center_ptr, layer.center_mod)
        return [Tap(ptr, mod, 0, 0)]
    out = []
    for phase, rows in enumerate((layer.rows0, layer.rows1)):
        ptr, mod = start[0] + phase * layer.words, start[1]
        for r in range(rows):
            for c in range(layer.columns):
                out.append(Tap(ptr, mod, r - layer.pad, c - layer.pad))
                by = (0, 1) if c < layer.columns - 1 else (layer.row_ptr, layer.row_mod)
                ptr, mod = step(ptr, mod, *by)
    return out


@dataclass(frozen=True, eq=False)
class Reads:
    """Accesses of one half: arrays of (lanes of all blocks, taps)."""

    bank: np.ndarray
    ptr: np.ndarray  # of word 0, before the wrap
    used: np.ndarray  # bool: neither masked nor beyond the band

    def address(self, buffer: BufferRecord, words: int) -> np.ndarray:
        """(lanes, taps, words): addresses in the bank."""
        return buffer.base + (self.ptr[:, :, None] + np.arange(words)) % buffer.depth


def reads(layer: LayerRecord, instruction: InstructionRecord, half: HalfRecord, pix: int) -> Reads:
    """Every word-0 access of one pass over the band, for all lanes of all blocks, border lanes included."""
    lanes = blocks(layer, instruction, pix) * pix
    q = np.arange(lanes)
    x, y = q % layer.width, instruction.row + q // layer.width
    banks, ptrs, used = [], [], []
    for tap in taps(layer, instruction, half, pix):
        mod = tap.mod + q % pix
        banks.append(mod % pix)
        ptrs.append(tap.ptr + (q // pix + mod // pix) * layer.pitch)
        inside = q < instruction.pixels
        if layer.pad and not half.pointwise:
            inside = inside & (y + tap.dy >= 0) & (y + tap.dy < layer.height)
            inside &= (x + tap.dx >= 0) & (x + tap.dx < layer.width)
        used.append(inside)
    return Reads(np.stack(banks, 1), np.stack(ptrs, 1), np.stack(used, 1))


def writes(
    layer: LayerRecord, instruction: InstructionRecord, buffer: BufferRecord, pixels: int, pix: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bank (pixels,) and address (pixels, out_words) of `pixels` consecutive destination pixels."""
    position = instruction.target_mod + np.arange(pixels)
    ptr = instruction.target_ptr + position // pix * layer.out_words
    return position % pix, buffer.base + (ptr[:, None] + np.arange(layer.out_words)) % buffer.depth


def pool_done(size: int, kernel: int, ceil: int) -> np.ndarray:
    """bool (size,): whether a pooled row (or column) is finished by row (or column) i."""
    i = np.arange(size)
    last = (i == size - 1) & bool(ceil)
    if kernel == 3:
        return ((i % 2 == 0) & (i >= 2)) | ((i % 2 == 1) & last)
    return (i % 2 == 1) | last


def pooled(size: int, kernel: int, ceil: int) -> int:
    """Pooled rows (or columns)."""
    return int(pool_done(size, kernel, ceil).sum())


def output_pixels(layer: LayerRecord, instruction: InstructionRecord) -> int:
    """Destination pixels that a band writes."""
    if layer.average:
        return 0
    if not layer.pool:
        return instruction.pixels
    rows = instruction.pixels // layer.width
    done = pool_done(layer.height, layer.pool, layer.ceil)[instruction.row : instruction.row + rows]
    return int(done.sum()) * pooled(layer.width, layer.pool, layer.ceil)


def gathered_cells(program: Program, row: int, pix: int) -> tuple[np.ndarray, np.ndarray]:
    """Bank (columns,) and addresses (columns, gather_words) of one gathered image row."""
    header = program.header
    ring = program.buffers[header.gather_buffer]
    pixel = row // header.stride * header.columns + np.arange(header.columns)
    offset = pixel // pix * header.stride * header.gather_words + row % header.stride * header.gather_words
    return pixel % pix, ring.base + (offset[:, None] + np.arange(header.gather_words)) % ring.depth
