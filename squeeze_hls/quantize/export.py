"""Integer networks back to ONNX: QDQ and QONNX.

Both carry scales as float32 and say the same in the two dialects: weights are ``integers * scale`` per
output channel, biases float32 multiples of ``scale_in * weight_scale``, every convolution's output is
clamped and rounded to its scale.  The input is raw RGB pixels 0..255, float32 NCHW, minus ``pad_value``
(0, 0, 0 unless the first convolution pads), and the metadata say so.  Reading the model back gives the
same integers: they are recomputed from the same float32 numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from squeeze_hls import __version__
from squeeze_hls.frontend import LABELS_KEY, PREPROCESS_KEY, labels_to_json, preprocess_to_json
from squeeze_hls.network import arith
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.network.operators import Concat, GlobalAverage, IntAdd, IntConv, IntNode, MaxPool, type_max
from squeeze_hls.quantize.integers import as_float32

OPSET = 21  # the first whose QuantizeLinear writes uint16
IR_VERSION = 10
QONNX_DOMAIN = "qonnx.custom_op.general"
FORMATS = ("qdq", "qonnx")


def to_onnx(network: IntNetwork, format: str = "qdq") -> bytes:
    """The network as a serialized ONNX model; the same network always gives the same bytes.

    ``format`` is ``qdq`` (int8 weights, QuantizeLinear and DequantizeLinear) or ``qonnx`` (Quant nodes).
    The output is the float logits (1, classes).
    """
    if format not in FORMATS:
        raise ValueError(f"format is one of {FORMATS}, not {format!r}")
    writer = _Writer(network, format)
    for node in network.nodes:
        writer.write(node)
    height, width, channels = network.input_shape
    graph = helper.make_graph(
        writer.nodes,
        network.name,
        [helper.make_tensor_value_info(network.input, TensorProto.FLOAT, [1, channels, height, width])],
        [helper.make_tensor_value_info(writer.result, TensorProto.FLOAT, [1, network.classes])],
        list(writer.initializers.values()),
    )
    domains = [helper.make_opsetid("", OPSET)] + [helper.make_opsetid(QONNX_DOMAIN, 1)] * (format == "qonnx")
    model = helper.make_model(
        graph, opset_imports=domains, ir_version=IR_VERSION, producer_name="squeeze-hls", producer_version=__version__
    )
    entries = {PREPROCESS_KEY: preprocess_to_json(network.preprocess)}
    if network.labels:
        entries[LABELS_KEY] = labels_to_json(network.labels)
    helper.set_model_props(model, entries)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def weight_scale(conv: IntConv, scale_in: float, scale_out: float) -> np.ndarray:
    """Weight scales, float32-exact float64 (O,), that multiplier and shift imply.

    float32 is 2**7 times finer than the multiplier, so the same multiplier comes back from them.
    """
    factor = conv.multiplier.astype(np.float64) * np.exp2(-conv.shift.astype(np.float64))
    return as_float32(factor * scale_out / scale_in)


def lift(conv: IntConv) -> np.ndarray:
    """What lifts outputs off the ties, in accumulator units: float64 (O,).

    Outputs before rounding are multiples of ``gcd(M, 2**S) / 2**S``.  Moved up by half of that (and by at
    most a quarter of an output or accumulator unit) none is a tie, those that were round up, as
    ``arith.requantize`` does, and all keep the largest possible distance from one.
    """
    power = conv.multiplier & -conv.multiplier  # the largest power of two in M
    factor = conv.multiplier * np.exp2(-conv.shift.astype(np.float64))
    return np.minimum(np.minimum(power / (2.0 * conv.multiplier), 0.25 / factor), 0.25)


class _Writer:
    """Nodes and initializers, in the order in which they are written."""

    def __init__(self, network: IntNetwork, format: str):
        self.network, self.format = network, format
        self.tensors = frozenset(network.shapes)
        self.scale = {t: float(np.float32(network.scale.get(t, 1.0))) for t in self.tensors}
        self.result = self._own(f"{network.nodes[-1].output}/logits")
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def write(self, node: IntNode) -> None:
        WRITE[type(node)](self, node)

    def max_pool(self, node: MaxPool) -> None:
        self._node(
            "MaxPool", node.inputs, node.output, node.name,
            kernel_shape=[node.kernel] * 2, strides=[node.stride] * 2, ceil_mode=int(node.ceil),
        )  # fmt: skip

    def concat(self, node: Concat) -> None:
        self._node("Concat", node.inputs, node.output, node.name, axis=1)

    def add(self, node: IntAdd) -> None:
        total, positive = self._own(f"{node.output}/sum"), self._own(f"{node.output}/relu")
        self._node("Sum", node.inputs, total, node.name)
        self._clamp(total, positive, node, arith.ACTIVATION_MAX)
        self._quantizer(positive, node.output, arith.ACTIVATION_MAX)

    def average(self, node: GlobalAverage) -> None:
        self._node("GlobalAveragePool", node.inputs, node.output, node.name)
        self._node("Flatten", [node.output], self.result, f"{node.name}/flatten", axis=1)

    def conv(self, conv: IntConv) -> None:
        (source,) = conv.inputs
        scale_in, scale_out = self.scale[source], self.scale[conv.output]
        scale = weight_scale(conv, scale_in, scale_out)
        bias = conv.bias + lift(conv)
        if source == self.network.input:  # the exported input is pixel - pad_value
            bias += (conv.weight.astype(np.int64) * np.array(self.network.pad_value)).sum(axis=(1, 2, 3))
        name, pads = conv.output, conv.pads
        kernel = np.ascontiguousarray(conv.weight.transpose(0, 3, 1, 2))
        weight = self._weight(name, kernel, scale.astype(np.float32))
        offset = self._put(self._own(f"{name}/bias"), (bias * (scale_in * scale)).astype(np.float32))
        sums, positive = self._own(f"{name}/conv"), self._own(f"{name}/relu")
        shape = {"kernel_shape": list(conv.kernel), "strides": [conv.stride] * 2}
        shape["pads"] = [pads.top, pads.left, pads.bottom, pads.right]
        if self.format == "qonnx":
            self._node("Conv", [source, weight, offset], sums, conv.name, **shape)
        else:
            products = self._own(f"{name}/products")
            self._node("Conv", [source, weight], products, conv.name, **shape)
            self._add_bias(products, offset, sums, f"{conv.name}/bias", len(conv.bias))
        self._clamp(sums, positive, conv, type_max(conv.wide))
        self._quantizer(positive, name, type_max(conv.wide))

    def _clamp(self, source: str, result: str, node: IntConv | IntAdd, type_top: int) -> None:
        """ReLU; where outputs of ``node`` stay below the largest integer of their type, with an upper bound."""
        if node.top == type_top:
            self._node("Relu", [source], result, f"{node.name}/relu")
            return
        low = self._put(self._own("zero"), np.array(0, np.float32))
        high = np.array(node.top * self.scale[node.output], np.float32)
        self._node(
            "Clip", [source, low, self._put(self._own(f"{node.output}/limit"), high)], result, f"{node.name}/clip"
        )

    def _add_bias(self, source: str, bias: str, target: str, name: str, channels: int) -> None:
        """Add the bias as a batch normalization that does nothing else.

        With the bias inside Conv, ONNX Runtime merges it with the quantizers around it, which rounds
        biases to integers and halves to even.
        """
        one = self._put(self._own(f"ones_{channels}"), np.ones(channels, np.float32))
        zero = self._put(self._own(f"zeros_{channels}"), np.zeros(channels, np.float32))
        self._node("BatchNormalization", [source, one, bias, zero, one], target, name, epsilon=0.0)

    def _weight(self, name: str, kernel: np.ndarray, scale: np.ndarray) -> str:
        """The tensor of real weights (O, I, kh, kw)."""
        real = self._own(f"{name}/weight/real")
        if self.format == "qdq":
            stored = self._put(self._own(f"{name}/weight"), kernel.astype(np.int8))
            steps = self._put(self._own(f"{name}/weight_scale"), scale)
            self._node("DequantizeLinear", [stored, steps], real, f"{name}/weight/dequantize", axis=0)
            return real
        scale = scale[:, None, None, None]
        stored = self._put(self._own(f"{name}/weight"), kernel.astype(np.float32) * scale)
        self._quant(stored, self._put(self._own(f"{name}/weight_scale"), scale), real, arith.WEIGHT_BITS, signed=1)
        return real

    def _quantizer(self, source: str, target: str, top: int) -> None:
        step = self._put(self._own(f"{target}/scale"), np.array(self.scale[target], np.float32))
        if self.format == "qonnx":
            self._quant(source, step, target, top.bit_length(), signed=0)
            return
        kind = np.uint16 if top > arith.ACTIVATION_MAX else np.uint8
        zero = self._put(self._own(f"zero_{np.dtype(kind).name}"), np.array(0, kind))
        steps = self._own(f"{target}/steps")
        self._node("QuantizeLinear", [source, step, zero], steps, f"{target}/quantize")
        self._node("DequantizeLinear", [steps, step, zero], target, f"{target}/dequantize")

    def _quant(self, source: str, scale: str, target: str, bits: int, *, signed: int) -> None:
        zero = self._put(self._own("zero"), np.array(0, np.float32))
        width = self._put(self._own(f"bits_{bits}"), np.array(bits, np.float32))
        self._node(
            "Quant", [source, scale, zero, width], target, f"{target}/quant",
            domain=QONNX_DOMAIN, signed=signed, narrow=0, rounding_mode="ROUND",
        )  # fmt: skip

    def _own(self, name: str) -> str:
        """``name``, changed where the network has a tensor of that name."""
        while name in self.tensors:
            name += "~"
        return name

    def _node(self, kind: str, inputs: Sequence[str], output: str, name: str, **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))  # type: ignore[arg-type]

    def _put(self, name: str, values: np.ndarray) -> str:
        self.initializers.setdefault(
            name, numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
        )
        return name


WRITE: dict[type, Callable[..., None]] = {
    IntConv: _Writer.conv,
    MaxPool: _Writer.max_pool,
    Concat: _Writer.concat,
    IntAdd: _Writer.add,
    GlobalAverage: _Writer.average,
}
