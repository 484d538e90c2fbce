"""The two network types, their printers and verifiers; what they are made of is in ``operators``.

``Graph`` is what a model file said: floating-point layers in topological order, already reduced to
the few operators that a Fire network has.  ``IntNetwork`` is what hardware computes: integers only.
Feature maps are named tensors of shape (H, W, C), pixels in raster order, channels innermost.

Both print themselves canonically, one node a line, so that tests compare whole networks::

    fire2/squeeze = conv1x1(pool1: u8[55,55,64]) -> u8[55,55,16]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from squeeze_hls.errors import InputError
from squeeze_hls.network.operators import (
    Add,
    Concat,
    Conv,
    Convolution,
    GlobalAverage,
    GraphNode,
    IntAdd,
    IntConv,
    IntNode,
    MaxPool,
    Node,
    Pads,
    Shape,
    type_max,
)
from squeeze_hls.network.tensors import groups

__all__ = [
    "CAFFE",
    "TORCHVISION",
    "Add",
    "Concat",
    "Conv",
    "Convolution",
    "GlobalAverage",
    "Graph",
    "GraphNode",
    "IntAdd",
    "IntConv",
    "IntNetwork",
    "IntNode",
    "MaxPool",
    "Node",
    "Pads",
    "Preprocess",
    "Shape",
    "Sides",
    "infer_shapes",
    "side_or_pair",
    "type_max",
    "usual_side",
    "verify_int_network",
]

Sides = tuple[int, int]  # rows, columns
Levels = tuple[bytes, bytes, bytes]  # R, G, B: 256 u8 each
MAX_RESIZE = 4096  # a side of a resized picture


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How a picture becomes the network's input: ``x = (pixel - mean) * scale`` per channel.

    ``pictures.prepare`` resizes, crops and applies ``levels``, nothing else does: every array that it gives, and every
    network takes, has been through the levels already.  Mean and scale count from there.
    """

    channels: str = "RGB"  # order in which the model wants the colours: "RGB" or "BGR"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # in the model's channel order, pixels 0..255
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)  # in the model's channel order
    resize: Sides | None = None  # to what pictures are resized, then centre-cropped; None: in proportion to the input
    # u8 tables (R, G, B) of 256 bytes that replace pixels once they are cropped; the model's quantizer of the picture
    levels: Levels | None = None

    def resized(self, shape: Shape) -> Sides:
        """To what pictures are resized for an input of ``shape``: never less than the input."""
        height, width = shape[:2]
        if self.resize is None:
            return usual_side(height), usual_side(width)
        rows, columns = self.resize
        if rows == columns:  # a square stays one
            rows = columns = max(rows, height, width)
        return max(rows, height), max(columns, width)


