"""IntNetwork -> a chain of engine layers: the operators that one kind of instruction computes.

A layer is one convolution, or the two halves of a Fire expansion, with the pooling or averaging after it.
Feature maps get their layout in activation words here, weights their order in tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.network import arith
from squeeze_hls.network.ir import Concat, GlobalAverage, IntAdd, IntConv, IntNetwork, MaxPool

# Ways out, in words that follow any of several refusals.
FIRE = "Retrain with Fire modules: one 1x1, then a 1x1 and a 3x3 side by side, concatenated."
CLASSIFIER = "Retrain with a 1x1 convolution for the classes directly in front of the average, as in SqueezeNet."


@dataclass(frozen=True)
class Layout:
    """Channels of a feature map in activation words: each segment starts a new word of `cin` channels."""

    segments: tuple[int, ...]  # channels
    cin: int

    @cached_property
    def words(self) -> int:
        return sum(-(-channels // self.cin) for channels in self.segments)

    @cached_property
    def channel_of(self) -> np.ndarray:
        """int (words * cin,): the channel that each byte of a pixel holds, -1 for padding."""
        parts, first = [], 0
        for channels in self.segments:
            padded = np.full(-(-channels // self.cin) * self.cin, -1)
            padded[:channels] = np.arange(first, first + channels)
            parts.append(padded)
            first += channels
        return np.concatenate(parts)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(..., C) -> (..., words * cin), zeros in the padding."""
        out = np.zeros((*values.shape[:-1], self.words * self.cin), values.dtype)
        used = self.channel_of >= 0
        out[..., used] = values[..., self.channel_of[used]]
        return out

    def collect(self, spread: np.ndarray) -> np.ndarray:
        """(..., words * cin) -> (..., C), the inverse of `spread`."""
        return spread[..., np.flatnonzero(self.channel_of >= 0)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Half:
    """One convolution of a layer."""

    conv: IntConv
    tiles: np.ndarray  # int8 (groups, K words, COUT, CIN): weights in the order in which tiles use them
    words: int  # channel words written per pixel
    offset: int  # first of them in the destination pixel

    @property
    def groups(self) -> int:
        return self.tiles.shape[0]

    @property
    def depth(self) -> int:
        """Tile words, which are cycles per pixel block."""
        return self.tiles.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """What one kind of instruction computes."""

    name: str
    sources: tuple[str, ...]  # tensors read: of the first, `source_shape` and `source_layout` are
    target: str  # tensor written: after pooling, concatenation or the average
    a: Half  # the 3x3 half, or the only convolution
    b: Half | None  # the 1x1 half of an expand layer
    source_shape: tuple[int, int, int]
    conv_shape: tuple[int, int, int]  # before pooling
    target_shape: tuple[int, int, int]
    source_layout: Layout
    target_layout: Layout
    gather: bool = False
    pool: MaxPool | None = None
    average: bool = False
    border: int = 0  # pixels of a padded 1x1 convolution that see only padding

    @property
    def source(self) -> str:
        """The tensor that the convolutions read."""
        return self.sources[0]

    @property
    def halves(self) -> tuple[Half, ...]:
        return (self.a,) if self.b is None else (self.a, self.b)

    @property
    def groups(self) -> int:
        return max(half.groups for half in self.halves)

    @property
    def pointwise(self) -> bool:
        """A single 1x1 convolution: needs no rows but the one it computes."""
        return self.b is None and not self.gather and self.a.conv.kernel == (1, 1)

    @property
    def pad(self) -> bool:
        return not self.gather and self.a.conv.kernel == (3, 3)

    @property
    def macs(self) -> int:
        """Multiplications of the layer: zero weights included; the all-padding border of a 1x1 convolution not."""
        pixels = self.conv_shape[0] * self.conv_shape[1]
        return sum(pixels * half.conv.weight[0].size * half.conv.weight.shape[0] for half in self.halves)

    def tile_depth(self, group: int) -> int:
        """Words of the tile of one group."""
        return sum(half.depth for half in self.halves if group < half.groups)


def lower(network: IntNetwork, engine: EngineConfig) -> tuple[Layer, ...]:
    """Cut the network into layers.  Only shapes are looked at, no weights.

    Raises DoesNotFitError, naming the node and the way out, for what the engine does not compute; what it cannot
    hold is found in ``limits``.
    """
    readers: dict[str, list] = {}
    for node in network.nodes:
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    layouts = {network.input: Layout((3,), engine.cin)}
    layers: list[Layer] = []
    tensor = network.input
    while tensor != network.nodes[-1].output:
        layer = _layer(network, engine, tensor, readers, layouts)
        layouts[layer.target] = layer.target_layout
        layers.append(layer)
        tensor = layer.target
    return tuple(layers)


def _layer(network: IntNetwork, engine: EngineConfig, tensor: str, readers: dict, layouts: dict) -> Layer:
    shapes = network.shapes
    convs = _convolutions(tensor, readers.get(tensor, []))
    first = tensor == network.input
    for conv in convs:
        _check_conv(conv, engine, first)
    if len(convs) == 2:
        small, large, order, end = _fire_halves(convs, readers)
    else:
        small, large, order, end = None, convs[0], [convs[0]], convs[0].output
    target, pool, average = _behind(end, readers)
    if average and not large.wide:
        raise DoesNotFitError(
            f"{', '.join(c.name for c in order)}: their concatenation is averaged; the engine averages what one "
            f"convolution gives. {CLASSIFIER}"
        )
    in_layout = layouts[tensor]
    out_layout = Layout(tuple(c.weight.shape[0] for c in order), engine.cin)
    halves = {}
    for position, conv in enumerate(order):
        offset = Layout(out_layout.segments[:position], engine.cin).words if position else 0
        halves[conv.name] = _half(conv, offset, in_layout, engine, first)
    conv_shape = (*shapes[large.output][:2], out_layout.words)
    border = 0
    if large.kernel == (1, 1) and large.pads:
        border = shapes[large.output][0] * shapes[large.output][1] - shapes[tensor][0] * shapes[tensor][1]
        conv_shape = (*shapes[tensor][:2], out_layout.words)
        if not average:
            raise _padded_1x1(large)
    return Layer(
        name="+".join(c.name for c in order),
        sources=(tensor,),
        target=target,
        a=halves[large.name],
        b=None if small is None else halves[small.name],
        source_shape=shapes[tensor],
        conv_shape=(conv_shape[0], conv_shape[1], sum(out_layout.segments)),
        target_shape=shapes[target],
        source_layout=in_layout,
        target_layout=out_layout,
        gather=first,
        pool=pool,
        average=average,
        border=border,
    )


def _convolutions(tensor: str, nodes: list) -> list[IntConv]:
    """The one or two convolutions with which the engine goes on after a tensor."""
    convs = [node for node in nodes if isinstance(node, IntConv)]
    if len(convs) == len(nodes) and len(convs) in (1, 2):
        return convs
    for node in nodes:
        if isinstance(node, IntAdd):
            raise DoesNotFitError(
                f"Add '{node.name}': bypass networks are not supported yet. Use the network without bypass."
            )
    alone = nodes[0] if len(nodes) == 1 else None
    if isinstance(alone, MaxPool):
        raise DoesNotFitError(
            f"{alone.name}: pooling is computed directly after a convolution or a Fire module only, and once there. "
            "Retrain with the pooling there."
        )
    if isinstance(alone, GlobalAverage):
        raise DoesNotFitError(f"{alone.name}: the engine averages what a convolution gives, unpooled. {CLASSIFIER}")
    names = ", ".join(node.name for node in nodes) or "nothing"
    raise DoesNotFitError(
        f"tensor '{tensor}' is read by {names}; the engine goes on with one convolution, or with the 1x1 and the 3x3 "
        f"of a Fire module. {FIRE}"
    )


def _check_conv(conv: IntConv, engine: EngineConfig, first: bool) -> None:
    kh, kw = conv.kernel
    sides = (conv.pads.top, conv.pads.left, conv.pads.bottom, conv.pads.right)
    if first:
        if kh != kw or not 2 <= kh <= engine.kernel_max or conv.stride not in (1, 2):
            raise DoesNotFitError(
                f"{conv.name}: the first convolution is {kh}x{kw} with stride {conv.stride}; the engine computes "
                f"square kernels of 2 to {engine.kernel_max} with stride 1 or 2. Retrain with one of these."
            )
        if conv.wide:
            raise DoesNotFitError(
                f"{conv.name}: the first convolution is the one that is averaged; the engine needs another before it. "
                f"{CLASSIFIER}"
            )
        return
    if conv.stride != 1:
        raise DoesNotFitError(
            f"{conv.name}: stride {conv.stride} is only supported in the first convolution. Retrain with max pooling "
            "of stride 2 in front of it."
        )
    if conv.kernel == (3, 3) and sides != (1, 1, 1, 1):
        raise DoesNotFitError(
            f"{conv.name}: 3x3 convolutions need a padding of 1 on every side, not {conv.pads}. Retrain with that."
        )
    if conv.kernel not in ((1, 1), (3, 3)):
        raise DoesNotFitError(
            f"{conv.name}: {kh}x{kw} kernels are only supported in the first convolution. Retrain with 3x3, or with "
            "several 3x3 in a row."
        )
    if conv.kernel == (1, 1) and conv.pads and not conv.wide:
        raise _padded_1x1(conv)


def _padded_1x1(conv: IntConv) -> DoesNotFitError:
    return DoesNotFitError(
        f"{conv.name}: a padded 1x1 convolution is computed only where an average follows. Retrain without its padding."
    )


def _fire_halves(convs: list[IntConv], readers: dict) -> tuple[IntConv, IntConv, list[IntConv], str]:
    """The 1x1 half, the 3x3 half, both in the order of the concatenation, and the concatenated tensor."""
    if sorted(c.kernel for c in convs) != [(1, 1), (3, 3)]:
        raise DoesNotFitError(
            f"{convs[0].name}, {convs[1].name}: two convolutions of one tensor must be a 1x1 and a 3x3. {FIRE}"
        )
    small, large = sorted(convs, key=lambda c: c.kernel)
    users = [readers.get(c.output, []) for c in convs]
    joined = [u[0] for u in users if len(u) == 1 and isinstance(u[0], Concat)]
    if len(joined) != 2 or joined[0] is not joined[1] or len(joined[0].inputs) != 2:
        raise DoesNotFitError(
            f"{small.name}, {large.name}: the two halves must meet in one concatenation and nowhere else. {FIRE}"
        )
    by_output = {c.output: c for c in convs}
    return small, large, [by_output[t] for t in joined[0].inputs], joined[0].output


def _behind(tensor: str, readers: dict) -> tuple[str, MaxPool | None, bool]:
    """What follows a convolution in the output path: the tensor after it, its pooling, whether it is averaged."""
    users = readers.get(tensor, [])
    if len(users) == 1 and isinstance(users[0], MaxPool):
        pool = users[0]
        if pool.stride != 2 or pool.kernel not in (2, 3):
            raise DoesNotFitError(
                f"{pool.name}: pooling {pool.kernel}x{pool.kernel}/{pool.stride} is not 2x2/2 or 3x3/2. Retrain with "
                "one of these."
            )
        return pool.output, pool, False
    if len(users) == 1 and isinstance(users[0], GlobalAverage):
        return users[0].output, None, True
    return tensor, None, False


def _half(conv: IntConv, offset: int, layout: Layout, engine: EngineConfig, first: bool) -> Half:
    outputs = conv.weight.shape[0]
    groups = -(-outputs // engine.cout)
    taps = _gathered_taps(conv, engine.cin) if first else layout.spread(conv.weight).reshape(outputs, -1)
    padded = np.zeros((groups * engine.cout, taps.shape[1]), np.int8)
    padded[:outputs] = taps
    tiles = padded.reshape(groups, engine.cout, -1, engine.cin).transpose(0, 2, 1, 3)
    return Half(conv=conv, tiles=np.ascontiguousarray(tiles), words=-(-outputs // engine.cin), offset=offset)


def gather_words(kernel: int, cin: int) -> int:
    """Activation words that hold the `3 * kernel` bytes of one gathered pixel."""
    return -(-3 * kernel // cin)


def _gathered_taps(conv: IntConv, cin: int) -> np.ndarray:
    """(O, K): tap rows of phase 0, then of phase 1, each kernel row's bytes padded to whole words."""
    outputs, kernel = conv.weight.shape[:2]
    rows = np.zeros((outputs, kernel, gather_words(kernel, cin) * cin), np.int8)
    rows[:, :, : 3 * kernel] = conv.weight.reshape(outputs, kernel, 3 * kernel)
    return np.concatenate([rows[:, phase :: conv.stride].reshape(outputs, -1) for phase in range(conv.stride)], axis=1)


def padded_params(half: Half, cout: int) -> dict[str, np.ndarray]:
    """Bias, multiplier and shift of `groups * cout` channels; padded channels give 0."""
    outputs = half.conv.weight.shape[0]
    count = half.groups * cout
    bias, multiplier = np.zeros(count, np.int64), np.full(count, arith.MULTIPLIER_MIN, np.int64)
    shift = np.full(count, int(half.conv.shift.max()), np.int64)
    bias[:outputs], multiplier[:outputs], shift[:outputs] = half.conv.bias, half.conv.multiplier, half.conv.shift
    return {"bias": bias, "multiplier": multiplier, "shift": shift}
