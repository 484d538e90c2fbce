"""Runs a program in NumPy on the real ring buffers and the real weight store.

It reads nothing but the bytes that hardware gets: program, weights, image.  Where the plan is at hand a
`hazards.Tracker` watches every access.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from squeeze_hls.engine import addresses
from squeeze_hls.engine.addresses import gathered_cells
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.program import check_capacity, parse_program
from squeeze_hls.engine.records import HalfRecord, InstructionRecord, LayerRecord
from squeeze_hls.engine.store import StoreReader
from squeeze_hls.errors import InputError
from squeeze_hls.network import arith


class Tracker(Protocol):
    """Watches every access while a program runs; ``plan.hazards.Tracker`` knows what each must find."""

    def loaded(self, index: int, frame: int, row: int, bank: np.ndarray, address: np.ndarray) -> None:
        """A gathered row was stored."""

    def read(self, index: int, half: HalfRecord, reads: addresses.Reads, address: np.ndarray) -> None:
        """An instruction reads the taps of one half."""

    def written(self, index: int, bank: np.ndarray, address: np.ndarray, words: np.ndarray) -> None:
        """An instruction stored consecutive pixels of its target."""


@dataclass(frozen=True, eq=False)
class Written:
    """What one instruction wrote: `values` is u8 (pixels, words, CIN) of consecutive destination pixels."""

    index: int
    bank: np.ndarray  # (pixels,)
    address: np.ndarray  # (pixels, words)
    values: np.ndarray
    valid: np.ndarray  # bool (words,): words that the instruction's halves own


class Executor:
    """An engine with one program and its weights.

    Raises InputError where program and weights do not belong together or to the engine, DoesNotFitError
    where the program exceeds it.
    """

    def __init__(self, engine: EngineConfig, program: bytes, weights: bytes) -> None:
        self.engine = engine
        self.program = parse_program(program)
        header = self.program.header
        if header.engine != engine.identity:
            raise InputError(f"the program was planned for engine {header.engine:08x}, this one is {engine.id}")
        if header.weights_crc != zlib.crc32(weights):
            raise InputError("the weights are not those of the program: their checksum differs")
        check_capacity(self.program, engine)
        self._memory = np.zeros((engine.pix, engine.act_depth, engine.cin), np.uint8)
        self._carry = np.zeros((engine.carry_words, engine.cin), np.int64)
        self._weights = self._expand(weights)
        self._credit, self._loaded = 0, 0
        self._fetched: np.ndarray | None = None  # the image whose first rows were fetched ahead

    def run(
        self,
        image: np.ndarray,
        *,
        following: np.ndarray | None = None,
        on_write: Callable[[Written], None] | None = None,
        tracker: Tracker | None = None,
    ) -> np.ndarray:
        """Logits, int64 (classes,), of one u8 (H, W, 3) image.

        ``following`` is the next frame's image (default: the same), whose first rows are fetched as soon as
        credits allow, as hardware would.  ``on_write`` sees what every instruction writes.
        """
        header = self.program.header
        if image.shape != (header.height, header.width, 3) or image.dtype != np.uint8:
            raise InputError(
                f"the image is {image.dtype}{list(image.shape)}, not uint8[{header.height},{header.width},3]"
            )
        self._start_frame(image, image if following is None else following)
        self._tracker = tracker
        logits: list[np.ndarray] = []
        for i, instruction in enumerate(self.program.instructions):
            layer = self.program.layers[instruction.layer]
            self._load(i, instruction)
            sets = [self._half(i, layer, instruction, half) for half in layer.halves]
            if layer.average:
                logits.append(self._average(layer, instruction, sets[0]))
            else:
                written = self._write(i, layer, instruction, sets)
                if on_write is not None:
                    on_write(written)
        return np.concatenate(logits)[: header.classes]

    # --- image rows ---

    def _start_frame(self, image: np.ndarray, following: np.ndarray) -> None:
        """Keep the rows that the frame before fetched of this very image, otherwise begin anew."""
        header = self.program.header
        if self._fetched is not None and np.array_equal(self._fetched, image):
            self._loaded, self._credit = self._loaded - header.rows, self._credit - header.rows
        else:
            self._loaded, self._credit = 0, header.credit
        self._images = (self._padded(image), self._padded(following))
        self._fetched = following.copy()

    def _padded(self, image: np.ndarray) -> np.ndarray:
        """The image with its border, cut to the rows and columns that are read: u8 (rows, columns', 3)."""
        h = self.program.header
        width = (h.columns - 1) * h.stride + h.kernel
        out = np.empty((h.rows, width, 3), np.uint8)
        out[:] = (h.pad_red, h.pad_green, h.pad_blue)
        inside = image[: max(0, h.rows - h.pad_top), : max(0, width - h.pad_left)]
        out[h.pad_top : h.pad_top + inside.shape[0], h.pad_left : h.pad_left + inside.shape[1]] = inside
        return out

    def _load(self, index: int, instruction: InstructionRecord) -> None:
        """Store every row that the credits allow, the worst case for what it may overwrite."""
        h = self.program.header
        self._credit += instruction.credit
        while self._loaded < self._credit:
            frame, row = divmod(self._loaded, h.rows)
            pixels = self._images[frame][row]
            gathered = np.zeros((h.columns, h.gather_words * self.engine.cin), np.uint8)
            for x in range(h.kernel):
                gathered[:, 3 * x : 3 * x + 3] = pixels[x : x + (h.columns - 1) * h.stride + 1 : h.stride]
            bank, address = gathered_cells(self.program, row, self.engine.pix)
            if self._tracker is not None:
                self._tracker.loaded(index, frame, row, bank, address)
            self._memory[bank[:, None], address] = gathered.reshape(h.columns, h.gather_words, -1)
            self._loaded += 1
        if instruction.need > self._loaded:
            raise InputError(
                f"instruction {index} waits for image row {instruction.need}, credits end at {self._loaded}"
            )

    # --- weights ---

    def _expand(self, weights: bytes) -> list[dict[str, np.ndarray]]:
        """Per layer and half the weights as a matrix (K, groups * COUT) in tile order, decoded from the store."""
        reader = StoreReader(weights, self.engine.chunk, self.program.tables)
        array = (self.engine.cout, self.engine.cin)
        layers = []
        for layer in self.program.layers:
            groups = range(layer.groups)
            shapes = [{h.name: (layer.depth(h), *array) for h in layer.halves_of(group)} for group in groups]
            tiles = reader.layer(layer, shapes)
            layers.append({h.name: _matrix([t[h.name] for t in tiles if h.name in t]) for h in layer.halves})
        return layers

    # --- one half: products and requantization ---

    def _half(self, index: int, layer: LayerRecord, instruction: InstructionRecord, half: HalfRecord) -> np.ndarray:
        """Requantized values, int64 (pixels incl. the border pixel, groups * COUT)."""
        engine = self.engine
        reads = addresses.reads(layer, instruction, half, engine.pix)
        address = reads.address(self.program.buffers[instruction.source], layer.words)
        if self._tracker is not None:
            self._tracker.read(index, half, reads, address)
        operands = self._memory[reads.bank[:, :, None], address]  # (lanes, taps, words, CIN)
        operands = np.where(reads.used[:, :, None, None], operands, 0)
        pixels = instruction.pixels + (layer.border > 0)
        weights = self._weights[instruction.layer][half.name]
        products = _exact_product(operands.reshape(len(operands), -1)[:pixels], weights)
        params = self.program.params[half.params : half.params + weights.shape[1]]
        shift = half.shift - params[:, 2]
        return arith.requantize(products + params[:, 0], params[:, 1], shift, half.top)

    # --- output path ---

    def _average(self, layer: LayerRecord, instruction: InstructionRecord, values: np.ndarray) -> np.ndarray:
        sums = values[: instruction.pixels].sum(axis=0)
        return sums + layer.border * values[-1] if layer.border else sums

    def _write(self, index: int, layer: LayerRecord, instruction: InstructionRecord, sets: list[np.ndarray]) -> Written:
        """Pool, place the halves in their words and store them."""
        cin = self.engine.cin
        pixels = addresses.output_pixels(layer, instruction)
        out = np.zeros((pixels, layer.out_words, cin), np.uint8)
        valid = np.zeros(layer.out_words, bool)
        for half, values in zip(layer.halves, sets, strict=True):
            if layer.pool:
                values = self._pool(layer, instruction, half, values)
            owned = slice(half.offset, half.offset + half.words)
            out[:, owned] = values[:, : half.words * cin].reshape(pixels, half.words, cin)
            valid[owned] = True
        bank, address = addresses.writes(
            layer, instruction, self.program.buffers[instruction.target], pixels, self.engine.pix
        )
        if self._tracker is not None:
            self._tracker.written(index, bank, address[:, valid], np.flatnonzero(valid))
        self._memory[bank[:, None], address[:, valid]] = out[:, valid]
        return Written(index, bank, address, out, valid)

    def _pool(
        self, layer: LayerRecord, instruction: InstructionRecord, half: HalfRecord, values: np.ndarray
    ) -> np.ndarray:
        """Max pooling with the carry rows kept across bands; (pooled pixels of this band, groups * COUT)."""
        rows = values.reshape(-1, layer.width, values.shape[1])
        done_x = addresses.pool_done(layer.width, layer.pool, layer.ceil)
        done_y = addresses.pool_done(layer.height, layer.pool, layer.ceil)
        carry = self._carry_cells(layer, half, int(done_x.sum()), values.shape[1])
        out = []
        for y, row in enumerate(rows, start=instruction.row):
            column = _finished(row, layer.pool)[done_x]
            fresh = y == 0 if layer.pool == 3 else y % 2 == 0
            merged = column if fresh else np.maximum(self._carry[carry].reshape(column.shape), column)
            if done_y[y]:
                out.append(merged)
            self._carry[carry] = (column if y % 2 == 0 else merged).reshape(*carry.shape, -1)
        return np.concatenate(out) if out else np.zeros((0, values.shape[1]), np.int64)

    def _carry_cells(self, layer: LayerRecord, half: HalfRecord, pooled: int, channels: int) -> np.ndarray:
        """Carry words of (pooled column, channel word)."""
        per_group = self.engine.cout // self.engine.cin
        word = np.arange(channels // self.engine.cin)
        stride = len(layer.halves) * pooled * per_group
        base = (
            layer.carry + (layer.carry_half if half.name == "b" else 0) + word // per_group * stride + word % per_group
        )
        return base + np.arange(pooled)[:, None] * per_group


def _finished(row: np.ndarray, kernel: int) -> np.ndarray:
    """Running horizontal maximum at each column, as the output stage has it when a pooled column ends there."""
    out = row.copy()
    out[1:] = np.maximum(out[1:], row[:-1])
    if kernel == 3:
        out[2::2] = np.maximum(out[2::2], row[: len(row) - 2 : 2])
    else:
        out[2::2] = row[2::2]
    return out


def _matrix(tiles: list[np.ndarray]) -> np.ndarray:
    """Tiles (K words, COUT, CIN) of all groups -> (K words * CIN, groups * COUT)."""
    stacked = np.stack(tiles)
    return stacked.transpose(1, 3, 0, 2).reshape(stacked.shape[1] * stacked.shape[3], -1)


def _exact_product(operands: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Integer matrix product through BLAS, where floating point is exact for these very weights."""
    bound = arith.accumulator_bound(weights.T, np.zeros(weights.shape[1], np.int64)).max()
    kind = np.float32 if bound < 2**24 else np.float64
    return (operands.astype(kind) @ weights.astype(kind)).astype(np.int64)
