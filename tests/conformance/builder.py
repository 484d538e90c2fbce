"""Random small networks, node by node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze_hls.network import arith
from squeeze_hls.network.ir import IntNetwork, verify_int_network
from squeeze_hls.network.operators import Concat, GlobalAverage, IntAdd, IntNode, MaxPool, Pads, type_max
from tests.networks import int_conv

ALL_ROUND = Pads(top=1, left=1, bottom=1, right=1)


class Builder:
    """A network node by node.  ``plain`` ones keep to what the engine computes, the others to what nodes can say."""

    def __init__(self, rng: np.random.Generator, *, plain: bool) -> None:
        self.rng, self.plain = rng, plain
        low, high = (9, 15) if plain else (4, 9)
        self.shape = (int(rng.integers(low, high)), int(rng.integers(low, high)), 3)
        self.nodes: list[IntNode] = []
        self.channels = {"image": 3}

    def pick(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def some(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _add(self, node: IntNode, channels: int) -> str:
        self.nodes.append(node)
        self.channels[node.output] = channels
        return node.output

    def _name(self, what: str) -> str:
        return f"{what}{len(self.nodes)}"

    def conv(self, source: str, kernel: tuple[int, int] = (1, 1), outputs: int | None = None, **more: object) -> str:
        """A convolution; half of those that say nothing of it have a largest output below that of their type."""
        outputs = outputs or int(self.rng.integers(1, 7))
        style = str(self.rng.choice(["uniform", "laplace", "extreme"], p=[0.6, 0.3, 0.1]))
        limit = more.pop("limit", None)
        made = int_conv(
            self.rng, self._name("conv"), source, (outputs, *kernel, self.channels[source]),
            style=style, density=float(self.rng.choice([0.3, 0.7, 1.0])), **more,  # type: ignore[arg-type]
        )  # fmt: skip
        if limit is None and self.some(0.5):
            top = type_max(made.wide)
            limit = self.pick(1, 3, 15, top // 2, top - 1, top)
        return self._add(replace(made, limit=limit), outputs)

    def first(self) -> str:
        """What reads the picture."""
        if not self.plain:
            return self.free_conv("image")
        size = self.pick(2, 3, 3, 5)
        pads = (Pads(), ALL_ROUND, Pads(bottom=1, right=1))[self.pick(0, 1, 2)]
        return self.conv("image", (size, size), stride=self.pick(1, 2), pads=pads)

    def free_conv(self, source: str) -> str:
        """Of any shape."""
        kernel = (self.pick(1, 2, 3, 4), self.pick(1, 2, 3, 4))
        rows, columns = ([self.pick(*range(size)) for _ in range(2)] for size in kernel)
        pads = Pads(top=rows[0], bottom=rows[1], left=columns[0], right=columns[1])
        return self.conv(source, kernel, stride=self.pick(1, 1, 2, 3), pads=pads)

    def inner(self, source: str) -> str:
        """A convolution between two others."""
        if not self.plain:
            return self.free_conv(source)
        return self.conv(source) if self.some(0.5) else self.conv(source, (3, 3), pads=ALL_ROUND)

    def pool(self, source: str) -> str:
        name, kernel = self._name("pool"), self.pick(2, 3) if self.plain else self.pick(1, 2, 3, 4)
        stride = 2 if self.plain else self.pick(1, 2, 3, 4)
        made = MaxPool(name=name, inputs=(source,), output=name, kernel=kernel, stride=stride, ceil=self.some(0.5))
        return self._add(made, self.channels[source])

    def concat(self, source: str) -> str:
        """The two halves of a Fire module in either order, or of any number of parts, also one of them twice."""
        parts = [self.conv(source), self.conv(source, (3, 3), pads=ALL_ROUND)]
        if not self.plain:
            parts += [self.conv(source) for _ in range(self.pick(0, 1, 2))]
            parts += [parts[0]] * self.pick(0, 0, 1)
        parts = [parts[i] for i in self.rng.permutation(len(parts))]
        name = self._name("concat")
        made = Concat(name=name, inputs=tuple(parts), output=name)
        return self._add(made, sum(self.channels[part] for part in parts))

    def sum(self, source: str, count: int | None = None, top: int | None = None) -> str:
        """A sum, also of a map with itself, whose scales ``network`` draws.  Plain ones are bypasses."""
        count = count or self.pick(2, 3, 5)
        outputs = self.channels[source] if self.plain else self.pick(1, 3, 4)
        parts = [source] if self.plain else [self.conv(source, outputs=outputs)]
        twice = self.some(0.2)
        while len(parts) < count - twice:
            parts.append(self.conv(parts[-1] if self.plain else source, outputs=outputs))
        parts += parts[:1] * twice
        name = self._name("sum")
        top = top or self.pick(1, 15, 200, 255, 255)
        made = IntAdd(name=name, inputs=tuple(parts), output=name, multiplier=(1,) * count, top=top)
        return self._add(made, outputs)

    def classes(self, source: str, limit: int | None = None) -> str:
        """The u16 convolution."""
        pads = ALL_ROUND if self.some(0.3) else Pads()
        return self.conv(source, outputs=self.pick(2, 5), pads=pads, wide=True, limit=limit)

    def network(self, averaged: str) -> IntNetwork:
        """With an average at the end; raises InputError where the picture is too small."""
        self._add(GlobalAverage(name="average", inputs=(averaged,), output="logits"), self.channels[averaged])
        pad_value = tuple(int(v) for v in self.rng.integers(0, 256, 3))
        bare = IntNetwork(
            name="case", input="image", input_shape=self.shape, nodes=tuple(self.nodes),
            pad_value=pad_value if self.nodes[0].pads else (0, 0, 0),  # type: ignore[union-attr,arg-type]
        )  # fmt: skip
        groups, shapes = bare.scale_groups, bare.shapes
        drawn = {group: float(np.float32(self.rng.uniform(0.01, 0.04))) for group in groups.values()} | {"image": 1.0}
        scale = {tensor: drawn[group] for tensor, group in groups.items()}
        scale["logits"] = scale[averaged] / (shapes[averaged][0] * shapes[averaged][1])
        nodes = tuple(_scaled(node, scale) if isinstance(node, IntAdd) else node for node in self.nodes)
        found = replace(bare, nodes=nodes, scale=scale)
        verify_int_network(found)
        return found


def _scaled(add: IntAdd, scale: dict[str, float]) -> IntAdd:
    factors = [scale[tensor] / scale[add.output] for tensor in add.inputs]
    return replace(add, multiplier=tuple(round(factor * 2**arith.ADD_SHIFT) for factor in factors))
