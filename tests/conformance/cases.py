"""Random small networks around one operator, and the situations that were once computed wrong without a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import golden
from squeeze_hls.network.ir import Graph, IntNetwork, Preprocess
from squeeze_hls.network.operators import (
    Add,
    Concat,
    Conv,
    GlobalAverage,
    IntAdd,
    IntConv,
    MaxPool,
    Node,
    type_max,
)
from squeeze_hls.quantize.export import weight_scale
from tests.conformance.builder import Builder

ATTEMPTS = 200


# --- rows ---

Make = Callable[[Builder], str]  # gives the tensor that is averaged
Holds = Callable[[IntNetwork, dict[str, np.ndarray]], bool]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Cases of one kind."""

    make: Make
    holds: Holds  # whether a network and its golden tensors are such a case
    refused: Mapping[str, str] = field(default_factory=dict)  # by stage that does not take them: what it says


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A network and a picture."""

    network: IntNetwork
    image: np.ndarray  # u8 (H, W, 3)
    golden: dict[str, np.ndarray]


def has(kind: type) -> Holds:
    return lambda network, _: any(type(node) is kind for node in network.nodes)


def _convolution(b: Builder) -> str:
    return b.classes(b.inner(b.first()))


def _pooling(b: Builder) -> str:
    return b.classes(b.pool(b.inner(b.first()) if b.plain or b.some(0.5) else b.first()))


def _concatenation(b: Builder) -> str:
    return b.classes(b.concat(b.first()))


def _sum(b: Builder) -> str:
    return b.classes(b.sum(b.first()))


def _average(b: Builder) -> str:
    return b.classes(b.inner(b.first()))


ENGINE, CALIBRATION = "engine", "calibration"  # stages that refuse some networks

_NO_SUMS = {ENGINE: "bypass networks are not supported yet"}
_NO_CONV = {CALIBRATION: "the average reads '.*', which no convolution gives"}

OPERATORS: dict[type, Row] = {
    IntConv: Row(make=_convolution, holds=has(IntConv)),
    MaxPool: Row(make=_pooling, holds=has(MaxPool)),
    Concat: Row(make=_concatenation, holds=has(Concat)),
    IntAdd: Row(make=_sum, holds=has(IntAdd), refused=_NO_SUMS),
    GlobalAverage: Row(make=_average, holds=has(GlobalAverage)),
}


def _sums(network: IntNetwork) -> list[IntAdd]:
    return [node for node in network.nodes if isinstance(node, IntAdd)]


def _saturated_sum(network: IntNetwork, tensors: dict[str, np.ndarray]) -> bool:
    return any(len(set(n.multiplier)) > 1 and (tensors[n.output] == n.top).any() for n in _sums(network))


def _averages(kind: type) -> Holds:
    return lambda network, _: any(type(n) is kind and n.output == network.averaged for n in network.nodes)


def _clamped(wide: bool) -> Holds:
    def holds(network: IntNetwork, tensors: dict[str, np.ndarray]) -> bool:
        clamped = [c for c in network.convs if c.wide == wide and c.top < type_max(wide)]
        return any(np.ptp(tensors[c.output]) > 0 and (tensors[c.output] == c.top).any() for c in clamped)

    return holds


SITUATIONS: dict[str, Row] = {
    "a sum of unequal scales saturates": Row(
        make=lambda b: b.classes(b.sum(b.first(), top=255)), holds=_saturated_sum, refused=_NO_SUMS
    ),
    "a sum saturates below 255": Row(
        make=lambda b: b.classes(b.sum(b.first(), top=b.pick(7, 100, 254))), holds=_saturated_sum, refused=_NO_SUMS
    ),
    "a sum of more than two": Row(
        make=lambda b: b.classes(b.sum(b.first(), count=b.pick(3, 4, 6))),
        holds=lambda network, _: any(len(n.inputs) > 2 for n in _sums(network)),
        refused=_NO_SUMS,
    ),
    "an average of a concatenation": Row(
        make=lambda b: b.concat(b.first()),
        holds=_averages(Concat),
        refused=_NO_CONV | {ENGINE: "their concatenation is averaged"},
    ),
    "an average of a pooling": Row(
        make=lambda b: b.pool(b.inner(b.first())),
        holds=_averages(MaxPool),
        refused=_NO_CONV | {ENGINE: "the engine averages what a convolution gives, unpooled"},
    ),
    "an average of a sum": Row(make=lambda b: b.sum(b.first()), holds=_averages(IntAdd), refused=_NO_CONV | _NO_SUMS),
    "a clamp below 255": Row(
        make=lambda b: b.classes(b.conv(b.first(), limit=b.pick(1, 7, 100, 254))), holds=_clamped(False)
    ),
    "a clamp below 65535": Row(
        make=lambda b: b.classes(b.first(), limit=b.pick(255, 1000, 40000, 65534)), holds=_clamped(True)
    ),
    "outputs beyond 15 bits": Row(
        make=lambda b: b.classes(b.first(), limit=type_max(True)),
        holds=lambda network, tensors: bool((tensors[network.averaged] > 2**15).any()),
    ),
}


def draw(row: Row, rng: np.random.Generator, *, plain: bool) -> Case:
    """A case of the row, whose logits the picture decides."""
    for _ in range(ATTEMPTS):
        b = Builder(rng, plain=plain)
        try:
            network = b.network(row.make(b))
        except InputError:
            continue  # the picture was too small
        image = rng.integers(0, 256, b.shape).astype(np.uint8)
        tensors = golden.run(network, image)
        if row.holds(network, tensors) and np.ptp(tensors["logits"]) > 0:
            return Case(network=network, image=image, golden=tensors)
    raise AssertionError("no such case was found")


# --- the same networks in real numbers ---


def _real_conv(node: IntConv, network: IntNetwork) -> Conv:
    (source,) = node.inputs
    step = weight_scale(node, network.scale[source], network.scale[node.output])
    weight = node.weight * step[:, None, None, None]
    bias = node.bias * step * network.scale[source]
    return Conv(
        name=node.name, inputs=node.inputs, output=node.output, stride=node.stride, pads=node.pads,
        weight=weight.astype(np.float32), bias=bias.astype(np.float32), relu=bool(node.bias[0] % 4),
    )  # fmt: skip


def _same(node: Node, _: IntNetwork) -> Node:
    return node


REAL: dict[type, Callable[..., Any]] = {
    IntConv: _real_conv,
    MaxPool: _same,
    Concat: _same,
    IntAdd: lambda node, _: Add(name=node.name, inputs=node.inputs, output=node.output),
    GlobalAverage: _same,
}


def real(case: Case, rng: np.random.Generator) -> Graph:
    """The network in real numbers, without clamps; weights are moved a little, so that no two sums are alike."""
    network = case.network
    nodes = []
    for node in network.nodes:
        found = REAL[type(node)](node, network)
        if isinstance(found, Conv):
            noise = rng.uniform(-0.02, 0.02, found.weight.shape) * np.abs(found.weight).max()
            found = replace(found, weight=(found.weight + noise).astype(np.float32))
        nodes.append(found)
    return Graph(
        name="case", input="image", input_shape=network.input_shape, nodes=tuple(nodes), preprocess=Preprocess()
    )
