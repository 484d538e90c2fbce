"""Entropy-coded layers of one kind of weights each, at random: shapes, weights, tables that code them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.entropy import CHUNK_BITS, STATES, Class, Table, encode, make_table
from squeeze_hls.engine.fields import LAYER
from squeeze_hls.plan.entropy_fit import fit_tables, histogram


@dataclass(frozen=True)
class Shape:
    """Tiles of a layer: `words` a tap, `taps` of half A, groups of both halves (0: the half is not there)."""

    words: int
    taps: int
    groups: tuple[int, int]

    def parts(self, engine: EngineConfig) -> list[tuple[int, int, int]]:
        """(group, half, chunks) in the order of the store."""
        chunks = [depth * engine.chunks_per_word for depth in (self.words * self.taps, self.words)]
        return [(g, half, chunks[half]) for g in range(max(self.groups)) for half in (0, 1) if g < self.groups[half]]

    def record(self, start: int, choice: tuple[int, int]) -> list[int]:
        values = dict.fromkeys((f.name for f in LAYER.fields), 0)
        values |= {"half_a": int(self.groups[0] > 0), "half_b": int(self.groups[1] > 0), "entropy": 1}
        values |= {"groups_a": self.groups[0], "groups_b": self.groups[1], "words": self.words, "weights": start}
        values |= {"rows0": self.taps, "columns": 1, "table_a": choice[0], "table_b": choice[1]}
        return LAYER.pack(values)


def random_shape(rng: np.random.Generator) -> Shape:
    groups = [(1, 0), (3, 0), (0, 2), (2, 2), (1, 3), (4, 1)]
    return Shape(int(rng.integers(1, 4)), int(rng.integers(1, 10)), groups[int(rng.integers(len(groups)))])


Weights = tuple[np.ndarray, Table]  # chunks, int8 (n, lanes), and a table that codes them


def laplace(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    return np.clip(np.rint(rng.laplace(0, scale, shape)), -32, 31).astype(np.int8)


def fit(chunks: np.ndarray) -> Table:
    return fit_tables(histogram(chunks)[None], 1, {0}, CHUNK_BITS // 8)[0][0]


def fitted(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    chunks = laplace(rng, shape, rng.uniform(0.2, 9))
    return chunks, fit(chunks)


def empty_groups(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    """Long runs of zeros."""
    runs = np.repeat(rng.random(shape[0]) < 0.3, 40)[: shape[0]]
    chunks = np.where(runs[:, None], laplace(rng, shape, 2), 0).astype(np.int8)
    return chunks, fit(chunks)


def all_dense(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    """No zeros; six bits for any weight."""
    chunks = rng.integers(1, 32, shape) * rng.choice([-1, 1], shape)
    return chunks.astype(np.int8), make_table([Class(v) for v in rng.permutation(STATES)], [1] * STATES)


def one_symbol(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    chunks = np.full(shape, rng.choice([0, 1, -7, 31, -32]), np.int8)
    return chunks, fit(chunks)


def longest(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    """All lanes have 9 bits, or half of them 11 and half of them 7: 72 in eight lanes."""
    sign = rng.choice([-1, 1], shape)
    if rng.random() < 0.5:
        return (rng.integers(1, 5, shape) * sign).astype(np.int8), make_table([Class(0), Class(1, 3)], [63, 1])
    rare = rng.permuted(np.broadcast_to(np.arange(shape[1]) % 2 == 0, shape), axis=1)
    chunks = np.where(rare, rng.integers(1, 17, shape), 17) * sign
    return chunks.astype(np.int8), make_table([Class(0), Class(1, 5), Class(17, 1)], [62, 1, 1])


def corners(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    chunks = rng.choice([-32, -31, 31, -1, 1, 0], shape, p=[0.02, 0.02, 0.02, 0.1, 0.1, 0.74])
    return chunks.astype(np.int8), make_table([Class(0), Class(1, 1), Class(31, 1), Class(32)], [42, 12, 6, 4])


def every_extra(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    """Classes of 0 to 5 extra bits."""
    classes = [Class(0), Class(1, 1), Class(2, 2), Class(4, 3), Class(8, 4), Class(16, 5)]
    counts = rng.multinomial(STATES - 6 * 4, [1 / 6] * 6) + 4
    return laplace(rng, shape, rng.uniform(1, 8)).clip(-31, 31), make_table(classes, counts.tolist())


PATTERNS = [fitted, empty_groups, all_dense, one_symbol, longest, corners, every_extra]


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights of a layer, their tables and their bits."""

    shape: Shape
    chunks: np.ndarray  # int8 (n, lanes)
    table_of: np.ndarray  # (n,)
    choice: tuple[int, int]
    tables: list[Table]

    @property
    def bits(self) -> np.ndarray:
        bits = encode(self.chunks, self.table_of, self.tables)
        assert bits is not None
        return bits


def make_layer(seed: int, pattern: int, engine: EngineConfig) -> Layer:
    """The pattern in half A and the next one in half B; in both where the engine has one table."""
    rng = np.random.default_rng([seed, pattern])
    shape = random_shape(rng)
    parts = shape.parts(engine)
    half_of = np.concatenate([np.full(n, half) for _, half, n in parts])
    tables = [all_dense(rng, (1, engine.chunk))[1] for _ in range(engine.tables)]
    if engine.tables == 1:
        chunks, tables[0] = PATTERNS[pattern](rng, (half_of.size, engine.chunk))
        return Layer(shape, chunks, np.zeros_like(half_of), (0, 0), tables)
    places = rng.permutation(engine.tables)[:2]
    chunks = np.zeros((half_of.size, engine.chunk), np.int8)
    for half, place in enumerate(places):
        kind = PATTERNS[(pattern + half * seed) % len(PATTERNS)]
        size = int((half_of == half).sum())
        if size:
            chunks[half_of == half], tables[place] = kind(rng, (size, engine.chunk))
    return Layer(shape, chunks, places[half_of], (int(places[0]), int(places[1])), tables)
