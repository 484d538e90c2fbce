"""Stages and bands: which rows are computed together, and what that costs.

A stage is a layer whose output has many channels, with the 1x1 convolution that consumes it band by band; only
what flows from stage to stage is stored whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from squeeze_hls.engine.addresses import pool_done
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.plan.lowering import Layer, gather_words

ROW_SETUP = 4  # cycles of the loader between two image rows, about; engine/timing.py has the exact ones
TILE_SETUP = 4  # cycles of the expander between two tiles, likewise


@dataclass(frozen=True, eq=False)
class Stage:
    """One or two layers; `tail`, a 1x1 convolution, consumes the bands of `main`."""

    main: Layer
    tail: Layer | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.main,) if self.tail is None else (self.main, self.tail)

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensors that its layers read."""
        return tuple(tensor for layer in self.layers for tensor in layer.sources)

    @property
    def target(self) -> str:
        """The tensor that the stage leaves behind."""
        return self.layers[-1].target

    @property
    def rows(self) -> int:
        """Rows that bands divide: those of main's output (after pooling), or of the average's input."""
        return self.main.conv_shape[0] if self.main.average else self.main.target_shape[0]

    @property
    def single_band(self) -> bool:
        """An average keeps its sums for one pass only."""
        return self.main.average or (self.tail is not None and self.tail.average)


def cut_into_stages(layers: tuple[Layer, ...]) -> tuple[Stage, ...]:
    """Pair every layer with the 1x1 convolution that alone reads it, where there is one that is not pooled."""
    readers = Counter(tensor for layer in layers for tensor in layer.sources)
    stages: list[Stage] = []
    rest = list(layers)
    while rest:
        main = rest.pop(0)
        tail = rest[0] if rest and _consumes_bands(rest[0], main, readers) else None
        if tail is not None:
            rest.pop(0)
        stages.append(Stage(main, tail))
    return tuple(stages)


def _consumes_bands(layer: Layer, main: Layer, readers: Counter[str]) -> bool:
    return layer.pointwise and not layer.pool and layer.sources == (main.target,) and readers[main.target] == 1


@dataclass(frozen=True)
class Step:
    """One instruction to come: rows [first, end) of a layer's target, or of what it averages."""

    layer: int
    rows: tuple[int, int]


def schedule(stages: Sequence[Stage], chosen: Sequence[Choice]) -> tuple[Step, ...]:
    """All steps in order: stage by stage, and in each band by band, main before tail."""
    steps: list[Step] = []
    layer = 0
    for stage, choice in zip(stages, chosen, strict=True):
        for rows in split_rows(stage.rows, choice.bands):
            steps += [Step(layer + number, rows) for number in range(len(stage.layers))]
        layer += len(stage.layers)
    return tuple(steps)


