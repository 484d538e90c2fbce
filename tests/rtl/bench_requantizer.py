"""requantizer against arith.requantize: random values with gaps, extremes, halves, the clamp at 0 and at any top."""

from __future__ import annotations

from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from squeeze_hls.network import arith
from tests.rtl.common import LATENCIES, assert_same, failure, pack, parameters, random_generator, start, unpack

LATENCY = LATENCIES.requantize
TOP_DELAY = 4  # cycles from a word to the cycle that looks at the tops
TOPS_A = (1, 3, 7, 15, 100, 127, 128, 254, 255, 256, 4095, 32767, 32768, 65279, 65280, 65534, 65535)
TOPS_B = tuple(top for top in TOPS_A if top < 256)
SUM_MAX = 2**23 - 1


class Driver:
    """Issues words and checks each LATENCY cycles later."""

    def __init__(self, dut):
        self.dut, self.cin = dut, parameters()["CIN"]
        self.due: deque[tuple[np.ndarray, str] | None] = deque([None] * LATENCY)
        self.tops: deque[tuple[int, int]] = deque([(0, 0)] * TOP_DELAY)  # of halves A and B
        self.rng = random_generator()
        self.cycle, self.seen = 0, set()

    async def start(self, limit: int):
        names = ("in_valid", "acc", "bias", "multiplier", "offset", "shift", "half_b", "top_a", "top_b")
        await start(self.dut, dict.fromkeys(names, 0), limit)

    async def word(self, acc, bias, multiplier, offset, shift: int, top: int, valid: bool = True):
        """One cycle; arrays of CIN: sums, biases, M, offsets; S = shift - offset.

        A top of 8 bits may be that of half B; the other half has one of its own.
        """
        half_b = top < 256 and bool(self.rng.integers(2))
        tops = (int(self.rng.choice(TOPS_A)), top) if half_b else (top, int(self.rng.choice(TOPS_B)))
        self.tops.append(tops)
        dut = self.dut
        dut.in_valid.value, dut.acc.value, dut.bias.value = int(valid), pack(acc, 24), pack(bias, 24)
        dut.multiplier.value, dut.offset.value = pack(multiplier - 2**16, 16), pack(offset, 4)
        dut.shift.value, dut.half_b.value = shift, int(half_b)
        dut.top_a.value, dut.top_b.value = self.tops.popleft()
        await RisingEdge(dut.clk)
        expected = self.due.popleft()
        if bool(dut.out_valid.value) != (expected is not None):
            raise failure(f"cycle {self.cycle}: out_valid is {dut.out_valid.value}")
        if expected is not None:
            values, what = expected
            assert_same(unpack(int(dut.out.value), self.cin, 16), values, f"cycle {self.cycle}, {what}: [lane]")
        values = arith.requantize(acc + bias, multiplier, shift - offset, top)
        what = f"acc {acc}, bias {bias}, M {multiplier}, S {shift - offset}, half B {half_b}, tops {tops}"
        self.due.append((values, what) if valid else None)
        self.seen |= {(half_b, "zero" if v == 0 else "top" if v == top else "between") for v in values}
        self.cycle += 1

    async def drain(self):
        zero = np.zeros(self.cin, int)
        for _ in range(LATENCY + 1):
            await self.word(zero, zero, zero + 2**16, zero, 1, 255, valid=False)


def random_scale(rng, cin):
    """Shift of the layer and offsets with every S in [1, 41]."""
    s = rng.integers(1, 42)
    shift = int(min(s + rng.integers(0, 16), 56))
    offset = np.clip(rng.integers(0, 16, cin), max(0, shift - 41), min(15, shift - 1))
    return shift, offset


@cocotb.test()
async def random_words_with_gaps(dut):
    driver, rng = Driver(dut), random_generator()
    await driver.start(20_000)
    for _ in range(6000):
        cin = driver.cin
        shift, offset = random_scale(rng, cin)
        multiplier = rng.choice([2**16, 2**17 - 1, int(rng.integers(2**16, 2**17))], cin)
        top = int(rng.choice(TOPS_A) if rng.random() < 0.7 else rng.integers(1, 1 << rng.choice([8, 16])))
        # Sums whose results spread around [0, top]: about top * 2**(S - 17), and full-range ones.
        span = np.minimum(top * 2.0 ** (shift - offset - 16 + rng.integers(-2, 3)), SUM_MAX).astype(np.int64) + 1
        acc = rng.integers(-span // 2, span + 1)
        acc = np.where(rng.random(cin) < 0.15, rng.choice([-SUM_MAX - 1, SUM_MAX, 0, -1, 1], cin), acc)
        bias = np.where(rng.random(cin) < 0.5, 0, rng.integers(-span, span + 1))
        bias = np.where(rng.random(cin) < 0.1, rng.choice([-SUM_MAX - 1, SUM_MAX], cin), bias)
        acc, bias = (np.clip(v, -SUM_MAX - 1, SUM_MAX) for v in (acc, bias))
        await driver.word(acc, bias, multiplier, offset, shift, top, bool(rng.random() < 0.8))
    await driver.drain()
    assert len(driver.seen) == 6, driver.seen


@cocotb.test()
async def every_shift_at_the_extremes(dut):
    driver = Driver(dut)
    await driver.start(20_000)
    cin = driver.cin
    end = SUM_MAX
    sums = np.array([-end - 1, -end, -2, -1, 0, 1, 2, 3, end - 1, end, 2**16, 2**15, 255, 256, 65535, 65536])
    for s in range(1, 42):
        for multiplier in (2**16, 2**16 + 1, 2**17 - 1):
            for top in (255, 65535):
                for begin in range(0, 16, cin):
                    shift = min(s + 15, 41)
                    offset = np.full(cin, shift - s)
                    values = sums[begin : begin + cin]
                    await driver.word(values, values * 0, np.full(cin, multiplier), offset, shift, top)
                    # A bias that takes the sum out of 24 bits is not cut either.
                    await driver.word(values, values, np.full(cin, multiplier), offset, shift, top)
    await driver.drain()


@cocotb.test()
async def halves_round_up(dut):
    """M = 2**16 and odd sums at S = 17: every product lies half way; also one below and one above half."""
    driver = Driver(dut)
    await driver.start(20_000)
    cin = driver.cin
    for top in (255, 65535):
        for base in range(-40, 600, cin):
            acc = 2 * (base + np.arange(cin)) + 1
            for s in (17, 18, 20):
                await driver.word(acc << (s - 17), acc * 0, np.full(cin, 2**16), acc * 0, s, top)
                for near in (-1, 1):
                    await driver.word((acc << (s - 17)) + near, acc * 0, np.full(cin, 2**16), acc * 0, s, top)
    await driver.drain()


@cocotb.test()
async def every_top_at_its_edge(dut):
    """Values from two below a top to two above, by every shift that leaves them whole; a single bit above it, too."""
    driver = Driver(dut)
    await driver.start(40_000)
    cin = driver.cin
    single = [1 << bit for bit in range(23)]
    for top in TOPS_A:
        values = np.array([*range(top - 2, top + 3), *single, *(value | top for value in single), *[0] * cin])
        for s in (16, 17, 20, 23, 24):
            fit = values[values << (s - 16) <= SUM_MAX]
            for begin in range(0, len(fit) - cin, cin):
                acc = fit[begin : begin + cin] << (s - 16)
                await driver.word(acc, acc * 0, np.full(cin, 2**16), acc * 0, s, top)
    await driver.drain()
