"""ONNX operators on feature maps -> layers: the ones that compute.

Each function reads one node and appends one layer to the context.  Semantics: the ONNX operator
documentation; weights turn from (O, I, kh, kw) to (O, kh, kw, I) here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from squeeze_hls.frontend.context import Context, FeatureMap
from squeeze_hls.frontend.onnx_node import RE_EXPORT, Node
from squeeze_hls.frontend.operations import Affine, Clamp, Pad
from squeeze_hls.frontend.quantizers import channel_scale, narrow_grid
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.network import arith, ir

_REMOVE = "Re-export the model or remove the layer."


def conv(context: Context, node: Node) -> None:
    source = context.picture(node)
    weight = context.constant(node, 1, "weights")
    group = node.integer("group", 1)
    if group != 1:
        _refuse_groups(node, group, source.shape[1])
    if weight.ndim != 4:
        raise node.refuse(f"weights of shape {list(weight.shape)} are not those of a 2-D convolution.", RE_EXPORT)
    outputs, inputs, kh, kw = weight.shape
    if min(weight.shape) < 1 or node.spatial("kernel_shape", (kh, kw)) != (kh, kw):
        raise node.refuse(f"weights of shape {list(weight.shape)} contradict its kernel_shape.", RE_EXPORT)
    if inputs != source.shape[1]:
        raise node.refuse(
            f"its weights want {inputs} input channels, '{safe_name(source.tensor)}' has {source.shape[1]}.", RE_EXPORT
        )
    dilation = node.spatial("dilations", (1, 1))
    if dilation != (1, 1):
        shown = dilation[0] if dilation[0] == dilation[1] else f"{dilation[0]}x{dilation[1]}"
        raise node.refuse(f"dilation {shown} is not supported; the engine computes dilation 1.", _REMOVE)
    stride = _square(node, "stride", node.spatial("strides", (1, 1)))
    pads = _pads(node, source, (kh, kw), stride)
    bias = context.constant(node, 2, "biases") if node.input(2) else np.zeros(outputs)
    if bias.shape != (outputs,):
        raise node.refuse(f"it has {outputs} filters but biases of shape {list(bias.shape)}.", RE_EXPORT)
    layer = ir.Conv(
        name=node.raw_name,
        inputs=(source.tensor,),
        output=node.output,
        weight=_floats(node, "weights", np.ascontiguousarray(weight.transpose(0, 2, 3, 1))),
        bias=_floats(node, "biases", bias),
        stride=stride,
        pads=pads,
        relu=False,
        weight_scale=channel_scale(context, node, weight),
    )
    height = arith.conv_size(source.shape[2], kh, stride, pads.top, pads.bottom)
    width = arith.conv_size(source.shape[3], kw, stride, pads.left, pads.right)
    context.add(node, layer, (source.shape[0], outputs, height, width))


def _refuse_groups(node: Node, group: int, channels: int) -> None:
    if group == channels:
        raise node.refuse(
            f"depthwise convolution ({group} groups) is not supported; it would use one input-channel lane of the "
            "engine's CIN, 1/CIN of the array.",
            "Replace it by a full convolution, as in SqueezeNet.",
        )
    raise node.refuse(f"{group} groups are not supported; the engine computes 1 group.", _REMOVE)


def _square(node: Node, what: str, values: tuple[int, ...]) -> int:
    if values[0] != values[1] or values[0] < 1:
        raise node.refuse(f"{what} {values[0]}x{values[1]} is not supported; both axes must have the same.", _REMOVE)
    return values[0]


def _pads(node: Node, source: FeatureMap, kernel: tuple[int, int], stride: int) -> ir.Pads:
    """The pads attribute, or what auto_pad means for this input."""
    mode = node.string("auto_pad", "NOTSET")
    top, left, bottom, right = node.spatial("pads", (0, 0, 0, 0), count=4)
    if mode in ("NOTSET", ""):
        pass
    elif top or left or bottom or right:
        raise node.refuse(f"auto_pad {safe_name(mode, 20)} and pads exclude each other.", RE_EXPORT)
    elif mode == "VALID":
        top = left = bottom = right = 0
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        (top, bottom), (left, right) = (
            _same(node, size, k, stride, mode) for size, k in zip(source.shape[2:], kernel, strict=True)
        )
    else:
        raise node.refuse(f"auto_pad '{safe_name(mode, 20)}' does not exist.", RE_EXPORT)
    for pad, k in ((top, kernel[0]), (bottom, kernel[0]), (left, kernel[1]), (right, kernel[1])):
        most = max(k - 1, 1)  # Caffe's SqueezeNet v1.0 pads the 1x1 convolution of its classifier by 1
        if not 0 <= pad <= most:
            raise node.refuse(f"padding {pad} is not supported for a kernel of {k}; it may be 0 to {most}.", _REMOVE)
    return ir.Pads(top=top, left=left, bottom=bottom, right=right)


def _same(node: Node, size: int, kernel: int, stride: int, mode: str) -> tuple[int, int]:
    total = (-(-size // stride) - 1) * stride + kernel - size
    if total < -1:  # some runtimes cut off pixels on both sides then, others at the end only
        raise node.refuse("auto_pad with a stride beyond the kernel has no one meaning.", "Re-export it with pads.")
    total = max(total, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if mode == "SAME_UPPER" else (more, less)


def _floats(node: Node, what: str, values: np.ndarray) -> np.ndarray:
    """float32 values, all of them finite."""
    if values.dtype.kind in "iub" or "int" in values.dtype.name:
        raise node.refuse(
            f"its {what} are integers ({values.dtype.name}) without a scale.", "Export them after DequantizeLinear."
        )
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    bad = result.size - int(np.isfinite(result).sum())
    if bad:
        raise node.refuse(
            f"{bad} of its {result.size} {what} are not finite (NaN or infinity).",
            "The training diverged or the file is damaged; export a good checkpoint.",
        )
    return result


def max_pool(context: Context, node: Node) -> None:
    source = context.picture(node, integers=True)
    kernel = _square(node, "kernel", node.spatial("kernel_shape", ()))
    stride = _square(node, "stride", node.spatial("strides", (1, 1)))
    if node.spatial("dilations", (1, 1)) != (1, 1):
        raise node.refuse("dilated pooling is not supported.", _REMOVE)
    if stride > kernel and node.string("auto_pad", "NOTSET").startswith("SAME"):
        raise node.refuse("auto_pad with a stride beyond the kernel has no one meaning.", "Re-export it with pads.")
    pads = _pads(node, source, (kernel, kernel), stride)
    size = source.shape[2:]
    ends = ((pads.top, pads.bottom), (pads.left, pads.right))
    # Pixels of padding never win a maximum, so padding at the end only is the same as a cut-off last
    # window: what matters is how many windows there are.
    declared = bool(node.integer("ceil_mode", 0))
    wanted = tuple(arith.pool_size(s + sum(e), kernel, stride, declared) for s, e in zip(size, ends, strict=True))
    for ceil in (False, True):
        if not (pads.top or pads.left) and wanted == tuple(arith.pool_size(s, kernel, stride, ceil) for s in size):
            layer = ir.MaxPool(
                name=node.raw_name, inputs=(source.tensor,), output=node.output, kernel=kernel, stride=stride, ceil=ceil
            )
            context.add(node, layer, (*source.shape[:2], *wanted), grid=source.grid)
            return
    raise node.refuse(
        f"padding {pads} is not supported; the engine pools without padding (a cut-off last window is allowed).",
        "Re-export the model with unpadded pooling, ceil_mode 0 or 1.",
    )


def relu(context: Context, node: Node) -> None:
    source = context.picture(node)
    context.add_elementwise(node, Clamp(node=node, inputs=(source.tensor,), output=node.output), source)


def clip(context: Context, node: Node) -> None:
    """Bounds of real values, or of the integers between QuantizeLinear and DequantizeLinear, as in QCDQ."""
    source = context.picture(node, integers=True)
    bounds = []
    for index, key, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        if node.input(index):
            value = context.constant(node, index, "bounds")
            bounds.append(float(value.reshape(-1)[0]) if value.size == 1 else math.nan)
        else:
            bounds.append(node.number(key, default))
    low, high = bounds
    if not low < high or high <= 0 and not source.grid:
        raise node.refuse(
            f"clipping to [{low:g}, {high:g}] is not supported; the engine computes ReLU.", "Retrain with ReLU."
        )
    if source.grid:
        narrow_grid(context, node, source, low, high)
        return
    if high >= float(np.finfo(np.float32).max):
        high = math.inf
    layer = Clamp(node=node, inputs=(source.tensor,), output=node.output, low=low, high=high)
    context.add_elementwise(node, layer, source)


def batch_normalization(context: Context, node: Node) -> None:
    source = context.picture(node)
    names = ("scales", "biases", "means", "variances")
    gamma, beta, mean, var = (context.constant(node, i + 1, n).astype(np.float64) for i, n in enumerate(names))
    if {a.shape for a in (gamma, beta, mean, var)} != {(source.shape[1],)}:
        raise node.refuse(f"its parameters do not have the {source.shape[1]} channels of its input.", RE_EXPORT)
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(var + node.number("epsilon", 1e-5))
        offset = beta - mean * factor
    _floats(node, "factors and offsets", np.concatenate([factor, offset]))
    layer = Affine(node=node, inputs=(source.tensor,), output=node.output, factor=factor, offset=offset)
    context.add_elementwise(node, layer, source)


def pad(context: Context, node: Node) -> None:
    source = context.picture(node)
    if node.string("mode", "constant") != "constant":
        raise node.refuse("only constant padding with zeros is supported.", _REMOVE)
    if node.input(1):
        amounts = tuple(int(v) for v in context.constant(node, 1, "amounts").reshape(-1)[:9])
    else:
        amounts = node.integers("paddings" if node.has("paddings") else "pads", ())
    value = context.constant(node, 2, "values") if node.input(2) else np.array(node.number("value", 0.0))
    if len(amounts) != 8 or any(amounts[i] for i in (0, 1, 4, 5)) or not 0 <= min(amounts) <= max(amounts) < 16:
        raise node.refuse(f"padding {list(amounts)} is not supported; rows and columns can be padded.", _REMOVE)
    if value.size != 1 or value.reshape(-1)[0] != 0:
        raise node.refuse("padding with values other than 0 is not supported.", _REMOVE)
    pads = ir.Pads(top=amounts[2], left=amounts[3], bottom=amounts[6], right=amounts[7])
    height, width = source.shape[2] + pads.top + pads.bottom, source.shape[3] + pads.left + pads.right
    layer = Pad(node=node, inputs=(source.tensor,), output=node.output, pads=pads)
    context.add(node, layer, (*source.shape[:2], height, width))


def concat(context: Context, node: Node) -> None:
    sources = [context.picture(node, i, integers=True) for i in range(len(node.inputs))]
    if not sources or node.integer("axis", 1) not in (1, -3):
        raise node.refuse("only concatenation of channels (axis 1) is supported.", RE_EXPORT)
    rest = {(s.shape[0], *s.shape[2:]) for s in sources}
    if len(rest) != 1:
        raise node.refuse(f"the feature maps differ in size: {[list(s.shape) for s in sources][:8]}.", RE_EXPORT)
    grids = {s.grid for s in sources}
    if len(grids) != 1:
        raise node.refuse(
            "its inputs have different scales; both halves must share one.", "Quantize them with one quantizer."
        )
    shape = (sources[0].shape[0], sum(s.shape[1] for s in sources), *sources[0].shape[2:])
    layer = ir.Concat(name=node.raw_name, inputs=tuple(s.tensor for s in sources), output=node.output)
    context.add(node, layer, shape, grid=sources[0].grid)


def add(context: Context, node: Node) -> None:
    """Add of two feature maps, or Sum of any number."""
    if any(name in context.constants for name in node.inputs):
        raise node.refuse(
            "adding a constant is not supported.", "Fold it into the biases of the convolution before it."
        )
    sources = [context.picture(node, i) for i in range(max(len(node.inputs), 1))]
    shapes = {s.shape for s in sources}
    if len(shapes) != 1:
        shown = " and ".join(str(list(s.shape)) for s in sources[:8])
        raise node.refuse(f"the feature maps differ in shape: {shown}.", RE_EXPORT)
    layer = ir.Add(name=node.raw_name, inputs=tuple(s.tensor for s in sources), output=node.output)
    context.add(node, layer, sources[0].shape)


COMPUTING: dict[str, Callable[[Context, Node], None]] = {
    "Add": add,
    "BatchNormalization": batch_normalization,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "MaxPool": max_pool,
    "Pad": pad,
    "Relu": relu,
    "Sum": add,
}
