"""mac_array against integer dot products: random sets with gaps, extremes, every pair of weights."""

from __future__ import annotations

from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from tests.rtl.common import LATENCIES, assert_same, failure, pack, parameters, random_generator, start, unpack


def latency(cin: int) -> int:
    """``mac_latency`` of the package."""
    return LATENCIES.mac_array(cin)


class Driver:
    """Issues steps and checks every set at the cycle it is due in; sums are compared modulo 2**24."""

    def __init__(self, dut):
        p = parameters()
        self.dut, self.pix, self.cin, self.cout = dut, p["PIX"], p["CIN"], p["COUT"]
        self.due: deque[tuple[int, np.ndarray, str]] = deque()
        self.cycle, self.checked = 0, 0
        self.sums = np.zeros((self.pix, self.cout), dtype=np.int64)

    async def start(self, limit: int):
        await start(self.dut, dict.fromkeys(("act", "weights", "in_valid", "in_first", "in_last"), 0), limit)

    async def step(self, act, weights, valid: bool, first: bool, last: bool, what: str = ""):
        """One cycle: ``act`` (PIX, CIN), ``weights`` (COUT, CIN)."""
        dut = self.dut
        dut.act.value, dut.weights.value = pack(act, 8), pack(weights, 6)
        dut.in_valid.value, dut.in_first.value, dut.in_last.value = int(valid), int(first), int(last)
        await RisingEdge(dut.clk)
        self._check()
        if valid:
            self.sums = (0 if first else self.sums) + act @ weights.T
            if last:
                self.due.append((self.cycle + latency(self.cin), self.sums, what))
        self.cycle += 1

    def _check(self):
        expected = bool(self.due) and self.due[0][0] == self.cycle
        if bool(self.dut.set_valid.value) != expected:
            raise failure(f"cycle {self.cycle}: set_valid is {self.dut.set_valid.value}, not {int(expected)}")
        if expected:
            _, sums, what = self.due.popleft()
            got = unpack(int(self.dut.sums.value), self.pix * self.cout, 24, signed=True)
            wrapped = (sums + (1 << 23)) % (1 << 24) - (1 << 23)
            assert_same(got.reshape(self.pix, self.cout), wrapped, f"set {self.checked} {what}: [pixel, output]")
            self.checked += 1

    async def drain(self):
        zeros = np.zeros((self.pix, self.cin), int), np.zeros((self.cout, self.cin), int)
        for _ in range(latency(self.cin) + 2):
            await self.step(*zeros, valid=False, first=True, last=True)
        if self.due:
            raise failure(f"{len(self.due)} sets never came")


@cocotb.test()
async def random_sets_with_gaps(dut):
    driver, rng = Driver(dut), random_generator()
    await driver.start(20_000)
    for number in range(150):
        steps, gaps = int(rng.choice([1, 1, 2, 3, 10, 30])), rng.choice([0.0, 0.1, 0.5])
        for step in range(steps):
            while True:
                valid = rng.random() >= gaps
                act = rng.integers(0, 256, (driver.pix, driver.cin))
                weights = rng.integers(-32, 32, (driver.cout, driver.cin))
                # The flags of a step that is not valid mean nothing.
                flags = (step == 0, step == steps - 1) if valid else tuple(rng.random(2) < 0.5)
                await driver.step(act, weights, bool(valid), bool(flags[0]), bool(flags[1]), f"of {steps} steps")
                if valid:
                    break
        if number % 50 == 49:
            await driver.drain()
    await driver.drain()
    assert driver.checked == 150


@cocotb.test()
async def extremes(dut):
    """Constant sets of the extreme values, long enough for sums near +-2**23 and beyond (they wrap)."""
    driver, rng = Driver(dut), random_generator(1)
    await driver.start(20_000)
    full = (1 << 23) // (255 * 32 * driver.cin)
    choices = [(low, high) for low in (-32, -1, 0, 31) for high in (-32, -1, 0, 31)]
    for steps in (1, full, full + 2):
        for low, high in choices:
            weights = np.tile(np.array([low, high] * (driver.cout // 2))[:, None], (1, driver.cin))
            act = np.full((driver.pix, driver.cin), 255)
            for step in range(steps):
                await driver.step(act, weights, True, step == 0, step == steps - 1, f"{steps} x ({low}, {high})")
    for _ in range(200):  # single extreme taps among zeros
        weights = rng.choice([-32, -31, -1, 0, 1, 31], (driver.cout, driver.cin))
        act = rng.choice([0, 1, 255], (driver.pix, driver.cin))
        await driver.step(act, weights, True, True, True, "single extremes")
    await driver.drain()


@cocotb.test()
async def every_pair_of_weights(dut):
    """All 64 x 64 pairs in one DSP48 alone, on its own tap, with various activations."""
    driver, rng = Driver(dut), random_generator(2)
    await driver.start(40_000)
    low, high = (w.ravel() - 32 for w in np.meshgrid(np.arange(64), np.arange(64)))
    for value in (1, 127, 128, 255, int(rng.integers(2, 255))):
        pairs = driver.cout // 2
        for begin in range(0, low.size, pairs):
            places = np.arange(begin, begin + pairs) % low.size
            tap = (begin // pairs) % driver.cin
            weights = np.zeros((driver.cout, driver.cin), dtype=np.int64)
            weights[0::2, tap], weights[1::2, tap] = low[places], high[places]
            act = np.full((driver.pix, driver.cin), value)
            await driver.step(act, weights, True, True, True, f"activation {value}, tap {tap}")
    await driver.drain()


@cocotb.test()
async def reset_drops_what_is_in_flight(dut):
    driver, rng = Driver(dut), random_generator(3)
    await driver.start(10_000)
    for _ in range(20):
        act = rng.integers(0, 256, (driver.pix, driver.cin))
        weights = rng.integers(-32, 32, (driver.cout, driver.cin))
        for step in range(int(rng.integers(1, 20))):
            await driver.step(act, weights, True, step == 0, True)
        dut.rst.value, dut.in_valid.value = 1, 0
        driver.due.clear()
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        driver.cycle += 1
        await RisingEdge(dut.clk)
        driver.cycle += 1
        for step in range(5):
            await driver.step(act, weights, True, step == 0, step == 4)
        await driver.drain()
