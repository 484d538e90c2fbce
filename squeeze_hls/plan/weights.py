"""The weight store: each layer as tiles, dense or bitmap, or entropy-coded, whichever is shorter (docs/program.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from squeeze_hls.engine import entropy
from squeeze_hls.engine.config import STORE_WORD_BITS, EngineConfig
from squeeze_hls.engine.entropy import Table
from squeeze_hls.engine.store import BITMAP, DENSE, TAG_BITS, WORD_BYTES
from squeeze_hls.network.arith import WEIGHT_BITS
from squeeze_hls.plan.entropy_fit import fit_tables, histogram
from squeeze_hls.plan.lowering import Layer


@dataclass(frozen=True, kw_only=True, eq=False)
class Store:
    """The encoded weights."""

    data: bytes
    starts: tuple[int, ...]  # first word of each layer
    layer_words: tuple[int, ...]
    codes: tuple[tuple[int, ...], ...]  # of each layer the tables of its halves; none: its tiles are dense or bitmaps
    tables: tuple[Table, ...]  # of the entropy code, as many as are used

    @property
    def words(self) -> int:
        return len(self.data) // WORD_BYTES

    def layer_slice(self, layer: int) -> bytes:
        """The words of one layer, as they are streamed for each of its instructions."""
        first = self.starts[layer]
        return self.data[first * WORD_BYTES : (first + self.layer_words[layer]) * WORD_BYTES]


def build_store(layers: Sequence[Layer], engine: EngineConfig) -> Store:
    """Encode every layer in the shortest way that the engine decodes, one after the other."""
    tagged = [_tagged(layer, engine.chunk) for layer in layers]
    tables, choice = _choose_tables(layers, engine) if engine.tables else ([], [()] * len(layers))
    blobs, codes = [], []
    for layer, tiles, code in zip(layers, tagged, choice, strict=True):
        blob = _entropy_coded(layer, code, tables, engine.chunk) if code else None
        shorter = blob is not None and len(blob) < len(tiles)
        blobs.append(blob if blob is not None and shorter else tiles)
        codes.append(code if shorter else ())
    lengths = [len(blob) // WORD_BYTES for blob in blobs]
    used = sorted({table for code in codes for table in code})
    return Store(
        data=b"".join(blobs),
        starts=tuple(accumulate(lengths[:-1], initial=0)),
        layer_words=tuple(lengths),
        codes=tuple(tuple(used.index(table) for table in code) for code in codes),
        tables=tuple(tables[table] for table in used),
    )


def _choose_tables(layers: Sequence[Layer], engine: EngineConfig) -> tuple[list[Table], list[tuple[int, ...]]]:
    """Tables of the entropy code, and of each layer those of its halves; no chunk comes out too long."""
    halves = [half for layer in layers for half in layer.halves]
    histograms = np.stack([histogram(half.tiles) for half in halves])
    numbers = iter(range(len(halves)))
    places = [[next(numbers) for _ in layer.halves] for layer in layers]
    limit = min(entropy.LANE_BITS, entropy.CHUNK_BITS // engine.chunk)
    careful: set[int] = set()  # halves of layers that had a chunk too long
    while True:
        tables, chosen = fit_tables(histograms, engine.tables, careful, limit)
        choice = [tuple(chosen[half] for half in mine) for mine in places]
        long = {
            half
            for layer, mine, code in zip(layers, places, choice, strict=True)
            if not careful.issuperset(mine) and _entropy_coded(layer, code, tables, engine.chunk) is None
            for half in mine
        }
        if not long:
            return tables, choice
        careful |= long


def _tagged(layer: Layer, chunk: int) -> bytes:
    return b"".join(
        encode_tile([half.tiles[group] for half in layer.halves if group < half.groups], chunk)
        for group in range(layer.groups)
    )


def _entropy_coded(layer: Layer, code: Sequence[int], tables: Sequence[Table], chunk: int) -> bytes | None:
    """A layer whose halves are coded by these tables; None where a chunk would be too long."""
    parts = [
        (half.tiles[group].reshape(-1, chunk), table)
        for group in range(layer.groups)
        for half, table in zip(layer.halves, code, strict=True)
        if group < half.groups
    ]
    index = np.repeat([table for _, table in parts], [len(chunks) for chunks, _ in parts])
    bits = entropy.encode(np.concatenate([chunks for chunks, _ in parts]), index, tables)
    return None if bits is None else whole_words(bits)


def encode_tile(halves: Sequence[np.ndarray], chunk: int) -> bytes:
    """Encode the halves of one tile, each int8 (K words, COUT, CIN), to whole 72-bit words."""
    bits = np.concatenate([_encode_half(half.reshape(-1, chunk)) for half in halves])
    return whole_words(bits)


def whole_words(bits: np.ndarray) -> bytes:
    """Bits (u8 of 0 or 1) as whole words."""
    padded = np.zeros(-(-bits.size // STORE_WORD_BITS) * STORE_WORD_BITS, np.uint8)
    padded[: bits.size] = bits
    return np.packbits(padded, bitorder="little").tobytes()


def _encode_half(chunks: np.ndarray) -> np.ndarray:
    """Bits (u8 of 0 or 1), tag first; `chunks` is int8 (n, chunk)."""
    values = (chunks[:, :, None].view(np.uint8) >> np.arange(WEIGHT_BITS, dtype=np.uint8)) & 1  # (n, chunk, 6)
    nonzero = chunks != 0
    dense_bits = chunks.size * WEIGHT_BITS
    bitmap_bits = chunks.size + int(nonzero.sum()) * WEIGHT_BITS
    if dense_bits <= bitmap_bits:
        return np.concatenate([_tag(DENSE), values.reshape(-1)])
    keep = np.concatenate([np.ones_like(nonzero), np.repeat(nonzero, WEIGHT_BITS, axis=1)], axis=1)
    both = np.concatenate([nonzero.astype(np.uint8), values.reshape(len(chunks), -1)], axis=1)
    return np.concatenate([_tag(BITMAP), both[keep]])


def _tag(encoding: int) -> np.ndarray:
    return np.array([encoding >> bit & 1 for bit in range(TAG_BITS)], np.uint8)
