"""Decisions with names, taken at random or replayed, so that a failing case can be made smaller.

Every decision is a small number, and 0 is always the plainest.  A case is its seed and its decisions that are not 0:
taking one away changes nothing else, for each has a name of its own (``fire2/pool/ceil``) instead of a place in a
sequence, and the numbers in tensors come from the seed and a name, too.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Made = dict[str, int]
# How often each twist of the plain network is taken, in one case.
SPICES = (0.0, 0.003, 0.006, 0.015)


class Choices:
    """With ``made``, replays these decisions (all others are 0); without, draws them from the seed."""

    def __init__(self, seed: int, made: Made | None = None) -> None:
        self.seed, self.made = seed, {}
        self._given = made
        self._random = random.Random(seed)
        self._spice = self._random.choice(SPICES)
        self._times: dict[str, int] = {}

    def below(self, name: str, count: int, weights: Sequence[float] | None = None) -> int:
        """A number from 0 to ``count - 1``; ``weights`` says how often each is drawn."""
        name = self._unique(name)
        if self._given is not None:
            value = min(self._given.get(name, 0), count - 1)
        elif weights is None:
            value = self._random.randrange(count)
        else:
            value = self._random.choices(range(count), weights)[0]
        if value:
            self.made[name] = value
        return value

    def pick(self, name: str, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of ``options``, of which the first is the plainest."""
        return options[self.below(name, len(options), weights)]

    def mostly(self, name: str, options: Sequence[T], plain: float = 0.9) -> T:
        """The first of ``options`` with a chance of ``plain``; the others are equally likely."""
        rest = (1 - plain) / (len(options) - 1)
        return self.pick(name, options, (plain, *(rest,) * (len(options) - 1)))

    def rare(self, name: str, weight: float = 1.0) -> bool:
        """Whether to take a twist: a few times a case, or never."""
        chance = min(self._spice * weight, 0.5)
        return bool(self.below(name, 2, (1 - chance, chance)))

    def numbers(self, name: str) -> np.random.Generator:
        """Random numbers that no decision changes."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _unique(self, name: str) -> str:
        times = self._times[name] = self._times.get(name, 0) + 1
        return name if times == 1 else f"{name}~{times}"


def shrink(made: Made, fails: Callable[[Made], bool], most: int = 250) -> Made:
    """Fewer and smaller decisions that still fail, after at most so many attempts."""
    best, attempts = dict(made), 0

    def try_it(candidate: Made) -> bool:
        nonlocal best, attempts
        attempts += 1
        if attempts > most or not fails(candidate):
            return False
        best = candidate
        return True

    size = max(len(best) // 2, 1)
    while size and attempts < most:
        names, removed = list(best), False
        for start in range(0, len(names), size):
            gone = set(names[start : start + size])
            removed |= try_it({n: v for n, v in best.items() if n not in gone})
        if not removed or size > 1:
            size //= 2
    for name in list(best):
        for value in range(1, best[name]):
            if try_it({**best, name: value}):
                break
    return best
