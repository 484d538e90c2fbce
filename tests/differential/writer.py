"""Writes a model node by node, with the decisions that concern every node: names, and where constants stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.differential.choices import Choices

MICROSOFT = "com.microsoft"
QONNX = "qonnx.custom_op.general"
ODD_NAMES = ("{}", "{} [red]/ü", "{}\\x1b[31m\n", "{}" + "long" * 50, "{}:0")
LATE_IR = 8


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A quantizer: ``(clip(round(x / scale) + zero, low, high) - zero) * scale``."""

    scale: float
    zero: float
    low: int
    high: int
    kind: Any = np.uint8  # of the stored integers, in QDQ
    bits: int = 8  # in QONNX
    signed: bool = False
    narrow: bool = False
    rounding: str = "ROUND"

    @property
    def reach(self) -> float:
        return (self.high - self.zero) * self.scale


@dataclass(frozen=True, kw_only=True)
class Map:
    """A feature map while it is written: (channels, height, width), and what its values are about."""

    name: str
    shape: tuple[int, int, int]
    size: float = 1.0
    steps: Steps | None = None  # what quantized it last
    integers: str = ""  # its integers, where the model has them

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def rows(self) -> int:
        return self.shape[1]

    @property
    def columns(self) -> int:
        return self.shape[2]

    def to(self, name: str, shape: Sequence[int] | None = None, size: float | None = None) -> Map:
        """The map that an operator makes of this one: no longer in steps."""
        return replace(
            self,
            name=name,
            shape=self.shape if shape is None else tuple(shape),
            size=self.size if size is None else max(size, 1e-3),
            steps=None,
            integers="",
        )


class Writer:
    def __init__(self, c: Choices, opset: int, kind: Any = np.float32) -> None:
        self.c, self.opset, self.kind = c, opset, kind
        self.batch: int | str = "N"
        self.own_type = int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
        self.half = kind == np.float16
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.opsets = {"": opset}
        self.extra_inputs: list[str] = []  # constants that are declared as inputs, too
        self.uneven = False  # maps whose channels are far apart in size
        self.picture: Map | None = None  # what the first layer reads
        self.functions: list[onnx.FunctionProto] = []
        self._count = 0
        self._naming = c.mostly("names", ODD_NAMES, 0.93)
        self._nameless = c.rare("nodes without names")

    def name(self, hint: str) -> str:
        self._count += 1
        return self._naming.format(f"{hint}_{self._count}")

    def const(self, value: Any, kind: Any = None, hint: str = "c") -> str:
        """A constant, float of the model's kind unless said otherwise."""
        kind = kind or self.kind
        name = self.name(hint)
        if isinstance(kind, int):  # a TensorProto type that NumPy does not have
            array = np.asarray(value)
            tensor = helper.make_tensor(name, kind, array.shape, array.reshape(-1).tolist())
        else:
            tensor = numpy_helper.from_array(np.asarray(value, kind), name)
        if self.c.rare(f"{hint} in a Constant node", 0.3):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants[name] = tensor
            if self.c.rare(f"{hint} is an input, too", 0.1):
                self.extra_inputs.append(name)
        return name

    def ints(self, *values: int, hint: str = "shape") -> str:
        return self.const(values, np.int64, hint)

    def op(self, op: str, *inputs: str, hint: str = "", **attributes: Any) -> str:
        """Append a node with one output; returns its name."""
        return self.ops(op, *inputs, outputs=1, hint=hint, **attributes)[0]

    def ops(self, op: str, *inputs: str, outputs: int, hint: str = "", **attributes: Any) -> list[str]:
        """The same with several outputs; attributes that are None are left out."""
        domain, _, op = op.rpartition(".")
        if domain:
            self.opsets.setdefault(domain, 1)
        names = [self.name(hint or op.lower()) for _ in range(outputs)]
        given = {k: v for k, v in attributes.items() if v is not None}
        name = "" if self._nameless else f"{names[0]}/{op}"
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, domain=domain, **given))
        return names

    def model(self, source: str, shape: Sequence[int | str], outputs: Sequence[str], kind: int) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info(source, kind, list(shape))]
        if self.c.rare("a second input", 0.5):
            inputs.append(helper.make_tensor_value_info(self.name("second"), kind, list(shape)))
        for name in self.extra_inputs:
            tensor = self.constants[name]
            inputs.append(helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))
        graph = helper.make_graph(
            self.nodes,
            "graph",
            inputs,
            [helper.make_tensor_value_info(name, self._result_kind(name), None) for name in outputs],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        version = LATE_IR if self.opset < 21 else 10
        return helper.make_model(graph, opset_imports=opsets, ir_version=version, functions=self.functions)

    def _result_kind(self, name: str) -> int:
        by_output = {o: n for n in self.nodes for o in n.output}
        node = by_output.get(name)
        return TensorProto.INT64 if node is not None and node.op_type == "ArgMax" else self.own_type


def conv_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int = 1) -> int:
    """Outputs of a convolution, or of a pooling without ceil_mode."""
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def ceil_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int = 1) -> int:
    """Outputs of a pooling with ceil_mode."""
    padded = size + before + after
    out = math.ceil((padded - dilation * (kernel - 1) - 1) / stride) + 1
    return out - 1 if (out - 1) * stride >= size + before else out
