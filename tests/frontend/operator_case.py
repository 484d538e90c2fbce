"""A part of an operator, the models that differ in it alone, and what others compute of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from tests.frontend.build import Builder, picture

SIZE = (11, 12)  # of the picture
Build = Callable[[Builder, Any], str]  # appends nodes, with a value of the part; returns the output


@dataclass(frozen=True, kw_only=True)
class Case:
    """The first value is the plain one, which is accepted."""

    op: str
    part: str  # an attribute, an optional input, or an output beside the first
    opset: int
    values: tuple  # None: left out
    build: Build
    fold: bool = False  # the output is a constant
    softmax: bool = False  # the output is the softmax of the logits
    refused: str = ""  # what the message has for every value but the first
    others: tuple = ()  # further values, which may be refused
    instead: Build | None = None  # what is judged in its place, at opset 13, where nothing computes ``opset``
    reference: bool = False  # judged by ONNX's reference, not by ONNX Runtime
    judge: Callable[[onnx.ModelProto], np.ndarray] | None = None  # judged by somebody else

    def model(self, value: object, build: Build | None = None, opset: int = 0) -> onnx.ModelProto:
        b = Builder((1, 3, *SIZE), opset or self.opset)
        model = b.model((build or self.build)(b, value))
        if self.fold:
            del model.graph.output[:]
            model.graph.output.append(onnx.ValueInfoProto(name=model.graph.node[-1].output[0]))
            del model.graph.input[:]
        return model

    def judged(self, value: object) -> np.ndarray:
        """The result without this project."""
        if self.judge is not None:
            return self.judge(self.model(value))
        model = self.model(value) if self.instead is None else self.model(value, self.instead, 13)
        feeds = {} if self.fold else {"x": picture((*SIZE, 3))}
        if self.reference:
            return ReferenceEvaluator(model).run(None, feeds)[0]
        return by_onnxruntime(model, feeds)

    def __str__(self) -> str:
        return f"{self.op.rpartition('.')[2]}-{self.opset}-{self.part}"


def by_onnxruntime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """As it is, or, where it has no kernel for so old an operator set, after ONNX's version converter."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx-tools)")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL

    def run(written: onnx.ModelProto) -> np.ndarray:
        session = runtime.InferenceSession(written.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feeds)[0]

    try:
        return run(model)
    except Exception as error:  # a class of the bindings
        if "NOT_IMPLEMENTED" not in str(error) or model.opset_import[0].version >= 7:
            raise
    return run(onnx.version_converter.convert_version(onnx.shape_inference.infer_shapes(model), 12))


def by_qonnx(model: onnx.ModelProto) -> np.ndarray:
    """The last node, a Quant, by QONNX's own function."""
    general = pytest.importorskip("qonnx.custom_op.general.quant", reason="qonnx is not installed (extra onnx-tools)")
    node = model.graph.node[-1]
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    inputs = (stored[name] for name in node.input)
    return general.quant(*inputs, given["signed"], given["narrow"], given["rounding_mode"].decode())


def given(name: str, value: object) -> dict[str, Any]:
    return {} if value is None else {name: value}


def net(op: str, part: str, opset: int, values: tuple, build: Build, **more: Any) -> Case:
    """A case of whole networks."""
    return Case(op=op, part=part, opset=opset, values=values, build=build, **more)


def folds(op: str, part: str, opset: int, values: tuple, build: Build, **more: Any) -> Case:
    """A case of constants."""
    return Case(op=op, part=part, opset=opset, values=values, build=build, fold=True, **more)
