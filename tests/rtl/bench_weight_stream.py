"""cocotb bench of the weight stream: good, bad and abandoned packets one behind the other, resets in the middle.

Each frame owns one packet.  Of a good one every word comes, of others a part from the first word on.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from squeeze_hls.engine.fields import PACKET, PACKET_MAGIC, PROGRAM, WEIGHTS
from tests.rtl.common import failure, random_generator, start

LIMIT = 500_000  # cycles of a test
FRAMES = 250
PATIENCE = 3000  # cycles that a frame may take
HEADER_FAULTS = {"magic": {"magic": 0x5A}, "type": {"type": PROGRAM}, "identity": {}, "length": {}}
KINDS = ("good", "good", "good", "abandoned", "abandoned", "early", "late", "alone", *HEADER_FAULTS)


class Stream:
    """Drives beats and takes words, both with pauses."""

    def __init__(self, dut: Any, rng: np.random.Generator) -> None:
        self.dut, self.rng = dut, rng
        self.beats: deque[tuple[int, bool]] = deque()  # still to be taken
        self.offered = False
        self.words: list[int] = []  # taken in this frame
        self.failures = 0
        self.held: int | None = None  # a word that was offered and not taken
        self.idle, self.pressure = 0.0, 0.0

    async def cycle(self, **pulses: int) -> None:
        """One cycle with ``begin_frame`` or ``abandon``."""
        dut, rng = self.dut, self.rng
        self.offered = bool(self.beats) and (self.offered or rng.random() >= self.idle)
        ready = bool(rng.random() >= self.pressure)
        dut.s_axis_tvalid.value = int(self.offered)
        if self.beats:
            dut.s_axis_tdata.value, dut.s_axis_tlast.value = self.beats[0]
        dut.ws_ready.value = int(ready)
        for name in ("begin_frame", "abandon"):
            getattr(dut, name).value = pulses.get(name, 0)
        await RisingEdge(dut.clk)
        if self.offered and dut.s_axis_tready.value:
            self.beats.popleft()
            self.offered = False
        valid, word = bool(dut.ws_valid.value), int(dut.ws_data.value)
        if self.held is not None and (not valid or word != self.held):
            raise failure(f"word {len(self.words)} did not stay until it was taken")
        if valid and ready:
            self.words.append(word)
        self.failures += int(dut.failed.value)
        given_up = pulses.get("abandon") or dut.failed.value
        self.held = word if valid and not ready and not given_up else None

    def packet(self, kind: str, identity: int, words: list[int]) -> list[tuple[int, bool]]:
        """Beats of a packet that is right or wrong in one way."""
        rng = self.rng
        data = b"".join(word.to_bytes(9, "little") for word in words)
        data += rng.bytes(-len(data) % 8)  # padding of any value
        payload = np.frombuffer(data, "<u8").tolist()
        fields = {"magic": PACKET_MAGIC, "type": WEIGHTS, "identity": identity, "length": len(payload)}
        fields |= HEADER_FAULTS.get(kind, {})
        if kind == "identity":
            fields["identity"] ^= 1 << int(rng.integers(24))
        if kind == "length":
            fields["length"] += int(rng.choice([-1, 1]))
        if kind == "early":
            payload = payload[: int(rng.integers(1, len(payload)))] if len(payload) > 1 else []
        if kind == "alone":
            payload = []
        if kind == "late":
            payload += rng.integers(0, 1 << 63, int(rng.integers(1, 20))).tolist()
        beats = [PACKET.pack(fields)[0], *payload]
        return [(beat, n == len(beats) - 1) for n, beat in enumerate(beats)]

    async def frame(self, number: int, kind: str) -> None:
        """One frame and its packet, which may come before or behind the frame's begin."""
        dut, rng = self.dut, self.rng
        what = f"frame {number} ({kind})"
        words = [
            int.from_bytes(rng.bytes(9), "little") for _ in range(int(rng.choice([1, 2, 8, int(rng.integers(1, 60))])))
        ]
        identity = int(rng.integers(1 << 24))
        beats = self.packet(kind, identity, words)
        if early := rng.random() < 0.5:
            self.beats.extend(beats)
        dut.identity.value, dut.stream_words.value = identity, len(words)
        self.idle, self.pressure = (float(rng.choice([0, 0.3, 0.8])) for _ in range(2))
        for _ in range(int(rng.integers(1, 4))):
            await self.cycle()
        self.words, self.failures = [], 0
        await self.cycle(begin_frame=1)
        if not early:
            self.beats.extend(beats)
        if kind == "abandoned":
            for _ in range(int(rng.choice([0, 1, 2, int(rng.integers(4 * len(beats)))]))):
                await self.cycle()
            await self.cycle(abandon=1)
            self.check(what, words, 0)
            taken_words = len(self.words)
            for _ in range(int(rng.integers(6))):
                await self.cycle()
                if dut.ws_valid.value or dut.complete.value:
                    raise failure(f"{what}: words, or complete, behind the end")
            if len(self.words) != taken_words:
                raise failure(f"{what}: words behind the end")
            return
        for _ in range(PATIENCE):
            if self.failures or (kind == "good" and len(self.words) == len(words) and dut.complete.value):
                break
            await self.cycle()
        else:
            raise failure(f"{what}: no end within {PATIENCE} cycles; {len(self.words)} of {len(words)} words")
        for _ in range(int(rng.integers(6))):
            await self.cycle()
            if kind == "good" and not dut.complete.value:
                raise failure(f"{what}: complete does not stay")
            if kind != "good" and (dut.ws_valid.value or dut.complete.value):
                raise failure(f"{what}: words, or complete, behind the end")
        self.check(what, words, int(kind != "good"))
        if kind == "good" and len(self.words) != len(words):
            raise failure(f"{what}: {len(self.words)} words of {len(words)}")

    def check(self, what: str, words: list[int], failures: int) -> None:
        if self.failures != failures:
            raise failure(f"{what}: failed {self.failures} times, expected {failures}")
        for n, word in enumerate(self.words):
            expected = words[n] if n < len(words) else -1
            if word != expected:
                raise failure(f"{what}: word {n} of {len(words)} is {word:018x}, expected {expected:018x}")


