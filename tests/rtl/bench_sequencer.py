"""cocotb bench of the sequencer: programs of random networks, against the addresses of engine/addresses.py.

Around it stand small models of what it talks to: a program memory that takes its time, an expander with two tiles, a
loader that stores rows as far as credits go, an output stage with two holding registers.  Every step is compared, and
no step may come before all that it waits for.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from squeeze_hls.engine import addresses
from squeeze_hls.engine.program import Program
from squeeze_hls.engine.records import InstructionRecord
from tests.rtl.common import LATENCIES, failure, parameters, random_generator, start
from tests.rtl.records import packed

PARAMETERS = parameters()
PIX, CIN, COUT, TILE_WORDS = (PARAMETERS[name] for name in ("PIX", "CIN", "COUT", "TILE_WORDS"))
CW = COUT // CIN
LIMIT = 3_000_000  # cycles of a test
PATIENCE = 4000  # cycles without a step that count as a hang
RESTARTS = 100
ISSUE = LATENCIES.issue  # cycles from the decision to issue a step to its appearance
READ = 2  # cycles from an address to its data, with which the step appears
SET_LATENCY = LATENCIES.operands + LATENCIES.mac_array(CIN)  # from a set's last step to its sums
ROWS_LATENCY = LATENCIES.row_seen  # cycles from row_stored to the start that needed it, at least
FETCH_CYCLES = 5  # of the program memory, besides the cycles of request and answer
# Cycles of the output stage: between sets of two instructions, from a word to its write, from a group to its logits.
BETWEEN_INSTRUCTIONS, WRITE_LATENCY, LOGITS_LATENCY = LATENCIES.flush + 1, LATENCIES.flush, LATENCIES.send - 1
PULSES = ("frame_begin", "fetch_done", "tile_ready", "row_stored", "group_sent")
INPUTS = (
    "restart", "frame_begin", "header_rows", "fetch_done", "fetch_instruction", "fetch_layer", "fetch_source",
    "fetch_target", "record_ready", "tile_ready", "row_stored", "output_idle", "logit_space", "group_sent",
)  # fmt: skip


class Step(NamedTuple):
    """One product step; lanes are (bank, address, used, masked), where the last two say what is known of the mask."""

    where: str
    instruction: int  # number of its instruction over all frames
    tile: int  # number of its tile
    tile_address: int
    rotate: int
    lanes: list[tuple[int, int, bool, bool]]
    first: bool
    last: bool
    ends_group: bool
    ends_instruction: bool
    average: bool
    begins_group: bool
    set_cycles: int  # that the set needs in the output stage


def expected_steps(program: Program) -> Iterator[Step]:
    """The steps of all frames."""
    tile = number = 0
    while True:
        for index, instruction in enumerate(program.instructions):
            for group_steps in _groups(program, index, instruction):
                for step in group_steps:
                    address = tile % 2 * TILE_WORDS + step.tile_address
                    yield step._replace(instruction=number, tile=tile, tile_address=address)
                tile += 1
            number += 1


def _groups(program: Program, index: int, instruction: InstructionRecord) -> Iterator[Iterator[Step]]:
    layer = program.layers[instruction.layer]
    reads = {half.name: addresses.reads(layer, instruction, half, PIX) for half in layer.halves}
    words = {half: reads[half].address(program.buffers[instruction.source], layer.words) for half in reads}
    blocks = addresses.blocks(layer, instruction, PIX)

    def group_steps(group: int) -> Iterator[Step]:
        for block in range(blocks):
            number = 0
            halves = [half.name for half in layer.halves_of(group)]
            for half in halves:
                taps = reads[half].bank.shape[1]
                for n in range(taps * layer.words):
                    tap, word = divmod(n, layer.words)
                    lanes = []
                    for q in range(block * PIX, block * PIX + PIX):
                        used = bool(reads[half].used[q, tap])
                        known = q < instruction.pixels or (q == instruction.pixels and layer.border > 0)
                        lanes.append((int(reads[half].bank[q, tap]), int(words[half][q, tap, word]), used, known))
                    last = n == taps * layer.words - 1
                    bordered = layer.border > 0 and block == blocks - 1
                    yield Step(
                        where=f"instruction {index}, group {group}, block {block}, half {half}, tap {tap}, word {word}",
                        instruction=0,
                        tile=0,
                        tile_address=number,
                        rotate=lanes[0][0],
                        lanes=lanes,
                        first=n == 0,
                        last=last,
                        ends_group=(ends := last and block == blocks - 1 and half == halves[-1]),
                        ends_instruction=ends and group == layer.groups - 1,
                        average=bool(layer.average),
                        begins_group=block == 0 and number == 0,
                        set_cycles=PIX * CW + (layer.border - 1) * CW * bordered,
                    )
                    number += 1

    return (group_steps(group) for group in range(layer.groups))


class OutputStage:
    """Times of an output stage: when a holding register is free, records are over, groups of logits have been sent."""

    def __init__(self) -> None:
        self.ends: deque[int] = deque([0, 0], 2)  # cycles in which the last two sets leave
        self.instruction = -1  # of the last set
        self.over: list[int] = []  # cycles in which the words of each instruction have been written
        self.sent: deque[int] = deque()  # cycles in which groups of logits will have been sent
        self.logits_free = 0

    def take(self, now: int, step: Step) -> str | None:
        """Take the set of its last step; a text where there is no room for it."""
        arrival = now + SET_LATENCY
        if arrival < self.ends[0]:
            return f"its sums come {self.ends[0] - arrival} cycles before a holding register is free"
        begin = max(arrival, self.ends[-1] + BETWEEN_INSTRUCTIONS * (self.instruction != step.instruction))
        self.instruction = step.instruction
        if step.average and step.ends_group:  # all of the last set waits for the logits before
            begin = max(begin, self.logits_free + 1)
        end = begin + step.set_cycles
        if step.average and step.ends_group:
            self.logits_free = end + LOGITS_LATENCY + COUT
            self.sent.append(self.logits_free)
        if step.ends_instruction:
            self.over.append(self.logits_free if step.average else end + WRITE_LATENCY)
        self.ends.append(end)
        return None


class Walk:
    """A sequencer that runs one program between models."""

    def __init__(self, dut: Any, program: Program, rng: np.random.Generator) -> None:
        self.dut, self.program, self.rng = dut, program, rng
        self.now = 0
        self.serving: tuple[int, int] | None = None  # of the program memory: cycles left, index
        names = ("fetch", "tile", "row", "record", "space", "begin")
        self.rates = {name: float(rng.choice([0.05, 0.3, 1.0])) for name in names}
        self.driven = dict.fromkeys(INPUTS, -1)
        self.drive(dict.fromkeys(INPUTS, 0) | {"header_rows": program.header.rows})
        self.forget()

    def forget(self) -> None:
        """What a restart leaves."""
        self.steps = expected_steps(self.program)
        self.output = OutputStage()
        self.credit, self.rows = self.program.header.credit, 0
        self.rows_before: deque[int] = deque([0] * ROWS_LATENCY, ROWS_LATENCY)
        self.space: deque[int] = deque([0] * (ISSUE + 1), ISSUE + 1)
        self.raddr: deque[int] = deque([0] * (READ + 1), READ + 1)
        self.tiles: list[int] = []  # cycles in which tiles were announced
        self.released = self.credited = self.started = 0  # tiles; instructions over all frames
        self.begun = self.frames_started = self.frames_issued = 0
        self.groups_begun = self.groups_sent = self.issued = self.busy = 0
        self.last_issue = self.now

    async def run(self, frames: int) -> None:
        """Until all steps of that many frames were issued."""
        target = frames * sum(1 for step in _frame(self.program))
        while self.issued < target:
            await self.cycle(frames)
        for _ in range(10):
            await self.cycle(frames)
        if (self.issued, self.frames_issued, self.busy) != (target, frames, target):
            raise self.fail(
                f"{self.issued} steps, {self.frames_issued} ends, {self.busy} busy; {target} in {frames} frames"
            )
        if self.released != self.tiles_of(frames):
            raise self.fail(f"{self.released} tiles released, expected {self.tiles_of(frames)}")

    def tiles_of(self, frames: int) -> int:
        layers = self.program.layers
        return frames * sum(layers[i.layer].groups for i in self.program.instructions)

    async def restart(self) -> None:
        """Forget everything, wherever it is."""
        self.drive(dict.fromkeys(PULSES, 0) | {"restart": 1})
        await RisingEdge(self.dut.clk)
        if not self.dut.fetch_req.value:  # else the program memory goes on with what it serves
            self.serving = None
        self.drive({"restart": 0})
        await RisingEdge(self.dut.clk)  # `busy` may still tell of a step that the restart forgot
        self.now += 2
        self.forget()

    def fail(self, text: str) -> AssertionError:
        return failure(f"{self.program.header.instructions} instructions, cycle {self.now}: {text}")

    def instruction(self, number: int) -> tuple[int, InstructionRecord]:
        """Frame and record of an instruction, counted over all frames."""
        frame, index = divmod(number, len(self.program.instructions))
        return frame, self.program.instructions[index]

    # --- a cycle: what was driven and what came of it, then what is driven next ---

    async def cycle(self, frames: int) -> None:
        await RisingEdge(self.dut.clk)
        self.now += 1
        self.check_credit()
        self.check_record()
        self.check_step()
        self.busy += int(self.dut.busy.value)
        self.frames_issued += int(self.dut.frame_issued.value)
        self.released += int(self.dut.tile_release.value)
        if self.now - self.last_issue > PATIENCE:
            raise self.fail(f"no step for {PATIENCE} cycles; {self.issued} came")
        self.drive(self.answers(frames))

    def drive(self, values: dict[str, int]) -> None:
        for name, value in values.items():
            if self.driven[name] != value:
                getattr(self.dut, name).value = value
        self.driven |= values

    def answers(self, frames: int) -> dict[str, int]:
        """Inputs of the next cycle."""
        rates, chance = self.rates, dict(zip(self.rates, self.rng.random(len(self.rates)), strict=True))
        over = sum(cycle <= self.now for cycle in self.output.over)
        values = {
            "tile_ready": int(len(self.tiles) < self.released + 2 and chance["tile"] < rates["tile"]),
            "row_stored": int(self.rows < self.credit and chance["row"] < rates["row"]),
            "record_ready": int(self.started - over < 2 and chance["record"] < rates["record"]),
            "output_idle": int(self.started == over),
            "logit_space": int(chance["space"] < rates["space"]),
            "group_sent": int(bool(self.output.sent) and self.output.sent[0] <= self.now),
            "frame_begin": int(self.begun == self.frames_started < frames and chance["begin"] < rates["begin"]),
        }
        if values["tile_ready"]:
            self.tiles.append(self.now)
        if values["group_sent"]:
            self.output.sent.popleft()
        self.rows_before.append(self.rows)
        self.rows += values["row_stored"]
        self.groups_sent += values["group_sent"]
        self.begun += values["frame_begin"]
        self.space.append(values["logit_space"])
        return values | self.fetch(chance["fetch"] < rates["fetch"])

    def fetch(self, served: bool) -> dict[str, int]:
        """The program memory: an index is taken when nothing else is served; lowering the request withdraws it."""
        if not self.dut.fetch_req.value or self.driven["fetch_done"]:
            self.serving = None
        elif self.serving is None:
            self.serving = (FETCH_CYCLES, int(self.dut.fetch_index.value)) if served else None
        else:
            cycles, index = self.serving
            if cycles > 0:
                self.serving = cycles - 1, index
            elif index < len(self.program.instructions):
                instruction = self.program.instructions[index]
                return {
                    "fetch_done": 1,
                    "fetch_instruction": packed(instruction),
                    "fetch_layer": packed(self.program.layers[instruction.layer]),
                    "fetch_source": packed(self.program.buffers[instruction.source]),
                    "fetch_target": packed(self.program.buffers[instruction.target]),
                }
            else:
                raise self.fail(f"fetches instruction {index} of {len(self.program.instructions)}")
        return {"fetch_done": 0}

    # --- checks; values of `driven` are those of the cycle that has just ended ---

    def check_record(self) -> None:
        if not self.dut.record_valid.value or not self.driven["record_ready"]:
            return
        frame, index = divmod(self.started, len(self.program.instructions))
        instruction = self.program.instructions[index]
        what = f"instruction {index} of frame {frame} starts"
        for name, row in (
            ("instruction", instruction),
            ("layer", self.program.layers[instruction.layer]),
            ("target", self.program.buffers[instruction.target]),
        ):
            got, expected = int(getattr(self.dut, f"record_{name}").value), packed(row)
            if got != expected:
                raise self.fail(f"{what} with the {name} {got:x}, expected {expected:x}")
        if instruction.wait and not self.driven["output_idle"]:
            raise self.fail(f"{what} before the output stage is idle")
        if self.rows_before[0] - frame * self.program.header.rows < instruction.need:
            raise self.fail(f"{what} before row {instruction.need} is stored")
        if self.credited <= self.started:
            raise self.fail(f"{what} before its credit was given")
        if index == 0:
            if self.begun - self.driven["frame_begin"] <= frame:
                raise self.fail(f"{what} before its frame has begun")
            self.frames_started += 1
        self.started += 1

    def check_credit(self) -> None:
        if self.dut.credit_valid.value:
            expected = self.program.instructions[self.credited % len(self.program.instructions)].credit
            if self.dut.credit.value != expected:
                raise self.fail(f"credit {int(self.dut.credit.value)} of instruction {self.credited}, not {expected}")
            self.credited += 1
            self.credit += expected

    def check_step(self) -> None:
        self.raddr.append(int(self.dut.raddr.value))
        if not self.dut.step_valid.value:
            return
        step = next(self.steps)
        self.issued += 1
        self.last_issue = self.now
        if step.tile >= len(self.tiles) or self.tiles[step.tile] >= self.now - ISSUE - 1:
            raise self.fail(f"{step.where}: its tile is not ready")
        if step.average and step.begins_group:
            self.groups_begun += 1
            if not self.space[0]:
                raise self.fail(f"{step.where}: there is no room for logits")
            if self.groups_begun - self.groups_sent > 2:
                raise self.fail(f"{step.where}: two groups of logits are on their way already")
        got = tuple(int(getattr(self.dut, name).value) for name in ("rotate", "tile_raddr", "step_first", "step_last"))
        expected = step.rotate, step.tile_address, int(step.first), int(step.last)
        if got != expected:
            raise self.fail(f"{step.where}: rotation, tile word, first, last are {got}, expected {expected}")
        mask = int(self.dut.mask.value)
        for lane, (bank, address, used, known) in enumerate(step.lanes):
            if known and bool(mask >> lane & 1) == used:
                raise self.fail(f"{step.where}, lane {lane}: the mask is {mask >> lane & 1}")
            if used and (read := self.raddr[0] >> 17 * bank & 0x1FFFF) != address:
                raise self.fail(f"{step.where}, lane {lane}: bank {bank} reads {read}, expected {address}")
        if step.last:
            trouble = self.output.take(self.now, step)
            if trouble:
                raise self.fail(f"{step.where}: {trouble}")


def _frame(program: Program) -> Iterator[Step]:
    """The steps of one frame."""
    for step in expected_steps(program):
        if step.instruction >= len(program.instructions):
            return
        yield step


def programs() -> list[Program]:
    return pickle.loads(Path(os.environ["SQUEEZE_HLS_PROGRAMS"]).read_bytes())


@cocotb.test()
async def every_step(dut: Any) -> None:
    """Two frames of each program."""
    await start(dut, dict.fromkeys(INPUTS, 0), LIMIT)
    for salt, program in enumerate(programs()):
        walk = Walk(dut, program, random_generator(salt))
        await walk.restart()
        await walk.run(frames=2)


@cocotb.test()
async def restarts(dut: Any) -> None:
    """A restart at any time, then a whole frame."""
    await start(dut, dict.fromkeys(INPUTS, 0), LIMIT)
    rng = random_generator(1000)
    smallest = min(programs(), key=lambda program: sum(1 for _ in _frame(program)))
    walk = Walk(dut, smallest, rng)
    for _ in range(RESTARTS):
        await walk.restart()
        for _ in range(int(rng.integers(150))):
            await walk.cycle(frames=2)
    await walk.restart()
    await walk.run(frames=1)
