"""What a row of ``operator_table`` is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from squeeze_hls.frontend.onnx_node import RE_EXPORT

ALWAYS = 1 << 31  # the last operator set, and as many inputs as there are


class Use(Enum):
    """What becomes of a part of a node."""

    READ = "read by the handler, which refuses what it cannot honour"
    ONLY = "one of few values; others are refused"
    REFUSED = "refused where it is given"
    UNREAD = "an output that may exist as long as nothing reads it"
    IGNORED = "without effect on the network"


@dataclass(frozen=True, kw_only=True)
class Part:
    """An attribute, an input or an output, in the operator sets ``since`` to ``until`` (both included)."""

    name: str
    use: Use = Use.READ
    note: str = ""  # READ, ONLY: about the values; IGNORED: why; REFUSED: what it would be
    since: int = 1
    until: int = ALWAYS
    problem: str = ""  # said where it is refused, in place of the usual words
    way_out: str = RE_EXPORT

    def exists(self, version: int) -> bool:
        return self.since <= version <= self.until

    @property
    def versions(self) -> str:
        """``""`` where it always exists, else in words."""
        if self.until == ALWAYS:
            return f"from opset {self.since}" if self.since > 1 else ""
        return f"opset {self.since}" if self.since == self.until else f"opset {self.since} to {self.until}"


@dataclass(frozen=True, kw_only=True)
class Attribute(Part):
    kind: str  # a name of onnx.AttributeProto.AttributeType
    required: bool = False
    values: tuple[int | str, ...] = ()  # ONLY: what it, or each of its numbers, may be
    default: int | str | None = None  # ONLY: what it is where the model leaves it out; None: one of ``values``


@dataclass(frozen=True, kw_only=True)
class Input(Part):
    types: str = ""  # of constants: "float", "number", "signed", "integer", "index" or "bool"; "": any
    optional: bool = False
    most: int = 1  # more than one: the last input, of which there may be so many


@dataclass(frozen=True, kw_only=True)
class Output(Part):
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One operator.  The first output is the result; of the others the network must not depend on any."""

    attributes: tuple[Attribute, ...] = ()
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    since: int = 1  # the first operator set that has the operator
    one_type: bool = False  # all inputs hold numbers of one type
    integers: bool = False  # also computes on the integers between QuantizeLinear and DequantizeLinear


def read(name: str, kind: str, note: str = "", **more: Any) -> Attribute:
    return Attribute(name=name, kind=kind, use=Use.READ, note=note, **more)


def only(name: str, kind: str, *values: int | str, **more: Any) -> Attribute:
    return Attribute(name=name, kind=kind, use=Use.ONLY, values=values, **more)


def refused(name: str, kind: str, note: str, **more: Any) -> Attribute:
    return Attribute(name=name, kind=kind, use=Use.REFUSED, note=note, **more)


def ignored(name: str, kind: str, why: str, **more: Any) -> Attribute:
    return Attribute(name=name, kind=kind, use=Use.IGNORED, note=why, **more)
