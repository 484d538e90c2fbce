"""The entropy code of the weight store: tabled asymmetric numeral systems over classes of weights (docs/entropy.md).

A table of STATES entries is all that a decoder knows.  Encoding follows from any table whose classes stand in it
in the usual way: the entries of a class with n entries are those of the numbers n .. 2n - 1, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from squeeze_hls.network.arith import WEIGHT_BITS

STATE_BITS = 6
STATES = 1 << STATE_BITS
SETS = 5  # chunk n uses state n mod SETS of each lane: the decoder's loop takes as many cycles
EXTRA_MAX = 5
LANE_BITS = STATE_BITS + EXTRA_MAX  # of one weight at most
CHUNK_BITS = 72  # of one chunk at most
WEIGHTS = 1 << WEIGHT_BITS  # values are counted in two's complement: -1 is 63


@dataclass(frozen=True)
class Class:
    """Weights that share the entries of a table: `value`, or +-(value + x) below 32 for x of `extra` - 1 bits."""

    value: int
    extra: int = 0

    @cached_property
    def members(self) -> tuple[tuple[int, int], ...]:
        """Its weights in two's complement, each with its extra bits: sign, then x, which begins at bit 1."""
        if not self.extra:
            return ((self.value % WEIGHTS, 0),)
        span = [bits for bits in range(1 << self.extra) if self.value + (bits >> 1) < WEIGHTS // 2]
        return tuple(((-1 if bits & 1 else 1) * (self.value + (bits >> 1)) % WEIGHTS, bits) for bits in span)


@dataclass(frozen=True, eq=False)
class Table:
    """What a decoder knows, for each state: int64 (STATES,) each."""

    bits: np.ndarray  # read for the next state
    base: np.ndarray  # next state, less these bits
    extra: np.ndarray  # bits that complete the weight
    value: np.ndarray  # weight, or its least magnitude where there are extra bits

    @cached_property
    def length(self) -> np.ndarray:
        """Bits that a lane in this state takes."""
        return self.bits + self.extra

    @cached_property
    def weights(self) -> np.ndarray:
        """int8 (STATES, 2 ** EXTRA_MAX): the weight by state and extra bits."""
        x = np.arange(1 << EXTRA_MAX)
        magnitude = self.value[:, None] + (x >> 1)
        signed = np.where((self.extra[:, None] > 0) & (x & 1 > 0), -magnitude, magnitude)
        return ((signed + WEIGHTS // 2) % WEIGHTS - WEIGHTS // 2).astype(np.int8)


class Encoder:
    """A table seen from the other side: by class and state, what was read and which state came before."""

    def __init__(self, table: Table) -> None:
        classes = sorted({(int(v), int(e)) for v, e in zip(table.value, table.extra, strict=True)})
        self.class_of = np.full(WEIGHTS, -1)  # by weight in two's complement; -1: not coded
        self.extra_bits = np.zeros(WEIGHTS, np.int64)
        self.extra = np.array([e for _, e in classes])
        self.bits = np.zeros((len(classes), STATES), np.int64)
        self.before = np.zeros((len(classes), STATES), np.int64)
        for number, key in enumerate(classes):
            for weight, extra_bits in Class(*key).members:
                if self.class_of[weight] < 0:
                    self.class_of[weight], self.extra_bits[weight] = number, extra_bits
            for state in np.flatnonzero((table.value == key[0]) & (table.extra == key[1])):
                reach = table.base[state] + np.arange(1 << table.bits[state])
                self.before[number, reach], self.bits[number, reach] = state, table.bits[state]


def make_table(classes: Sequence[Class], counts: Sequence[int]) -> Table:
    """The table in which class i has `counts[i]` entries, evenly spread; counts add up to STATES."""
    places = sorted(((i + 0.5) / n, c, n + i) for c, n in enumerate(counts) for i in range(n))
    table = np.zeros((4, STATES), np.int64)
    for state, (_, c, number) in enumerate(places):
        bits = STATE_BITS + 1 - number.bit_length()
        table[:, state] = bits, (number << bits) - STATES, classes[c].extra, classes[c].value
    return Table(*table)


def encode(chunks: np.ndarray, choice: np.ndarray, tables: Sequence[Table]) -> np.ndarray | None:
    """Bits (u8 of 0 or 1) of a layer's chunks: int8 (n, lanes), the table of each chunk in `choice` (n,).

    None where a table lacks a weight, or where a chunk would take more than CHUNK_BITS.
    """
    count, lanes = chunks.shape
    weights = chunks.astype(np.int64) % WEIGHTS
    encoders = [Encoder(table) for table in tables]
    classes = np.stack([e.class_of for e in encoders])[choice[:, None], weights]
    if classes.size and classes.min() < 0:
        return None
    extra = _stack(encoders, "extra")[choice[:, None], classes]
    extra_bits = np.stack([e.extra_bits for e in encoders])[choice[:, None], weights]
    all_bits, all_before = _stack(encoders, "bits"), _stack(encoders, "before")
    bits, low = np.zeros((count, lanes), np.int64), np.zeros((count, lanes), np.int64)
    states = np.zeros((SETS, lanes), np.int64)
    for first in range((count - 1) // SETS * SETS, -1, -SETS):  # backwards, each set's chunk at a time
        part = slice(first, first + SETS)
        now = states[: min(SETS, count - first)]
        index = choice[part, None], classes[part], now
        bits[part] = all_bits[index]
        low[part] = now & (1 << bits[part]) - 1
        states[: len(now)] = all_before[index]
    if count and (bits + extra).sum(axis=1).max() > CHUNK_BITS:
        return None
    start = _string(states.reshape(-1), np.full(states.size, STATE_BITS))
    body = _string((low | extra_bits << bits).reshape(-1), (bits + extra).reshape(-1))
    return np.concatenate([start, body])


def _stack(encoders: Sequence[Encoder], name: str) -> np.ndarray:
    """One attribute of all encoders, which have different numbers of classes."""
    arrays = [getattr(e, name) for e in encoders]
    out = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out


def _string(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Bits of values one after the other, each in so many bits, lowest first."""
    spread = (values[:, None] >> np.arange(LANE_BITS)) & 1
    return spread[np.arange(LANE_BITS) < lengths[:, None]].astype(np.uint8)


def decode(bits: np.ndarray, choice: np.ndarray, lanes: int, tables: Sequence[Table]) -> np.ndarray | None:
    """int8 (n, lanes); `bits` begins with the layer and may go on after it.

    None where the bits end early or a chunk takes more than CHUNK_BITS.
    """
    count = len(choice)
    head = SETS * lanes * STATE_BITS
    if head > bits.size:
        return None
    states = bits[:head].reshape(SETS, lanes, STATE_BITS).astype(np.int64) @ (1 << np.arange(STATE_BITS))
    bits = bits[: head + count * CHUNK_BITS]
    padded = np.concatenate([bits, np.zeros(LANE_BITS, np.uint8)])
    windows = np.zeros(bits.size + 1, np.int64)  # the LANE_BITS bits at each place
    for bit in range(LANE_BITS):
        windows |= padded[bit : bit + bits.size + 1].astype(np.int64) << bit
    length, own, base, extra = (np.stack([getattr(t, n) for t in tables]) for n in ("length", "bits", "base", "extra"))
    mask = (1 << own) - 1
    passed, read = np.zeros((count, lanes), np.int64), np.zeros((count, lanes), np.int64)
    position = head
    for first in range(0, count, SETS):
        part = slice(first, first + SETS)
        now = states[: min(SETS, count - first)]
        index = choice[part, None], now
        passed[part] = now
        ends = length[index].cumsum().reshape(now.shape)
        totals = np.diff(ends[:, -1], prepend=0)
        if totals.max() > CHUNK_BITS or position + ends[-1, -1] > bits.size:
            return None
        window = windows[position + ends - length[index]]
        read[part] = window
        states[: len(now)] = (base[index] + (window & mask[index])) % STATES
        position += int(ends[-1, -1])
    index = choice[:, None], passed
    extra_bits = read >> own[index] & (1 << extra[index]) - 1
    weights: np.ndarray = np.stack([t.weights for t in tables])[*index, extra_bits]
    return weights
