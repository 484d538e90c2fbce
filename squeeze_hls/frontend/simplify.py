"""Layers -> the nodes and activation scales of ``ir.Graph``.

Every pass takes layers in topological order and returns them so:

1. ``merge_pads``    zero padding in front of a convolution becomes its padding
2. ``fold_affines``  batch normalization after a convolution becomes its weights and biases

Clamps and quantizers follow in ``ranges``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze_hls.frontend.operations import Affine, Operation, Pad
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.network import arith, ir
from squeeze_hls.network.tensors import readers


def merge_pads(layers: list[Operation]) -> list[Operation]:
    """``Pad -> Conv`` becomes a Conv with more padding."""
    pads = {layer.output: layer for layer in layers if isinstance(layer, Pad)}
    result: list[Operation] = []
    for layer in layers:
        if isinstance(layer, ir.Conv) and (pad := pads.get(layer.inputs[0])):
            layer = replace(layer, inputs=pad.inputs, pads=_sum_pads(pad, layer))
        result.append(layer)
    read = readers(result)
    for pad in pads.values():
        if pad.output in read:
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


def fold_affines(layers: list[Operation]) -> list[Operation]:
    """``Conv -> Affine`` becomes a Conv; the batch normalization names the tensor."""
    read = readers(layers)
    result: list[Operation] = []
    index: dict[str, int] = {}  # tensor -> position of the layer that writes it
    for layer in layers:
        if not isinstance(layer, Affine):
            index[layer.output] = len(result)
            result.append(layer)
            continue
        (source,) = layer.inputs
        position = index.get(source)
        conv = None if position is None else result[position]
        if position is None or not isinstance(conv, ir.Conv) or len(read[source]) != 1:
            raise layer.node.refuse(
                "batch normalization is only supported directly after a convolution whose output nothing else reads.",
                "Move it there, or fold it into the weights.",
            )
        result[position] = _fold(conv, layer)
        del index[source]
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
