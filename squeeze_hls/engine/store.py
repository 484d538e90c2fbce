"""Reading the weight store: tiles, dense or bitmap, or entropy-coded, strictly forward (docs/program.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from squeeze_hls.engine import entropy
from squeeze_hls.engine.config import STORE_WORD_BITS
from squeeze_hls.engine.entropy import Table
from squeeze_hls.engine.records import LayerRecord
from squeeze_hls.errors import InputError
from squeeze_hls.network.arith import WEIGHT_BITS

TAG_BITS = 2
DENSE, BITMAP = 0, 1
WORD_BYTES = STORE_WORD_BITS // 8
Shape = tuple[int, int, int]  # of half a tile: K words, COUT, CIN


class StoreReader:
    """Reads tiles strictly forward, as the expander does; ``tables`` are those of the program.

    Raises InputError where the store ends early or holds what no encoder writes.
    """

    def __init__(self, store: bytes, chunk: int, tables: Sequence[Table] = ()) -> None:
        self._tables = tables
        self._bits = np.unpackbits(np.frombuffer(store, np.uint8), bitorder="little")
        self._chunk = chunk
        weights = 1 << np.arange(chunk)
        spread = np.arange(1 << chunk)
        self._popcount = ((spread[:, None] & weights) > 0).sum(axis=1)

    def layer(self, record: LayerRecord, tiles: Sequence[Mapping[str, Shape]]) -> list[dict[str, np.ndarray]]:
        """All tiles of a layer: int8 by half ('a', 'b'), of the shapes that `tiles` gives in the order of the store."""
        if record.entropy:
            return self._entropy_coded(record, tiles)
        out, word = [], record.weights
        for shapes in tiles:
            halves, word = self.tile(word, list(shapes.values()))
            out.append(dict(zip(shapes, halves, strict=True)))
        return out

    def _entropy_coded(self, record: LayerRecord, tiles: Sequence[Mapping[str, Shape]]) -> list[dict[str, np.ndarray]]:
        table = {half.name: half.table for half in (record.a, record.b)}
        parts = [(shape, table[half]) for shapes in tiles for half, shape in shapes.items()]
        lengths = [int(np.prod(shape)) // self._chunk for shape, _ in parts]
        index = np.repeat([table for _, table in parts], lengths)
        start = record.weights * STORE_WORD_BITS
        chunks = entropy.decode(self._bits[start:], index, self._chunk, self._tables)
        if chunks is None:
            raise InputError(f"the entropy-coded weights from store word {record.weights} on are cut off or altered")
        halves = iter(np.split(chunks, np.cumsum(lengths)[:-1]))
        return [{half: next(halves).reshape(shape) for half, shape in shapes.items()} for shapes in tiles]

    def tile(self, word: int, shapes: Sequence[Shape]) -> tuple[list[np.ndarray], int]:
        """Decode the tile that begins at store word `word`.

        ``shapes`` are (K words, COUT, CIN) of its halves.  Returns the int8 halves and the word after the tile.
        """
        position = word * STORE_WORD_BITS
        halves = []
        for shape in shapes:
            decoded, position = self._half(position, int(np.prod(shape)) // self._chunk)
            halves.append(decoded.reshape(shape))
        return halves, -(-position // STORE_WORD_BITS)

    def _half(self, position: int, chunks: int) -> tuple[np.ndarray, int]:
        tag = int(self._take(position, TAG_BITS) @ (1 << np.arange(TAG_BITS)))
        position += TAG_BITS
        if tag == DENSE:
            count = chunks * self._chunk
            return _values(self._take(position, count * WEIGHT_BITS)), position + count * WEIGHT_BITS
        if tag == BITMAP:
            return self._bitmap(position, chunks)
        raise InputError(f"the weight store holds an unknown encoding ({tag}) at bit {position - TAG_BITS}")

    def _bitmap(self, position: int, chunks: int) -> tuple[np.ndarray, int]:
        limit = position + chunks * self._chunk * (1 + WEIGHT_BITS)
        bits = self._bits[position:limit]
        padded = np.concatenate([bits, np.zeros(self._chunk, np.uint8)])
        masks = np.zeros(len(bits), np.int64)
        for lane in range(self._chunk):
            masks |= padded[lane : lane + len(bits)].astype(np.int64) << lane
        steps = (self._chunk + WEIGHT_BITS * self._popcount[masks]).tolist()
        starts, offset = [], 0
        for _ in range(chunks):
            if offset >= len(steps):
                raise InputError("the weight store ends in the middle of a tile")
            starts.append(offset)
            offset += steps[offset]
        if offset > len(bits):
            raise InputError("the weight store ends in the middle of a tile")
        is_value = np.ones(offset, bool)
        is_value[(np.array(starts)[:, None] + np.arange(self._chunk)).reshape(-1)] = False
        nonzero = (masks[starts][:, None] >> np.arange(self._chunk)) & 1 == 1
        out = np.zeros(nonzero.shape, np.int8)
        out[nonzero] = _values(bits[:offset][is_value])
        return out, position + offset

    def _take(self, position: int, count: int) -> np.ndarray:
        if position + count > self._bits.size:
            raise InputError("the weight store ends in the middle of a tile")
        return self._bits[position : position + count]


def _values(bits: np.ndarray) -> np.ndarray:
    """Two's complement values of 6 bits each, LSB first."""
    unsigned = bits.reshape(-1, WEIGHT_BITS).astype(np.int8) @ (1 << np.arange(WEIGHT_BITS, dtype=np.int8))
    return np.where(unsigned >= 32, unsigned - 64, unsigned).astype(np.int8)
