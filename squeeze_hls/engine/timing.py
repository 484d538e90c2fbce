"""Cycles of a program: the RTL engine's sequencer, expander, loader and output stage, event by event (docs/timing.md).

All cycles are counted from 0, the cycle that takes the first beat of an image's packet.  Latencies are those of
``latencies.TABLE``; the model holds for input and weight streams that never pause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze_hls.engine import latencies
from squeeze_hls.engine.addresses import blocks
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.entropy import SETS
from squeeze_hls.engine.program import Program
from squeeze_hls.engine.records import LayerRecord

PIPELINE_LEAST = 40  # cycles after which a set is in memory, of the default latencies
AHEAD = 2  # funnel.sv: words that it holds; a tile of the stream is cut with two more words in sight
STREAM_PERIOD = 8  # word_unpacker.sv: after as many words of the stream, none comes for a cycle
LONG_AGO = -1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """Cycle counts of a frame; one entry per instruction in the arrays.

    An instruction's `busy` and stalls are those of the cycles from its predecessor's `end` to its own, the last
    one's to the frame's end, so that they add up to `total`.
    """

    start: np.ndarray  # its first step could be issued
    end: np.ndarray  # after its last step
    total: int  # from the first pixel in to the last logit out, both included
    busy: np.ndarray  # a step was issued
    stall_weights: np.ndarray  # waiting for the expander
    stall_input: np.ndarray  # waiting for image rows
    stall_output: np.ndarray  # waiting for requantizers, earlier writes or logits; and between two instructions


def block_cycles(layer: LayerRecord, group: int, engine: EngineConfig) -> int:
    """Cycles for one pixel block: its products, or its turn at the requantizers."""
    halves = layer.halves_of(group)
    return max(sum(layer.depth(h) for h in halves), len(halves) * engine.set_cycles)


def raw_distance(engine: EngineConfig) -> int:
    """Cycles after which a finished set has surely been written, both holding registers ahead of it."""
    now = latencies.TABLE
    return max(PIPELINE_LEAST + now.deeper, now.written(engine.cin)) + 4 * engine.set_cycles


def predict(program: Program, engine: EngineConfig) -> Timing:
    """Simulate one frame that starts with an idle engine, its first tiles expanded and no image row loaded.

    In streamed mode nothing is expanded before the frame starts.
    """
    count = len(program.instructions)
    start, end, busy, stall_weights, stall_input = (np.zeros(count, np.int64) for _ in range(5))
    loader = _Loader(program)
    expander = _Expander(program, engine)
    output = _Output(engine)
    begin = last = LONG_AGO  # cycle that starts an instruction, cycle of the last step so far
    for i, instruction in enumerate(program.instructions):
        layer = program.layers[instruction.layer]
        reached = max(last + 1, begin + latencies.TABLE.fetch + latencies.TABLE.prepare + engine.pix)
        loader.grant(instruction.credit, reached + latencies.TABLE.credit_seen)
        free = max(reached + 1, output.takes_record)
        rows = loader.stored(instruction.need) + latencies.TABLE.row_seen
        stall_input[i] = max(0, rows - max(reached + 1, 0))
        begin = max(free, rows, output.idle if instruction.wait else 0)
        output.start(begin)
        start[i] = begin + 1
        last = begin
        for group in range(layer.groups):
            ready = expander.expand(layer, group)
            stall_weights[i] += max(0, ready - (last + 1))
            first = max(last + 1, ready, output.takes_group if layer.average else 0)
            last = output.compute(layer, group, blocks(layer, instruction, engine.pix), first)
            expander.release(last)
        end[i] = last + 1
        busy[i] = sum(
            blocks(layer, instruction, engine.pix) * layer.depth(half)
            for group in range(layer.groups)
            for half in layer.halves_of(group)
        )
    logits = (program.header.classes - 1) % engine.cout + 1  # of the last group
    total = output.drained - 1 + latencies.TABLE.send + logits - 1 + latencies.TABLE.beat + 1
    stall_output = np.diff(end, prepend=0) - busy - stall_weights - stall_input
    stall_output[-1] += total - end[-1]
    return Timing(
        start=start, end=end, total=int(total), busy=busy,
        stall_weights=stall_weights, stall_input=stall_input, stall_output=stall_output,
    )  # fmt: skip


class _Loader:
    """When each image row stands in memory, given the credits; no word waits for the output stage's writes."""

    def __init__(self, program: Program) -> None:
        header = program.header
        windows = (header.columns - 1) * header.stride + header.kernel
        pixels = max(header.pad_left + header.width, windows)
        turn = header.kernel - header.gather_words + (pixels - windows + 1 if pixels > windows else 0)
        self._period = max(header.columns * header.gather_words + max(0, turn), pixels + 1)
        paced = (header.columns - 1) * max(header.gather_words, header.stride)
        self._first = header.kernel + paced + header.gather_words + latencies.TABLE.row_end
        self._rows = header.rows
        self._stored: list[int] = []
        self._credit = 0
        self.grant(header.credit, latencies.TABLE.first_row)

    def grant(self, rows: int, now: int) -> None:
        """Credit for further rows, from cycle `now`; what exceeds this frame is for the next."""
        self._credit = min(self._credit + rows, self._rows)
        while len(self._stored) < self._credit:
            follows = self._stored[-1] + self._period if self._stored else 0
            self._stored.append(max(follows, now + self._first))

    def stored(self, rows: int) -> int:
        """Cycle of row_stored of the last of the first `rows` rows."""
        return self._stored[rows - 1] if rows else LONG_AGO