def split_rows(rows: int, bands: int) -> list[tuple[int, int]]:
    """Divide rows into bands as evenly as possible: [(first, end), ...]."""
    return [(rows * i // bands, rows * (i + 1) // bands) for i in range(bands)]


def conv_rows(layer: Layer, first: int, end: int) -> tuple[int, int]:
    """Rows of the convolution that output rows [first, end) add to those of earlier bands."""
    if layer.pool is None:
        return first, end
    done = pool_done(layer.conv_shape[0], layer.pool.kernel, layer.pool.ceil).nonzero()[0]
    begin = 0 if first == 0 else int(done[first - 1]) + 1
    return begin, int(done[end - 1]) + 1


def image_rows(layer: Layer, first: int, end: int) -> tuple[int, int]:
    """Rows of the padded image that convolution rows [first, end) of the first layer read."""
    conv = layer.a.conv
    return first * conv.stride, (end - 1) * conv.stride + conv.kernel[0]


def source_rows(layer: Layer, first: int, end: int) -> tuple[int, int]:
    """Rows of the source map that convolution rows [first, end) read."""
    halo = 1 if layer.pad else 0
    return max(0, first - halo), min(layer.source_shape[0], end + halo)


def bank_words(pixels: int, words: int, pix: int) -> int:
    """Addresses that `pixels` pixels of `words` words take in every bank."""
    return -(-pixels // pix) * words


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One way to divide a stage, with its estimated cost."""

    bands: int
    cycles: int
    instructions: int
    band_words: int  # bank words of the band between main and tail
    gather_words: int  # bank words of gathered image rows for which loading is hidden (first stage)


def choices(stage: Stage, engine: EngineConfig) -> list[Choice]:
    """All sensible divisions of a stage, cheapest first; of equal cost, the smaller memory first."""
    best: dict[int, Choice] = {}
    limit = 1 if stage.single_band else stage.rows
    heights = {-(-stage.rows // bands): bands for bands in range(limit, 0, -1)}
    for height, bands in heights.items():
        best[height] = _choice(stage, bands, engine)
    return sorted(best.values(), key=lambda c: (c.cycles, c.band_words + c.gather_words))


def _choice(stage: Stage, bands: int, engine: EngineConfig) -> Choice:
    cycles = 0
    ranges = split_rows(stage.rows, bands)
    for first, end in ranges:
        tiles = _tiles(stage.main, conv_rows(stage.main, first, end), engine)
        if stage.tail is not None:
            tiles += _tiles(stage.tail, (first, end), engine)
        for this, following in zip(tiles, tiles[1:] + tiles[:1], strict=True):
            cycles += max(this[0], following[1])
    width, words = stage.main.target_shape[1], stage.main.target_layout.words
    tallest = max(end - first for first, end in ranges)
    band = 0 if stage.tail is None else bank_words(tallest * width, words, engine.pix)
    return Choice(
        bands=bands,
        cycles=cycles,
        instructions=bands * (1 if stage.tail is None else 2),
        band_words=band,
        gather_words=_gather_need(stage, ranges, engine) if stage.main.gather else 0,
    )


def _tiles(layer: Layer, rows: tuple[int, int], engine: EngineConfig) -> list[tuple[int, int]]:
    """(compute cycles, expansion cycles) of every tile of one instruction."""
    pixels = (rows[1] - rows[0]) * layer.conv_shape[1] + (layer.border > 0)
    count = -(-pixels // engine.pix)
    out = []
    for group in range(layer.groups):
        depth = layer.tile_depth(group)
        halves = sum(group < half.groups for half in layer.halves)
        period = max(depth, halves * engine.set_cycles)
        out.append((count * period, depth * engine.chunks_per_word + TILE_SETUP))
    return out


def _gather_need(stage: Stage, ranges: list[tuple[int, int]], engine: EngineConfig) -> int:
    """Bank words of gathered rows with which only the first band waits for the image.

    While a band is computed the rows that the next one adds are loaded, except for those that fit in the time
    of the tail, when the band's own rows are free already.
    """
    layer = stage.main
    row_cycles = layer.conv_shape[1] * gather_words(layer.a.conv.kernel[0], engine.cin) + ROW_SETUP
    worst = 0
    bounds = [image_rows(layer, *conv_rows(layer, *band)) for band in ranges]
    for i, (first, end) in enumerate(bounds):
        hidden = 0
        if stage.tail is not None:
            band = ranges[i]
            hidden = sum(c for c, _ in _tiles(stage.tail, band, engine)) // row_cycles
        last = bounds[i + 1][1] - hidden if i + 1 < len(bounds) else end
        worst = max(worst, max(last, end) - first)
    return gather_ring_words(layer, worst, engine)


def gather_ring_words(layer: Layer, rows: int, engine: EngineConfig) -> int:
    """Bank words of a ring that holds any `rows` consecutive gathered image rows."""
    conv = layer.a.conv
    pitch = conv.stride * gather_words(conv.kernel[0], engine.cin)
    phase_rows = max(2, -(-(rows + conv.stride - 1) // conv.stride))  # 2: a tap step never wraps twice
    return (-(-phase_rows * layer.conv_shape[1] // engine.pix) + 1) * pitch
