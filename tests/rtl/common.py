"""What the cocotb benches share: parameters, seeded random numbers, the clock, packing, comparison."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from squeeze_hls.engine.latencies import TABLE

SEED = int(os.environ.get("SQUEEZE_HLS_SEED", "1"))  # of this run; cocotb.RANDOM_SEED differs from test to test


# Those that the module was built with.
LATENCIES = replace(TABLE, **json.loads(os.environ.get("SQUEEZE_HLS_LATENCIES", "{}")))


def parameters() -> dict[str, Any]:
    """Parameters that the module was built with."""
    return json.loads(os.environ["SQUEEZE_HLS_PARAMETERS"])


def random_generator(salt: int = 0) -> np.random.Generator:
    """Random numbers of this run's seed."""
    return np.random.default_rng([SEED, salt])


def failure(text: str) -> AssertionError:
    """An error that names the seed."""
    return AssertionError(f"{text} (seed {SEED})")


async def start(dut: Any, inputs: dict[str, int], limit: int) -> None:
    """Drive ``inputs``, start the clock and reset; fail the test if it still runs ``limit`` cycles later."""
    for name, value in inputs.items():
        getattr(dut, name).value = value
    Clock(dut.clk, 10, unit="ns").start()
    if hasattr(dut, "rst"):
        dut.rst.value = 1
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
    await RisingEdge(dut.clk)
    cocotb.start_soon(_watch(limit))


async def _watch(limit: int) -> None:
    await Timer(limit * 10, unit="ns")
    raise failure(f"still running after {limit} cycles")


def pack(values: np.ndarray, bits: int) -> int:
    """Element n (flattened; may be negative) at bits ``n * bits`` and up."""
    mask = (1 << bits) - 1
    word = 0
    for value in reversed(np.asarray(values).ravel().tolist()):
        word = word << bits | (value & mask)
    return word


def unpack(word: int, count: int, bits: int, *, signed: bool = False) -> np.ndarray:
    """The inverse of ``pack``: int64 (count,)."""
    values = [(word >> n * bits) & ((1 << bits) - 1) for n in range(count)]
    if signed:
        values = [v - (1 << bits) if v >> (bits - 1) else v for v in values]
    return np.array(values, dtype=np.int64)


def assert_same(got: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Exact equality; the message has the first differing element."""
    got, expected = np.asarray(got), np.asarray(expected).reshape(np.shape(got))
    wrong = np.argwhere(got != expected)
    if len(wrong):
        first = tuple(int(c) for c in wrong[0])
        raise failure(
            f"{what}: {len(wrong)} of {got.size} wrong, first at {first}: got {got[first]}, expected {expected[first]}"
        )
