"""Rebuilds what each instruction wrote from a trace of activation writes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squeeze_hls.engine.addresses import output_pixels, writes
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.program import Program
from squeeze_hls.engine.records import InstructionRecord, LayerRecord
from squeeze_hls.errors import MismatchError

_ADDRESS_BITS = 20


def trace_type(engine: EngineConfig) -> np.dtype:
    """One activation word that the output stage wrote: a record of hw/hls/trace.hpp."""
    return np.dtype([("pc", "<u2"), ("bank", "<u2"), ("address", "<u4"), ("bytes", "u1", (engine.cin,))])


def rebuild(program: Program, engine: EngineConfig, trace: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """For every instruction that writes maps: its number and u8 (pixels, out_words, CIN), in destination order.

    ``trace`` holds one frame.  Raises MismatchError where a word is written elsewhere than the program says,
    twice, or not at all.
    """
    ends = np.searchsorted(trace["pc"], np.arange(len(program.instructions)), side="right")
    start = 0
    if np.any(np.diff(trace["pc"].astype(int)) < 0) or (len(trace) and ends[-1] != len(trace)):
        raise MismatchError("the writes of instructions are out of order")
    for index, (instruction, end) in enumerate(zip(program.instructions, ends.tolist(), strict=True)):
        layer = program.layers[instruction.layer]
        if not layer.average:
            yield index, _written(index, program, layer, instruction, engine, trace[start:end])
        elif end != start:
            raise MismatchError(f"instruction {index} averages, but wrote {end - start} activation words")
        start = end


def _written(
    index: int,
    program: Program,
    layer: LayerRecord,
    instruction: InstructionRecord,
    engine: EngineConfig,
    trace: np.ndarray,
) -> np.ndarray:
    pixels = output_pixels(layer, instruction)
    bank, address = writes(layer, instruction, program.buffers[instruction.target], pixels, engine.pix)
    owned = np.zeros(layer.out_words, bool)
    for half in layer.halves:
        owned[half.offset : half.offset + half.words] = True
    expected = ((bank[:, None] << _ADDRESS_BITS) + address)[:, owned].reshape(-1)
    got = (trace["bank"].astype(np.int64) << _ADDRESS_BITS) + trace["address"]
    order, places = np.argsort(got, kind="stable"), np.argsort(expected, kind="stable")
    if len(got) != len(expected) or np.any(got[order] != expected[places]):
        strange = np.setdiff1d(got, expected)
        where = f", first bank {strange[0] >> _ADDRESS_BITS}" if len(strange) else ""
        raise MismatchError(
            f"instruction {index} wrote {len(got)} words of {len(expected)}, {len(strange)} of them elsewhere{where}"
        )
    flat = np.zeros((len(expected), engine.cin), np.uint8)
    flat[places] = trace["bytes"][order]
    out = np.zeros((pixels, layer.out_words, engine.cin), np.uint8)
    out[:, owned] = flat.reshape(pixels, int(owned.sum()), engine.cin)
    return out
