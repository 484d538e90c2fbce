"""The two network types, their printers and verifiers.

``Graph`` is what a model file said: floating-point layers in topological order, already reduced to
the few operators that a Fire network has.  ``IntNetwork`` is what hardware computes: integers only.
Feature maps are named tensors of shape (H, W, C), pixels in raster order, channels innermost.

Both print themselves canonically, one node a line, so that tests compare whole networks::

    fire2/squeeze = conv1x1(pool1: u8[55,55,64]) -> u8[55,55,16]
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith

Shape = tuple[int, int, int]  # height, width, channels


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


@dataclass(frozen=True, kw_only=True)
class Pads:
    """Zero (or, for the image, mean) pixels around a feature map."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return any((self.top, self.left, self.bottom, self.right))

    def __str__(self) -> str:
        sides = (self.top, self.left, self.bottom, self.right)
        return str(sides[0]) if len(set(sides)) == 1 else ",".join(map(str, sides))


# --- nodes that need no arithmetic of their own stand in both networks ---


@dataclass(frozen=True, kw_only=True)
class MaxPool:
    """Unpadded max pooling."""

    name: str
    input: str
    output: str
    kernel: int
    stride: int
    ceil: bool


@dataclass(frozen=True, kw_only=True)
class Concat:
    """Channel concatenation, in the order of ``inputs``."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, kw_only=True)
class Add:
    """Element-wise sum of feature maps, as in a bypass network."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, kw_only=True)
class IntAdd:
    """Element-wise sum of u8 feature maps, each with a scale of its own: see ``arith.add``."""

    name: str
    inputs: tuple[str, ...]
    output: str
    multiplier: tuple[int, ...]  # of each input: its scale / the output's, in 2**-16
    top: int = arith.ACTIVATION_MAX  # largest output value


@dataclass(frozen=True, kw_only=True)
class GlobalAverage:
    """Mean (Graph) or s32 sum (IntNetwork) over all pixels of each channel; the output is the logits."""

    name: str
    input: str
    output: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv:
    """Floating-point convolution with an optional ReLU."""

    name: str
    input: str
    output: str
    weight: np.ndarray  # float32 (O, kh, kw, I)
    bias: np.ndarray  # float32 (O,)
    stride: int
    pads: Pads
    relu: bool
    weight_scale: np.ndarray | None = None  # float64 (O,): weight / scale are integers in [-32, 31]

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[1], self.weight.shape[2]


@dataclass(frozen=True, kw_only=True, eq=False)
class IntConv:
    """Integer convolution, then requantization (which includes the ReLU)."""

    name: str
    input: str
    output: str
    weight: np.ndarray  # int8 (O, kh, kw, I) in [-32, 31]
    bias: np.ndarray  # int32 (O,), 24 bits
    multiplier: np.ndarray  # int32 (O,) in [2**16, 2**17)
    shift: np.ndarray  # int32 (O,)
    stride: int
    pads: Pads
    wide: bool = False  # u16 output: the convolution whose outputs are averaged
    limit: int | None = None  # largest output value, where that is not the largest of its type

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def top(self) -> int:
        """Largest output value."""
        return type_max(self.wide) if self.limit is None else self.limit


def type_max(wide: bool) -> int:
    """Largest value of a u8 or (``wide``) u16 feature map."""
    return arith.WIDE_MAX if wide else arith.ACTIVATION_MAX


GraphNode = Conv | MaxPool | Concat | Add | GlobalAverage
IntNode = IntConv | MaxPool | Concat | IntAdd | GlobalAverage


