"""Every unit of the engine against NumPy, compiled with hardware's widths and counted memory ports."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from squeeze_hls.engine.fields import HEADER, INSTRUCTION, LAYER
from squeeze_hls.engine.packets import padded
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.network import arith
from squeeze_hls.plan.weights import encode_tile

from .conftest import RESIDENT, STREAMED, Unit, record_words

E = RESIDENT
TOPS = (1, 15, 254, 255, 65534, 65535)


def beats(data: bytes) -> np.ndarray:
    return np.frombuffer(padded(data), "<i4")


def test_packed_products_are_exact_for_every_pair_of_weights(unit: Unit) -> None:
    assert unit("mac_exhaustive", np.zeros(0)).tolist() == [0]


def test_the_array_adds_what_numpy_adds(unit: Unit) -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-32, 32, (50, E.cout, E.cin))
    operands = rng.integers(0, 256, (50, E.pix, E.cin))
    weights[0], operands[0] = -32, 255
    weights[1], operands[1] = 31, 255
    weights[2, ::2], weights[2, 1::2], operands[2] = -32, 31, 255
    got = unit("mac", np.concatenate([weights.reshape(50, -1), operands.reshape(50, -1)], axis=1))
    assert np.array_equal(got.reshape(50, E.pix, E.cout), 2 * np.einsum("noi,nli->nlo", weights, operands))


def test_requantizer(unit: Unit) -> None:
    rng = np.random.default_rng(2)
    n = 20_000
    shift, offset = rng.integers(16, 42, n), rng.integers(0, 16, n)
    bias = rng.integers(-(2**20), 2**20, n)
    acc = (rng.normal(0, 1, n) * 2.0 ** np.minimum(shift - offset, 22)).astype(int).clip(-(2**22), 2**22)
    multiplier, top = rng.integers(2**16, 2**17, n), rng.choice(TOPS, n)
    top = np.where(rng.random(n) < 0.3, rng.integers(1, 65536, n), top)
    # halves round up, also below zero; the largest sums and factors
    edge = [[1, 0, 2**16, 17, 0, 255], [-1, 0, 2**16, 17, 0, 255], [2**23 - 1, 0, 2**17 - 1, 41, 0, 65535],
            [-(2**23), 0, 2**17 - 1, 1, 0, 65535], [2**23 - 1, 0, 2**17 - 1, 16, 15, 255]]  # fmt: skip
    # Values of the largest output, and one below and above.
    edge += [[top + more, 0, 2**16, 16, 0, top] for top in TOPS for more in (-1, 0, 1)]
    rows = np.concatenate([np.stack([acc, bias, multiplier, shift, offset, top], axis=1), edge])
    expected = [
        arith.requantize(np.array([a + b]), np.array([m]), np.array([s - o]), t)[0]
        for a, b, m, s, o, t in rows.tolist()
    ]
    assert unit("requantize", rows).tolist() == expected


@pytest.mark.parametrize("engine", [RESIDENT, STREAMED], ids=["resident", "streamed"])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_expander(unit: Unit, engine: object, density: float) -> None:
    rng = np.random.default_rng(int(10 * density))
    words, taps = 3, 9
    shapes = [[(words * taps, E.cout, E.cin), (words, E.cout, E.cin)], [(words * taps, E.cout, E.cin)]]
    tiles = []
    for group in shapes:
        dense = [rng.integers(-32, 32, shape) for shape in group]
        tiles.append([np.where(rng.random(h.shape) < density, h, 0).astype(np.int8) for h in dense])
    layer = dict.fromkeys((f.name for f in LAYER.fields), 0)
    layer |= {"half_a": 1, "half_b": 1, "rows0": 3, "columns": 3, "words": words, "groups_a": 2, "groups_b": 1}
    store = b"".join(encode_tile(halves, E.chunk) for halves in tiles)
    got = unit("expander", np.concatenate([record_words(LAYER.pack(layer)), [0], beats(store)]), engine)
    for halves in tiles:
        expected = np.concatenate(halves)
        cycles, got = int(got[0]), got[1:]
        assert np.array_equal(got[: expected.size].reshape(expected.shape), expected)
        got = got[expected.size :]
        chunks = expected.size // E.chunk
        slow = 9 / 8 if engine is STREAMED else 1  # 9 beats carry 8 words
        assert chunks <= cycles <= slow * chunks + 20, "one chunk a cycle"
    assert not got.size


@pytest.mark.parametrize("taken", [0, 2], ids=["free", "output busy"])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 2, 0), (3, 1, 1), (7, 2, 0), (5, 2, 1), (2, 1, 0)])
def test_gatherer(unit: Unit, kernel: int, stride: int, pad: int, taken: int) -> None:
    rng = np.random.default_rng(kernel)
    height, width = 13, 11
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    colours = (10, 20, 30)
    columns = (width + 2 * pad - kernel) // stride + 1
    rows = ((height + 2 * pad - kernel) // stride) * stride + kernel
    words = -(-3 * kernel // E.cin)
    depth = -(-(-(-rows // stride) * columns) // E.pix) * words * stride
    header = dict.fromkeys((f.name for f in HEADER.fields), 0)
    header |= {
        "height": height, "width": width, "rows": rows, "columns": columns, "pad_top": pad, "pad_left": pad,
        "kernel": kernel, "stride": stride, "gather_words": words, "credit": rows,
        "pad_red": colours[0], "pad_green": colours[1], "pad_blue": colours[2],
    }  # fmt: skip
    inputs = np.concatenate([record_words(HEADER.pack(header)), [depth, taken], beats(image.tobytes())])
    got = unit("gatherer", inputs)
    assert got[0] == 0
    banks = got[1:].reshape(E.pix, depth, E.cin)
    framed = np.empty((height + 2 * pad + kernel, width + 2 * pad + kernel, 3), np.uint8)
    framed[:] = colours
    framed[pad : pad + height, pad : pad + width] = image
    for y in range(rows):
        for x in range(columns):
            window = np.zeros(words * E.cin, int)
            window[: 3 * kernel] = framed[y, x * stride : x * stride + kernel].reshape(-1)
            p = y // stride * columns + x
            address = p // E.pix * words * stride + y % stride * words
            assert np.array_equal(banks[p % E.pix, address : address + words].reshape(-1), window), (y, x)


@pytest.mark.parametrize(
    ("pool", "height", "width"),
    [(p, h, w) for p in (0, 2, 3) for h, w in ((5, 6), (6, 5), (4, 3), (3, 2)) if min(h, w) >= p],
)
@pytest.mark.parametrize("ceil", [0, 1])
def test_output_stage_clamps_and_pools_both_halves(unit: Unit, pool: int, ceil: int, height: int, width: int) -> None:
    rng = np.random.default_rng(pool)
    groups, pixels = 2, height * width
    blocks = -(-pixels // E.pix)
    values = rng.integers(0, 256, (2, blocks * E.pix, groups * E.cout))  # half, pixel, channel
    tops = rng.choice([15, 100, 254, 255], 2, replace=False).tolist()
    out_words, words_a = 7, 3  # the last word of half A does not exist
    size = (pooled_size(height, pool, ceil), pooled_size(width, pool, ceil)) if pool else (height, width)
    depth = (-(-size[0] * size[1] // E.pix) + 2) * out_words
    layer = dict.fromkeys((f.name for f in LAYER.fields), 0)
    layer |= {
        "half_a": 1, "half_b": 1, "pool": pool, "ceil": ceil, "groups_a": groups, "groups_b": groups, "width": width,
        "height": height, "out_words": out_words, "words_a": words_a, "words_b": 4, "offset_a": 4, "offset_b": 0,
        "carry": 5, "carry_half": size[1] * (E.cout // E.cin), "shift_a": 16, "shift_b": 16, "pitch": 1, "words": 1,
        "top_a": tops[0], "top_b": tops[1],
    }  # fmt: skip
    own = dict.fromkeys((f.name for f in INSTRUCTION.fields), 0)
    own |= {"pixels": pixels, "target_ptr": depth - out_words, "target_mod": 1}
    sets = values.reshape(2, blocks, E.pix, groups, E.cout).transpose(3, 1, 0, 2, 4)  # group, block, half
    heads = record_words(LAYER.pack(layer)) + record_words(INSTRUCTION.pack(own)) + [20, depth]
    got = unit("output", np.concatenate([heads, sets.reshape(-1)])).reshape(-1, 2 + E.cin)
    expected = {}
    for half, words, offset in ((0, words_a, 4), (1, 4, 0)):
        maps = values[half, :pixels].clip(max=tops[half]).reshape(height, width, -1)
        maps = max_pool(maps, pool, size) if pool else maps
        for p, pixel in enumerate(maps.reshape(-1, groups * E.cout)):
            for w in range(words):
                at = 1 + p
                address = 20 + (depth - out_words + at // E.pix * out_words + offset + w) % depth
                expected[at % E.pix, address] = pixel[w * E.cin : (w + 1) * E.cin].tolist()
    assert len(got) == len(expected)
    assert {(int(r[0]), int(r[1])): r[2:].tolist() for r in got} == expected


def pooled_size(size: int, kernel: int, ceil: int) -> int:
    return arith.pool_size(size, kernel, 2, bool(ceil))


def max_pool(maps: np.ndarray, kernel: int, size: tuple[int, int]) -> np.ndarray:
    return np.array(
        [[maps[2 * y : 2 * y + kernel, 2 * x : 2 * x + kernel].max(axis=(0, 1)) for x in range(size[1])]
         for y in range(size[0])]
    )  # fmt: skip


def test_crc_is_that_of_zlib(unit: Unit) -> None:
    data = np.random.default_rng(3).integers(0, 256, 800).astype(np.uint8).tobytes()
    for tail in range(1, 9):
        got = unit("crc", np.concatenate([[tail], beats(data)]))
        assert int(got[0]) % 2**32 == zlib.crc32(data[: len(data) - 8 + tail]), tail


def test_a_second_read_in_an_iteration_is_noticed(unit: Unit) -> None:
    with pytest.raises(ToolFailedError, match="read twice in one iteration"):
        unit("two_reads", np.zeros(0))
