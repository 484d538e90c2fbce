"""Layers -> the nodes and activation scales of ``ir.Graph``.

Every pass takes layers in topological order and returns them so:

1. ``merge_pads``    zero padding in front of a convolution becomes its padding
2. ``fold_affines``  batch normalization behind a convolution becomes its weights and biases
3. ``fuse_relus``    ReLUs move up through pooling, concatenation and quantizers into the convolutions
4. ``fuse_quantizers``  quantizers become scales of tensors
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squeeze_hls import arith, ir
from squeeze_hls.errors import InputError
from squeeze_hls.frontend.layers import Affine, Layer, Pad, Quantizer, Relu, consumers, layer_inputs, renamed
from squeeze_hls.frontend.text import safe_name

_TOLERANCE = 1e-5  # relative; scales travel as float32


def merge_pads(layers: list[Layer]) -> list[Layer]:
    """``Pad -> Conv`` becomes a Conv with more padding."""
    pads = {layer.output: layer for layer in layers if isinstance(layer, Pad)}
    result: list[Layer] = []
    for layer in layers:
        pad = pads.get(layer.input) if isinstance(layer, ir.Conv) else None
        if isinstance(layer, ir.Conv) and pad is not None:
            layer = replace(layer, input=pad.input, pads=_sum_pads(pad, layer))
        result.append(layer)
    readers = consumers(result)
    for pad in pads.values():
        if pad.output in readers:
            raise pad.node.refuse(
                "padding is only supported directly in front of a convolution.", "Move it there, or remove it."
            )
    return [layer for layer in result if not isinstance(layer, Pad)]


def _sum_pads(pad: Pad, conv: ir.Conv) -> ir.Pads:
    sides = ("top", "left", "bottom", "right")
    total = {side: getattr(pad.pads, side) + getattr(conv.pads, side) for side in sides}
    kh, kw = conv.kernel
    if max(total["top"], total["bottom"]) > max(kh - 1, 1) or max(total["left"], total["right"]) > max(kw - 1, 1):
        raise pad.node.refuse(
            f"together with '{safe_name(conv.name)}' it pads more than the kernel of {kh}x{kw} reaches.",
            "Use less padding.",
        )
    return ir.Pads(**total)


def fold_affines(layers: list[Layer]) -> list[Layer]:
    """``Conv -> Affine`` becomes a Conv; the batch normalization names the tensor."""
    readers = consumers(layers)
    result: list[Layer] = []
    index: dict[str, int] = {}  # tensor -> position of the layer that writes it
    for layer in layers:
        if not isinstance(layer, Affine):
            index[layer.output] = len(result)
            result.append(layer)
            continue
        position = index.get(layer.input)
        conv = None if position is None else result[position]
        if position is None or not isinstance(conv, ir.Conv) or len(readers[layer.input]) != 1:
            raise layer.node.refuse(
                "batch normalization is only supported directly behind a convolution whose output nothing else reads.",
                "Move it there, or fold it into the weights.",
            )
        result[position] = _fold(conv, layer)
        del index[layer.input]
        index[layer.output] = position
    return result


def _fold(conv: ir.Conv, affine: Affine) -> ir.Conv:
    factor = affine.factor
    with np.errstate(over="ignore"):
        weight = (conv.weight * factor[:, None, None, None]).astype(np.float32)
        bias = (conv.bias * factor + affine.offset).astype(np.float32)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise affine.node.refuse("folded into the convolution, it overflows.", "Export a good checkpoint.")
    scale = conv.weight_scale
    if scale is not None:
        scale = scale * np.where(factor == 0, 1.0, np.abs(factor))
        lowest = np.rint(weight / scale[:, None, None, None])
        if lowest.max() > arith.WEIGHT_MAX:  # a negative factor turned -32 into 32
            raise affine.node.refuse(
                "its negative factor turns the weight -32 into 32, which 6 bits do not hold.",
                "Quantize the weights to a narrow range ([-31, 31]).",
            )
    return replace(conv, output=affine.output, weight=weight, bias=bias, weight_scale=scale)


def fuse_relus(layers: list[Layer]) -> list[Layer]:
    """Give every convolution its ReLU; the Relu layers, which change nothing any more, stay for the moment.

    A ReLU may move up into a convolution where everything that reads the convolution, through layers that
    commute with it, applies a ReLU (or a quantizer from 0 upwards, which is one).  Raises InputError for a
    convolution without, and for a ReLU on anything else.
    """
    readers = consumers(layers)
    indifferent: dict[str, bool] = {}  # tensors to which a ReLU may be applied without changing the network
    for layer in reversed(layers):
        reads = readers.get(layer.output, [])
        indifferent[layer.output] = all(_absorbs(r, indifferent) for r in reads)
    result: list[Layer] = []
    positive: set[str] = set()  # tensors without negative values
    for layer in layers:
        if isinstance(layer, ir.Conv):
            if not indifferent[layer.output]:
                raise _no_relu(layer, readers.get(layer.output, []))
            layer = replace(layer, relu=True)
        elif isinstance(layer, (Relu, Quantizer)) and layer.input not in positive:
            raise layer.node.refuse(
                "it is only supported behind a convolution.", "Re-export the model or remove the layer."
            )
        if isinstance(layer, ir.Conv) or all(t in positive for t in layer_inputs(layer)):
            positive.add(layer.output)
        result.append(layer)
    return result


def _absorbs(layer: Layer, indifferent: dict[str, bool]) -> bool:
    """Whether a ReLU on the input of ``layer`` changes nothing behind it."""
    if isinstance(layer, Relu) or (isinstance(layer, Quantizer) and layer.bottom == 0):
        return True
    return isinstance(layer, (ir.MaxPool, ir.Concat, Quantizer)) and indifferent[layer.output]


def _no_relu(conv: ir.Conv, reads: list[Layer]) -> InputError:
    partly = any(isinstance(r, Relu) for r in reads)
    problem = "its output is used with and without ReLU" if partly else "no ReLU follows it"
    return InputError(
        f"Conv '{safe_name(conv.name)}': {problem}; the engine's activations are unsigned, every convolution "
        "needs one. Retrain with ReLU behind it."
    )


def fuse_quantizers(layers: list[Layer], notify: Callable[[str], None]) -> tuple[list[Layer], dict[str, float]]:
    """Turn quantizers to scales of tensors and remove them and the Relus; returns layers and scales by tensor.

    Pooling and concatenation hand integers on, so their inputs and outputs share one scale.  A quantizer to
    fewer integers than the engine has keeps its range and gets finer steps.
    """
    groups = _shared_scales(layers)
    wide = _wide_tensor(layers, groups)
    scales: dict[str, float] = {}  # by group
    first: dict[str, Quantizer] = {}
    finer: set[str] = set()
    for layer in layers:
        if not isinstance(layer, Quantizer):
            continue
        group = groups[layer.output]
        levels = arith.WIDE_MAX if group == wide else arith.ACTIVATION_MAX
        scale = _engine_scale(layer, levels)
        if layer.top != levels:
            finer.add(group)
        if not math.isclose(scales.setdefault(group, scale), scale, rel_tol=_TOLERANCE):
            raise layer.node.refuse(
                f"its range [0, {scale * levels:g}] differs from [0, {scales[group] * levels:g}] of "
                f"'{safe_name(first[group].node.raw_name)}'; both halves of a concatenation, and both sides of a "
                "pooling, must share one scale.",
                "Quantize them with one quantizer.",
            )
        first.setdefault(group, layer)
    if finer:
        notify(f"{len(finer)} activation quantizers have fewer steps than the engine: same ranges, finer steps")
    for layer in layers:
        if isinstance(layer, Relu):
            _check_limit(layer, scales.get(groups[layer.output], math.inf) * arith.ACTIVATION_MAX)
    fused, names = _without_fused(layers)
    written = {layer.output for layer in fused}
    by_tensor = {names.get(t, t): scales[g] for t, g in groups.items() if g in scales}
    return fused, {t: s for t, s in by_tensor.items() if t in written}


def _shared_scales(layers: list[Layer]) -> dict[str, str]:
    """For each tensor a representative of those that have the same scale."""
    parent: dict[str, str] = {}

    def find(tensor: str) -> str:
        while (above := parent.setdefault(tensor, tensor)) != tensor:
            tensor = above
        return tensor

    for layer in layers:
        find(layer.output)
        if isinstance(layer, (ir.MaxPool, ir.Concat, Relu, Quantizer)):
            for tensor in layer_inputs(layer):
                parent[find(tensor)] = find(layer.output)
    return {tensor: find(tensor) for tensor in parent}


def _wide_tensor(layers: list[Layer], groups: dict[str, str]) -> str:
    """Group of the tensor that is averaged, which has 16 bits where a convolution writes it."""
    averaged = {groups[layer.input] for layer in layers if isinstance(layer, ir.GlobalAverage)}
    kinds = {type(layer) for layer in layers if groups[layer.output] in averaged}
    return averaged.pop() if kinds <= {ir.Conv, Relu, Quantizer} else ""


def _engine_scale(quantizer: Quantizer, levels: int) -> float:
    if quantizer.top > levels:
        raise quantizer.node.refuse(
            f"integers up to {quantizer.top} are not supported here; the engine's activations reach {levels}.",
            "Quantize activations to 8 bits (the last convolution: 16).",
        )
    return quantizer.scale if quantizer.top == levels else quantizer.scale * quantizer.top / levels


def _check_limit(relu: Relu, largest: float) -> None:
    """An upper bound is no extra operation where the quantizer behind it saturates no higher."""
    if math.isfinite(relu.limit) and largest > relu.limit * (1 + _TOLERANCE):
        raise relu.node.refuse(
            f"clipping to [0, {relu.limit:g}] is not supported; the engine computes ReLU.",
            "Retrain with ReLU, or quantize its output to a range within the bound.",
        )


def _without_fused(layers: list[Layer]) -> tuple[list[Layer], dict[str, str]]:
    """Remove Relus and quantizers; a tensor takes the name of the last one behind it.

    Returns the layers and, for every tensor name that is gone, the one that stands for it.
    """
    root: dict[str, str] = {}  # output of a removed layer -> the tensor that a remaining layer writes
    title: dict[str, str] = {}  # that tensor -> its new name
    for layer in layers:
        if isinstance(layer, (Relu, Quantizer)):
            source = root[layer.output] = root.get(layer.input, layer.input)
            if title.get(source, source) == layer.input:  # where several read one tensor the first names it
                title[source] = layer.output
    names = {tensor: title.get(source, source) for tensor, source in root.items()} | title
    return [renamed(layer, names) for layer in layers if not isinstance(layer, (Relu, Quantizer))], names