class _Expander:
    """When each tile may be used: it is begun when the tile before last is released, in program order."""

    def __init__(self, program: Program, engine: EngineConfig) -> None:
        self._engine = engine
        self._ahead = 0 if engine.streamed else 2  # tiles that were expanded before the frame began
        self._tiles = 0
        self._begin = self._free = LONG_AGO  # of the last tile; of the next one at the earliest
        self._released = [LONG_AGO, LONG_AGO]
        self._streamed = 0.0  # words of the stream that the tiles so far took
        starts = [layer.weights for layer in program.layers] + [program.header.store_words]
        self._density = {}  # store words per tile word, by a layer's first store word
        for layer, following in zip(program.layers, starts[1:], strict=True):
            groups = range(layer.groups)
            depth = sum(layer.depth(half) for group in groups for half in layer.halves_of(group))
            self._density[layer.weights] = (following - layer.weights) / depth

    def expand(self, layer: LayerRecord, group: int) -> int:
        """Expand the next tile; returns the first cycle in which it may be used."""
        engine = self._engine
        halves = layer.halves_of(group)
        depth = sum(layer.depth(half) for half in halves)
        begin = max(self._free, self._released[-2] + latencies.TABLE.release)
        if group == 0:  # tile_walker.sv: fetched after the last tile of its predecessor, a cycle for each tap
            taps = (layer.rows0 + layer.rows1) * layer.columns if layer.a.present else 1
            begin = max(begin, self._begin + latencies.TABLE.fetch + 1 + taps + 1)
        self._tiles += 1
        if self._tiles <= self._ahead:
            return LONG_AGO
        tag = begin + 1 + (latencies.TABLE.anew if group == 0 and not engine.streamed else 0)
        if engine.streamed:
            tag = max(tag, latencies.TABLE.stream_begins)
            words = self._streamed + AHEAD
            self._streamed += depth * self._density[layer.weights]
            tag += int((self._streamed + AHEAD) // STREAM_PERIOD - words // STREAM_PERIOD)
        self._begin = begin
        if layer.entropy:
            tag += latencies.TABLE.lookup * len(halves) + (SETS if group == 0 else 0)
        last_chunk = tag + len(halves) - 1 + depth * engine.chunks_per_word
        last_record = begin + len(halves) * engine.cout
        self._free = max(last_chunk + 1, last_record + latencies.TABLE.copy_end)
        return (
            last_chunk + latencies.TABLE.tile_seen
        )  # its records are there before: there are no more of them than chunks

    def release(self, last: int) -> None:
        """The oldest tile's last step was issued."""
        self._released = [self._released[-1], last]


class _Output:
    """When sets may be finished, when they leave, and when the stage takes the next instruction's.

    The sequencer does not look at the stage: it counts the cycles that the sets so far take, with what lies
    between two instructions, and holds back a set's last step until the set before last has left by that count.
    """

    def __init__(self, engine: EngineConfig) -> None:
        self._engine = engine
        self._turn = self._size = 0  # of the last set by the sequencer's count: its turn and its cycles
        self._sent = [LONG_AGO, LONG_AGO]  # group_sent of the last two groups of an average
        self._first = False  # the next set is the first of its instruction
        self._record = LONG_AGO  # the stage takes the last record into use
        self.drained = LONG_AGO  # after the last word of the last set

    @property
    def idle(self) -> int:
        """Cycle in which everything has left, and an instruction with `wait` may start."""
        return self.drained + latencies.TABLE.flush + 1

    @property
    def takes_record(self) -> int:
        """Cycle in which the next instruction may hand its record over."""
        return self._record + 1

    @property
    def takes_group(self) -> int:
        """Cycle in which a group of an average may begin: one is on its way at most."""
        return self._sent[0] + 1

    def start(self, begin: int) -> None:
        """An instruction hands its record over."""
        self._record = max(begin + 1, self.drained + latencies.TABLE.flush)
        self._first = True

    def compute(self, layer: LayerRecord, group: int, count: int, first: int) -> int:
        """Issue all steps of a group from cycle `first` on, `count` blocks; returns the cycle of the last one."""
        engine = self._engine
        depths = [layer.depth(half) for half in layer.halves_of(group)]
        latency = latencies.TABLE.set(engine.cin)
        step = first - 1
        for block in range(count):
            final = block == count - 1
            words = engine.set_cycles  # cycles of a set; each word of the border pixel takes `border`
            if final and layer.border:
                words += (layer.border - 1) * (engine.cout // engine.cin)
            for depth in depths:
                step = max(step + depth, self._turn)
                self._turn = max(step + 1, self._turn + self._size)
                self._size = words + (latencies.TABLE.flush + 2 if self._first else 0)
                leaves = max(step + latency, self.drained, self._record + 1)
                self._first = False
                self.drained = leaves + words
        if layer.average:
            # A group's sums leave while the next group is added up: its last set waits until they have.
            self._size += engine.cout + latencies.TABLE.send
            self.drained = max(self.drained, self._sent[1] + words)
            self._sent = [self._sent[1], self.drained - 1 + latencies.TABLE.send + engine.cout]
        return step
