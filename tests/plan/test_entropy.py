"""The entropy code: literals worked by hand, round trips, fitted tables, and strings that no encoder writes."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze_hls.engine.entropy import (
    CHUNK_BITS,
    LANE_BITS,
    SETS,
    STATES,
    Class,
    Encoder,
    Table,
    decode,
    encode,
    make_table,
)
from squeeze_hls.plan.entropy_fit import fit_tables, histogram

CORNERS = np.array([0, 31, -31, -32, 1, -1, 0, 0], np.int8)


def laplace(rng: np.random.Generator, count: int, scale: float, lanes: int = 8) -> np.ndarray:
    return np.clip(np.rint(rng.laplace(0, scale, (count, lanes))), -32, 31).astype(np.int8)


def fit(chunks: np.ndarray, limit: int = LANE_BITS) -> Table:
    return fit_tables(histogram(chunks)[None], 1, {0}, limit)[0][0]


def coded(chunks: np.ndarray, table: Table) -> np.ndarray:
    bits = encode(chunks, np.zeros(len(chunks), np.int64), [table])
    assert bits is not None
    return bits


def test_a_table_by_hand() -> None:
    # Zeros have 48 entries, +-5 and +-6 have 16: of 4 bits of state each, two bits of sign and magnitude.
    table = make_table([Class(0), Class(5, 2)], [48, 16])
    assert sorted(table.bits[table.extra == 2]) == [2] * 16
    assert sorted(table.bits[table.extra == 0]) == [0] * 32 + [1] * 16
    assert table.weights[int(np.flatnonzero(table.extra == 2)[0]), :4].tolist() == [5, -5, 6, -6]
    reached = [b + r for b, n in zip(table.base, table.bits, strict=True) for r in range(1 << n)]
    assert sorted(reached) == sorted([*range(64), *range(64)])  # each class leads to every state once


def test_a_string_by_hand() -> None:
    # One class of all weights +-(8 + x), x < 8, takes no bits of state: 4 bits a weight, sign first.
    table = make_table([Class(8, 4)], [STATES])
    assert table.bits.tolist() == [0] * 64 and table.base.tolist() == list(range(64))
    bits = coded(np.array([[8, -8, 9, -15]], np.int8), table)
    assert bits.size == SETS * 4 * 6 + 16
    assert "".join(map(str, bits[-16:])) == "0000" + "1000" + "0100" + "1111"


def test_the_first_states_stand_first_lane_by_lane() -> None:
    table = make_table([Class(0), Class(3)], [32, 32])  # entries alternate: 0 in even states, 3 in odd ones
    assert table.value.tolist() == [0, 3] * 32
    bits = coded(np.array([[0, 3, 3, 0]], np.int8), table)
    assert [int(bits[6 * lane]) for lane in range(4)] == [0, 1, 1, 0]
    assert bits.size == SETS * 4 * 6 + 4  # one bit of state each


@pytest.mark.parametrize("lanes", [4, 8])
@pytest.mark.parametrize("count", [1, 4, 5, 6, 333])
def test_round_trip_with_a_table_for_each_half(lanes: int, count: int) -> None:
    rng = np.random.default_rng(count + lanes)
    chunks = np.where(rng.random((count, 1)) < 0.5, laplace(rng, count, 6, lanes), laplace(rng, count, 1, lanes))
    chunks[0] = CORNERS[:lanes]
    choice = rng.integers(0, 2, count)
    tables = [fit(chunks, 9), make_table([Class(v) for v in range(STATES)], [1] * STATES)]
    bits = encode(chunks, choice, tables)
    assert bits is not None
    after = rng.integers(0, 2, 500).astype(np.uint8)
    np.testing.assert_array_equal(decode(np.concatenate([bits, after]), choice, lanes, tables), chunks)
    assert decode(bits[:-1], choice, lanes, tables) is None


@pytest.mark.parametrize(("scale", "loss"), [(0.3, 1.03), (1.2, 1.02), (4.0, 1.02), (9.0, 1.03)])
def test_a_fitted_table_comes_close_to_the_entropy(scale: float, loss: float) -> None:
    chunks = laplace(np.random.default_rng(1), 20_000, scale)
    share = histogram(chunks) / chunks.size
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum() * chunks.size
    assert coded(chunks, fit(chunks, 9)).size <= loss * entropy


def test_no_lane_exceeds_its_limit() -> None:
    chunks = laplace(np.random.default_rng(2), 5000, 2)
    chunks[::50, 3] = -31
    for limit in (9, 10, 11):
        table = fit(chunks, limit)
        assert (table.bits + table.extra).max() <= limit
    assert CHUNK_BITS == 8 * 9


def test_a_chunk_that_would_be_too_long_is_not_coded() -> None:
    chunks = np.zeros((4000, 8), np.int8)
    chunks[1, :] = [20, 21, 22, 23, 24, 25, 26, 27]
    assert encode(chunks, np.zeros(4000, np.int64), [fit(chunks, 11)]) is None
    assert coded(chunks, fit(chunks, 9)).size < 8 * 4000 * 0.2


def test_a_weight_that_no_class_has_is_not_coded() -> None:
    chunks = np.array([[0, 1, 0, 1, 0, 1, 0, 1]], np.int8)
    table = fit(chunks)
    assert encode(chunks + 1, np.zeros(1, np.int64), [table]) is None


def test_each_histogram_gets_the_table_that_suits_it() -> None:
    rng = np.random.default_rng(3)
    parts = [laplace(rng, 3000, scale) for scale in (8, 0.5, 7.5, 0.6, 8.5)]
    tables, choice = fit_tables(np.stack([histogram(part) for part in parts]), 2)
    assert choice[0] == choice[2] == choice[4] != choice[1] == choice[3]
    for part, code in zip(parts, choice, strict=True):
        sizes = [encode(part, np.full(len(part), i), tables) for i in range(2)]
        lengths = [np.inf if s is None else s.size for s in sizes]
        assert lengths[code] == min(lengths)


@pytest.mark.parametrize("value", [0, 7, -32])
def test_a_network_of_one_weight_takes_no_bits_for_it(value: int) -> None:
    chunks = np.full((50, 8), value, np.int8)
    table = fit(chunks)
    sign = 0 if value in (0, -32) else 8 * 50
    assert coded(chunks, table).size == SETS * 8 * 6 + sign


def test_garbage_decodes_to_something_or_is_refused() -> None:
    rng = np.random.default_rng(4)
    limits = {"bits": 7, "base": 64, "extra": 6, "value": 64}
    for _ in range(20):
        table = Table(**{name: rng.integers(0, limit, STATES) for name, limit in limits.items()})
        weights = decode(rng.integers(0, 2, 4000).astype(np.uint8), np.zeros(40, np.int64), 8, [table])
        assert weights is None or (weights.shape == (40, 8) and np.abs(weights.astype(int)).max() <= 32)


def test_classes_hold_each_weight_once() -> None:
    table = make_table([Class(0), Class(1, 1), Class(2, 3), Class(28, 5), Class(32)], [20, 20, 20, 3, 1])
    encoder = Encoder(table)
    coded_weights = {int(w) for w in np.flatnonzero(encoder.class_of >= 0)}
    magnitudes = {0, 1, 2, 3, 4, 5, 28, 29, 30, 31, 32}
    assert coded_weights == {w for w in range(64) if min(w, 64 - w) in magnitudes}


def test_careful_histograms_share_the_last_table() -> None:
    rng = np.random.default_rng(6)
    parts = [laplace(rng, 3000, scale) for scale in (8, 0.5, 7.5, 0.6, 8.5)]
    tables, choice = fit_tables(np.stack([histogram(part) for part in parts]), 3, {0, 3}, 9)
    assert choice[0] == choice[3] == 2 and choice[1] != 2
    assert tables[2].length.max() <= 9
