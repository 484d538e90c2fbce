"""What the ONNX reader knows while it walks the nodes: constants, feature maps, layers made so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from squeeze_hls.frontend.constants import Constants
from squeeze_hls.frontend.input_limits import MAX_MAP_ELEMENTS
from squeeze_hls.frontend.onnx_node import RE_EXPORT, Node
from squeeze_hls.frontend.operations import Operation
from squeeze_hls.frontend.text import safe_name


class Grid(NamedTuple):
    """What the integers of a quantized tensor stand for: ``(integer - zero) * scale``."""

    scale: float
    zero: int
    low: int
    high: int
    round: Callable[[np.ndarray], np.ndarray] = np.rint


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """A tensor that depends on the picture."""

    tensor: str  # the layer output that holds it
    shape: tuple[int, ...]  # as ONNX has it, reshaped or not
    made: tuple[int, ...]  # as the layer made it: batch, channels, height, width
    averaged: bool = False  # after the global average: these are the logits
    grid: Grid | None = None  # between QuantizeLinear and DequantizeLinear: holds integers


@dataclass(kw_only=True)
class Context:
    constants: Constants
    opset: int
    input: str
    notify: Callable[[str], None]
    maps: dict[str, FeatureMap] = field(default_factory=dict)
    layers: list[Operation] = field(default_factory=list)
    picture_quantizer: tuple[Node, Grid] | None = None
    logit_quantizers: list[tuple[Node, Grid]] = field(default_factory=list)

    def feature_map(self, node: Node, index: int = 0) -> FeatureMap:
        """Input ``index`` of a node, which must depend on the picture."""
        name = node.required(index)
        if name in self.maps:
            return self.maps[name]
        if name in self.constants:
            raise node.refuse(f"input {index} is constant where a feature map is expected.", "Re-export the model.")
        raise node.refuse(f"it reads '{safe_name(name)}', which no node before it writes.", RE_EXPORT)

    def picture(self, node: Node, index: int = 0, *, integers: bool = False) -> FeatureMap:
        """Input ``index`` of a node, which must be a (batch, channels, height, width) feature map.

        ``integers`` allows the integers between QuantizeLinear and DequantizeLinear.
        """
        found = self.feature_map(node, index)
        if found.grid and not integers:
            raise node.refuse(
                "it computes on integers.", "Export the model in QDQ format (QuantizeLinear, DequantizeLinear)."
            )
        if found.averaged:
            raise node.refuse(
                "layers after the global average are not supported (the logits must be its output).",
                "Re-export the model without it; a classifier must be a 1x1 convolution before the average.",
            )
        if found.shape != found.made:
            raise node.refuse(
                f"its input has the shape {list(found.shape)}, reshaped from {list(found.made)}.",
                "Re-export the model without the reshape in the middle.",
            )
        return found

    def constant(self, node: Node, index: int, what: str) -> np.ndarray:
        """Input ``index`` of a node, which must be a constant."""
        name = node.required(index)
        if name in self.constants:
            return self.constants[name]
        if name in self.maps:
            raise node.refuse(
                f"its {what} depend on the picture.", "The engine wants constant ones; re-export the model."
            )
        raise node.refuse(
            f"its {what} '{safe_name(name)}' are missing from the file.", "Export the model again with its weights."
        )

    def add(
        self, node: Node, layer: Operation, shape: tuple[int, ...], *, averaged: bool = False, grid: Grid | None = None
    ) -> None:
        """Append a layer that makes a feature map of ``shape``."""
        if min(shape) < 1:
            raise node.refuse(f"its output would be empty (shape {list(shape)}).", "Use a larger input picture.")
        if math.prod(shape[1:]) > MAX_MAP_ELEMENTS:
            raise node.refuse(
                f"its output has {math.prod(shape[1:]):,} elements, more than the {MAX_MAP_ELEMENTS:,} accepted.",
                "Use a smaller input picture.",
            )
        self.layers.append(layer)
        self.define(node, FeatureMap(tensor=layer.output, shape=shape, made=shape, averaged=averaged, grid=grid))

    def add_elementwise(self, node: Node, layer: Operation, source: FeatureMap) -> None:
        """Append a layer that computes each value of ``source`` by itself: where the values lie does not change."""
        self.layers.append(layer)
        self.define(node, replace(source, tensor=layer.output, grid=None))

    def define(self, node: Node, value: FeatureMap) -> None:
        """Bind a node's first output."""
        self.maps[node.output] = value
