"""How far rounding to 6-bit weights and 8-bit activations moves the outputs of a float network, as a variance.

Every rounding is taken for noise, uniform over a step and independent of all others, and is carried from layer to
layer.  Where terms of opposite sign cancel, the logits are smaller than this noise, and no quantizer can keep them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze_hls.network.arith import ACTIVATION_MAX, WEIGHT_MAX
from squeeze_hls.network.ir import Add, Conv, GraphNode
from squeeze_hls.quantize import operators as batch


def variance(node: GraphNode, values: list[np.ndarray], variances: list[np.ndarray], result: np.ndarray) -> np.ndarray:
    """Of the output ``result`` (N, H, W, C) of a node, from its inputs' ``values`` and theirs."""
    step = np.float32(np.abs(result).max(initial=0.0) / ACTIVATION_MAX)
    if isinstance(node, Conv):
        linear = replace(node, bias=np.zeros_like(node.bias), relu=False)
        steps = np.abs(node.weight).max(axis=(1, 2, 3), keepdims=True) / WEIGHT_MAX
        carried = batch.forward(replace(linear, weight=node.weight**2), variances)
        rounded = batch.forward(
            replace(linear, weight=np.broadcast_to(steps**2 / 12, node.weight.shape)), [values[0] ** 2]
        )
        return carried + rounded + step**2 / 12
    carried = batch.forward(node, variances)
    return carried + step**2 / 12 if isinstance(node, Add) else carried
