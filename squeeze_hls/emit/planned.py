"""``plan.json``: what the planner expects of each instruction, where tensors lie and when, and the weight store's map.

It is what the notebooks draw; docs/plan-json.md describes it.  All cycles in it are predicted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from squeeze_hls.engine.store import WORD_BYTES
from squeeze_hls.network.arith import WEIGHT_BITS
from squeeze_hls.plan import Plan
from squeeze_hls.plan.lowering import Layer
from squeeze_hls.plan.schedule import bank_words, source_rows

VERSION = 1
Span = tuple[int, int, int, int]  # first and last instruction, both included; addresses [low, high)


def describe(plan: Plan, name: str) -> bytes:
    """The file's bytes; ``name`` is the network's."""
    engine = plan.engine
    table = {
        "version": VERSION,
        "network": name,
        "board": plan.board.name,
        "clock_mhz": plan.clock_mhz,
        "pad_value": list(plan.network.pad_value),
        "engine": {"id": engine.id, "pix": engine.pix, "cin": engine.cin, "cout": engine.cout},
        "cycles": {"ideal": plan.ideal_cycles, "predicted": int(plan.timing.total)},
        "layers": [_layer(plan, index, layer) for index, layer in enumerate(plan.layers)],
        "instructions": list(_instructions(plan)),
        "memory": {
            "banks": engine.pix,
            "bank_words": engine.act_depth,
            "word_bytes": engine.cin,
            "tensors": _tensors(plan),
        },
        "store": {"resident": not engine.streamed, "words": plan.store.words, "word_bytes": WORD_BYTES},
    }
    return (json.dumps(table, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _layer(plan: Plan, index: int, layer: Layer) -> dict[str, Any]:
    weights = [half.conv.weight for half in layer.halves]
    count = sum(weight.size for weight in weights)
    return {
        "name": layer.name,
        "kind": _kind(layer),
        "macs": layer.macs,
        "output_shape": list(layer.target_shape),
        "store_word": plan.store.starts[index],
        "store_words": plan.store.layer_words[index],
        "dense_bytes": -(-count * WEIGHT_BITS // 8),
        "density": round(sum(int(np.count_nonzero(weight)) for weight in weights) / count, 6),
    }


def _kind(layer: Layer) -> str:
    convs = " + ".join("{}x{}".format(*half.conv.kernel) for half in reversed(layer.halves))
    behind = ", max pool" if layer.pool else ", average" if layer.average else ""
    return f"convolution {convs}{behind}"


def _instructions(plan: Plan) -> Iterator[dict[str, Any]]:
    """One entry each; ``begin`` is where its predecessor ends, and all that it does or waits for adds up to ``end``."""
    timing = plan.timing
    pixels = [0] * len(plan.layers)
    for band, instruction in zip(plan.bands, plan.program.instructions, strict=True):
        pixels[band.layer] += instruction.pixels
    begin = 0
    for i, (band, instruction) in enumerate(zip(plan.bands, plan.program.instructions, strict=True)):
        last = i == len(plan.bands) - 1
        end = timing.total if last else int(timing.end[i])
        yield {
            "layer": band.layer,
            "rows": list(band.conv_rows),
            "begin": begin,
            "end": end,
            "busy": int(timing.busy[i]),
            "waits": {cause: int(getattr(timing, f"stall_{cause}")[i]) for cause in ("weights", "input", "output")},
            "macs": round(plan.layers[band.layer].macs * instruction.pixels / pixels[band.layer]),
        }
        begin = end


# --- the activation memory ---


def _tensors(plan: Plan) -> list[dict[str, Any]]:
    """Every buffer with its spans: from its first pixel written until its last one was read."""
    writers, readers = _accesses(plan)
    result: list[dict[str, Any]] = []
    for tensor in dict.fromkeys([*readers, *writers]):
        place, ring = plan.memory.places[tensor], plan.memory.ring(tensor)
        written, read = writers.get(tensor, []), readers.get(tensor, [])
        during = range(written[0] if written else 0, max(written + read) + 1)
        whole = [(i, ring.base, ring.base + ring.depth) for i in during]
        if tensor == plan.network.input:
            result.append(_entry("image rows", "image", whole))
        elif place.banded or not read:
            result.append(_entry(tensor, "band", whole))
        else:
            result.append(_entry(tensor, "map", list(_map(plan, tensor, written, read))))
    return result


def _accesses(plan: Plan) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Indices of the instructions that write, and that read, each map, by tensor."""
    writers: dict[str, list[int]] = {}
    readers: dict[str, list[int]] = {}
    for i, band in enumerate(plan.bands):
        layer = plan.layers[band.layer]
        for tensor in layer.sources:
            readers.setdefault(tensor, []).append(i)
        if not layer.average:
            writers.setdefault(layer.target, []).append(i)
    return writers, readers


def _map(plan: Plan, tensor: str, writers: list[int], readers: list[int]) -> Iterator[tuple[int, int, int]]:
    """(instruction, low, high) while a map is alive: written rows that are still needed.

    Where it goes around the end of its ring there are two ranges.
    """
    layer = plan.layers[plan.bands[readers[0]].layer]
    ring, offset = plan.memory.ring(tensor), plan.memory.places[tensor].start
    pix, words = plan.engine.pix, layer.source_layout.words
    height, width = layer.source_shape[:2]
    written = 0
    for i in range(writers[0], readers[-1] + 1):
        if i in writers:
            written = min(height, plan.bands[i].out_rows[1])
        freed = min(_first_row(plan, reader) for reader in readers if reader >= i)
        low = freed * width // pix * words
        high = min(-(-written * width // pix) * words, bank_words(height * width, words, pix))
        first = (offset + low) % ring.depth
        size = high - low
        yield i, ring.base + first, ring.base + min(first + size, ring.depth)
        if first + size > ring.depth:
            yield i, ring.base, ring.base + first + size - ring.depth


def _first_row(plan: Plan, reader: int) -> int:
    """First row of its source that an instruction reads."""
    band = plan.bands[reader]
    return source_rows(plan.layers[band.layer], *band.conv_rows)[0]


def _entry(name: str, kind: str, ranges: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Ranges of single instructions, joined where they stay the same."""
    spans: list[Span] = []
    open_at: dict[tuple[int, int], int] = {}  # range -> where in spans
    for i, low, high in ranges:
        position = open_at.get((low, high))
        if position is not None and spans[position][1] == i - 1:
            spans[position] = (spans[position][0], i, low, high)
        elif low < high:
            open_at[low, high] = len(spans)
            spans.append((i, i, low, high))
    return {"name": name, "kind": kind, "spans": [list(span) for span in spans]}
