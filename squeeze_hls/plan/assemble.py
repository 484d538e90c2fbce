"""Layers, schedule and memory map -> program."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squeeze_hls.engine.addresses import pooled
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.fields import FORMAT_VERSION
from squeeze_hls.engine.program import Program
from squeeze_hls.engine.records import BufferRecord, HalfRecord, HeaderRecord, InstructionRecord, LayerRecord
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.plan.credits import grant_credits
from squeeze_hls.plan.lowering import Half, Layer, gather_words, padded_params
from squeeze_hls.plan.memory import MemoryMap
from squeeze_hls.plan.schedule import Step, conv_rows, image_rows
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
    layers: Sequence[Layer],
    steps: Sequence[Step],
    memory: MemoryMap,
    store: Store,
    engine: EngineConfig,
) -> tuple[Program, tuple[Band, ...]]:
    """The program without `wait` flags, and what its instructions mean, in the order of ``steps``.

    Steps of several layers may stand between each other; ``hazards.prove`` finds out whether every row is there
    when it is read.
    """
    params, first_params = _params(layers, engine)
    records = tuple(
        _layer_record(layer, store, i, first_params[i], memory.ring(layer.source).depth, engine)
        for i, layer in enumerate(layers)
    )
    pairs = [_instruction(layers[step.layer], step, memory, engine) for step in steps]
    instructions, bands = (tuple(column) for column in zip(*pairs, strict=True))
    instructions[-1].last = 1
    header = _header(network, layers[0], bands, memory, store, engine)
    header.layers, header.buffers = len(records), len(memory.rings)
    header.instructions, header.params = len(instructions), len(params)
    if engine.streamed:
        header.stream_words = sum(store.layer_words[band.layer] for band in bands)
    program = Program(
        header=header,
        layers=records,
        buffers=tuple(BufferRecord(base=ring.base, depth=ring.depth) for ring in memory.rings),
        instructions=instructions,
        params=np.array(params),
        tables=store.tables,
    )
    grant_credits(program, bands, engine)
    return program, bands


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


@dataclass(frozen=True, kw_only=True)
class _Taps:
    """How half A walks over its source: see docs/program.md."""

    rows: tuple[int, int]  # of phase 0 and 1
    columns: int
    words: int  # of a source pixel
    pitch: int


def _taps(layer: Layer, engine: EngineConfig) -> _Taps:
    conv = layer.a.conv
    height, width = conv.kernel
    if not layer.gather:
        words = layer.source_layout.words
        return _Taps(rows=(height, 0), columns=width, words=words, pitch=words)
    words = gather_words(height, engine.cin)
    of_phase = [len(range(phase, height, conv.stride)) for phase in range(conv.stride)]
    return _Taps(
        rows=(of_phase[0], of_phase[1] if conv.stride == 2 else 0), columns=1, words=words, pitch=conv.stride * words
    )


def _layer_record(
    layer: Layer, store: Store, number: int, params: list[int], depth: int, engine: EngineConfig
) -> LayerRecord:
    """The record of a layer whose source ring is `depth` words deep."""
    pix, pool, taps = engine.pix, layer.pool, _taps(layer, engine)
    height, width = layer.conv_shape[:2]
    row_step = width - (taps.columns - 1) if taps.rows[0] > 1 else 0  # negative for maps of one column
    center = width + 1 if layer.b else 0
    pooled_width = pooled(width, pool.kernel, pool.ceil) if pool else 0
    codes = store.codes[number]
    return LayerRecord(
        gather=int(layer.gather),
        average=int(layer.average),
        pool=pool.kernel if pool else 0,
        ceil=int(bool(pool and pool.ceil)),
        residual=0,
        pad=int(layer.pad),
        rows0=taps.rows[0],
        rows1=taps.rows[1],
        columns=taps.columns,
        words=taps.words,
        pitch=taps.pitch,
        width=width,
        height=height,
        x_step=pix % width,
        y_step=pix // width,
        row_mod=row_step % pix,
        row_ptr=row_step // pix * taps.pitch % depth,
        center_mod=center % pix,
        center_ptr=center // pix * taps.pitch % depth,
        out_words=layer.target_layout.words,
        carry=0,
        carry_half=pooled_width * (engine.cout // engine.cin),
        weights=store.starts[number],
        border=layer.border,
        entropy=int(bool(codes)),
        a=_half_record("a", layer.a, params[0], codes[0] if codes else 0),
        b=_half_record("b", layer.b, params[-1], codes[-1] if codes else 0),
    )


def _half_record(name: str, half: Half | None, params: int, table: int) -> HalfRecord:
    if half is None:
        return HalfRecord(name=name, table=table)
    return HalfRecord(
        name=name,
        present=True,
        groups=half.groups,
        words=half.words,
        offset=half.offset,
        params=params,
        shift=int(half.conv.shift.max()),
        top=half.conv.top,
        table=table,
    )


def _instruction(layer: Layer, step: Step, memory: MemoryMap, engine: EngineConfig) -> tuple[InstructionRecord, Band]:
    """The instruction of one step, and what it means."""
    width = layer.conv_shape[1]
    first, end = step.rows if layer.average else conv_rows(layer, *step.rows)
    read = image_rows(layer, first, end) if layer.gather else None
    source = memory.places[layer.source]
    held = step.rows[0] * width if source.banded else 0  # first pixel of the source that stands in its ring
    origin = first * width - (width + 1 if layer.pad else 0)
    source_ptr, source_mod = memory.point(source, origin - held, _taps(layer, engine).pitch, engine.pix)
    written = step.rows[0] * layer.target_shape[1]
    target, target_ptr, target_mod = 0, 0, 0
    if not layer.average:
        place = memory.places[layer.target]
        target = place.ring
        target_ptr, target_mod = memory.point(
            place, 0 if place.banded else written, layer.target_layout.words, engine.pix
        )
    record = InstructionRecord(
        layer=step.layer,
        pixels=(end - first) * width,
        row=first,
        source=source.ring,
        source_ptr=source_ptr,
        source_mod=source_mod,
        target=target,
        target_ptr=target_ptr,
        target_mod=target_mod,
        need=read[1] if read else 0,
    )
    band = Band(
        layer=step.layer,
        conv_rows=(first, end),
        out_rows=step.rows,
        source_first=held,
        source_start=source.start,
        target_first=written,
        image_rows=read,
    )
    return record, band


def _header(
    network: IntNetwork, first: Layer, bands: Sequence[Band], memory: MemoryMap, store: Store, engine: EngineConfig
) -> HeaderRecord:
    conv = first.a.conv
    height, width, _ = network.input_shape
    pad_red, pad_green, pad_blue = network.pad_value
    return HeaderRecord(
        version=FORMAT_VERSION,
        layers=0,
        buffers=0,
        instructions=0,
        params=0,
        engine=engine.identity,
        weights_crc=zlib.crc32(store.data),
        store_words=store.words,
        stream_words=0,
        gather_buffer=memory.places[first.source].ring,
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