def node_inputs(node: GraphNode | IntNode) -> tuple[str, ...]:
    """The tensors that a node reads."""
    return node.inputs if isinstance(node, (Concat, Add, IntAdd)) else (node.input,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A floating-point Fire network.

    ``nodes`` are in topological order; the first reads tensor ``input``, the last one is the
    GlobalAverage that writes the logits.  ``activation_scale`` holds, for models that were quantized
    elsewhere, the scale (zero point 0) of tensors by name, ``activation_top`` the largest integer of outputs
    where it is not that of their type.
    """

    name: str
    input: str
    input_shape: Shape
    nodes: tuple[GraphNode, ...]
    preprocess: Preprocess
    labels: tuple[str, ...] = ()
    activation_scale: dict[str, float] = field(default_factory=dict)
    activation_top: dict[str, int] = field(default_factory=dict)
    trained_preprocess: Preprocess | None = None  # what the model itself reads, where ``preprocess`` has levels for us

    def top(self, tensor: str) -> int:
        """Largest integer of a convolution's or an addition's output."""
        return self.activation_top.get(tensor, type_max(tensor == node_inputs(self.nodes[-1])[0]))

    @property
    def shapes(self) -> dict[str, Shape]:
        return infer_shapes(self.input, self.input_shape, self.nodes)

    def __str__(self) -> str:
        return _print(self.name, self.input, self.input_shape, self.nodes)


@dataclass(frozen=True, kw_only=True, eq=False)
class IntNetwork:
    """An integer Fire network: raw u8 pixels in, s32 logits out.

    The preprocessing is folded into the first convolution, whose padding (if any) is ``pad_value``.
    ``scale`` maps every tensor, the logits included, to the real value of one unit; hardware does not
    need it, reports and exporters do.
    """

    name: str
    input: str
    input_shape: Shape
    nodes: tuple[IntNode, ...]
    pad_value: tuple[int, int, int] = (0, 0, 0)  # u8 R, G, B around a padded image
    scale: dict[str, float] = field(default_factory=dict)
    preprocess: Preprocess = Preprocess()  # for resizing, cropping and levels; the arithmetic is folded
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what the user should know, such as a deviation at a padded border

    @property
    def shapes(self) -> dict[str, Shape]:
        return infer_shapes(self.input, self.input_shape, self.nodes)

    @property
    def classes(self) -> int:
        return self.shapes[self.nodes[-1].output][2]

    @property
    def convs(self) -> tuple[IntConv, ...]:
        return tuple(n for n in self.nodes if isinstance(n, IntConv))

    def __str__(self) -> str:
        return _print(self.name, self.input, self.input_shape, self.nodes)


def infer_shapes(
    input_name: str, input_shape: Shape, nodes: tuple[GraphNode, ...] | tuple[IntNode, ...]
) -> dict[str, Shape]:
    """Shape of every tensor.

    Raises InputError where shapes do not fit together, a tensor is read before it is written, or is
    written twice.
    """
    shapes = {input_name: input_shape}
    for node in nodes:
        missing = [t for t in node_inputs(node) if t not in shapes]
        if missing:
            raise InputError(f"{node.name}: tensor '{missing[0]}' is read before anything writes it")
        if node.output in shapes:
            raise InputError(f"{node.name}: tensor '{node.output}' is written twice")
        shapes[node.output] = _output_shape(node, [shapes[t] for t in node_inputs(node)])
    return shapes


def _output_shape(node: GraphNode | IntNode, inputs: list[Shape]) -> Shape:
    height, width, channels = inputs[0]
    if isinstance(node, (Conv, IntConv)):
        kh, kw = node.kernel
        if node.weight.shape[3] != channels:
            raise InputError(
                f"{node.name}: the weights want {node.weight.shape[3]} input channels, '{node.input}' has {channels}"
            )
        out = (
            arith.conv_size(height, kh, node.stride, node.pads.top, node.pads.bottom),
            arith.conv_size(width, kw, node.stride, node.pads.left, node.pads.right),
            node.weight.shape[0],
        )
    elif isinstance(node, MaxPool):
        out = (
            arith.pool_size(height, node.kernel, node.stride, node.ceil),
            arith.pool_size(width, node.kernel, node.stride, node.ceil),
            channels,
        )
    elif isinstance(node, Concat):
        if len({(h, w) for h, w, _ in inputs}) != 1:
            raise InputError(f"{node.name}: the concatenated feature maps differ in size: {inputs}")
        out = (height, width, sum(c for _, _, c in inputs))
    elif isinstance(node, (Add, IntAdd)):
        if len(set(inputs)) != 1:
            raise InputError(f"{node.name}: the added feature maps differ in shape: {inputs}")
        out = inputs[0]
    else:
        out = (1, 1, channels)
    if min(out) < 1:
        raise InputError(f"{node.name}: the output would be empty ({out[0]} x {out[1]}); the picture is too small")
    return out


def verify_int_network(network: IntNetwork) -> None:
    """Check every rule of ``arith`` on the actual integers; raise InputError at the first broken one.

    This is the proof that no accumulator overflows.
    """
    network.shapes  # noqa: B018  raises on any inconsistency
    if not isinstance(network.nodes[-1], GlobalAverage):
        raise InputError(f"{network.name}: the last node must be the global average that gives the logits")
    for node in network.nodes:
        if isinstance(node, IntConv):
            _verify_conv(node)
        elif isinstance(node, IntAdd):
            _verify_add(node)
    summed = network.nodes[-1].input
    for conv in network.convs:
        if conv.wide != (conv.output == summed):
            raise InputError(f"{conv.name}: u16 outputs and the global average go together")


def _verify_conv(conv: IntConv) -> None:
    def check(good: bool, what: str) -> None:
        if not good:
            raise InputError(f"{conv.name}: {what}")

    outputs = conv.weight.shape[0]
    for label, values in (("bias", conv.bias), ("multiplier", conv.multiplier), ("shift", conv.shift)):
        check(values.shape == (outputs,), f"{label} has shape {values.shape}, not ({outputs},)")
    check(conv.weight.min() >= arith.WEIGHT_MIN and conv.weight.max() <= arith.WEIGHT_MAX, "weights leave [-32, 31]")
    check(
        conv.multiplier.min() >= arith.MULTIPLIER_MIN and conv.multiplier.max() <= arith.MULTIPLIER_MAX,
        "multipliers leave [2^16, 2^17)",
    )
    check(1 <= conv.top <= type_max(conv.wide), f"the largest output {conv.top} is not in [1, {type_max(conv.wide)}]")
    check(conv.shift.min() >= arith.SHIFT_MIN and conv.shift.max() <= arith.SHIFT_MAX, "shifts leave [1, 41]")
    check(int(conv.shift.max()) - int(conv.shift.min()) <= arith.SHIFT_OFFSET_MAX, "shifts are more than 15 apart")
    bound = arith.accumulator_bound(conv.weight, conv.bias)
    worst = int(bound.argmax())
    check(
        bound[worst] <= arith.ACCUMULATOR_MAX,
        f"output channel {worst} can reach {bound[worst]} in the accumulator, more than "
        f"{arith.ACCUMULATOR_MAX} (24 bits signed). Quantize with smaller weights for this channel.",
    )


def _verify_add(add: IntAdd) -> None:
    fits = len(add.multiplier) == len(add.inputs) and all(0 < m < arith.ADD_MULTIPLIER_END for m in add.multiplier)
    if not fits or not 1 <= add.top <= arith.ACTIVATION_MAX:
        raise InputError(f"{add.name}: the scales of what is added and of the sum are more than a factor of 256 apart")


def _print(name: str, input_name: str, input_shape: Shape, nodes: tuple[GraphNode, ...] | tuple[IntNode, ...]) -> str:
    shapes = infer_shapes(input_name, input_shape, nodes)
    types = {input_name: "u8"}
    for node in nodes:
        types[node.output] = _type_name(node, types[node_inputs(node)[0]])

    def typed(tensor: str) -> str:
        h, w, c = shapes[tensor]
        return f"{types[tensor]}[{h},{w},{c}]"

    lines = [f"network {name}({input_name}: {typed(input_name)})"]
    for node in nodes:
        arguments = ", ".join(f"{t}: {typed(t)}" for t in node_inputs(node))
        lines.append(f"{node.output} = {_operator(node)}({arguments}) -> {typed(node.output)}")
    return "\n".join(lines) + "\n"


def _type_name(node: GraphNode | IntNode, input_type: str) -> str:
    if isinstance(node, Conv):
        return "f32"
    if isinstance(node, IntConv):
        return "u16" if node.wide else "u8"
    if isinstance(node, GlobalAverage):
        return "f32" if input_type == "f32" else "s32"
    return input_type


def _operator(node: GraphNode | IntNode) -> str:
    if isinstance(node, (Conv, IntConv)):
        kh, kw = node.kernel
        text = f"conv{kh}x{kw}"
        if node.stride != 1:
            text += f"/{node.stride}"
        if node.pads:
            text += f" pad {node.pads}"
        if isinstance(node, Conv) and node.relu:
            text += " relu"
        return text
    if isinstance(node, MaxPool):
        return f"maxpool{node.kernel}x{node.kernel}/{node.stride}" + (" ceil" if node.ceil else "")
    if isinstance(node, Concat):
        return "concat"
    if isinstance(node, (Add, IntAdd)):
        return "add"
    return "average"
