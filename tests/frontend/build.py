"""Small ONNX models for the tests, node by node, and a float evaluation of ``Graph`` to compare them with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from squeeze_hls.frontend import load_graph
from squeeze_hls.network import arith, ir


class Builder:
    """Appends nodes and initializers; ``model`` makes the file's contents.  Weights are random (seeded)."""

    def __init__(self, shape: tuple = ("N", 3, 17, 19), opset: int = 13, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.opsets = {"": opset}
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.count = 0

    def const(self, value: object, dtype: object = np.float32, name: str = "") -> str:
        self.count += 1
        name = name or f"const{self.count}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, *inputs: str, name: str = "", outputs: tuple[str, ...] = (), **attributes: object) -> str:
        """Append a node; returns the name of its first output."""
        self.count += 1
        domain, _, op = op.rpartition(".")
        if not name or any(node.name == name for node in self.nodes):
            name = f"{name or op.lower()}{self.count}"
        if domain:
            self.opsets[domain] = 1
        self.nodes.append(
            helper.make_node(
                op, list(inputs), list(outputs or (f"{name}_out",)), name=name, domain=domain, **attributes
            )
        )
        return self.nodes[-1].output[0]

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    def conv(self, x: str, weight: object, name: str = "", bias: object = None, **attributes: object) -> str:
        """Conv with random biases, unless given; ``weight`` is an array or the name of a tensor."""
        outputs = attributes.pop("outputs_", None)
        if not isinstance(weight, str):
            outputs = np.shape(weight)[0]
            weight = self.const(weight)
        if not isinstance(bias, str):
            bias = self.const(self.rng.normal(0, 0.3, outputs) if bias is None else bias)
        return self.node("Conv", x, weight, bias, name=name, **attributes)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [self.input],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.initializers,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


Middle = Callable[[Builder, str], str]


def relu(b: Builder, x: str) -> str:
    return b.node("Relu", x, name="relu")


def fire_model(
    *, shape: tuple = ("N", 3, 17, 19), opset: int = 13, activation: Middle = relu, **conv: object
) -> onnx.ModelProto:
    """conv1 -> ``activation`` -> pool -> Fire -> conv10 -> average -> flatten; ``conv`` goes to conv1."""
    b = Builder(shape, opset)
    conv = {"strides": [2, 2], **conv}
    x = activation(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1", **conv))
    x = b.node("MaxPool", x, name="pool1", kernel_shape=[3, 3], strides=[2, 2])
    return b.model(tail(b, fire(b, x, 6)))


def fire(b: Builder, x: str, inputs: int, name: str = "fire2") -> str:
    x = b.node("Relu", b.conv(x, b.weights(4, inputs, 1, 1), name=f"{name}/squeeze1x1"), name=f"{name}/relu_s")
    left = b.node("Relu", b.conv(x, b.weights(5, 4, 1, 1), name=f"{name}/expand1x1"), name=f"{name}/relu_1")
    right = b.conv(x, b.weights(3, 4, 3, 3), name=f"{name}/expand3x3", pads=[1, 1, 1, 1])
    right = b.node("Relu", right, name=f"{name}/relu_3")
    return b.node("Concat", left, right, name=f"{name}/concat", axis=1)


def tail(b: Builder, x: str, inputs: int = 8) -> str:
    x = b.node("Relu", b.conv(x, b.weights(7, inputs, 1, 1), name="conv10"), name="conv10/relu")
    return b.node("Flatten", b.node("GlobalAveragePool", x, name="average"), name="flatten")


def save(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def load(model: onnx.ModelProto, folder: Path, **options: object) -> ir.Graph:
    """Write and read a model; ``preprocess`` defaults to Caffe's so that nothing is assumed."""
    return load_graph(save(model, folder), **{"preprocess": "caffe", **options})  # type: ignore[arg-type]


def picture(shape: ir.Shape, seed: int = 5) -> np.ndarray:
    """A preprocessed picture, float32 (1, 3, H, W)."""
    height, width, channels = shape
    return np.random.default_rng(seed).normal(0, 1, (1, channels, height, width)).astype(np.float32)


def evaluate(graph: ir.Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor (H, W, C) in float64 for a preprocessed picture (1, 3, H, W), quantized where a scale is known.

    Written for the tests, from the definitions; shares nothing with the front end.
    """
    tensors = {graph.input: x[0].transpose(1, 2, 0).astype(np.float64)}
    for node in graph.nodes:
        y = EVALUATE[type(node)](node, [tensors[t] for t in node.inputs])
        scale = graph.activation_scale.get(node.output)
        if scale is not None:
            top = graph.activation_top.get(node.output, 65535 if node.output == graph.averaged else 255)
            y = np.clip(np.rint(y / scale), 0, top) * scale
        tensors[node.output] = y
    return tensors


def _conv(x: np.ndarray, node: ir.Conv) -> np.ndarray:
    pads = node.pads
    x = np.pad(x, ((pads.top, pads.bottom), (pads.left, pads.right), (0, 0)))
    kh, kw = node.kernel
    view = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(0, 1))[:: node.stride, :: node.stride]
    y = np.einsum("yxcij,oijc->yxo", view, node.weight.astype(np.float64), optimize=True) + node.bias
    return np.maximum(y, 0) if node.relu else y


def _windows(x: np.ndarray, kernel: int, stride: int, ceil: bool) -> np.ndarray:
    rows, columns = (arith.pool_size(n, kernel, stride, ceil) for n in x.shape[:2])
    return np.array(
        [
            [
                x[r * stride : r * stride + kernel, c * stride : c * stride + kernel].max(axis=(0, 1))
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


EVALUATE: dict[type, Callable[..., np.ndarray]] = {  # of a node and its inputs (H, W, C)
    ir.Conv: lambda node, inputs: _conv(inputs[0], node),
    ir.MaxPool: lambda node, inputs: _windows(inputs[0], node.kernel, node.stride, node.ceil),
    ir.Concat: lambda _, inputs: np.concatenate(inputs, axis=2),
    ir.Add: lambda _, inputs: np.sum(inputs, axis=0),
    ir.GlobalAverage: lambda _, inputs: inputs[0].mean(axis=(0, 1), keepdims=True),
}


def logits(graph: ir.Graph, x: np.ndarray) -> np.ndarray:
    return evaluate(graph, x)[graph.nodes[-1].output].reshape(-1)
