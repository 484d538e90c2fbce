"""An ONNX file -> ``ir.Graph``: walk the nodes, simplify, check, name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import onnx

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import quantizers, simplify
from squeeze_hls.frontend.constants import Constants
from squeeze_hls.frontend.context import Context, FeatureMap, Grid
from squeeze_hls.frontend.input_limits import MAX_PIXELS, MAX_SIDE
from squeeze_hls.frontend.onnx_file import OnnxFile
from squeeze_hls.frontend.onnx_node import RE_EXPORT, Node
from squeeze_hls.frontend.operations import Operation
from squeeze_hls.frontend.operator_check import OperatorCheck
from squeeze_hls.frontend.operators import COMPUTING
from squeeze_hls.frontend.passing import PASSING
from squeeze_hls.frontend.preprocess import Size
from squeeze_hls.frontend.ranges import Activations, fuse_activations
from squeeze_hls.frontend.text import safe_name, unique_names
from squeeze_hls.network import arith, ir

_HANDLERS: dict[str, Callable[[Context, Node], None]] = {
    **COMPUTING,
    **PASSING,
    **dict.fromkeys(quantizers.QUANT, quantizers.quant),
    **dict.fromkeys(quantizers.QUANTIZE, quantizers.quantize_linear),
    **dict.fromkeys(quantizers.DEQUANTIZE, quantizers.dequantize_linear),
}
_QUANTIZERS = frozenset(quantizers.QUANT + quantizers.QUANTIZE + quantizers.DEQUANTIZE)
_ACTIVATIONS = frozenset(
    ("Celu", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Selu", "Sigmoid")
    + ("Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu")
)


def read_graph(
    file: OnnxFile, name: str, size: Size | None, notify: Callable[[str], None]
) -> tuple[ir.Graph, Grid | None]:
    """The network of a parsed ONNX file, without preprocessing and labels, and its quantizer of the picture.

    ``size`` (height, width) replaces the input size that the model declares.  Raises InputError for whatever
    the engine cannot compute.
    """
    constants = Constants(file)
    source, result = _ends(file, constants)
    batch, shape = _input_shape(file, source, size)
    nodes = _needed(file, result)
    check = OperatorCheck.of(file, nodes, result)
    context = Context(constants=constants, opset=check.versions[""], input=source.name, notify=notify)
    own = {(f.domain, f.name) for f in file.model.functions}
    context.maps[source.name] = _picture(source.name, batch, shape)
    for node in nodes:
        if (node.proto.domain, node.proto.op_type) in own:
            raise node.refuse("the file defines this operator itself.", "Export the model with its functions inlined.")
        _check_new(context, node)
        _convert(context, node, check)
    end = context.maps.get(result)
    if end is None or not end.averaged:
        raise InputError(
            f"{safe_name(file.path.name)}: output '{safe_name(result)}' is not the global average of a convolution. "
            "Re-export the model: features, 1x1 convolution, ReLU, global average."
        )
    layers = _reaching(context.layers, end.tensor)
    layers = simplify.merge_pads(layers)
    layers = simplify.fold_affines(layers)
    layers, activations = fuse_activations(layers, source.name)
    _check_logits(context, layers, activations)
    graph = _named(name, source.name, shape, layers, activations)
    return graph, context.picture_quantizer[1] if context.picture_quantizer else None


def _picture(name: str, batch: int, shape: ir.Shape) -> FeatureMap:
    made = (batch, shape[2], *shape[:2])
    return FeatureMap(tensor=name, shape=made, made=made)


def _check_logits(context: Context, layers: list[Operation], activations: Activations) -> None:
    """A quantizer of the logits may only round them, which the engine leaves out; one that clips is refused."""
    averaged = layers[-1].inputs[0] if isinstance(layers[-1], ir.GlobalAverage) else ""
    step, top = activations.scale.get(averaged, math.inf), activations.top.get(averaged, arith.WIDE_MAX)
    for node, grid in context.logit_quantizers:
        most = (grid.high - grid.zero) * grid.scale
        if most * (1 + 1e-5) < step * top:
            reach = f"can reach {step * top:g}" if math.isfinite(step) else "are not bounded by a quantizer before it"
            raise node.refuse(
                f"it clips the logits at {most:g}, which {reach}; the engine's logits are exact sums.",
                "Remove the quantizer after the average.",
            )
    if context.logit_quantizers:
        node, grid = context.logit_quantizers[0]
        context.notify(
            f"the quantizer '{safe_name(node.raw_name)}' of the logits is left out: they are exact, and differ from "
            f"its steps by up to {grid.scale / 2:g}"
        )


def _ends(file: OnnxFile, constants: Constants) -> tuple[onnx.ValueInfoProto, str]:
    """The one input that is no initializer, and the name of the one output."""
    where = safe_name(file.path.name)
    inputs = [i for i in file.graph.input if i.name not in constants]
    if len(inputs) != 1:
        raise InputError(f"{where}: {len(inputs)} inputs; the engine takes one picture. Export a model with one input.")
    if len(file.graph.output) != 1:
        raise InputError(
            f"{where}: {len(file.graph.output)} outputs; the engine gives one vector of logits. "
            "Export a model with one output."
        )
    return inputs[0], file.graph.output[0].name


def _input_shape(file: OnnxFile, value: onnx.ValueInfoProto, size: Size | None) -> tuple[int, ir.Shape]:
    """Batch (1 where it is symbolic) and (height, width, 3)."""
    where = f"{safe_name(file.path.name)}: input '{safe_name(value.name)}'"
    kind = value.type.tensor_type
    if kind.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
        raise InputError(f"{where} is not a floating-point tensor. Export the model without its own preprocessing.")
    dims = [d.dim_value if d.WhichOneof("value") == "dim_value" else None for d in kind.shape.dim]
    if len(dims) != 4 or dims[1] not in (3, None):
        hint = " It looks like NHWC layout; export in NCHW, as PyTorch does." if dims[3:] == [3] else ""
        shown = "x".join("?" if d is None else str(d) for d in dims[:8]) or "unknown"
        raise InputError(
            f"{where} has shape {shown}, not batch x 3 x height x width. Only colour pictures are read.{hint}"
        )
    height, width = size or (dims[2], dims[3])
    if height is None or width is None:
        raise InputError(
            f"{where} has a dynamic height or width; hardware is made for one size. "
            "Give it with --input HxW, such as --input 224x224, or export the model with a fixed size."
        )
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise InputError(
            f"{where} is {height}x{width}; up to {MAX_SIDE} a side and {MAX_PIXELS:,} pixels are accepted."
        )
    return max(dims[0] or 1, 1), (height, width, 3)


def _needed(file: OnnxFile, result: str) -> list[Node]:
    """The nodes on which the output depends, in the order of the file."""
    wanted, nodes = {result}, []
    for proto in reversed(file.graph.node):
        if wanted.intersection(o for o in proto.output if o):
            wanted.update(i for i in proto.input if i)
            nodes.append(Node(proto))
    return nodes[::-1]


def _check_new(context: Context, node: Node) -> None:
    """Every name is written once; where one is not, files are read in more than one way."""
    for name in filter(None, node.outputs):
        if name in context.maps or name in context.constants:
            raise node.refuse(f"it writes '{safe_name(name)}', which exists already.", RE_EXPORT)


def _convert(context: Context, node: Node, check: OperatorCheck) -> None:
    if not node.outputs or not node.output:
        raise node.refuse("only its first output is supported, and it has none.", "Re-export the model.")
    check.check(context, node)
    if node.op not in _QUANTIZERS and context.constants.fold(node):
        return
    handler = _HANDLERS.get(node.op)
    if handler is not None:
        handler(context, node)
        return
    op = safe_name(node.op)
    if node.op in _ACTIVATIONS:
        raise node.refuse(f"activation {op} is not supported; the engine computes ReLU.", "Retrain with ReLU.")
    if node.op in ("Gemm", "MatMul"):
        raise node.refuse(
            "a fully connected layer is not supported; the engine's classifier is a 1x1 convolution with ReLU before "
            "the global average.",
            "Replace it so, as in SqueezeNet, and retrain.",
        )
    raise node.refuse(f"operator {op} is not supported.", "Re-export the model or remove the layer.")


def _reaching(layers: list[Operation], end: str) -> list[Operation]:
    """The layers that ``end`` depends on."""
    wanted, kept = {end}, []
    for layer in reversed(layers):
        if layer.output in wanted:
            wanted.update(layer.inputs)
            kept.append(layer)
    return kept[::-1]


def _named(name: str, source: str, shape: ir.Shape, layers: list[Operation], activations: Activations) -> ir.Graph:
    """The Graph, under names that are safe to print and unique."""
    tensors = unique_names([source, *(layer.output for layer in layers)])
    nodes: list[ir.GraphNode] = []
    taken: dict[str, int] = {}
    for layer in layers:
        node = cast(ir.GraphNode, layer)
        label = safe_name(node.name)
        taken[label] = taken.get(label, 0) + 1
        label = label if taken[label] == 1 else f"{label}~{taken[label]}"
        nodes.append(cast(ir.GraphNode, replace(node.renamed(tensors), name=label)))
    graph = ir.Graph(
        name=name,
        input=tensors[source],
        input_shape=shape,
        nodes=tuple(nodes),
        preprocess=ir.TORCHVISION,
        activation_scale={tensors[t]: s for t, s in activations.scale.items()},
        activation_top={tensors[t]: top for t, top in activations.top.items()},
    )
    graph.shapes  # noqa: B018  raises on any inconsistency
    return graph
