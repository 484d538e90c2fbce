"""cocotb bench of the output stage: random layers in bands, against arith.requantize and poolings as they are defined.

Sets come as early as the sequencer's count of cycles lets them, or later; requantization records stand in four slots
that are written anew as early as the expander could; logits are taken at random.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from squeeze_hls.engine import addresses
from squeeze_hls.engine.fields import BUFFER, INSTRUCTION, LAYER
from squeeze_hls.engine.records import BufferRecord, HalfRecord, InstructionRecord, LayerRecord
from squeeze_hls.flows.exact import difference
from squeeze_hls.network import arith
from squeeze_hls.network.ir import type_max
from tests.rtl.common import LATENCIES, failure, pack, parameters, random_generator, start
from tests.rtl.records import blank, packed

PARAMETERS = parameters()
PIX, CIN, COUT, CARRY_WORDS = (PARAMETERS[name] for name in ("PIX", "CIN", "COUT", "CARRY_WORDS"))
CW = COUT // CIN
LIMIT = 2_000_000  # cycles of a test
SESSIONS = 40
SET_LATENCY = LATENCIES.mac_array(CIN) + LATENCIES.holding  # cycles from the operands of a set's last step to its sums
BETWEEN_INSTRUCTIONS = LATENCIES.flush + 1  # cycles that the stage needs between the sets of two instructions
# Of the expander: cycles before a tile's last set comes in which the tile after the next already replaces records, and
# from the last set of one tile to the first of the tile after the next.
RELEASE, EXPANSION = SET_LATENCY - 6, COUT + 10
OFFSETS = 9  # of the shift


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer with the sums of its whole map, by half (pixels + border, groups * COUT), and what must come of it."""

    record: LayerRecord
    sums: dict[str, np.ndarray]
    params: dict[str, np.ndarray]  # (groups * COUT, 3): bias, M, offset
    outputs: dict[str, np.ndarray]  # of the written map: u8 (rows, columns, words, CIN)
    logits: np.ndarray  # of an average

    def half(self, name: str) -> HalfRecord:
        return self.record.a if name == "a" else self.record.b

    @property
    def groups(self) -> int:
        return self.record.groups


def random_layer(rng: np.random.Generator, carry: int) -> Layer | None:
    """A layer whose carry rows begin at a word; None where they would exceed the memory."""
    average = rng.random() < 0.25
    pool = 0 if average else int(rng.choice([0, 2, 3]))
    width, height = (int(v) for v in rng.integers(3 if pool else 1, 9, 2))
    ceil = bool(rng.integers(2))
    groups = {"a": int(rng.integers(1, 4)), "b": 0 if average or rng.random() < 0.4 else int(rng.integers(1, 4))}
    words = {half: int(rng.integers((n - 1) * CW + 1, n * CW + 1)) if n else 0 for half, n in groups.items()}
    gap = int(rng.integers(3))  # words of the destination pixel that belong to nobody
    offset = {"a": 0, "b": words["a"] + gap} if rng.random() < 0.5 else {"a": words["b"] + gap, "b": 0}
    size = [addresses.pooled(n, pool, ceil) if pool else n for n in (height, width)]
    carry_half = size[1] * CW
    if pool and carry + carry_half * (2 if groups["b"] else 1) * max(groups.values()) > CARRY_WORDS:
        return None
    border = int(rng.integers(1, 12)) if average and rng.random() < 0.5 else 0
    record = blank(
        LAYER, half_a=1, half_b=int(groups["b"] > 0), average=int(average), pool=pool, ceil=int(ceil),
        groups_a=groups["a"], groups_b=groups["b"], words_a=words["a"], words_b=words["b"],
        offset_a=offset["a"], offset_b=offset["b"], out_words=sum(words.values()) + gap, width=width, height=height,
        carry=carry, carry_half=carry_half, shift_a=36, shift_b=37, border=border,
        top_a=random_top(rng, average), top_b=random_top(rng, False),
    )  # fmt: skip
    sums, params, outputs, logits = {}, {}, {}, np.zeros(0, np.int64)
    for half, n in groups.items():
        if not n:
            continue
        shape = height * width + (border > 0), n * COUT
        sums[half] = rng.integers(-(1 << 20), 1 << 20, shape)
        if border:
            sums[half][-1] = 0  # of the border pixel, whose operands are masked
        channels = n * COUT
        params[half] = np.stack(
            [
                rng.integers(-(1 << 19), 1 << 19, channels),
                rng.integers(1 << 16, 1 << 17, channels),
                rng.integers(0, OFFSETS, channels),
            ],
            axis=1,
        )
        bias, multiplier, less = params[half].T
        own = record.a if half == "a" else record.b
        values = arith.requantize(sums[half] + bias, multiplier, own.shift - less, own.top)
        if average:
            times = np.ones(len(values), np.int64)
            if border:
                times[-1] = border
            logits = (values * times[:, None]).sum(axis=0)
        else:
            pooled = pooled_map(values.reshape(height, width, -1), pool, size) if pool else values
            outputs[half] = pooled.reshape(*size, -1, CIN)[:, :, : words[half]]
    return Layer(record, sums, params, outputs, logits)


