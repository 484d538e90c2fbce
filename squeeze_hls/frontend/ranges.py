"""ReLUs, clamps and quantizers of feature maps become part of the layer that computes them.

All three are functions of one value that never fall, so they commute with pooling and concatenation: whatever
stands between a convolution (or an addition) and the layers that read it is one function of its outputs.  The engine
computes ``clamp(round(x / scale), 0, top)``, and so that function must be one: the same for every reader, from 0
upwards, with one scale for all channels that a reader sees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.onnx_node import RE_EXPORT
from squeeze_hls.frontend.operations import Affine, Clamp, Operation, Quantizer
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.network import ir
from squeeze_hls.network.tensors import groups

_TOLERANCE = 1e-5  # relative, of scales: they travel as float32
_WHOLE = 1e-3  # of a step: a bound this close to a step is on it


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a feature map holds of one layer's outputs: reals in [low, high]; with ``scale``, whole steps of it."""

    low: float = -math.inf
    high: float = math.inf
    scale: float | None = None  # low and high are then in steps
    by: Clamp | Quantizer | None = None  # what made it so, for messages

    def clamped(self, clamp: Clamp) -> Range:
        low, high = (self._bound(clamp, bound) for bound in (clamp.low, clamp.high))
        if low <= self.low and high >= self.high:
            return self
        return replace(self, low=max(low, self.low), high=min(high, self.high), by=self.by if self.scale else clamp)

    def _bound(self, clamp: Clamp, bound: float) -> float:
        """A bound in the units of this range; raises InputError where it falls between two steps inside it."""
        if self.scale is None or not math.isfinite(bound):
            return bound
        steps = bound / self.scale
        if self.low < steps < self.high and abs(steps - round(steps)) > _WHOLE:
            raise clamp.node.refuse(
                f"its bound {bound:g} lies between two steps of the quantizer before it, {self.scale:g} apart.",
                "Clip before quantizing, or at a multiple of the scale.",
            )
        return float(round(steps))

    def quantized(self, quantizer: Quantizer) -> Range:
        if self.scale is not None and not math.isclose(self.scale, quantizer.scale, rel_tol=_TOLERANCE):
            raise quantizer.node.refuse(
                f"its step of {quantizer.scale:g} differs from {self.scale:g}, that of the quantizer before it.",
                "Quantize once, or twice with one scale.",
            )
        low, high = self.low, self.high
        if self.scale is None:
            low, high = (_steps(bound, quantizer.scale) for bound in (low, high))
        return Range(low=max(low, quantizer.bottom), high=min(high, quantizer.top), scale=quantizer.scale, by=quantizer)

    def like(self, other: Range) -> bool:
        """Whether both are the same function of the outputs."""
        scales = (self.scale or 0.0, other.scale or 0.0)
        return (
            math.isclose(*scales, rel_tol=_TOLERANCE)
            and max(self.low, 0) == max(other.low, 0)
            and self.high == other.high
        )


def _steps(bound: float, scale: float) -> float:
    """A bound in steps, rounded as a quantizer in float32 rounds a value that lies on it."""
    return float(np.rint(np.float32(bound) / np.float32(scale))) if math.isfinite(bound) else bound


@dataclass(kw_only=True)
class _Ranges:
    """Ranges of tensors while the layers are walked through."""

    picture: str
    averaged: str  # output of the convolution that is averaged
    held: dict[str, dict[str, Range]] = field(default_factory=dict)  # tensor -> layer output that is in it -> range
    read: dict[str, Range] = field(default_factory=dict)  # layer output -> the range in which it is read
    names: dict[str, str] = field(default_factory=dict)  # layer output -> name of the layer

    def of(self, layer: Operation, tensor: str) -> dict[str, Range]:
        """What a tensor holds; raises InputError for the picture, which only convolutions may read."""
        if tensor == self.picture:
            problem = "it reads the picture itself; the picture must go into exactly one convolution."
            if isinstance(layer, (Clamp, Quantizer)):
                raise layer.node.refuse(problem, RE_EXPORT)
            raise InputError(f"{safe_name(layer.name)}: {problem} {RE_EXPORT}")
        return self.held[tensor]

    def take(self, reader: Operation, tensor: str) -> None:
        """Note that ``reader`` computes with ``tensor``."""
        parts = self.held[tensor]
        for output, found in parts.items():
            self._check(reader, output, found)
        scales = {found.scale for found in parts.values()}
        low, high = (f(s or 0.0 for s in scales) for f in (min, max))
        if not math.isclose(low, high, rel_tol=_TOLERANCE):
            shown = ", ".join(f"{s:g}" if s else "none" for s in sorted(scales, key=lambda s: s or 0.0))
            raise InputError(
                f"{safe_name(reader.name)}: the parts of the concatenation that it reads have different scales "
                f"({shown}); they must share one. Quantize them with one quantizer."
            )

    def _check(self, reader: Operation, output: str, found: Range) -> None:
        name = safe_name(self.names[output])
        before = self.read.setdefault(output, found)
        if found.low < 0 or before.low < 0:
            raise no_relu(name, found, before)
        if not found.like(before):
            raise InputError(
                f"'{name}': its output is quantized or clipped in two ways, once for '{safe_name(reader.name)}'; the "
                "engine keeps one. Quantize it once, before it branches."
            )
        if found.scale is None and (found.low > 0 or math.isfinite(found.high)):
            assert found.by is not None
            raise found.by.node.refuse(
                f"clipping to [{max(found.low, 0):g}, {found.high:g}] is not supported; the engine computes ReLU.",
                "Retrain with ReLU, or quantize its output.",
            )
        if found.scale is not None:
            self._check_steps(output, found)

    def _check_steps(self, output: str, found: Range) -> None:
        assert found.by is not None
        most = ir.type_max(output == self.averaged)
        if found.low > 0 or found.high < 1:
            raise found.by.node.refuse(
                f"with what stands before it, it leaves the steps [{found.low:g}, {found.high:g}]; the engine's "
                "activations begin at 0 and reach 1 at least.",
                "Quantize to a range that begins at 0.",
            )
        if found.high > most:
            raise found.by.node.refuse(
                f"integers up to {found.high:g} are not supported here; the engine's activations reach {most}.",
                "Quantize activations to 8 bits (the last convolution: 16).",
            )


