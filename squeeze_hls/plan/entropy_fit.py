"""Tables for a network: halves of layers in a few clusters of like distribution, a table for each (docs/entropy.md)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from squeeze_hls.engine.entropy import EXTRA_MAX, LANE_BITS, STATE_BITS, STATES, WEIGHTS, Class, Table, make_table

LARGEST = WEIGHTS // 2  # magnitude of the one weight without a positive partner
ITERATIONS = 20


def histogram(weights: np.ndarray) -> np.ndarray:
    """int64 (WEIGHTS,): how often each weight occurs, by its two's complement."""
    return np.bincount(weights.reshape(-1).astype(np.int64) % WEIGHTS, minlength=WEIGHTS)


def fit_tables(
    histograms: np.ndarray, count: int, careful: Collection[int] = (), limit: int = LANE_BITS
) -> tuple[list[Table], list[int]]:
    """Tables, and for each histogram, (n, WEIGHTS), the number of its table.

    ``careful`` are histograms whose table, the last one, codes no weight with more than ``limit`` bits.  Lloyd's
    iteration: fit each table to its members, then give each histogram the table that codes it shortest; the best round
    is kept.
    """
    limits = [LANE_BITS] * (count - bool(careful)) + [limit] * bool(careful)
    bound = np.isin(np.arange(len(histograms)), list(careful))
    members = np.full(len(histograms), count - 1)
    members[~bound] = _by_entropy(histograms[~bound], max(1, count - bool(careful)))
    best_bits, best = np.inf, None
    for _ in range(ITERATIONS):
        fitted = [_fit(histograms[members == i].sum(axis=0), limit) for i, limit in enumerate(limits)]
        bits = np.stack([_cost(histograms, lengths) for _, lengths in fitted])
        bits[:-1, bound] = np.inf
        closest = bits.argmin(axis=0)
        total = float(bits.min(axis=0).sum())
        if total < best_bits:
            best_bits, best = total, ([table for table, _ in fitted], closest.tolist())
        if np.array_equal(closest, members):
            break
        members = closest
    assert best is not None  # a table codes its own members: the first round is finite
    return best


def _by_entropy(histograms: np.ndarray, count: int) -> np.ndarray:
    """Clusters of about as many weights each, in the order of their entropy."""
    sizes = histograms.sum(axis=1)
    share = histograms / np.maximum(sizes, 1)[:, None]
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)
    order = np.argsort(entropy, kind="stable")
    members = np.empty(len(sizes), np.int64)
    before = np.cumsum(sizes[order]) - sizes[order]
    members[order] = np.minimum(before * count // max(1, int(sizes.sum())), count - 1)
    return members


def _cost(histograms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Bits of each histogram, infinite where a weight is not coded."""
    coded = np.isfinite(lengths)
    bits = histograms[:, coded] @ lengths[coded]
    return np.where(histograms[:, ~coded].any(axis=1), np.inf, bits)


def _fit(counts: np.ndarray, limit: int) -> tuple[Table, np.ndarray]:
    """The table for weights that occur `counts` (WEIGHTS,) times, and the bits of each, (WEIGHTS,)."""
    total = max(1, int(counts.sum()))
    magnitudes = np.concatenate([counts[:1], counts[1:LARGEST] + counts[:LARGEST:-1], counts[LARGEST : LARGEST + 1]])
    classes = [Class(0)] if counts[0] or not counts.any() else []
    classes += _partition(magnitudes[1:LARGEST], total, limit)
    classes += [Class(LARGEST)] if counts[LARGEST] else []
    sizes = np.array([sum(int(counts[w]) for w, _ in c.members) for c in classes])
    entries = _allot(sizes, np.array([_least(c.extra, limit) for c in classes]))
    lengths = np.full(WEIGHTS, np.inf)
    for c, n in zip(classes, entries, strict=True):
        for weight, _ in c.members:
            lengths[weight] = min(lengths[weight], STATE_BITS - np.log2(n) + c.extra)
    return make_table(classes, entries.tolist()), lengths


def _least(extra: int, limit: int) -> int:
    """Entries that a class needs so that none of its weights takes more than `limit` bits."""
    return 1 << max(0, extra + STATE_BITS - limit)


def _partition(magnitudes: np.ndarray, total: int, limit: int) -> list[Class]:
    """Classes for magnitudes 1, 2, ... that occur so often; those that never occur may have none.

    Dynamic programming.  Entries are counted as fractions: what a class needs at least and does not use, it takes from
    all others.
    """
    top = int(np.flatnonzero(magnitudes)[-1]) + 1 if magnitudes.any() else 0
    before = np.concatenate([[0], np.cumsum(magnitudes)])
    cost, origin, ending = [0.0] + [np.inf] * top, [0] * (top + 1), [0] * (top + 1)  # of magnitudes 1 .. m
    for m in range(top):
        if not magnitudes[m] and cost[m] < cost[m + 1]:
            cost[m + 1], origin[m + 1], ending[m + 1] = cost[m], m, 0
        for extra in range(1, EXTRA_MAX + 1):
            end = min(m + (1 << extra - 1), top)
            count = int(before[end] - before[m])
            share = max(count / total, _least(extra, limit) / STATES)
            bits = cost[m] + count * (extra - np.log2(share)) + (share * total - count) / np.log(2)
            if bits < cost[end]:
                cost[end], origin[end], ending[end] = bits, m, extra
    classes = []
    m = top
    while m:
        if ending[m]:
            classes.append(Class(origin[m] + 1, ending[m]))
        m = origin[m]
    return classes[::-1]


def _allot(sizes: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Entries of each class, STATES in all, that make the shortest code: one moved after the other while that helps."""
    weights = np.maximum(sizes, 1e-6)
    entries = np.maximum(least, np.floor(weights / weights.sum() * STATES).astype(np.int64))
    while True:
        gain = weights * np.log2((entries + 1) / entries)
        loss = np.where(entries > least, weights * np.log2(entries / np.maximum(entries - 1, 1)), np.inf)
        missing = STATES - int(entries.sum())
        if missing == 0:
            loss[gain.argmax()] = np.inf
            if gain.max() <= loss.min() * (1 + 1e-9):
                return entries
        if missing >= 0:
            entries[gain.argmax()] += 1
        if missing <= 0:
            entries[loss.argmin()] -= 1