async def prepare(dut: Any) -> None:
    names = (
        "begin_frame",
        "abandon",
        "identity",
        "stream_words",
        "s_axis_tdata",
        "s_axis_tvalid",
        "s_axis_tlast",
        "ws_ready",
    )
    await start(dut, dict.fromkeys(names, 0), LIMIT)


@cocotb.test()
async def frames(dut: Any) -> None:
    """Frames of all kinds."""
    await prepare(dut)
    rng = random_generator()
    stream = Stream(dut, rng)
    for number in range(FRAMES):
        await stream.frame(number, str(rng.choice(KINDS)))


@cocotb.test()
async def throughput(dut: Any) -> None:
    """8 words in 9 cycles where nothing pauses."""
    await prepare(dut)
    stream = Stream(dut, random_generator(1))
    words = list(range(800))
    dut.identity.value, dut.stream_words.value = 5, len(words)
    stream.beats.extend(stream.packet("good", 5, words))
    for _ in range(3):
        await stream.cycle()
    await stream.cycle(begin_frame=1)
    for _ in range(len(words) * 9 // 8 + 4):
        await stream.cycle()
    if stream.words != words:
        raise failure(f"{len(stream.words)} of {len(words)} words came")


@cocotb.test()
async def resets(dut: Any) -> None:
    """Behind a reset the rest of a packet is discarded, the next frame's packet is taken whole."""
    await prepare(dut)
    rng = random_generator(2)
    stream = Stream(dut, rng)
    for number in range(60):
        words = [int.from_bytes(rng.bytes(9), "little") for _ in range(30)]
        dut.identity.value, dut.stream_words.value = 7, len(words)
        stream.beats.extend(stream.packet("good", 7, words))
        stream.idle, stream.pressure = 0.3, 0.3
        for _ in range(2):
            await stream.cycle()
        await stream.cycle(begin_frame=1)
        for _ in range(int(rng.integers(80))):
            await stream.cycle()
        begun = len(stream.beats) < 35  # else the whole packet is still to come, and would be the next frame's
        dut.rst.value = 1
        dut.s_axis_tvalid.value = 0
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        stream.offered, stream.held = False, None
        if not begun:
            stream.beats.clear()
        await stream.frame(number, "good")
