"""Watches every access: no row missing, none overwritten before its last use, no bank conflict.

The planner proves its programs with it, without data; the executor can be watched while it computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squeeze_hls.engine import addresses
from squeeze_hls.engine.addresses import Reads, gathered_cells
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.program import Program
from squeeze_hls.engine.records import HalfRecord
from squeeze_hls.errors import SqueezeError
from squeeze_hls.plan.assemble import Band
from squeeze_hls.plan.lowering import Layer

_PIXEL_BITS, _WORD_BITS = 24, 12
IMAGE = 0  # tensor number of this frame's gathered rows; the next frame's is NEXT_IMAGE
NEXT_IMAGE = 1


class HazardError(SqueezeError):
    """The plan is wrong: an access would find the wrong data in hardware."""

    exit_code = 1


class Tracker:
    """Names the contents of every activation word: (tensor, pixel, word).

    Pixels of gathered rows are ``row * columns + column`` of the padded image.  Raises HazardError.
    """

    def __init__(self, program: Program, layers: Sequence[Layer], bands: Sequence[Band], engine: EngineConfig) -> None:
        self._program, self._layers, self._bands, self._engine = program, layers, bands, engine
        self._names = ["image", "next image", *(layer.target for layer in layers)]
        self._numbers = {layer.target: number for number, layer in enumerate(layers, start=2)}
        self._tags = np.full((engine.pix, engine.act_depth), -1, np.int64)
        self._last_read = self._last_reads()

    def _target(self, index: int) -> int:
        """Number of the tensor that an instruction writes."""
        return self._numbers[self._layers[self._bands[index].layer].target]

    def _source(self, index: int) -> int:
        """Number of the tensor that an instruction reads."""
        layer = self._layers[self._bands[index].layer]
        return IMAGE if layer.gather else self._numbers[layer.source]

    def _last_reads(self) -> list[np.ndarray]:
        """Per tensor and pixel the last instruction that reads it, -1 for none."""
        header = self._program.header
        last = [np.full(header.rows * header.columns, -1) for _ in range(2)]
        last += [np.full(np.prod(layer.target_shape[:2]), -1) for layer in self._layers]
        for i in range(len(self._bands)):
            for half in self._program.layers[self._bands[i].layer].halves:
                pixels, used = self.expected(i, half)
                last[self._source(i)][pixels[used]] = i
        last[NEXT_IMAGE][:] = len(self._bands)
        return last

    def expected(self, index: int, half: HalfRecord) -> tuple[np.ndarray, np.ndarray]:
        """The source pixels that the lanes and taps of an instruction mean, from the network's geometry alone.

        Returns the pixels (lanes, taps) and which of them exist and are needed.
        """
        band, instruction = self._bands[index], self._program.instructions[index]
        layer = self._layers[band.layer]
        record = self._program.layers[band.layer]
        pix = self._engine.pix
        lanes = -(-(instruction.pixels + (record.border > 0)) // pix) * pix
        width = layer.conv_shape[1]
        q = np.arange(lanes)
        y, x = band.conv_rows[0] + q // width, q % width
        wanted = q < (band.conv_rows[1] - band.conv_rows[0]) * width
        kernel = 1 if half.pointwise else layer.a.conv.kernel[0]
        if layer.gather:
            stride = layer.a.conv.stride
            taps = [ky for phase in range(stride) for ky in range(phase, kernel, stride)]
            rows = y[:, None] * stride + np.array(taps)
            return rows * width + x[:, None], np.broadcast_to(wanted[:, None], rows.shape) & (rows < self._rows())
        offsets = np.arange(kernel) - kernel // 2
        ty = y[:, None, None] + offsets[:, None]
        tx = x[:, None, None] + offsets[None, :]
        inside = (ty >= 0) & (ty < layer.source_shape[0]) & (tx >= 0) & (tx < layer.source_shape[1])
        pixels = ty * layer.source_shape[1] + tx
        return pixels.reshape(lanes, -1), (inside & wanted[:, None, None]).reshape(lanes, -1)

    def _rows(self) -> int:
        return self._program.header.rows

    def read(self, index: int, half: HalfRecord, reads: Reads, address: np.ndarray) -> None:
        """Check that every used access finds what it means, and that the lanes of a block use different banks."""
        pixels, needed = self.expected(index, half)
        if not np.array_equal(needed, reads.used):
            raise HazardError(f"instruction {index}: the edge masks of half {half.name.upper()} are wrong")
        banks = np.sort(reads.bank.reshape(-1, self._engine.pix, reads.bank.shape[1]), axis=1)
        if (banks[:, 1:] == banks[:, :-1]).any():
            raise HazardError(f"instruction {index}: two lanes read the same bank in one cycle")
        words = np.arange(address.shape[2])
        want = _tag(self._source(index), pixels[:, :, None], words)
        found = self._tags[reads.bank[:, :, None], address]
        wrong = (want != found) & needed[:, :, None]
        if wrong.any():
            where = tuple(np.argwhere(wrong)[0])
            raise HazardError(
                f"instruction {index} reads {self._describe(int(want[where]))}, "
                f"but finds {self._describe(int(found[where]))}"
            )

    def loaded(self, index: int, frame: int, row: int, bank: np.ndarray, address: np.ndarray) -> None:
        """A gathered row was stored."""
        columns = self._program.header.columns
        self._store(
            index, IMAGE + frame, row * columns + np.arange(columns), bank, address, np.arange(address.shape[1])
        )

    def written(self, index: int, bank: np.ndarray, address: np.ndarray, words: np.ndarray) -> None:
        """An instruction stored consecutive pixels of its target."""
        pixels = self._bands[index].target_first + np.arange(len(bank))
        self._store(index, self._target(index), pixels, bank, address, words)

    def _store(
        self, index: int, tensor: int, pixels: np.ndarray, bank: np.ndarray, address: np.ndarray, words: np.ndarray
    ) -> None:
        old = self._tags[bank[:, None], address]
        present = old >= 0
        loading = tensor in (IMAGE, NEXT_IMAGE)
        for number in np.unique(old[present] >> (_PIXEL_BITS + _WORD_BITS)):
            mine = present & (old >> (_PIXEL_BITS + _WORD_BITS) == number)
            pixel = old[mine] >> _WORD_BITS & (1 << _PIXEL_BITS) - 1
            # The loader may overwrite what earlier instructions read last; an instruction, while it still reads, not.
            live = self._last_read[number][pixel] >= index if not (loading and number == NEXT_IMAGE) else pixel >= 0
            if live.any():
                victim = int(old[mine][live][0])
                raise HazardError(
                    f"instruction {index} overwrites {self._describe(victim)} before its last use, "
                    f"by {self._names[tensor]}"
                )
        self._tags[bank[:, None], address] = _tag(tensor, pixels[:, None], words)

    def next_frame(self) -> None:
        """The rows fetched ahead become the present frame's; all else is dead."""
        number = self._tags >> (_PIXEL_BITS + _WORD_BITS)
        self._tags = np.where(number == NEXT_IMAGE, self._tags - (NEXT_IMAGE << (_PIXEL_BITS + _WORD_BITS)), -1)

    def _describe(self, tag: int) -> str:
        if tag < 0:
            return "nothing"
        pixel = tag >> _WORD_BITS & (1 << _PIXEL_BITS) - 1
        name = self._names[tag >> (_PIXEL_BITS + _WORD_BITS)]
        return f"pixel {pixel}, word {tag & (1 << _WORD_BITS) - 1} of '{name}'"


