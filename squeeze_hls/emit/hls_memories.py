"""The arrays of the HLS engine: one list for their declarations, their pragmas and their contents."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from squeeze_hls.emit.render import config_header, render
from squeeze_hls.engine import entropy, fields
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.store import WORD_BYTES


@dataclass(frozen=True, kw_only=True)
class Memory:
    """An array whose words are read and written whole."""

    name: str
    holds: str
    element: str = "uint8_t"
    shape: tuple[int, ...]
    kind: str  # "bram", "uram", "lutram"
    partition: int = 0  # this dimension, from 1, becomes separate memories; 0: none
    word: int = 0  # this dimension becomes one word; 0: a word is one element

    @property
    def declaration(self) -> str:
        return f"{self.element} {self.name}" + "".join(f"[{size}]" for size in self.shape)


def memories(engine: EngineConfig) -> list[Memory]:
    """All memories of an engine, in the order of their declaration.

    Words that do not fill their bytes (a requantization record, an entry of the entropy code) leave upper bits that
    nobody reads, which logic synthesis removes.
    """
    store_kind = "uram" if engine.store_uram else "bram"
    listed = [
        Memory(name=name, holds="weight store", shape=(size, WORD_BYTES), kind=store_kind, word=2)
        for name, size in zip(piece_names(engine)["store"], engine.store_pieces, strict=True)
    ]
    listed += [
        Memory(
            name=name,
            holds="activation banks, one for each lane",
            shape=(engine.pix, size, engine.cin),
            kind="bram",
            partition=1,
            word=3,
        )
        for name, size in zip(piece_names(engine)["bank"], engine.act_pieces, strict=True)
    ]
    listed += [
        Memory(
            name="param_memory",
            holds="requantization records, cin of them in a word",
            shape=(engine.param_depth // engine.cin, engine.cin * record_bytes(fields.PARAM)),
            kind="bram",
            word=2,
        ),
        Memory(
            name="tile_memory",
            holds="two weight tiles, a memory for each output and chunk",
            element="int8_t",
            shape=(engine.cout * (engine.cin // engine.chunk), 2 * engine.tile_words, engine.chunk),
            kind="lutram",
            partition=1,
            word=3,
        ),
        Memory(
            name="carry_memory",
            holds="rows that pooling keeps",
            shape=(engine.carry_words, engine.cin),
            kind="lutram",
            word=2,
        ),
    ]
    if engine.tables:
        listed.append(
            Memory(
                name="code_memory",
                holds="tables of the entropy code, a copy for each lane of the decoder",
                shape=(engine.chunk, engine.tables << entropy.STATE_BITS, record_bytes(fields.ENTRY)),
                kind="lutram",
                partition=1,
                word=3,
            )
        )
    tables = (
        ("layer", engine.layer_depth, fields.LAYER),
        ("buffer", engine.buffer_depth, fields.BUFFER),
        ("instruction", engine.program_depth, fields.INSTRUCTION),
    )
    for name, depth, record in tables:
        shape = (depth * record.words,)
        listed.append(
            Memory(name=f"{name}_memory", holds=f"{name} records", element="uint64_t", shape=shape, kind="lutram")
        )
    return listed


def record_bytes(record: fields.Record) -> int:
    """Bytes that hold a record of one 64-bit word."""
    return -(-max(field.low + field.width for field in record.fields) // 8)


def piece_names(engine: EngineConfig) -> dict[str, list[str]]:
    """Names of the arrays of memories that are made of power-of-two pieces, largest first."""
    sizes = {"store": engine.store_pieces, "bank": engine.act_pieces}
    return {name: [f"{name}_memory_{i}" for i in range(len(pieces))] for name, pieces in sizes.items()}


def headers(engine: EngineConfig, contents: Collection[str] = ()) -> dict[str, str]:
    """The generated headers by name; each memory named in ``contents`` begins with its ``.inc`` file."""
    text = render(
        "hls/memories.hpp.j2",
        engine=engine,
        memories=memories(engine),
        pieces=piece_names(engine),
        contents=contents,
    )
    return {"config.hpp": config_header(engine), "memories.hpp": text}