def no_relu(name: str, found: Range, other: Range) -> InputError:
    """The refusal of a convolution (by its safe name) of whose outputs negative ones are read."""
    negative = found if found.low < 0 else other
    if isinstance(negative.by, Clamp) and math.isfinite(negative.low):
        return negative.by.node.refuse(
            f"clipping to [{negative.low:g}, {negative.high:g}] is not supported; the engine computes ReLU.",
            "Retrain with ReLU.",
        )
    partly = (found.low < 0) != (other.low < 0)
    problem = "its output is used with and without ReLU" if partly else "no ReLU follows it"
    return InputError(
        f"Conv '{name}': {problem}; the engine's activations are unsigned, every convolution needs one. "
        "Retrain with ReLU after it."
    )


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Steps of tensors that were quantized: the real value of one, and the largest number of them."""

    scale: dict[str, float]
    top: dict[str, int]  # where it is not the largest of the type


def fuse_activations(layers: list[Operation], picture: str) -> tuple[list[Operation], Activations]:
    """Take clamps and quantizers into the layers that compute; returns those layers, and the scales by tensor.

    Raises InputError for a convolution without ReLU, and for whatever is not one clamp and one rounding.
    """
    walk = _Ranges(picture=picture, averaged=averaged_conv(layers))
    for layer in layers:
        if isinstance(layer, (ir.Conv, ir.Add, ir.GlobalAverage)):
            for tensor in layer.inputs:
                if not (isinstance(layer, ir.Conv) and tensor == picture):
                    walk.of(layer, tensor)
                    walk.take(layer, tensor)
            walk.names[layer.output] = layer.name
            start = Range() if isinstance(layer, ir.Conv) else Range(low=0.0)  # sums of what is not negative
            walk.held[layer.output] = {layer.output: start}
        elif isinstance(layer, (Clamp, Quantizer)):
            parts = walk.of(layer, layer.inputs[0])
            walk.held[layer.output] = {t: _through(layer, found) for t, found in parts.items()}
        else:
            walk.held[layer.output] = _joined(layer, [walk.of(layer, t) for t in layer.inputs], walk.names)
    fused, names = _without_fused(layers)
    written = {layer.output for layer in fused}
    scale, top = {}, {}
    for tensor, parts in walk.held.items():
        kept = names.get(tensor, tensor)
        steps = {walk.read[output].scale for output in parts if output in walk.read}
        if kept in written and (known := next(iter(steps), None)) is not None:
            scale[kept] = known
    for output, found in walk.read.items():
        if found.scale is not None and found.high != ir.type_max(output == walk.averaged):
            top[names.get(output, output)] = int(found.high)
    return [replace(n, relu=True) if isinstance(n, ir.Conv) else n for n in fused], Activations(scale=scale, top=top)


def _through(layer: Clamp | Quantizer, found: Range) -> Range:
    return found.clamped(layer) if isinstance(layer, Clamp) else found.quantized(layer)


def _joined(layer: Operation, parts: Sequence[dict[str, Range]], names: dict[str, str]) -> dict[str, Range]:
    """Of a concatenation, or a pooling; what comes in twice must come in alike."""
    result: dict[str, Range] = {}
    for part in parts:
        for output, found in part.items():
            before = result.setdefault(output, found)
            if (found.low < 0) != (before.low < 0):
                raise no_relu(safe_name(names[output]), found, before)
            if not found.like(before):
                raise InputError(
                    f"{safe_name(layer.name)}: it joins one output that is clipped or quantized in two ways; the "
                    "engine keeps one. Re-export the model with one quantizer."
                )
    return result


def averaged_conv(layers: list[Operation]) -> str:
    """Output of the convolution whose outputs are averaged, "" where something else is."""
    by_output = {layer.output: layer for layer in layers}
    for layer in layers:
        if isinstance(layer, ir.GlobalAverage):
            source = by_output.get(layer.inputs[0])
            while isinstance(source, (Affine, Clamp, Quantizer)):
                source = by_output.get(source.inputs[0])
            return source.output if isinstance(source, ir.Conv) else ""
    return ""


def _without_fused(layers: list[Operation]) -> tuple[list[Operation], dict[str, str]]:
    """Remove clamps and quantizers; a tensor takes the name of the last one after it.

    Returns the layers and, for every tensor, the name of the one that stands for it.
    """
    root = groups(layers, lambda layer: isinstance(layer, (Clamp, Quantizer)))  # what a remaining layer writes
    title: dict[str, str] = {}  # that tensor -> its new name
    for layer in layers:
        if isinstance(layer, (Clamp, Quantizer)):
            source = root[layer.output]
            if title.get(source, source) == layer.inputs[0]:  # where several read one tensor the first names it
                title[source] = layer.output
    names = {tensor: title.get(source, source) for tensor, source in root.items()}
    return [layer.renamed(names) for layer in layers if not isinstance(layer, (Clamp, Quantizer))], names
