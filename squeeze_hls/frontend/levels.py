"""A model's own quantizer of the picture: a table of 256 levels for each colour.

A quantizer of ``x = (pixel - mean) * scale`` gives one of a few integers for each of the 256 values of a pixel, so it
is a table, and tables are exact: rounding, clipping and zero point are what the model computes.  The network then
reads the integers, less the smallest, as if they were pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.context import Grid
from squeeze_hls.ir import Graph, Preprocess

NOTHING = 1 / 256  # of a pixel: what is rounded less than this is as it was


def with_levels(graph: Graph, grid: Grid, notify: Callable[[str], None]) -> Graph:
    """``graph`` for pictures that went through the table of the model's quantizer of them.

    Where the quantizer gives back every pixel as it was, it is left out.  Raises InputError where it has more
    than 256 levels that matter.
    """
    how = graph.preprocess
    if how.levels is not None:
        raise InputError(f"{graph.name}: the picture has levels already; leave them out of the preprocessing.")
    pixels = np.arange(256, dtype=np.float32)
    mean, scale = np.array(how.mean, np.float32), np.array(how.scale, np.float32)
    real = (pixels - mean[:, None]) * scale[:, None]  # (3, 256), in the model's order of colours
    step = np.float32(grid.scale)
    steps = np.clip(grid.round(real / step) + grid.zero, grid.low, grid.high)
    away = float((np.abs((steps - grid.zero) * step - real) / scale[:, None]).max())
    if away <= NOTHING:
        notify(f"the quantizer of the picture is left out: it changes no pixel by more than {away:.1g}")
        return graph
    lowest = grid.low if grid.high - grid.low < 256 else min(int(steps.min()), grid.zero)
    table = steps - lowest
    if table.max() > 255:
        raise InputError(
            f"{graph.name}: its quantizer of the picture has {grid.high - grid.low + 1:,} levels and changes pixels by "
            f"up to {away:.2g}; pictures have 256. Quantize the input to 8 bits, or not at all."
        )
    notify(
        f"the quantizer of the picture is computed as a table: {len(np.unique(table))} levels, which change a pixel by "
        f"up to {away:.2g} of 255"
    )
    bytes_of = [row.astype(np.uint8).tobytes() for row in table]
    red, green, blue = bytes_of if how.channels == "RGB" else bytes_of[::-1]
    zero, unit = float(grid.zero - lowest), float(grid.scale)
    return replace(graph, preprocess=_in_steps(how, zero, unit, (red, green, blue)))


def _in_steps(how: Preprocess, zero: float, unit: float, levels: tuple[bytes, bytes, bytes]) -> Preprocess:
    return replace(how, mean=(zero, zero, zero), scale=(unit, unit, unit), levels=levels)
