"""The weight store: tiles as one bit string each, dense or bitmap, whichever is shorter (docs/program.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squeeze_hls.arith import WEIGHT_BITS
from squeeze_hls.errors import InputError
from squeeze_hls.plan.engine import STORE_WORD_BITS

TAG_BITS = 2
DENSE, BITMAP = 0, 1
WORD_BYTES = STORE_WORD_BITS // 8


def encode_tile(halves: Sequence[np.ndarray], chunk: int) -> bytes:
    """Encode the halves of one tile, each int8 (K words, COUT, CIN), to whole 72-bit words."""
    bits = np.concatenate([_encode_half(half.reshape(-1, chunk)) for half in halves])
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


class StoreReader:
    """Reads tiles strictly forward, as the expander does.

    Raises InputError where the store ends early or holds an unknown encoding.
    """

    def __init__(self, store: bytes, chunk: int) -> None:
        self._bits = np.unpackbits(np.frombuffer(store, np.uint8), bitorder="little")
        self._chunk = chunk
        weights = 1 << np.arange(chunk)
        spread = np.arange(1 << chunk)
        self._popcount = ((spread[:, None] & weights) > 0).sum(axis=1)

    def tile(self, word: int, shapes: Sequence[tuple[int, int, int]]) -> tuple[list[np.ndarray], int]:
        """Decode the tile that begins at store word `word`.

        ``shapes`` are (K words, COUT, CIN) of its halves.  Returns the int8 halves and the word behind the tile.
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
