"""The engine's frozen shape: everything a bitstream fixes, as opposed to program and weights."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass

STORE_WORD_BITS = 72
BRAM_WORDS = 512  # of 72 bits in one BRAM36
URAM_WORDS = 4096  # of 72 bits in one UltraRAM


def power_of_two_pieces(words: int, smallest: int) -> tuple[int, ...]:
    """Split a memory into power-of-two pieces, largest first, as both back ends instantiate it.

    ``words`` is rounded up to a multiple of ``smallest``.  Synthesis tools round one array up to a power
    of two addresses (AMD UG906), so 50,688 words in one piece would cost 65,536.
    """
    blocks = max(1, -(-words // smallest))
    return tuple(smallest << bit for bit in reversed(range(blocks.bit_length())) if blocks >> bit & 1)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Parameters of both back ends.  Depths are in words of their memory."""

    pix: int  # output pixels a cycle
    cin: int  # input channels a cycle: 4, 8 or 16; also the requantizers and the bytes of an activation word
    cout: int  # output channels a cycle, a multiple of cin
    act_pieces: tuple[int, ...]  # of each of the `pix` activation banks, words of `cin` bytes
    tile_words: int = 80  # deepest weight tile, words of cin * cout weights (two tiles are held)
    store_pieces: tuple[int, ...] = ()  # of the weight store, words of 72 bits; empty: weights are streamed
    store_uram: bool = False  # the store is UltraRAM (no initial contents)
    param_depth: int = 4096  # requantization records
    program_depth: int = 256  # instructions
    layer_depth: int = 32
    buffer_depth: int = 32
    carry_words: int = 1024  # activation words of pooling carry rows
    kernel_max: int = 7  # largest kernel of the first convolution
    tables: int = 0  # of the entropy code; 0: no decoder

    def __post_init__(self) -> None:
        if self.cin not in (4, 8, 16) or self.cout % self.cin or not 1 <= self.pix <= 7:
            raise ValueError(f"array {self.pix} x {self.cin} x {self.cout} is not supported")
        if self.tables not in (0, 1, 2, 4, 8) or (self.tables and self.streamed):
            raise ValueError(f"{self.tables} tables of the entropy code are not supported; streamed weights have none")

    @property
    def act_depth(self) -> int:
        """Words in each activation bank."""
        return sum(self.act_pieces)

    @property
    def store_words(self) -> int:
        """Words in the weight store."""
        return sum(self.store_pieces)

    @property
    def streamed(self) -> bool:
        return not self.store_pieces

    @property
    def store_loaded(self) -> bool:
        """Whether the weights are initial contents: not where they are streamed, and UltraRAM has none."""
        return not (self.streamed or self.store_uram)

    @property
    def macs(self) -> int:
        """Products a cycle."""
        return self.pix * self.cin * self.cout

    @property
    def chunk(self) -> int:
        """Weights that the expander writes a cycle: of one output and consecutive channels."""
        return min(8, self.cin)

    @property
    def chunks_per_word(self) -> int:
        """Cycles to expand one tile word of cin * cout weights."""
        return self.cin * self.cout // self.chunk

    @property
    def set_cycles(self) -> int:
        """Cycles in which `cin` requantizers serve a set of pix * cout accumulators."""
        return self.pix * self.cout // self.cin

    @property
    def identity(self) -> int:
        """32 bits that name this configuration; readable in a register and part of every program."""
        text = json.dumps(asdict(self), sort_keys=True)
        return zlib.crc32(text.encode())

    @property
    def id(self) -> str:
        return f"{self.identity:08x}"
