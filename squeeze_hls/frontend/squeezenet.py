"""The SqueezeNets of the paper's authors, put together from weights that come without a graph.

Sources: Iandola et al., "SqueezeNet" (2016), and the authors' Caffe definitions of v1.0 and v1.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from squeeze_hls.network import arith, ir

# squeeze, expand1x1 and expand3x3 channels of fire2 to fire9
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
CLASSES = 1000

PREPROCESS = replace(ir.CAFFE, resize=(256, 256))  # the authors', for both sizes of pictures that they used

Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]  # name -> float32 (O, kh, kw, I), (O,)

# conv1 channels and kernel; the layers that a pooling follows; padding of conv10
_V10 = (96, 7, ("conv1", "fire4", "fire8"), 1)
_V11 = (64, 3, ("conv1", "fire3", "fire5"), 0)


def layer_shapes(version: str) -> Iterator[tuple[str, int, int, int]]:
    """(name, outputs, kernel, inputs) of every convolution, in the order of the network."""
    outputs, kernel, _, _ = _V10 if version == "1.0" else _V11
    yield "conv1", outputs, kernel, 3
    inputs = outputs
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        yield f"fire{number}/squeeze1x1", squeeze, 1, inputs
        yield f"fire{number}/expand1x1", expand, 1, squeeze
        yield f"fire{number}/expand3x3", expand, 3, squeeze
        inputs = 2 * expand
    yield "conv10", CLASSES, 1, inputs


def squeezenet(name: str, version: str, size: int, weights: Weights) -> ir.Graph:
    """SqueezeNet ``version`` ("1.0" or "1.1") for size x size pictures in Caffe's preprocessing."""
    _, _, pooled, pad = _V10 if version == "1.0" else _V11
    nodes: list[ir.GraphNode] = []

    def conv(layer: str, source: str, stride: int = 1, pad: int = 0) -> str:
        weight, bias = weights[layer]
        pads = ir.Pads(top=pad, left=pad, bottom=pad, right=pad)
        nodes.append(
            ir.Conv(
                name=layer,
                inputs=(source,),
                output=layer,
                weight=weight,
                bias=bias,
                stride=stride,
                pads=pads,
                relu=True,
            )
        )
        return layer

    def pool(layer: str, source: str) -> str:
        if layer not in pooled:
            return source
        rows = ir.infer_shapes("data", (size, size, 3), tuple(nodes))[source][0]
        output = f"pool{layer.removeprefix('conv').removeprefix('fire')}"
        ceil = arith.pool_size(rows, 3, 2, True) != arith.pool_size(rows, 3, 2, False)  # ceil only where it matters
        nodes.append(ir.MaxPool(name=output, inputs=(source,), output=output, kernel=3, stride=2, ceil=ceil))
        return output

    tensor = pool("conv1", conv("conv1", "data", stride=2))
    for number in range(2, len(FIRES) + 2):
        fire = f"fire{number}"
        thin = conv(f"{fire}/squeeze1x1", tensor)
        halves = (conv(f"{fire}/expand1x1", thin), conv(f"{fire}/expand3x3", thin, pad=1))
        tensor = f"{fire}/concat"
        nodes.append(ir.Concat(name=tensor, inputs=halves, output=tensor))
        tensor = pool(fire, tensor)
    tensor = conv("conv10", tensor, pad=pad)
    nodes.append(ir.GlobalAverage(name="pool10", inputs=(tensor,), output="pool10"))
    return ir.Graph(name=name, input="data", input_shape=(size, size, 3), nodes=tuple(nodes), preprocess=PREPROCESS)
