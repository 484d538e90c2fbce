"""Layers that are too many or too large for an engine: its weight tile, and the fields of a program."""

from __future__ import annotations

from collections.abc import Sequence

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.fields import HEADER, INSTRUCTION, LAYER
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.plan.lowering import Layer

MAX_TILE_WORDS = 256  # deepest weight tile of any engine


def check_limits(layers: Sequence[Layer], engine: EngineConfig) -> None:
    """Raise DoesNotFitError, with what is too large, by how much and the way out."""
    _check_tiles(layers, engine)
    first, last = layers[0], layers[-1]
    pads = first.a.conv.pads
    halves = [half for layer in layers for half in layer.halves]
    # One buffer at least for each band that a 1x1 convolution consumes, one for maps, one for the picture.
    _require("layers", len(layers), INSTRUCTION.limit("layer") + 1, "fewer layers")
    _require("buffers", sum(layer.pointwise for layer in layers) + 2, engine.buffer_depth, "fewer layers")
    # A program counts rows, columns and pixels.
    rows = first.source_shape[0] + pads.top + pads.bottom
    _require("rows of the padded picture", rows, INSTRUCTION.limit("need"), "a smaller picture")
    side = max(max(layer.conv_shape[:2]) for layer in layers)
    _require("rows or columns of a feature map", side, LAYER.limit("width"), "a smaller picture")
    pixels = last.conv_shape[0] * last.conv_shape[1]
    _require("pixels to average", pixels, INSTRUCTION.limit("pixels"), "a smaller picture")
    # It has a record for each output channel, those of unused lanes too.
    records = sum(half.groups for half in halves) * engine.cout
    _require("classes", last.target_shape[2], HEADER.limit("classes"), "fewer classes")
    _require("output channels in all", records, HEADER.limit("params"), "fewer channels or classes")


def _check_tiles(layers: Sequence[Layer], engine: EngineConfig) -> None:
    frozen = engine.tile_words < MAX_TILE_WORDS
    way_out = "Build for the board without --engine." if frozen else "Retrain with fewer input channels."
    for layer in layers:
        deepest = max(layer.tile_depth(group) for group in range(layer.groups))
        if deepest > engine.tile_words:
            raise DoesNotFitError(
                f"{layer.name}: one output channel reads {deepest * engine.cin} inputs, the engine's weight tile "
                f"holds {engine.tile_words * engine.cin}. {way_out}"
            )


def _require(what: str, need: int, have: int, way_out: str) -> None:
    if need > have:
        raise DoesNotFitError(f"the network has {need:,} {what}, a program holds {have:,}. Use one with {way_out}.")