def random_top(rng: np.random.Generator, average: bool) -> int:
    most = type_max(average)
    return int(rng.choice([most, most, most - 1, 15, rng.integers(1, most)]))


def pooled_map(values: np.ndarray, kernel: int, size: list[int]) -> np.ndarray:
    """Max pooling of stride 2 of (H, W, C) to ``size``; windows are cut off at the edges."""

    def window(y: int, x: int) -> np.ndarray:
        return values[2 * y : 2 * y + kernel, 2 * x : 2 * x + kernel].max((0, 1))

    return np.array([[window(y, x) for x in range(size[1])] for y in range(size[0])])


@dataclass(frozen=True, eq=False)
class Band:
    """An instruction: some rows of a layer."""

    layer: Layer
    record: InstructionRecord
    target: BufferRecord
    writes: dict[tuple[int, int], bytes]  # (bank, address) -> word
    logits: np.ndarray


def make_band(rng: np.random.Generator, layer: Layer, row: int, rows: int) -> Band:
    r = layer.record
    record = blank(INSTRUCTION, pixels=rows * r.width, row=row, target_mod=int(rng.integers(PIX)))
    done = addresses.pool_done(r.height, r.pool, bool(r.ceil)) if r.pool else np.ones(r.height, bool)
    first, last = int(done[:row].sum()), int(done[: row + rows].sum())
    columns = addresses.pooled(r.width, r.pool, bool(r.ceil)) if r.pool else r.width
    pixels = 0 if r.average else (last - first) * columns
    depth = r.out_words * (-(-(pixels + PIX) // PIX) + 1) + int(rng.integers(20))
    target = blank(BUFFER, base=int(rng.integers(1 << 16)), depth=depth)
    record.target_ptr = int(rng.integers(depth))
    writes = {}
    bank, address = addresses.writes(r, record, target, pixels, PIX)
    for half, output in layer.outputs.items():
        at = layer.half(half).offset
        values = output[first:last].reshape(pixels, output.shape[2], CIN)
        for p in range(pixels):
            for w in range(values.shape[1]):
                writes[int(bank[p]), int(address[p, at + w])] = values[p, w].astype(np.uint8).tobytes()
    return Band(layer, record, target, writes, layer.logits)


def random_bands(rng: np.random.Generator) -> list[Band]:
    """Bands of a few layers, those of different layers mixed, those of one layer in order."""
    queues: list[list[Band]] = []
    carry = 0
    while len(queues) < 4:
        layer = random_layer(rng, carry)
        if layer is None:
            break
        r = layer.record
        if r.pool:
            carry += r.carry_half * len(r.halves) * layer.groups
        queue, row = [], 0
        while row < r.height:
            rows = r.height - row if r.average else int(rng.integers(1, r.height - row + 1))
            queue.append(make_band(rng, layer, row, rows))
            row += rows
        queues.append(queue)
    bands = []
    while any(queues):
        bands.append(queues[int(rng.choice([n for n, queue in enumerate(queues) if queue]))].pop(0))
    return bands


class Session:
    """Bands, one after the other, from a reset on."""

    def __init__(self, dut: Any, bands: list[Band], rng: np.random.Generator, name: str) -> None:
        self.dut, self.bands, self.rng, self.name = dut, bands, rng, name
        self.now = 0
        self.hurry = float(rng.choice([1.0, 0.9, 0.3]))  # chance that a set, or a record, comes as early as it may
        self.taking = float(rng.choice([1.0, 0.5, 0.1]))  # share of the cycles in which a logit is taken
        self.tiles: list[tuple[Band, int]] = []  # (band, group) of each tile
        self.slots: dict[int, int] = {}  # number of the tile whose records a slot holds
        self.ends: deque[int] = deque([0, 0], 2)  # cycles in which the last two sets leave
        self.ended: deque[int] = deque(
            [-EXPANSION, -EXPANSION], 2
        )  # cycles in which the last two tiles' last sets came
        self.writes: list[tuple[int, int, bytes]] = []
        self.logits: list[int] = []
        self.groups_sent = 0
        self.records_taken = 0
        self.drive_now: dict[str, int] = {}

    def fail(self, text: str) -> AssertionError:
        return failure(f"{self.name}, cycle {self.now}: {text}")

    async def cycle(self) -> None:
        """Records of the asked slot in the middle of the cycle, checks at its end."""
        dut = self.dut
        for name, value in self.drive_now.items():
            getattr(dut, name).value = value
        self.drive_now = {"record_valid": 0, "set_valid": 0, "logit_ready": int(self.rng.random() < self.taking)}
        await FallingEdge(dut.clk)
        self.show_params()
        await RisingEdge(dut.clk)
        self.now += 1
        if dut.ow_valid.value:
            data = int(dut.ow_data.value).to_bytes(CIN, "little")
            self.writes.append((int(dut.ow_bank.value), int(dut.ow_addr.value), data))
        if dut.logit_valid.value and dut.logit_ready.value:
            self.logits.append(int(dut.logit_data.value))
        self.groups_sent += int(dut.group_sent.value)
        if dut.idle.value:
            expected = sum(len(band.writes) for band in self.bands[: self.records_taken])
            if len(self.writes) != expected:
                raise self.fail(f"idle after {len(self.writes)} of {expected} writes")

    def show_params(self) -> None:
        dut = self.dut
        tile = self.slots.get(int(dut.param_slot.value))
        half, word = "ab"[int(dut.param_half.value)], int(dut.param_word.value)
        if tile is None or tile >= len(self.tiles):
            return
        band, group = self.tiles[tile]
        first = group * COUT + word * CIN
        rows = band.layer.params[half][first : first + CIN] if half in band.layer.params else np.zeros((0, 3), int)
        if len(rows):
            dut.param_bias.value = pack(rows[:, 0], 24)
            dut.param_multiplier.value = pack(rows[:, 1] - (1 << 16), 16)
            dut.param_offset.value = pack(rows[:, 2], 4)
            dut.param_shift.value = band.layer.half(half).shift

    def has_sent(self, groups: int) -> bool:
        return self.groups_sent >= groups

    async def until(self, when: int | Callable[[], bool]) -> None:
        """Cycles up to a time, or until something holds."""
        begun = self.now
        while self.now < when if isinstance(when, int) else not when():
            if self.now - begun > 20_000:
                raise self.fail("still waiting after 20000 cycles")
            await self.cycle()

    async def dawdle(self) -> None:
        while self.rng.random() > self.hurry:
            await self.cycle()

    # --- what the sequencer does ---

    async def run(self) -> None:
        self.tiles = [(band, group) for band in self.bands for group in range(band.layer.groups)]
        self.slots = {0: 0, 1: 1}
        tile = 0
        for band in self.bands:
            await self.begin(band)
            tile = await self.sets(band, tile)

    async def begin(self, band: Band) -> None:
        """Hand the record over; the logits of those before have been sent."""
        await self.dawdle()
        before = self.bands[: self.records_taken]
        self.groups_before = sum(other.layer.groups for other in before if other.layer.record.average)
        if before and before[-1].layer.record.average:
            await self.until(lambda: self.groups_sent == self.groups_before)
            self.ends[-1] = max(self.ends[-1], self.now)
        await self.until(lambda: bool(self.dut.record_ready.value))
        self.drive_now |= {
            "record_valid": 1,
            "record_instruction": packed(band.record),
            "record_layer": packed(band.layer.record),
            "record_target": packed(band.target),
        }
        await self.cycle()
        self.records_taken += 1
        self.drive_now["record_valid"] = 0
        self.ends[-1] += BETWEEN_INSTRUCTIONS
        self.begun = self.now

    async def sets(self, band: Band, tile: int) -> int:
        """All sets of an instruction, the first of them when its steps can have been issued; the next tile's number."""
        r = band.layer.record
        pixels = band.record.pixels + (r.border > 0)
        earliest = self.begun + SET_LATENCY + 1
        last_set = 0  # cycles
        for group in range(band.layer.groups):
            if r.average and group >= 2:
                sent = self.groups_before + group - 1
                await self.until(partial(self.has_sent, sent))
                self.ends[-1] = max(self.ends[-1], self.now + last_set + 1)  # it waits for the logits before
                earliest = self.now + SET_LATENCY
            earliest = max(earliest, self.ended[0] + EXPANSION)
            halves = [half.name for half in r.halves_of(group)]
            for block in range(0, pixels, PIX):
                for half in halves:
                    await self.dawdle()
                    when = max(earliest, self.ends[0])
                    final = block + PIX >= pixels
                    if final and half == halves[-1]:
                        await self.until(when - RELEASE)
                        self.slots[(tile + 2) % 4] = tile + 2
                        tile += 1
                        self.ended.append(when)
                    await self.until(when)
                    self.set(band, half, group, block)
                    begin = max(self.now, self.ends[-1])
                    last_set = PIX * CW + (r.border > 0 and final) * (r.border - 1) * CW
                    self.ends.append(begin + last_set)
                    await self.cycle()
        return tile

    def set(self, band: Band, half: str, group: int, block: int) -> None:
        """Sums of a block; those of lanes behind the band are anything."""
        sums = self.rng.integers(-(1 << 23), 1 << 23, (PIX, COUT))
        of_layer = band.layer.sums[half][band.record.row * band.layer.record.width :, group * COUT : (group + 1) * COUT]
        live = min(PIX, band.record.pixels + (band.layer.record.border > 0) - block)
        sums[:live] = of_layer[block : block + live]
        self.drive_now |= {"set_valid": 1, "set_sums": pack(sums, 24)}

    # --- checks ---

    async def finish(self) -> None:
        """Wait until all is written, and compare."""
        expected = [int(v) for band in self.bands for v in band.logits]
        await self.until(lambda: bool(self.dut.idle.value) and len(self.logits) >= len(expected))
        for _ in range(30):
            await self.cycle()
        position = 0
        for number, band in enumerate(self.bands):
            got = self.writes[position : position + len(band.writes)]
            position += len(got)
            for bank, address, word in got:
                if band.writes.get((bank, address)) != word:
                    raise self.fail(
                        f"band {number}: bank {bank}, address {address}: wrote {word.hex()}, "
                        f"expected {band.writes.get((bank, address), b'').hex() or 'nothing'}"
                    )
            if len({write[:2] for write in got}) != len(band.writes):
                raise self.fail(f"band {number}: {len(band.writes)} words expected, some are written twice or never")
        if len(self.writes) != position:
            raise self.fail(f"{len(self.writes) - position} further words are written")
        wrong = difference("logits", np.array(self.logits), np.array(expected))
        if wrong:
            raise self.fail(wrong)


async def prepare(dut: Any) -> None:
    inputs = ["record_valid", "record_instruction", "record_layer", "record_target", "set_valid", "set_sums"]
    inputs += ["param_bias", "param_multiplier", "param_offset", "param_shift", "logit_ready"]
    await start(dut, dict.fromkeys(inputs, 0), LIMIT)


async def reset(dut: Any) -> None:
    dut.record_valid.value = dut.set_valid.value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test()
async def random_layers(dut: Any) -> None:
    """Bands of random layers, each session from a reset on."""
    await prepare(dut)
    for number in range(SESSIONS):
        rng = random_generator(number)
        await reset(dut)
        session = Session(dut, random_bands(rng), rng, f"session {number}")
        await session.run()
        await session.finish()


@cocotb.test()
async def resets(dut: Any) -> None:
    """A reset at any time leaves nothing behind."""
    await prepare(dut)
    for number in range(SESSIONS):
        rng = random_generator(1000 + number)
        await reset(dut)
        session = Session(dut, random_bands(rng), rng, f"session {number} before the reset")
        task = cocotb.start_soon(session.run())
        for _ in range(int(rng.integers(1, 400))):
            await RisingEdge(dut.clk)
        task.cancel()
        await reset(dut)
        session = Session(dut, random_bands(rng)[:2], rng, f"session {number} behind the reset")
        await session.run()
        await session.finish()
