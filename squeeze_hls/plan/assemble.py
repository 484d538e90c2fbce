"""Stages, bands and memory map -> program and weight store."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squeeze_hls.engine.addresses import pooled
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.fields import FORMAT_VERSION
from squeeze_hls.engine.program import Program, Row
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.plan.credits import grant_credits
from squeeze_hls.plan.lowering import Layer, gather_words, padded_params
from squeeze_hls.plan.memory import MemoryMap
from squeeze_hls.plan.schedule import Choice, Stage, conv_rows, image_rows, split_rows
from squeeze_hls.plan.weights import Store


@dataclass(frozen=True, kw_only=True)
class Band:
    """What an instruction means, beside its encoding: needed to check it and to read traces, not to run it."""

    layer: int
    conv_rows: tuple[int, int]
    out_rows: tuple[int, int]  # rows of the layer's target
    source_first: int  # pixel of the source tensor that stands at ring offset `source_start`
    source_start: int  # ring offset of that pixel
    target_first: int  # first pixel of the target tensor that is written
    image_rows: tuple[int, int] | None = None  # padded image rows read (first layer)


def assemble(
    network: IntNetwork,
    stages: Sequence[Stage],
    chosen: Sequence[Choice],
    memory: MemoryMap,
    store: Store,
    engine: EngineConfig,
) -> tuple[Program, tuple[Band, ...]]:
    """The program without `wait` flags, and what its instructions mean."""
    layers = [layer for stage in stages for layer in (stage.main, stage.tail) if layer is not None]
    params, first_params = _params(layers, engine)
    sources = _source_depths(stages, memory)
    records = tuple(
        _layer_record(layer, store, i, first_params[i], sources[i], engine) for i, layer in enumerate(layers)
    )
    instructions: list[Row] = []
    bands: list[Band] = []
    index = 0
    for s, (stage, choice) in enumerate(zip(stages, chosen, strict=True)):
        for first, end in split_rows(stage.rows, choice.bands):
            for row, band in _stage_band(stages, s, index, (first, end), memory, engine):
                instructions.append(row)
                bands.append(band)
        index += 1 if stage.tail is None else 2
    instructions[-1].last = 1
    buffers = tuple(Row(base=r.base, depth=r.depth) for r in memory.rings)
    header = _header(network, stages[0].main, bands, memory, store, engine)
    header.layers, header.buffers = len(records), len(buffers)
    header.instructions, header.params = len(instructions), len(params)
    if engine.streamed:
        header.stream_words = sum(store.layer_words[band.layer] for band in bands)
    program = Program(
        header=header,
        layers=records,
        buffers=buffers,
        instructions=tuple(instructions),
        params=np.array(params),
        tables=store.tables,
    )
    grant_credits(program, bands, engine)
    return program, tuple(bands)


def _params(layers: Sequence[Layer], engine: EngineConfig) -> tuple[list[tuple[int, int, int]], list[list[int]]]:
    """All requantization records, and the first of each half of each layer."""
    params: list[tuple[int, int, int]] = []
    first = []
    for layer in layers:
        starts = []
        for half in layer.halves:
            starts.append(len(params))
            p = padded_params(half, engine.cout)
            offset = p["shift"].max() - p["shift"]
            params += zip(p["bias"].tolist(), p["multiplier"].tolist(), offset.tolist(), strict=True)
        first.append(starts)
    return params, first


def _source_depths(stages: Sequence[Stage], memory: MemoryMap) -> list[int]:
    """Depth of the ring that each layer reads."""
    depths = []
    for s, stage in enumerate(stages):
        depths.append(memory.rings[memory.gather if stage.main.gather else memory.maps[s][0]].depth)
        if stage.tail is not None:
            depths.append(memory.rings[memory.wide[s]].depth)
    return depths


def _layer_record(layer: Layer, store: Store, number: int, params: list[int], depth: int, engine: EngineConfig) -> Row:
    """The record of a layer whose source ring is `depth` words deep."""
    pix, conv = engine.pix, layer.a.conv
    height, width = layer.conv_shape[:2]
    words = gather_words(conv.kernel[0], engine.cin) if layer.gather else layer.source_layout.words
    pitch = conv.stride * words if layer.gather else words
    kernel = conv.kernel[0]
    rows = [len(range(phase, kernel, conv.stride)) for phase in range(2)] if layer.gather else [kernel, 0]
    if conv.stride == 1:
        rows[1] = 0
        rows[0] = kernel
    columns = 1 if layer.gather else conv.kernel[1]
    row_step = width - (columns - 1) if rows[0] > 1 else 0  # negative for maps of one column
    center = width + 1
    pool = layer.pool
    pooled_width = pooled(width, pool.kernel, pool.ceil) if pool else 0
    a, b = layer.a, layer.b
    codes = store.codes[number]
    return Row(
        gather=int(layer.gather),
        half_a=1,
        half_b=int(b is not None),
        average=int(layer.average),
        pool=pool.kernel if pool else 0,
        ceil=int(bool(pool and pool.ceil)),
        residual=0,
        pad=int(layer.pad),
        rows0=rows[0],
        rows1=rows[1],
        columns=columns,
        words=words,
        pitch=pitch,
        groups_a=a.groups,
        groups_b=b.groups if b else 0,
        width=width,
        height=height,
        x_step=pix % width,
        y_step=pix // width,
        row_mod=row_step % pix,
        row_ptr=row_step // pix * pitch % depth,
        center_mod=center % pix if b else 0,
        center_ptr=center // pix * pitch % depth if b else 0,
        out_words=layer.target_layout.words,
        words_a=a.words,
        words_b=b.words if b else 0,
        offset_a=a.offset,
        offset_b=b.offset if b else 0,
        carry=0,
        carry_half=pooled_width * (engine.cout // engine.cin),
        weights=store.starts[number],
        params_a=params[0],
        params_b=params[1] if b else 0,
        shift_a=int(a.conv.shift.max()),
        shift_b=int(b.conv.shift.max()) if b else 0,
        top_a=a.conv.top,
        top_b=b.conv.top if b else 0,
        border=layer.border,
        entropy=int(bool(codes)),
        table_a=codes[0] if codes else 0,
        table_b=codes[-1] if codes else 0,
    )


def _stage_band(
    stages: Sequence[Stage], s: int, index: int, rows: tuple[int, int], memory: MemoryMap, engine: EngineConfig
) -> list[tuple[Row, Band]]:
    """The one or two instructions of one band of stage `s`; `index` is the layer of its main part."""
    stage, pix = stages[s], engine.pix
    main, tail = stage.main, stage.tail
    first, end = conv_rows(main, *rows) if not main.average else rows
    source_ring, source_start = (memory.gather, 0) if main.gather else memory.maps[s]
    out_width = main.target_shape[1]
    stored = memory.maps.get(s + 1, (0, 0))
    ring, start, target_first = (memory.wide[s], 0, 0) if tail else (*stored, rows[0] * out_width)
    origin = first * main.conv_shape[1] - (main.conv_shape[1] + 1 if main.pad else 0)
    read = image_rows(main, first, end) if main.gather else None
    pitch = main.source_layout.words
    if main.gather:
        pitch = main.a.conv.stride * gather_words(main.a.conv.kernel[0], engine.cin)
    out = [
        (
            _instruction(
                layer=index,
                pixels=(end - first) * main.conv_shape[1],
                row=first,
                source=(source_ring, *_point(source_start, origin, pitch, memory, source_ring, pix)),
                target=(ring, *_point(start, target_first, main.target_layout.words, memory, ring, pix)),
                need=read[1] if read else 0,
            ),
            Band(
                layer=index,
                conv_rows=(first, end),
                out_rows=rows,
                source_first=0,
                source_start=source_start,
                target_first=rows[0] * out_width,
                image_rows=read,
            ),
        )
    ]
    if tail is not None:
        pixels = (rows[1] - rows[0]) * tail.conv_shape[1]
        target = rows[0] * out_width
        source = memory.wide[s]
        out.append(
            (
                _instruction(
                    layer=index + 1,
                    pixels=pixels,
                    row=rows[0],
                    source=(source, 0, 0),
                    target=(stored[0], *_point(stored[1], target, tail.target_layout.words, memory, stored[0], pix)),
                    need=0,
                ),
                Band(
                    layer=index + 1,
                    conv_rows=rows,
                    out_rows=rows,
                    source_first=target,
                    source_start=0,
                    target_first=target,
                ),
            )
        )
    return out


def _point(start: int, pixel: int, words: int, memory: MemoryMap, ring: int, pix: int) -> tuple[int, int]:
    """(ptr, mod) of a pixel of a map that starts at ring offset `start`; the pixel may be negative."""
    return (start + pixel // pix * words) % memory.rings[ring].depth, pixel % pix


def _instruction(
    *, layer: int, pixels: int, row: int, source: tuple[int, int, int], target: tuple[int, int, int], need: int
) -> Row:
    return Row(
        layer=layer,
        pixels=pixels,
        row=row,
        source=source[0],
        source_ptr=source[1],
        source_mod=source[2],
        target=target[0],
        target_ptr=target[1],
        target_mod=target[2],
        wait=0,
        last=0,
        need=need,
        credit=0,
        residual=0,
        residual_ptr=0,
        residual_mod=0,
    )


def _header(
    network: IntNetwork, first: Layer, bands: list[Band], memory: MemoryMap, store: Store, engine: EngineConfig
) -> Row:
    conv = first.a.conv
    height, width, _ = network.input_shape
    pad_red, pad_green, pad_blue = network.pad_value
    return Row(
        version=FORMAT_VERSION,
        engine=engine.identity,
        weights_crc=zlib.crc32(store.data),
        store_words=store.words,
        stream_words=0,
        gather_buffer=memory.gather,
        height=height,
        width=width,
        rows=max(band.image_rows[1] for band in bands if band.image_rows),
        columns=first.conv_shape[1],
        pad_top=conv.pads.top,
        pad_left=conv.pads.left,
        kernel=conv.kernel[0],
        stride=conv.stride,
        gather_words=gather_words(conv.kernel[0], engine.cin),
        credit=0,
        pad_red=pad_red,
        pad_green=pad_green,
        pad_blue=pad_blue,
        classes=network.classes,
        tables=len(store.tables),
    )