def _tag(tensor: int, pixel: np.ndarray, word: np.ndarray) -> np.ndarray:
    return (np.int64(tensor) << (_PIXEL_BITS + _WORD_BITS)) | (pixel.astype(np.int64) << _WORD_BITS) | word


def prove(program: Program, layers: Sequence[Layer], bands: Sequence[Band], engine: EngineConfig) -> None:
    """Walk through two frames, the image rows as early as credits allow; raises HazardError."""
    tracker = Tracker(program, layers, bands, engine)
    header, credit, loaded = program.header, program.header.credit, 0
    for _ in range(2):
        for i, instruction in enumerate(program.instructions):
            layer = program.layers[instruction.layer]
            credit += instruction.credit
            for number in range(loaded, credit):
                frame, row = divmod(number, header.rows)
                tracker.loaded(i, frame, row, *gathered_cells(program, row, engine.pix))
            loaded = max(loaded, credit)
            for half in layer.halves:
                reads = addresses.reads(layer, instruction, half, engine.pix)
                tracker.read(i, half, reads, reads.address(program.buffers[instruction.source], layer.words))
            if not layer.average:
                _write(tracker, program, i, engine)
        credit, loaded = credit - header.rows, loaded - header.rows
        tracker.next_frame()


def _write(tracker: Tracker, program: Program, index: int, engine: EngineConfig) -> None:
    instruction = program.instructions[index]
    layer = program.layers[instruction.layer]
    pixels = addresses.output_pixels(layer, instruction)
    words = [np.arange(half.offset, half.offset + half.words) for half in layer.halves]
    owned = np.sort(np.concatenate(words))
    if (owned[1:] == owned[:-1]).any():
        raise HazardError(f"instruction {index}: its halves write the same words")
    target = program.buffers[instruction.target]
    bank, address = addresses.writes(layer, instruction, target, pixels, engine.pix)
    tracker.written(index, bank, address[:, owned], owned)
