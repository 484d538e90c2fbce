"""One ONNX node with checked attributes, and the errors that name it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.text import safe_name

STANDARD_DOMAINS = ("", "ai.onnx")
RE_EXPORT = "Re-export the model."


@dataclass(frozen=True)
class Node:
    """A node of an ONNX graph; ``inputs`` left out by the model are ``""``."""

    proto: onnx.NodeProto

    @property
    def op(self) -> str:
        """Operator type; with its domain in front where that is not the standard one."""
        domain = self.proto.domain
        return self.proto.op_type if domain in STANDARD_DOMAINS else f"{domain}.{self.proto.op_type}"

    @property
    def raw_name(self) -> str:
        """The node's name, or that of its first output where it has none."""
        return self.proto.name or (self.outputs[0] if self.outputs else "")

    @property
    def inputs(self) -> list[str]:
        return list(self.proto.input)

    @property
    def outputs(self) -> list[str]:
        return list(self.proto.output)

    @property
    def output(self) -> str:
        return self.proto.output[0]

    def input(self, index: int) -> str:
        """Name of an input, ``""`` where the model leaves it out."""
        return self.proto.input[index] if index < len(self.proto.input) else ""

    def required(self, index: int) -> str:
        """Name of an input that the operator cannot do without."""
        name = self.input(index)
        if not name:
            raise self.refuse(f"input {index} is missing.", RE_EXPORT)
        return name

    def refuse(self, problem: str, way_out: str) -> InputError:
        """The error to raise: ``Conv 'fire4/expand3x3': PROBLEM WAY_OUT``."""
        return InputError(f"{safe_name(self.op)} '{safe_name(self.raw_name)}': {problem} {way_out}")

    def _attribute(self, key: str, kind: int) -> onnx.AttributeProto | None:
        for attribute in self.proto.attribute:
            if attribute.name == key:
                if attribute.type not in (kind, onnx.AttributeProto.UNDEFINED):
                    raise self.refuse(f"attribute '{key}' has the wrong type.", RE_EXPORT)
                return attribute
        return None

    def has(self, key: str) -> bool:
        return any(attribute.name == key for attribute in self.proto.attribute)

    def integer(self, key: str, default: int) -> int:
        found = self._attribute(key, onnx.AttributeProto.INT)
        return default if found is None else found.i

    def number(self, key: str, default: float) -> float:
        found = self._attribute(key, onnx.AttributeProto.FLOAT)
        return default if found is None else found.f

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        found = self._attribute(key, onnx.AttributeProto.INTS)
        return default if found is None else tuple(found.ints)

    def numbers(self, key: str) -> tuple[float, ...]:
        found = self._attribute(key, onnx.AttributeProto.FLOATS)
        return () if found is None else tuple(found.floats)

    def string(self, key: str, default: str) -> str:
        found = self._attribute(key, onnx.AttributeProto.STRING)
        return default if found is None else found.s.decode("utf-8", "replace")

    def tensor(self, key: str) -> onnx.TensorProto | None:
        found = self._attribute(key, onnx.AttributeProto.TENSOR)
        return None if found is None else found.t

    def spatial(self, key: str, default: tuple[int, ...], count: int = 2) -> tuple[int, ...]:
        """An attribute with one number per spatial axis (or two, for pads)."""
        values = self.integers(key, default)
        if len(values) != count:
            raise self.refuse(
                f"{key} {list(values)[:8]} are not those of a picture.", "The engine computes 2-D networks."
            )
        return values
