"""What the ONNX reader makes of the nodes, before ``simplify`` fuses it to ``ir.Graph``.

The layers of ``squeeze_hls.network.ir`` plus the operators that Fire networks write beside them.  Tensors are
named as in the ONNX file; ``ir.Conv.relu`` is always False here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from squeeze_hls.frontend.onnx_node import Node
from squeeze_hls.network import ir


@dataclass(frozen=True, kw_only=True, eq=False)
class Clamp:
    """``min(max(x, low), high)``: a ReLU, or a Clip."""

    node: Node
    input: str
    output: str
    low: float = 0.0
    high: float = math.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """``x * factor + offset`` per channel: a batch normalization."""

    node: Node
    input: str
    output: str
    factor: np.ndarray  # float64 (C,)
    offset: np.ndarray  # float64 (C,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad:
    """Zero pixels around a feature map."""

    node: Node
    input: str
    output: str
    pads: ir.Pads


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantizer:
    """Rounding to ``integer * scale`` with integers in [bottom, top] (zero point subtracted)."""

    node: Node
    input: str
    output: str
    scale: float
    bottom: int
    top: int


Layer = ir.Conv | ir.MaxPool | ir.Concat | ir.Add | ir.GlobalAverage | Clamp | Affine | Pad | Quantizer


def layer_inputs(layer: Layer) -> tuple[str, ...]:
    """The tensors that a layer reads."""
    return layer.inputs if isinstance(layer, (ir.Concat, ir.Add)) else (layer.input,)


def renamed(layer: Layer, names: dict[str, str]) -> Layer:
    """The layer with its tensors renamed where ``names`` has them."""
    output = names.get(layer.output, layer.output)
    if isinstance(layer, (ir.Add, ir.Concat)):
        return replace(layer, inputs=tuple(names.get(t, t) for t in layer.inputs), output=output)
    return replace(layer, input=names.get(layer.input, layer.input), output=output)


def consumers(layers: list[Layer]) -> dict[str, list[Layer]]:
    """For each tensor the layers that read it."""
    result: dict[str, list[Layer]] = {}
    for layer in layers:
        for tensor in layer_inputs(layer):
            result.setdefault(tensor, []).append(layer)
    return result
