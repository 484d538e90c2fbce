"""The records of a program with their fields as attributes; ``fields`` says where each field's bits lie.

Every class has exactly the fields of its record, so that packing and reading need no list of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from squeeze_hls.engine.fields import BUFFER, ENTRY, HEADER, INSTRUCTION, LAYER, PARAM, Record


class _Packed:
    """A record whose fields are its attributes, all of them integers."""

    __slots__ = ()
    record: ClassVar[Record]

    @classmethod
    def of(cls, values: Mapping[str, int]) -> Self:
        """From the values of all fields, by name."""
        return cls(**values)

    @classmethod
    def unpack(cls, words: Sequence[int]) -> Self:
        """From the record's 64-bit words."""
        return cls.of(cls.record.unpack(words))

    def fields(self) -> dict[str, int]:
        """The values of all fields, by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def pack(self) -> list[int]:
        """The record's 64-bit words; raises ValueError for a value that its field does not hold."""
        return self.record.pack(self.fields())


@dataclass(kw_only=True, slots=True)
class HeaderRecord(_Packed):
    record: ClassVar[Record] = HEADER

    version: int
    layers: int
    buffers: int
    instructions: int
    params: int
    engine: int
    weights_crc: int
    store_words: int
    stream_words: int
    gather_buffer: int
    height: int
    width: int
    rows: int
    columns: int
    pad_top: int
    pad_left: int
    kernel: int
    stride: int
    gather_words: int
    credit: int
    pad_red: int
    pad_green: int
    pad_blue: int
    classes: int
    tables: int


@dataclass(kw_only=True, slots=True)
class HalfRecord:
    """One convolution of a layer: the fields that a layer's record has twice, ending in ``_a`` and ``_b``."""

    name: str  # "a" or "b"
    present: bool = False
    groups: int = 0
    words: int = 0
    offset: int = 0
    params: int = 0
    shift: int = 0
    top: int = 0
    table: int = 0

    @property
    def pointwise(self) -> bool:
        """Half B reads the pixel itself; half A reads all of the layer's taps."""
        return self.name == "b"


_OF_HALF = ("groups", "words", "offset", "params", "shift", "top", "table")


@dataclass(kw_only=True, slots=True)
class LayerRecord(_Packed):
    record: ClassVar[Record] = LAYER

    gather: int
    average: int
    pool: int
    ceil: int
    residual: int
    pad: int
    rows0: int
    rows1: int
    columns: int
    words: int
    pitch: int
    width: int
    height: int
    x_step: int
    y_step: int
    row_mod: int
    row_ptr: int
    center_mod: int
    center_ptr: int
    out_words: int
    carry: int
    carry_half: int
    weights: int
    border: int
    entropy: int
    a: HalfRecord
    b: HalfRecord

    @property
    def halves(self) -> tuple[HalfRecord, ...]:
        """The halves that the layer has."""
        return tuple(half for half in (self.a, self.b) if half.present)

    @property
    def groups(self) -> int:
        """Output groups: those of the half that has most."""
        return max(half.groups for half in self.halves)

    def halves_of(self, group: int) -> tuple[HalfRecord, ...]:
        """The halves that have output channels left in a group."""
        return tuple(half for half in self.halves if group < half.groups)

    def depth(self, half: HalfRecord) -> int:
        """Tile words of a half, which are cycles for each pixel block."""
        return self.words * (1 if half.pointwise else (self.rows0 + self.rows1) * self.columns)

    @classmethod
    def of(cls, values: Mapping[str, int]) -> Self:
        rest: dict[str, Any] = dict(values)
        for name in "ab":
            own = {key: rest.pop(f"{key}_{name}") for key in _OF_HALF}
            rest[name] = HalfRecord(name=name, present=bool(rest.pop(f"half_{name}")), **own)
        return cls(**rest)

    def fields(self) -> dict[str, int]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in "ab"}
        for half in (self.a, self.b):
            values[f"half_{half.name}"] = int(half.present)
            values |= {f"{key}_{half.name}": getattr(half, key) for key in _OF_HALF}
        return values


@dataclass(kw_only=True, slots=True)
class BufferRecord(_Packed):
    record: ClassVar[Record] = BUFFER

    base: int
    depth: int


@dataclass(kw_only=True, slots=True)
class InstructionRecord(_Packed):
    record: ClassVar[Record] = INSTRUCTION

    layer: int
    pixels: int
    row: int
    source_ptr: int
    source_mod: int
    wait: int = 0
    last: int = 0
    source: int
    target: int
    target_ptr: int
    target_mod: int
    need: int = 0
    credit: int = 0
    residual: int = 0
    residual_ptr: int = 0
    residual_mod: int = 0


@dataclass(kw_only=True, slots=True)
class ParamRecord(_Packed):
    record: ClassVar[Record] = PARAM

    bias: int
    multiplier: int
    offset: int


@dataclass(kw_only=True, slots=True)
class EntryRecord(_Packed):
    record: ClassVar[Record] = ENTRY

    bits: int
    base: int
    extra: int
    value: int


CLASSES = (HeaderRecord, LayerRecord, BufferRecord, InstructionRecord, ParamRecord, EntryRecord)
