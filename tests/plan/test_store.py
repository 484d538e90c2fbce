"""The weight store: literals worked by hand, round trips, and corrupted stores."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.plan.store import StoreReader, encode_tile


def test_dense_literal() -> None:
    # One chunk of four weights: tag 00, then 1, -1, 31, -32 of six bits each, lowest bit first.
    tile = np.array([1, -1, 31, -32], np.int8).reshape(1, 1, 4)
    bits = "00" + "100000" + "111111" + "111110" + "000001"
    expected = int(bits[::-1], 2).to_bytes(9, "little")
    assert encode_tile([tile], 4) == expected


def test_bitmap_literal() -> None:
    # Two chunks of four: (0, 0, 5, 0) and (0, 0, 0, 0). Dense would take 48 bits, the bitmap 4 + 6 + 4 = 14.
    tile = np.array([0, 0, 5, 0, 0, 0, 0, 0], np.int8).reshape(2, 1, 4)
    bits = "10" + "0010" + "101000" + "0000"
    assert encode_tile([tile], 4) == int(bits[::-1], 2).to_bytes(9, "little")


def test_both_halves_of_a_tile_follow_each_other_in_one_word() -> None:
    one = np.array([3, 0, 0, 0], np.int8).reshape(1, 1, 4)
    two = np.array([0, 0, 0, -2], np.int8).reshape(1, 1, 4)
    bits = "10" + "1000" + "110000" + "10" + "0001" + "011111"
    assert encode_tile([one, two], 4) == int(bits[::-1], 2).to_bytes(9, "little")


@pytest.mark.parametrize("chunk", [4, 8])
def test_round_trip(chunk: int) -> None:
    rng = np.random.default_rng(chunk)
    store, expected = b"", []
    for density in (0.0, 0.05, 0.3, 0.5, 0.84, 0.9, 1.0):
        shapes = [(int(rng.integers(1, 9)), 8, 8) for _ in range(int(rng.integers(1, 3)))]
        halves = [np.where(rng.random(s) < density, rng.integers(-32, 32, s), 0).astype(np.int8) for s in shapes]
        expected.append((len(store) // 9, shapes, halves))
        store += encode_tile(halves, chunk)
    reader = StoreReader(store, chunk)
    for word, shapes, halves in expected:
        decoded, _ = reader.tile(word, shapes)
        for got, want in zip(decoded, halves, strict=True):
            np.testing.assert_array_equal(got, want)


def test_the_smaller_encoding_is_taken() -> None:
    rng = np.random.default_rng(0)
    sizes = {}
    for density in (0.2, 1.0):
        tile = np.where(rng.random((16, 16, 8)) < density, rng.integers(1, 32, (16, 16, 8)), 0).astype(np.int8)
        sizes[density] = len(encode_tile([tile], 8))
    assert sizes[1.0] == 9 * -(-(2 + 2048 * 6) // 72)
    assert sizes[0.2] < 0.4 * sizes[1.0]


def test_a_store_that_ends_early_is_refused() -> None:
    tile = np.ones((8, 16, 8), np.int8)
    store = encode_tile([tile], 8)
    with pytest.raises(InputError, match="ends in the middle"):
        StoreReader(store[:-9], 8).tile(0, [(8, 16, 8)])


def test_a_sparse_store_that_ends_early_is_refused() -> None:
    tile = np.zeros((8, 16, 8), np.int8)
    tile[:, :, 0] = 7
    store = encode_tile([tile], 8)
    with pytest.raises(InputError, match="ends in the middle"):
        StoreReader(store[: len(store) // 18 * 9], 8).tile(0, [(8, 16, 8)])


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(InputError, match="unknown encoding"):
        StoreReader(bytes([3]) + bytes(8), 8).tile(0, [(1, 1, 8)])
