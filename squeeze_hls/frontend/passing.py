"""ONNX operators that hand their input on (at inference), and the global average that ends the network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from squeeze_hls.frontend.constants import axes_argument, resolve_reshape, shape_argument
from squeeze_hls.frontend.context import Context, FeatureMap
from squeeze_hls.frontend.input_limits import MAX_TENSOR_ELEMENTS
from squeeze_hls.frontend.onnx_node import RE_EXPORT, Node
from squeeze_hls.frontend.operations import Clamp
from squeeze_hls.frontend.ranges import averaged_conv
from squeeze_hls.frontend.semantics import cast_type, sub_shape
from squeeze_hls.network import arith, ir

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
_BEFORE_AVERAGE = "Re-export the model: features, 1x1 convolution, ReLU, global average, reshape, softmax."


def identity(context: Context, node: Node) -> None:
    context.define(node, context.feature_map(node))


def dropout(context: Context, node: Node) -> None:
    if node.input(2) and context.constant(node, 2, "training modes").any():
        raise node.refuse("it is in training mode.", "Call model.eval() before exporting.")
    identity(context, node)


def cast(context: Context, node: Node) -> None:
    if cast_type(node) not in _FLOATS:
        raise node.refuse("a cast of a feature map to integers is not supported.", "Re-export the model.")
    identity(context, node)


def flatten(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    rank, axis = len(source.shape), node.integer("axis", 1)
    if not (-rank if context.opset >= 11 else 0) <= axis <= rank:
        raise node.refuse(f"axis {axis} does not exist in a tensor of {rank} dimensions.", RE_EXPORT)
    axis = axis + rank if axis < 0 else axis
    _reshaped(context, node, source, (math.prod(source.shape[:axis]), math.prod(source.shape[axis:])))


def reshape(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    target = node.integers("shape", ()) if node.has("shape") else context.constant(node, 1, "shapes").reshape(-1)[:17]
    allow_zero = bool(node.integer("allowzero", 0))
    shape = resolve_reshape(node, source.shape, shape_argument(target, node), allow_zero)
    _reshaped(context, node, source, shape)


def squeeze(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    axes = axes_argument(context.constants, node, len(source.shape))
    gone = [i for i, size in enumerate(source.shape) if size == 1 and (axes is None or i in axes)]
    if axes is not None and len(gone) != len(axes):
        raise node.refuse(f"axes {list(axes)} of shape {list(source.shape)} cannot be squeezed.", RE_EXPORT)
    _reshaped(context, node, source, tuple(size for i, size in enumerate(source.shape) if i not in gone))


def unsqueeze(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    added = context.constant(node, 1, "axes").size if node.input(1) else len(node.integers("axes", ()))
    axes = axes_argument(context.constants, node, len(source.shape) + min(added, 8)) or ()
    shape = list(source.shape)
    for axis in axes:
        shape.insert(axis, 1)
    _reshaped(context, node, source, tuple(shape))


def transpose(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    perm = node.integers("perm", tuple(range(len(source.shape)))[::-1])
    if sorted(perm) != list(range(len(source.shape))):
        raise node.refuse(f"perm {list(perm)[:8]} does not fit a tensor of {len(source.shape)} dimensions.", RE_EXPORT)
    order = [axis for axis in perm if source.shape[axis] > 1]  # only these decide where a value lies
    if perm != tuple(range(len(perm))) and not (source.averaged and perm[0] == 0 and order == sorted(order)):
        raise node.refuse(
            "transposed feature maps are not supported.", "Export the model in NCHW layout, as PyTorch does."
        )
    context.define(node, replace(source, shape=tuple(source.shape[i] for i in perm)))


def _reshaped(context: Context, node: Node, source: FeatureMap, shape: tuple[int, ...]) -> None:
    """A reshape keeps the order of the values: pictures must not mix, nor channels before the average.

    What reads it decides whether its shape is one: see ``Context.picture``.
    """
    batch = source.made[0]
    if source.averaged and batch > 1 and shape[:1] != (batch,):
        raise node.refuse(f"it mixes the {batch} pictures of a batch.", RE_EXPORT)
    if not source.averaged and shape[:2] != source.made[:2]:
        raise node.refuse(
            f"it flattens the channels of {list(source.shape)} before the global average.", _BEFORE_AVERAGE
        )
    context.define(node, replace(source, shape=shape))


def softmax(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    if not source.averaged:
        raise node.refuse("softmax before the global average is not supported.", _BEFORE_AVERAGE)
    rank = len(source.shape)
    axis = node.integer("axis", 1 if context.opset < 13 else -1)
    if not -rank <= axis < rank:
        raise node.refuse(f"axis {axis} does not exist in a tensor of {rank} dimensions.", RE_EXPORT)
    axis %= rank
    covered = math.prod(source.shape[axis:]) if context.opset < 13 else source.shape[axis]
    classes = math.prod(source.shape) // context.maps[context.input].shape[0]
    if covered != classes:
        raise node.refuse(f"axis {axis} is not that of the classes.", "Re-export the model with softmax over axis 1.")
    context.define(node, source)


def shape(context: Context, node: Node) -> None:
    """Shapes are constants: the network is compiled for one picture of one size."""
    source = context.feature_map(node)
    context.constants.put(node.output, sub_shape(node, source.shape))


def _average(context: Context, node: Node, source: FeatureMap, shape: tuple[int, ...]) -> None:
    """Mean over all axes but the first two."""
    if source.grid:
        raise node.refuse("it averages integers.", "Export the model with DequantizeLinear before the average.")
    if source.averaged:
        if source.shape[:2] != source.made[:2] or math.prod(source.shape[2:]) != 1:
            raise node.refuse("only one global average is supported.", _BEFORE_AVERAGE)
        context.define(node, replace(source, shape=shape))  # the mean of one pixel
        return
    if source.tensor == context.input:
        raise node.refuse("it averages the picture itself.", _BEFORE_AVERAGE)
    pixels = math.prod(source.made[2:])
    if pixels * arith.WIDE_MAX > arith.LOGIT_MAX:
        raise node.refuse(
            f"it averages {pixels:,} pixels; a 32-bit logit holds the sum of up to "
            f"{arith.LOGIT_MAX // arith.WIDE_MAX:,}.",
            "Use a smaller input picture, or pooling in front.",
        )
    tensor = source.tensor
    if not averaged_conv([*context.layers, ir.GlobalAverage(name="", inputs=(tensor,), output="")]):
        tensor = _copied_to_16_bits(context, node, source)
    layer = ir.GlobalAverage(name=node.raw_name, inputs=(tensor,), output=node.output)
    context.add(node, layer, shape, averaged=True)


def _copied_to_16_bits(context: Context, node: Node, source: FeatureMap) -> str:
    """A 1x1 convolution that hands its input on, in front of an average over anything but a convolution.

    The engine averages what a convolution writes; this one copies each u8 to a multiple of itself, exactly.
    """
    channels = source.made[1]
    if channels * channels > MAX_TENSOR_ELEMENTS:
        raise node.refuse(f"it averages {channels:,} channels.", _BEFORE_AVERAGE)
    conv = ir.Conv(
        name=f"{node.raw_name}/copy",
        inputs=(source.tensor,),
        output=f"{node.output}/copy",
        weight=np.eye(channels, dtype=np.float32).reshape(channels, 1, 1, channels),
        bias=np.zeros(channels, np.float32),
        stride=1,
        pads=ir.Pads(),
        relu=False,
        weight_scale=np.ones(channels) if context.constants.quantized else None,
    )
    clamp = Clamp(node=node, inputs=(conv.output,), output=f"{conv.output}/relu")
    context.layers += [conv, clamp]
    return clamp.output


def global_average_pool(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    _average(context, node, source, (*source.shape[:2], *(1,) * (len(source.shape) - 2)))


def average_pool(context: Context, node: Node) -> None:
    source = context.picture(node)
    kernel, size = node.spatial("kernel_shape", ()), source.shape[2:]
    mode = node.string("auto_pad", "NOTSET")
    padded = any(node.integers("pads", ())) or (mode not in ("NOTSET", "", "VALID") and kernel != (1, 1))
    if kernel != size or padded:
        raise node.refuse(
            f"a window of {kernel[0]}x{kernel[1]} on {size[0]}x{size[1]} pixels is not supported; "
            "the engine averages the whole feature map.",
            "Use a global average, or the input size that the model was made for.",
        )
    _average(context, node, source, (*source.shape[:2], 1, 1))


def reduce_mean(context: Context, node: Node) -> None:
    source = context.feature_map(node)
    rank = len(source.shape)
    axes = axes_argument(context.constants, node, rank)
    if axes is None and node.integer("noop_with_empty_axes", 0):
        identity(context, node)
        return
    if axes != tuple(range(2, rank)):
        shown = "all axes" if axes is None else f"axes {list(axes)}"
        raise node.refuse(
            f"a mean over {shown} of {list(source.shape)} is not supported; the engine averages height and width.",
            _BEFORE_AVERAGE,
        )
    keep = bool(node.integer("keepdims", 1))
    _average(context, node, source, (*source.shape[:2], *((1,) * (rank - 2) if keep else ())))


PASSING: dict[str, Callable[[Context, Node], None]] = {
    "AveragePool": average_pool,
    "Cast": cast,
    "Dropout": dropout,
    "Flatten": flatten,
    "GlobalAveragePool": global_average_pool,
    "Identity": identity,
    "LogSoftmax": softmax,
    "ReduceMean": reduce_mean,
    "Reshape": reshape,
    "Shape": shape,
    "Softmax": softmax,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
