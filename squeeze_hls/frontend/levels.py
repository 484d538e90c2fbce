"""Pictures in steps of the network's own: a table of 256 levels for each colour.

A quantizer of ``x = (pixel - mean) * scale`` gives one of a few integers for each of the 256 values of a pixel, so it
is a table, and tables are exact: rounding, clipping and zero point are what the model computes.  The network then
reads the integers, less the smallest, as if they were pixels.

Quantized weights of the first convolution want one step for all colours, too.  Where the colours have factors of their
own (torchvision's standard deviations), pixels are rounded to the finest common steps, half a pixel away at most;
rounding the weights again would cost several times as much (docs/quantization.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.context import Grid
from squeeze_hls.network.ir import Graph, Preprocess

NOTHING = 1 / 64  # of a pixel: a picture in float16 is rounded more than that
MOST = 255  # the largest level

Notify = Callable[[str], None]


def in_levels(graph: Graph, grid: Grid | None, notify: Notify) -> Graph:
    """``graph`` for pictures in levels, where its quantizer of the picture or its weights ask for them.

    Raises InputError where the quantizer has more than 256 levels that matter.
    """
    if graph.preprocess.levels is not None:
        if grid is not None:
            raise InputError(
                f"{graph.name}: the picture has levels, and the model a quantizer of it. Leave the levels out of the "
                "preprocessing."
            )
        return graph
    if grid is not None:
        graph = _quantized(graph, grid, notify)
    first = next(iter(graph.convs), None)
    if first is not None and first.weight_scale is not None and len(set(graph.preprocess.scale)) > 1:
        return _common(graph, notify)
    return graph


def _quantized(graph: Graph, grid: Grid, notify: Notify) -> Graph:
    """With the model's own quantizer; it is left out where it gives back every pixel as it was."""
    steps, away = _steps(graph.preprocess, grid)
    if away <= NOTHING:
        notify(f"the quantizer of the picture is left out: it changes no pixel by more than {away:.1g}")
        return graph
    lowest = grid.low if grid.high - grid.low <= MOST else min(int(steps.min()), grid.zero)
    if steps.max() - lowest > MOST:
        raise InputError(
            f"{graph.name}: its quantizer of the picture has {grid.high - grid.low + 1:,} levels and changes pixels by "
            f"up to {away:.2g}; pictures have 256. Quantize the input to 8 bits, or not at all."
        )
    count = len(np.unique(steps))
    notify(
        f"the quantizer of the picture is computed as a table of {count} levels; it changes pixels by up to {away:.2g} "
        "of 255"
    )
    return _with_table(graph, grid, steps - lowest, grid.zero - lowest)


def _common(graph: Graph, notify: Notify) -> Graph:
    """With one step for all colours, such that quantized weights stay what they are."""
    how = graph.preprocess
    mean, scale = np.array(how.mean), np.array(how.scale)
    low, high = float((-mean * scale).min()), float(((255 - mean) * scale).max())
    unit = (high - low) / (MOST - 1)  # one level is kept for the rounding of the zero point
    grid = Grid(unit, round(-low / unit), 0, MOST)
    if not 0 <= grid.zero <= MOST:
        raise InputError(
            f"{graph.name}: no pixel is near 0 under this preprocessing, and the first convolution's weights are "
            "quantized. Give all colours the same scale."
        )
    steps, away = _steps(how, grid)
    notify(
        f"the colours have different factors: pixels are rounded to common steps, by up to {away:.2g} of 255, and the "
        "first convolution's quantized weights stay as they are"
    )
    return _with_table(graph, grid, steps, grid.zero)


def _steps(how: Preprocess, grid: Grid) -> tuple[np.ndarray, float]:
    """The grid's integer for every pixel value, (3, 256) in the model's order of colours; how far it is, in pixels."""
    mean, scale = np.array(how.mean, np.float32), np.array(how.scale, np.float32)
    real = (np.arange(256, dtype=np.float32) - mean[:, None]) * scale[:, None]
    unit = np.float32(grid.scale)
    steps = np.clip(grid.round(real / unit) + grid.zero, grid.low, grid.high)
    return steps, float((np.abs((steps - grid.zero) * unit - real) / scale[:, None]).max())


def _with_table(graph: Graph, grid: Grid, table: np.ndarray, zero: int) -> Graph:
    """``graph`` for pictures in the levels of ``table``, of which ``zero`` is the real 0."""
    red, green, blue = (
        row.astype(np.uint8).tobytes() for row in table[:: 1 if graph.preprocess.channels == "RGB" else -1]
    )
    mean, unit = float(zero), float(grid.scale)
    how = replace(graph.preprocess, mean=(mean,) * 3, scale=(unit,) * 3, levels=(red, green, blue))
    return replace(graph, preprocess=how, trained_preprocess=graph.preprocess)
