"""Convolutions with every attribute, and poolings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.differential import forms
from tests.differential.dialects import Dialect
from tests.differential.writer import Map, Writer, ceil_size, conv_size


@dataclass(kw_only=True)
class Shape:
    """Attributes of a convolution or a pooling while they are chosen."""

    kernel: list[int]
    strides: list[int] = field(default_factory=lambda: [1, 1])
    pads: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # top, left, bottom, right
    dilations: list[int] = field(default_factory=lambda: [1, 1])
    auto_pad: str | None = None
    ceil: bool = False

    def out(self, x: Map) -> tuple[int, int]:
        rows, columns = (self._out(axis, size) for axis, size in enumerate(x.shape[1:]))
        return rows, columns

    def _out(self, axis: int, size: int) -> int:
        if self.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            return -(-size // self.strides[axis])
        before, after = (0, 0) if self.auto_pad == "VALID" else (self.pads[axis], self.pads[axis + 2])
        count = ceil_size if self.ceil else conv_size
        return count(size, self.kernel[axis], self.strides[axis], before, after, self.dilations[axis])

    def attributes(self) -> dict[str, Any]:
        """Those that differ from the default."""
        return {
            "strides": self.strides if self.strides != [1, 1] else None,
            "pads": self.pads if any(self.pads) and not self.auto_pad else None,
            "dilations": self.dilations if self.dilations != [1, 1] else None,
            "auto_pad": self.auto_pad,
        }


def conv(
    w: Writer,
    d: Dialect,
    site: str,
    x: Map,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    pad: int = 0,
    joined: bool = False,
) -> Map:
    """A convolution without its activation; those that are ``joined`` with others mostly keep the map's size."""
    c = w.c
    shape = plain = Shape(kernel=[kernel, kernel], strides=[stride, stride], pads=[pad] * 4)
    shape = _twisted(w, site, plain)
    if joined and shape.out(x) != plain.out(x) and c.below(f"{site}/size", 2, (9, 1)) == 0:
        shape = plain
    if min(shape.out(x)) < 1:
        shape = Shape(kernel=[1, 1])
    group = _group(w, site, x, outputs)
    if group == x.channels > 1 and c.below(f"{site}/depthwise", 2):
        outputs = x.channels
    outputs -= outputs % group
    values = _weights(w, site, (outputs, x.channels // group, *shape.kernel), x.size)
    weight, scale = d.weights(site, values)
    attributes = shape.attributes() | {"group": group if group > 1 else None}
    if not c.rare(f"{site}/no kernel_shape", 2):
        attributes["kernel_shape"] = shape.kernel
    inputs = [x.name, weight]
    bias = c.numbers(f"{site}/bias").normal(0, 0.3, outputs)
    how = c.pick(f"{site}/bias", ("input", "none", "added", "huge"), (86, 12, 1, 0.3))
    if how == "huge":
        bias[0] = 1e4
        w.uneven = True
    if how in ("input", "huge"):
        inputs.append(d.bias(site, bias, x, scale))
    y = x.to(w.op("Conv", *inputs, **attributes), (outputs, *shape.out(x)), 1.0)
    if how == "added":
        y = y.to(forms.with_constant(w, "Add", y, bias.reshape(-1, 1, 1)))
    return forms.batch_norm(w, site, y) if c.rare(f"{site}/bn", d.bn) else y


def _group(w: Writer, site: str, x: Map, outputs: int) -> int:
    wanted = w.c.pick(f"{site}/group", (1, 2, x.channels), (99, 0.4, 0.6))
    return wanted if x.channels % wanted == 0 and outputs >= wanted else 1


def _weights(w: Writer, site: str, shape: tuple[int, ...], size: float) -> np.ndarray:
    rng = w.c.numbers(f"{site}/weights")
    values = rng.normal(0, 1 / (size * np.sqrt(np.prod(shape[1:]))), shape)
    kind = w.c.pick(
        f"{site}/weights", ("all", "a dead filter", "all dead", "sparse", "tiny", "huge"), (90, 5, 0.5, 3, 0.7, 0.7)
    )
    if kind == "a dead filter":
        values[-1] = 0
    if kind == "all dead":
        values[:] = 0
    if kind == "sparse":
        values *= rng.random(shape) < 0.3
    w.uneven |= kind in ("tiny", "huge")
    return values * {"tiny": 1e-5, "huge": 1e4}.get(kind, 1.0)


def _twisted(w: Writer, site: str, plain: Shape) -> Shape:
    c, shape = w.c, replace(plain)
    if c.rare(f"{site}/kernel", 3):
        shape.kernel = list(c.pick(f"{site}/kernel is", ((2, 2), (1, 3), (3, 1), (5, 5), (4, 4), (3, 3))))
    if c.rare(f"{site}/stride", 2):
        shape.strides = list(c.pick(f"{site}/stride is", ((2, 2), (1, 2), (2, 1), (3, 3))))
    if c.rare(f"{site}/dilation", 1):
        shape.dilations = list(c.pick(f"{site}/dilation is", ((2, 2), (1, 2), (2, 1))))
    if c.rare(f"{site}/pads", 3):
        rng = c.numbers(f"{site}/pads")
        most = c.pick(f"{site}/pads up to", (max(shape.kernel[0] - 1, 1), 2, 3, 7), (75, 10, 10, 5))
        shape.pads = [int(v) for v in rng.integers(0, most + 1, 4)]
    if c.rare(f"{site}/auto_pad", 3):
        shape.auto_pad = c.pick(f"{site}/auto_pad is", ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"))
    return shape


def max_pool(w: Writer, site: str, x: Map) -> Map:
    """Max pooling; the map as it is where it is too small."""
    c = w.c
    kernel, stride = c.pick(f"{site}/kernel", ((3, 2), (2, 2)), (7, 3))
    shape = Shape(kernel=[kernel, kernel], strides=[stride, stride])
    shape.ceil = w.opset >= 10 and bool(c.below(f"{site}/ceil", 2, (6, 4)))
    _twist_pool(w, site, shape)
    if min(x.shape[1:]) < max(shape.kernel) or min(shape.out(x)) < 1:
        return x
    attributes = shape.attributes() | {"kernel_shape": shape.kernel, "ceil_mode": 1 if shape.ceil else None}
    if w.opset < 10:
        attributes["dilations"] = None
    if w.opset >= 8 and c.rare(f"{site}/storage_order"):
        attributes["storage_order"] = 1
    outputs = 2 if w.opset >= 8 and c.rare(f"{site}/indices", 2) else 1
    names = w.ops("MaxPool", x.name, outputs=outputs, hint="pool", **attributes)
    y = x.to(names[0], (x.channels, *shape.out(x)), x.size * 1.3)
    if outputs == 2 and c.below(f"{site}/indices are used", 2):
        factor = w.op("Mul", w.op("Cast", names[1], to=1), w.const(1e-3, np.float32))
        y = y.to(w.op("Add", y.name, factor))
    return y


def _twist_pool(w: Writer, site: str, shape: Shape) -> None:
    c = w.c
    if c.rare(f"{site}/kernel", 2):
        shape.kernel = list(c.pick(f"{site}/kernel is", ((3, 2), (2, 3), (1, 1), (4, 4), (5, 5))))
    if c.rare(f"{site}/stride", 2):
        shape.strides = list(c.pick(f"{site}/stride is", ((1, 1), (2, 1), (3, 3), (4, 4))))
    if c.rare(f"{site}/dilation", 1):
        shape.dilations = [2, 2]
    if c.rare(f"{site}/pads", 3):
        kinds = ((1, 1, 1, 1), (0, 0, 1, 1), (1, 1, 0, 0), (0, 1, 0, 1), (1, 0, 0, 0), (0, 0, 2, 2))
        shape.pads = list(c.pick(f"{site}/pads are", kinds))
    if c.rare(f"{site}/auto_pad", 2):
        shape.auto_pad = c.pick(f"{site}/auto_pad is", ("SAME_UPPER", "SAME_LOWER", "VALID"))


def average_pool(w: Writer, site: str, x: Map) -> Map:
    """Average pooling of part of the map."""
    c = w.c
    kernel = c.pick(f"{site}/kernel", (2, 3, 1))
    shape = Shape(kernel=[kernel, kernel], strides=[c.pick(f"{site}/stride", (2, 1))] * 2)
    shape.pads = [c.below(f"{site}/pad", 2) if kernel > 1 else 0] * 4
    if min(x.shape[1:]) < kernel or min(shape.out(x)) < 1:
        return x
    include = c.below(f"{site}/count_include_pad", 2) if w.opset >= 7 else 0
    name = w.op(
        "AveragePool", x.name, kernel_shape=shape.kernel, count_include_pad=include or None, **shape.attributes()
    )
    return x.to(name, (x.channels, *shape.out(x)))
