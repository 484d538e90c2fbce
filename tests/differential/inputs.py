"""From the model's input to its first convolution: layout, type, and arithmetic that prepares the picture."""

from __future__ import annotations

import numpy as np

from tests.differential import forms
from tests.differential.dialects import Dialect
from tests.differential.twists import between
from tests.differential.writer import Map, Writer


def picture(w: Writer, d: Dialect, x: Map, layout: str) -> tuple[Map, bool]:
    """The map that the first convolution reads, and whether the model quantizes the picture."""
    if layout == "NHWC":
        x = x.to(w.op("Transpose", x.name, perm=[0, 3, 1, 2]))
    if layout == "bytes":
        x = x.to(w.op("Cast", x.name, to=w.own_type))
    x = _prepared(w, x)
    quantized = d.picture(x)
    return between(w, "picture", quantized, 0.5), quantized is not x


def _prepared(w: Writer, x: Map) -> Map:
    """Mean and scale as nodes of the model."""
    if not w.c.rare("picture/arithmetic", 5):
        return x
    kind = w.c.pick("picture/arithmetic is", ("sub div", "div", "mul add", "batch norm", "sub", "div sub div", "no-op"))
    channels = w.c.pick("picture/per colour", (x.channels, 1))
    rng = w.c.numbers("picture/arithmetic")
    mean, std = rng.uniform(-0.5, 0.5, (channels, 1, 1)) * x.size, rng.uniform(0.5, 2.0, (channels, 1, 1)) * x.size
    if kind == "batch norm":
        return forms.batch_norm(w, "picture", x)
    steps = {
        "sub div": [("Sub", mean), ("Div", std)],
        "div": [("Div", std)],
        "mul add": [("Mul", 1 / std), ("Add", mean)],
        "sub": [("Sub", mean)],
        "div sub div": [("Div", np.full((1,), 2.0)), ("Sub", mean), ("Div", std)],
        "no-op": [("Mul", np.ones(())), ("Add", np.zeros(()))],
    }[kind]
    for op, value in steps:
        factor = float(np.abs(value).mean()) or 1.0
        size = {"Mul": x.size * factor, "Div": x.size / factor}.get(op, x.size)
        x = x.to(forms.with_constant(w, op, x, value), size=size)
    return x
