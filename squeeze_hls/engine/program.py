"""The program as Python objects and as bytes (docs/program.md); reading checks everything it can."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.entropy import EXTRA_MAX, STATE_BITS, STATES, Table
from squeeze_hls.engine.fields import BUFFER, ENTRY, FORMAT_VERSION, HEADER, INSTRUCTION, LAYER, PARAM
from squeeze_hls.engine.records import (
    BufferRecord,
    EntryRecord,
    HeaderRecord,
    InstructionRecord,
    LayerRecord,
    ParamRecord,
)
from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network.ir import type_max

# Sections after the header, which counts their records, or the tables of STATES entries.
TABLES = {"layers": LAYER, "buffers": BUFFER, "instructions": INSTRUCTION, "params": PARAM, "tables": ENTRY}


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """Header, tables and instructions."""

    header: HeaderRecord
    layers: tuple[LayerRecord, ...]
    buffers: tuple[BufferRecord, ...]
    instructions: tuple[InstructionRecord, ...]
    params: np.ndarray  # int64 (n, 3): bias, M, offset of S
    tables: tuple[Table, ...] = ()  # of the entropy code


def tops_fit(layer: LayerRecord) -> bool:
    """Whether the largest output of each half is one that its type has, and not 0."""
    most = type_max(bool(layer.average))
    return all(1 <= half.top <= most for half in layer.halves)


def pack_program(program: Program) -> bytes:
    """Payload of a program packet: 64-bit little-endian words, the last one the CRC-32 of those before."""
    words = program.header.pack()
    for row in (*program.layers, *program.buffers, *program.instructions):
        words += row.pack()
    bias = program.params[:, 0] & (1 << 24) - 1
    for b, m, offset in zip(bias.tolist(), program.params[:, 1].tolist(), program.params[:, 2].tolist(), strict=True):
        words += ParamRecord(bias=b, multiplier=m - (1 << 16), offset=offset).pack()
    for table in program.tables:
        columns = {f.name: getattr(table, f.name).tolist() for f in ENTRY.fields}
        for state in range(STATES):
            words += ENTRY.pack({name: column[state] for name, column in columns.items()})
    payload = np.array(words, "<u8").tobytes()
    return payload + zlib.crc32(payload).to_bytes(8, "little")


def sections(data: bytes) -> dict[str, list[int]]:
    """The 64-bit words of a program packet's payload: ``header``, then each of TABLES.

    Raises InputError where the tables that the header announces are longer than the payload.
    """
    words = np.frombuffer(data[:-8], "<u8").tolist()
    header = HEADER.unpack(words)
    cut, position = {"header": words[: HEADER.words]}, HEADER.words
    for name, record in TABLES.items():
        end = position + record.words * header[name] * (STATES if record is ENTRY else 1)
        if end > len(words):
            raise InputError("the program's tables are longer than the file; build it again")
        cut[name] = words[position:end]
        position = end
    return cut


_R = TypeVar("_R", LayerRecord, BufferRecord, InstructionRecord, ParamRecord, EntryRecord)


def _rows(kind: type[_R], words: list[int]) -> tuple[_R, ...]:
    size = kind.record.words
    return tuple(kind.unpack(words[at : at + size]) for at in range(0, len(words), size))


def parse_program(data: bytes) -> Program:
    """Read a program packet's payload; raises InputError where it is cut, altered or of another version."""
    if len(data) % 8 or len(data) < 8 * (HEADER.words + 1):
        raise InputError(f"the program has {len(data)} bytes, which is not a whole program; build it again")
    if zlib.crc32(data[:-8]).to_bytes(8, "little") != data[-8:]:
        raise InputError("the program's checksum is wrong: the file was cut or altered; build it again")
    header = HeaderRecord.unpack(np.frombuffer(data, "<u8", HEADER.words).tolist())
    if header.version != FORMAT_VERSION:
        raise InputError(f"the program has format version {header.version}, this release reads {FORMAT_VERSION}")
    words = sections(data)
    layers = _rows(LayerRecord, words["layers"])
    params = [[_signed24(p.bias), p.multiplier + (1 << 16), p.offset] for p in _rows(ParamRecord, words["params"])]
    entries = _rows(EntryRecord, words["tables"])
    codes = tuple(_table(entries[first : first + STATES]) for first in range(0, len(entries), STATES))
    if any(layer.entropy and max(layer.a.table, layer.b.table) >= len(codes) for layer in layers):
        raise InputError("a layer is coded by a table that the program does not have; build it again")
    if not all(tops_fit(layer) for layer in layers):
        raise InputError("a layer's largest output is 0 or beyond its type; build it again")
    return Program(
        header=header,
        layers=layers,
        buffers=_rows(BufferRecord, words["buffers"]),
        instructions=_rows(InstructionRecord, words["instructions"]),
        params=np.array(params, np.int64).reshape(-1, 3),
        tables=codes,
    )


def _table(rows: tuple[EntryRecord, ...]) -> Table:
    columns = {f.name: np.array([getattr(row, f.name) for row in rows]) for f in ENTRY.fields}
    if columns["bits"].max() > STATE_BITS or columns["extra"].max() > EXTRA_MAX:
        raise InputError("a table of the entropy code is none that an encoder makes; build it again")
    return Table(**columns)


def _signed24(value: int) -> int:
    return value - (1 << 24) if value >> 23 else value


def check_capacity(program: Program, engine: EngineConfig) -> None:
    """Raise DoesNotFitError, naming the table and both sizes, where a program exceeds its engine."""
    for what, need, have in (
        ("instructions", len(program.instructions), engine.program_depth),
        ("layer records", len(program.layers), engine.layer_depth),
        ("buffer records", len(program.buffers), engine.buffer_depth),
        ("requantization records", len(program.params), engine.param_depth),
        ("tables of the entropy code", len(program.tables), engine.tables),
        ("weight store words", program.header.store_words, engine.store_words or 1 << 24),
        ("activation words a bank", max(b.base + b.depth for b in program.buffers), engine.act_depth),
    ):
        if need > have:
            raise DoesNotFitError(f"the program needs {need} {what}, the engine has {have}")


def identity24(crc: int) -> int:
    """The 24 bits of a CRC or engine identity that a packet header carries."""
    return crc & ((1 << 24) - 1)


def program_crc(data: bytes) -> int:
    """The CRC-32 word at the end of a program payload, which names the program."""
    return int.from_bytes(data[-8:-4], "little")


__all__ = [
    "TABLES",
    "Program",
    "check_capacity",
    "identity24",
    "pack_program",
    "parse_program",
    "program_crc",
    "sections",
    "tops_fit",
]
