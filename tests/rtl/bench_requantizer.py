"""requantizer against arith.requantize: random values with gaps, extremes, halves, both clamps."""

from __future__ import annotations

from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from squeeze_hls import arith
from tests.rtl.common import assert_same, failure, pack, parameters, random_generator, start, unpack

LATENCY = 6  # REQUANT_LATENCY of the package
TOP = 2**23 - 1


class Driver:
    """Issues words and checks each LATENCY cycles later."""

    def __init__(self, dut):
        self.dut, self.cin = dut, parameters()["CIN"]
        self.due: deque[tuple[np.ndarray, str] | None] = deque([None] * LATENCY)
        self.cycle, self.seen = 0, set()

    async def start(self, limit: int):
        names = ("in_valid", "acc", "bias", "multiplier", "offset", "shift", "wide")
        await start(self.dut, dict.fromkeys(names, 0), limit)

    async def word(self, acc, bias, multiplier, offset, shift: int, wide: bool, valid: bool = True):
        """One cycle; arrays of CIN: sums, biases, M, offsets; S = shift - offset."""
        dut = self.dut
        dut.in_valid.value, dut.acc.value, dut.bias.value = int(valid), pack(acc, 24), pack(bias, 24)
        dut.multiplier.value, dut.offset.value = pack(multiplier - 2**16, 16), pack(offset, 4)
        dut.shift.value, dut.wide.value = shift, int(wide)
        await RisingEdge(dut.clk)
        expected = self.due.popleft()
        if bool(dut.out_valid.value) != (expected is not None):
            raise failure(f"cycle {self.cycle}: out_valid is {dut.out_valid.value}")
        if expected is not None:
            values, what = expected
            assert_same(unpack(int(dut.out.value), self.cin, 16), values, f"cycle {self.cycle}, {what}: [lane]")
        top = arith.WIDE_MAX if wide else arith.ACTIVATION_MAX
        values = arith.requantize(acc + bias, multiplier, shift - offset, top)
        what = f"acc {acc}, bias {bias}, M {multiplier}, S {shift - offset}, wide {wide}"
        self.due.append((values, what) if valid else None)
        self.seen |= {(bool(wide), "zero" if v == 0 else "top" if v == top else "between") for v in values}
        self.cycle += 1

    async def drain(self):
        zero = np.zeros(self.cin, int)
        for _ in range(LATENCY + 1):
            await self.word(zero, zero, zero + 2**16, zero, 1, False, valid=False)


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
        # Sums whose results spread around [0, top]: about 2**(S - 17 + 8), and full-range ones.
        span = np.minimum(2.0 ** (shift - offset - 8 + rng.integers(-2, 10)), TOP).astype(np.int64) + 1
        acc = rng.integers(-span // 2, span + 1)
        acc = np.where(rng.random(cin) < 0.15, rng.choice([-TOP - 1, TOP, 0, -1, 1], cin), acc)
        bias = np.where(rng.random(cin) < 0.5, 0, rng.integers(-span, span + 1))
        bias = np.where(rng.random(cin) < 0.1, rng.choice([-TOP - 1, TOP], cin), bias)
        acc, bias = (np.clip(v, -TOP - 1, TOP) for v in (acc, bias))
        await driver.word(acc, bias, multiplier, offset, shift, bool(rng.random() < 0.5), bool(rng.random() < 0.8))
    await driver.drain()
    assert len(driver.seen) == 6, driver.seen


@cocotb.test()
async def every_shift_at_the_extremes(dut):
    driver = Driver(dut)
    await driver.start(20_000)
    cin = driver.cin
    sums = np.array([-TOP - 1, -TOP, -2, -1, 0, 1, 2, 3, TOP - 1, TOP, 2**16, 2**15, 255, 256, 65535, 65536])
    for s in range(1, 42):
        for multiplier in (2**16, 2**16 + 1, 2**17 - 1):
            for wide in (False, True):
                for begin in range(0, 16, cin):
                    shift = min(s + 15, 41)
                    offset = np.full(cin, shift - s)
                    values = sums[begin : begin + cin]
                    await driver.word(values, values * 0, np.full(cin, multiplier), offset, shift, wide)
                    # A bias that takes the sum out of 24 bits is not cut either.
                    await driver.word(values, values, np.full(cin, multiplier), offset, shift, wide)
    await driver.drain()


@cocotb.test()
async def halves_round_up(dut):
    """M = 2**16 and odd sums at S = 17: every product lies half way; also one below and one above half."""
    driver = Driver(dut)
    await driver.start(20_000)
    cin = driver.cin
    for wide in (False, True):
        for base in range(-40, 600, cin):
            acc = 2 * (base + np.arange(cin)) + 1
            for s in (17, 18, 20):
                await driver.word(acc << (s - 17), acc * 0, np.full(cin, 2**16), acc * 0, s, wide)
                for near in (-1, 1):
                    await driver.word((acc << (s - 17)) + near, acc * 0, np.full(cin, 2**16), acc * 0, s, wide)
    await driver.drain()