def usual_side(side: int) -> int:
    """A side of the picture for a side of the input, as ImageNet's networks have it: 256 for 224."""
    return min((16 * side + 7) // 14, MAX_RESIZE)


def side_or_pair(sides: Sides) -> int | list[int]:
    """The JSON form of ``Preprocess.resize``: one number for a square."""
    return sides[0] if sides[0] == sides[1] else list(sides)


CAFFE = Preprocess(channels="BGR", mean=(104.0, 117.0, 123.0))
TORCHVISION = Preprocess(
    channels="RGB",
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    scale=(1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255)),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """What both networks have in common.

    ``nodes`` are in topological order; the first reads tensor ``input``, the last one is the
    GlobalAverage that writes the logits.
    """

    name: str
    input: str
    input_shape: Shape
    nodes: tuple[Node, ...]

    @property
    def shapes(self) -> dict[str, Shape]:
        """Of every tensor; raises InputError as ``infer_shapes`` does."""
        return infer_shapes(self.input, self.input_shape, self.nodes)

    @property
    def averaged(self) -> str:
        """The tensor that the last node averages."""
        return self.nodes[-1].inputs[0]

    @property
    def scale_groups(self) -> dict[str, str]:
        """For each tensor the one that stands for those that share its scale."""
        return groups(self.nodes, lambda node: node.shares_scale)

    def __str__(self) -> str:
        shapes = self.shapes
        types = {self.input: "u8"}
        for node in self.nodes:
            types[node.output] = node.type_name(types[node.inputs[0]])

        def typed(tensor: str) -> str:
            h, w, c = shapes[tensor]
            return f"{types[tensor]}[{h},{w},{c}]"

        lines = [f"network {self.name}({self.input}: {typed(self.input)})"]
        for node in self.nodes:
            arguments = ", ".join(f"{t}: {typed(t)}" for t in node.inputs)
            lines.append(f"{node.output} = {node.text}({arguments}) -> {typed(node.output)}")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph(Network):
    """A floating-point Fire network.

    ``activation_scale`` holds, for models that were quantized elsewhere, the scale (zero point 0) of tensors by
    name, ``activation_top`` the largest integer of outputs where it is not that of their type.
    """

    nodes: tuple[GraphNode, ...]
    preprocess: Preprocess
    labels: tuple[str, ...] = ()
    activation_scale: dict[str, float] = field(default_factory=dict)
    activation_top: dict[str, int] = field(default_factory=dict)
    trained_preprocess: Preprocess | None = None  # what the model itself reads, where ``preprocess`` has levels for us

    def top(self, tensor: str) -> int:
        """Largest integer of a convolution's or an addition's output."""
        return self.activation_top.get(tensor, type_max(tensor == self.averaged))

    @property
    def convs(self) -> tuple[Conv, ...]:
        return tuple(n for n in self.nodes if isinstance(n, Conv))


@dataclass(frozen=True, kw_only=True, eq=False)
class IntNetwork(Network):
    """An integer Fire network: raw u8 pixels in, s32 logits out.

    The preprocessing is folded into the first convolution, whose padding (if any) is ``pad_value``.
    ``scale`` maps every tensor, the logits included, to the real value of one unit; hardware does not
    need it, reports and exporters do.
    """

    nodes: tuple[IntNode, ...]
    pad_value: tuple[int, int, int] = (0, 0, 0)  # u8 R, G, B around a padded image
    scale: dict[str, float] = field(default_factory=dict)
    preprocess: Preprocess = Preprocess()  # for resizing, cropping and levels; the arithmetic is folded
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what the user should know, such as a deviation at a padded border

    @property
    def classes(self) -> int:
        return self.shapes[self.nodes[-1].output][2]

    @property
    def convs(self) -> tuple[IntConv, ...]:
        return tuple(n for n in self.nodes if isinstance(n, IntConv))


def infer_shapes(input_name: str, input_shape: Shape, nodes: Sequence[Node]) -> dict[str, Shape]:
    """Shape of every tensor.

    Raises InputError where shapes do not fit together, a tensor is read before it is written, or is
    written twice.
    """
    shapes = {input_name: input_shape}
    for node in nodes:
        missing = [t for t in node.inputs if t not in shapes]
        if missing:
            raise InputError(f"{node.name}: tensor '{missing[0]}' is read before anything writes it")
        if node.output in shapes:
            raise InputError(f"{node.name}: tensor '{node.output}' is written twice")
        shapes[node.output] = node.shape([shapes[t] for t in node.inputs])
    return shapes


def verify_int_network(network: IntNetwork) -> None:
    """Check every rule of ``arith`` on the actual integers; raise InputError at the first broken one.

    This is the proof that no accumulator overflows.
    """
    network.shapes  # noqa: B018  raises on any inconsistency
    if not isinstance(network.nodes[-1], GlobalAverage):
        raise InputError(f"{network.name}: the last node must be the global average that gives the logits")
    for node in network.nodes:
        node.verify()
    for conv in network.convs:
        if conv.wide != (conv.output == network.averaged):
            raise InputError(f"{conv.name}: u16 outputs and the global average go together")
