"""Random small Fire networks, straight as integers, for every test that needs one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith, golden
from squeeze_hls.network.ir import (
    Concat,
    GlobalAverage,
    IntConv,
    IntNetwork,
    MaxPool,
    Pads,
    type_max,
    verify_int_network,
)

LEAST_SENSITIVITY = 0.25


def int_conv(
    rng: np.random.Generator,
    name: str,
    source: str,
    shape: tuple[int, int, int, int],
    *,
    stride: int = 1,
    pads: Pads | None = None,
    density: float = 1.0,
    style: str = "uniform",
    scale: float = 2.0,
    wide: bool = False,
) -> IntConv:
    """A convolution with random integers whose outputs use their whole range; `shape` is (O, kh, kw, I).

    ``scale`` is that of Laplacian weights, the style "laplace".
    """
    pads = pads or Pads()
    fan_in = int(np.prod(shape[1:]))
    weight = rng.integers(-32, 32, shape)
    if style == "laplace":
        weight = np.clip(np.rint(rng.laplace(0, scale, shape)), -32, 31).astype(int)
    if style == "extreme":
        weight = rng.choice([-32, 31], shape)
    if style == "zero":
        weight = np.zeros(shape, int)
    weight = np.where(rng.random(shape) < density, weight, 0).astype(np.int8)
    if style != "extreme":
        weight[rng.random(shape[0]) < 0.1] = 0  # a few filters that are all zero
    spread = 120 * max(4.0, float(np.abs(weight).mean()) * np.sqrt(fan_in) * 1.2)
    factors = np.clip(rng.uniform(0.5, 2.0, shape[0]) * type_max(wide) / (3 * spread), 2.0**-20, 0.9)
    pairs = [arith.multiplier_and_shift(float(f)) for f in factors]
    bias = rng.integers(-int(spread), int(spread) + 1, shape[0])
    if style == "extreme":
        bias[rng.random(shape[0]) < 0.3] = 100_000
    return IntConv(
        name=name,
        inputs=(source,),
        output=name,
        weight=weight,
        bias=bias.astype(np.int32),
        multiplier=np.array([m for m, _ in pairs], np.int32),
        shift=np.array([s for _, s in pairs], np.int32),
        stride=stride,
        pads=pads,
        wide=wide,
    )


def mixed_network(seed: int) -> IntNetwork:
    """Networks for a range of seeds: every third is larger, every fourth has limits."""
    return random_network(seed, small=bool(seed % 3), limited=seed % 4 == 2)


def random_network(seed: int, *, small: bool = True, limited: bool = False) -> IntNetwork:
    """A random Fire network: sizes, strides, paddings, pooling, class and channel counts, densities.

    Its logits depend on the picture: what damages a picture, or confuses two, changes them.  ``limited``: with limits
    of outputs, and otherwise the network that the seed gives without.
    """
    rng = np.random.default_rng(seed)
    for _ in range(100):
        network = _attempt(rng, seed, small)
        try:
            verify_int_network(network)
        except InputError:
            continue  # the picture was too small for the chain of poolings
        if sensitivity(network) >= LEAST_SENSITIVITY:  # otherwise activations have died or saturated on the way
            return _limited(network, seed) if limited else network
    raise AssertionError(f"no network for seed {seed}")


def _limited(network: IntNetwork, seed: int) -> IntNetwork:
    rng = np.random.default_rng((seed, 1))
    for _ in range(100):
        found = with_limits(network, rng)
        verify_int_network(found)
        if sensitivity(found) >= LEAST_SENSITIVITY:
            return found
    raise AssertionError(f"no limits for seed {seed}")


def with_limits(network: IntNetwork, rng: np.random.Generator) -> IntNetwork:
    """The network with largest outputs below those of their types: of most convolutions, drawn for each.

    Most scales follow, as training sets them, so that outputs spread over the range that is left to them; where one
    does not, most outputs saturate.
    """
    share = {network.input: 1.0}  # of the largest value of a tensor's type, its own
    nodes: list = []
    for node in network.nodes:
        if isinstance(node, IntConv):
            top = type_max(node.wide)
            random = int(rng.integers(2, top))
            limit = int(rng.choice([255, 4095, random, top - 1] if node.wide else [1, 3, 7, 15, random, random, 254]))
            if rng.random() < 0.2:
                limit = top
            share[node.output] = limit / top
            node = _scaled(node, share[node.inputs[0]], limit / top if rng.random() < 0.8 else 1.0)
            node = replace(node, limit=None if limit == top and rng.random() < 0.5 else limit)
        elif not isinstance(node, GlobalAverage):
            share[node.output] = max(share[tensor] for tensor in node.inputs)
        nodes.append(node)
    return replace(network, nodes=tuple(nodes))


def _scaled(conv: IntConv, inputs: float, outputs: float) -> IntConv:
    """The convolution for inputs and outputs that are smaller by these factors."""
    factors = conv.multiplier * 2.0**-conv.shift * outputs / inputs
    pairs = [arith.multiplier_and_shift(float(f)) for f in np.clip(factors, 2.0**-24, 2.0**8)]
    multiplier, shift = np.array(pairs, np.int32).T
    return replace(conv, bias=np.rint(conv.bias * inputs).astype(np.int32), multiplier=multiplier, shift=shift)


def sensitivity(network: IntNetwork, seed: int = 0) -> float:
    """The share of logits in which two random pictures differ."""
    images = np.random.default_rng(seed).integers(0, 256, (2, *network.input_shape), np.uint8)
    first, second = (golden.run(network, image)[network.nodes[-1].output] for image in images)
    return float((first != second).mean())


def _attempt(rng: np.random.Generator, seed: int, small: bool) -> IntNetwork:
    nodes: list = []
    size = 20 if small else 48
    height, width = (int(v) for v in rng.integers(8, size, 2))
    kernel, stride = int(rng.choice([3, 3, 5, 7])), int(rng.choice([1, 2, 2]))
    pads = [Pads(), Pads(), Pads(top=1, left=1, bottom=1, right=1), Pads(bottom=1, right=1)][int(rng.integers(4))]
    style = str(rng.choice(["uniform", "uniform", "uniform", "extreme", "zero"]))
    # All zero is one of several convolutions that are joined: anywhere else it would hide the picture.
    style, joined = ("uniform", "zero") if style == "zero" else (style, "uniform")
    density = float(rng.choice([0.1, 0.35, 0.7, 1.0]))

    def conv(name: str, source: str, shape: tuple[int, int, int, int], **more: object) -> str:
        nodes.append(int_conv(rng, name, source, shape, density=density, **more))  # type: ignore[arg-type]
        return name

    def maybe_pool(tensor: str, name: str, chance: float) -> str:
        if rng.random() >= chance:
            return tensor
        kernel = int(rng.choice([2, 3, 3]))
        nodes.append(
            MaxPool(name=name, inputs=(tensor,), output=name, kernel=kernel, stride=2, ceil=bool(rng.integers(2)))
        )
        return name

    channels = int(rng.integers(3, 24))
    tensor = conv("conv1", "image", (channels, kernel, kernel, 3), stride=stride, pads=pads, style=style)
    tensor = maybe_pool(tensor, "pool1", 0.7)
    for fire in range(2, 2 + int(rng.integers(1, 4))):
        squeeze, small_e, large_e = (int(v) for v in rng.integers(1, 20, 3))
        thin = conv(f"fire{fire}/squeeze", tensor, (squeeze, 1, 1, channels))
        one = conv(f"fire{fire}/expand1x1", thin, (small_e, 1, 1, squeeze))
        three = conv(
            f"fire{fire}/expand3x3",
            thin,
            (large_e, 3, 3, squeeze),
            pads=Pads(top=1, left=1, bottom=1, right=1),
            style=joined,
        )
        order = (one, three) if rng.random() < 0.8 else (three, one)
        nodes.append(Concat(name=f"fire{fire}/concat", inputs=order, output=f"fire{fire}"))
        channels = small_e + large_e
        tensor = maybe_pool(f"fire{fire}", f"pool{fire}", 0.3)
    border = Pads(top=1, left=1, bottom=1, right=1) if rng.random() < 0.4 else Pads()
    tensor = conv("conv10", tensor, (int(rng.integers(2, 30)), 1, 1, channels), pads=border, wide=True)
    nodes.append(GlobalAverage(name="average", inputs=(tensor,), output="logits"))
    return IntNetwork(
        name=f"random{seed}",
        input="image",
        input_shape=(height, width, 3),
        nodes=tuple(nodes),
        pad_value=tuple(int(v) for v in rng.integers(0, 256, 3)),
    )
