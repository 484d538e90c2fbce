"""What the ONNX reader makes of the nodes, before ``simplify`` fuses it to ``ir.Graph``.

The layers of ``squeeze_hls.network.ir`` plus the operators that Fire networks write beside them.  Tensors are
named as in the ONNX file; ``ir.Conv.relu`` is always False here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from squeeze_hls.frontend.onnx_node import Node
from squeeze_hls.network import ir
from squeeze_hls.network.tensors import Operator


@dataclass(frozen=True, kw_only=True, eq=False)
class Passing(Operator):
    """An operator that becomes part of the layers around it."""

    node: Node

    unary = True

    @property
    def name(self) -> str:
        return self.node.raw_name


@dataclass(frozen=True, kw_only=True, eq=False)
class Clamp(Passing):
    """``min(max(x, low), high)``: a ReLU, or a Clip."""

    low: float = 0.0
    high: float = math.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(Passing):
    """``x * factor + offset`` per channel: a batch normalization."""

    factor: np.ndarray  # float64 (C,)
    offset: np.ndarray  # float64 (C,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad(Passing):
    """Zero pixels around a feature map."""

    pads: ir.Pads


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantizer(Passing):
    """Rounding to ``integer * scale`` with integers in [bottom, top] (zero point subtracted)."""

    scale: float
    bottom: int
    top: int


Operation = ir.GraphNode | Clamp | Affine | Pad | Quantizer
