"""The planner's own proofs on the finished program: hazards between instructions, credits, field sizes."""

from __future__ import annotations

import numpy as np

from squeeze_hls.engine import addresses
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.program import Program, tops_fit
from squeeze_hls.engine.records import InstructionRecord, LayerRecord
from squeeze_hls.engine.timing import block_cycles, raw_distance
from squeeze_hls.errors import SqueezeError


class PlanError(SqueezeError):
    """The planner made a program that breaks one of its own rules: a defect of the planner."""

    exit_code = 1


def set_waits(program: Program, engine: EngineConfig) -> None:
    """Set `wait` where an instruction would read a word too soon after its accumulators were finished.

    The schedule without any stall is the worst case: a stall of the MAC array only lets the writer catch up.
    """
    distance = raw_distance(engine)
    finished = np.full((engine.pix, engine.act_depth), -distance, np.int64)
    clock = 0
    for instruction in program.instructions:
        layer = program.layers[instruction.layer]
        instruction.wait = 0
        soonest = _soonest_read(program, layer, instruction, engine, finished)
        if clock + soonest < distance:
            instruction.wait = 1
            clock = max(clock, int(finished.max())) + distance
        clock = _record_writes(program, layer, instruction, engine, finished, clock)


def _soonest_read(
    program: Program, layer: LayerRecord, instruction: InstructionRecord, engine: EngineConfig, finished: np.ndarray
) -> int:
    """Smallest (read cycle in the instruction - cycle at which the word read was finished)."""
    soonest = np.iinfo(np.int64).max
    base = 0  # the first group is the first to read; its halves alternate block by block
    period = block_cycles(layer, 0, engine)
    for half in layer.halves_of(0):
        reads = addresses.reads(layer, instruction, half, engine.pix)
        address = reads.address(program.buffers[instruction.source], layer.words)
        block = np.arange(len(address)) // engine.pix
        tap = np.arange(address.shape[1]) * layer.words
        cycle = base + block[:, None] * period + tap
        slack = cycle[:, :, None] - finished[reads.bank[:, :, None], address]
        if reads.used.any():
            soonest = min(soonest, int(slack[reads.used].min()))
        base += layer.depth(half)
    return soonest


def _record_writes(
    program: Program,
    layer: LayerRecord,
    instruction: InstructionRecord,
    engine: EngineConfig,
    finished: np.ndarray,
    clock: int,
) -> int:
    """Note when each destination word's accumulators are finished; returns the cycle after the last product."""
    count = addresses.blocks(layer, instruction, engine.pix)
    pixels = addresses.output_pixels(layer, instruction)
    per_group = engine.cout // engine.cin
    last_block = _last_block(layer, instruction, engine.pix)
    if not layer.average:
        bank, address = addresses.writes(layer, instruction, program.buffers[instruction.target], pixels, engine.pix)
    for group in range(layer.groups):
        period = block_cycles(layer, group, engine)
        for half in layer.halves_of(group) if not layer.average else ():
            words = np.arange(group * per_group, min((group + 1) * per_group, half.words))
            cells = bank[:, None], address[:, words + half.offset]
            finished[cells] = (clock + (last_block + 1) * period)[:, None]
        clock += count * period
    return clock


def _last_block(layer: LayerRecord, instruction: InstructionRecord, pix: int) -> np.ndarray:
    """Per destination pixel the block whose set completes it."""
    if not layer.pool:
        return np.arange(instruction.pixels) // pix
    y = np.arange(instruction.row, instruction.row + instruction.pixels // layer.width)
    y = y[addresses.pool_done(layer.height, layer.pool, layer.ceil)[y]]
    x = np.flatnonzero(addresses.pool_done(layer.width, layer.pool, layer.ceil))
    q = (y[:, None] - instruction.row) * layer.width + x
    return q.reshape(-1) // pix


def check_program(program: Program, engine: EngineConfig) -> None:
    """Raise PlanError where the program breaks a rule of docs/program.md that no table size shows."""
    header = program.header
    granted, total = header.credit, sum(i.credit for i in program.instructions)
    _require(total == header.rows, f"credits of a frame add up to {total}, not to {header.rows} rows")
    for number, instruction in enumerate(program.instructions):
        layer = program.layers[instruction.layer]
        source = program.buffers[instruction.source]
        granted += instruction.credit
        _require(granted >= instruction.need, f"instruction {number} waits for rows that no credit allows")
        for step in (layer.row_ptr, layer.center_ptr):
            _require(step + layer.pitch <= source.depth, f"instruction {number}: a tap step wraps its ring twice")
        _require(instruction.source_ptr < source.depth, f"instruction {number}: the source pointer leaves its ring")
        _require(
            bool(layer.average) or instruction.target_ptr < program.buffers[instruction.target].depth,
            f"instruction {number}: the target pointer leaves its ring",
        )
        _require(
            layer.x_step == engine.pix % layer.width and layer.y_step == engine.pix // layer.width,
            f"instruction {number}: wrong lane steps",
        )
    for number, layer in enumerate(program.layers):
        _require(tops_fit(layer), f"layer {number}: the largest output does not fit its type")
        if layer.pool:
            columns = addresses.pooled(layer.width, layer.pool, layer.ceil)
            words = len(layer.halves) * layer.groups * columns * (engine.cout // engine.cin)
            _require(layer.carry + words <= engine.carry_words, f"layer {number} needs {words} pooling carry words")
    _require(program.instructions[-1].last == 1, "the last instruction is not marked")


def _require(good: bool, what: str) -> None:
    if not good:
        raise PlanError(f"planner: {what}")
