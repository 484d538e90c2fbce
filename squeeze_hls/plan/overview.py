"""A plan at a glance: what each layer takes, and the same as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from squeeze_hls.engine.store import WORD_BYTES

if TYPE_CHECKING:
    from squeeze_hls.network.ir import Shape
    from squeeze_hls.plan.lowering import Layer
    from squeeze_hls.plan.planner import Plan

RESOURCES = ("dsp", "bram36", "uram", "lut", "ff")
COLUMNS = ("layer", "Mmac", "rows", "bands", "tiles", "dense", "bytes", "kcycles", "output")


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """What the engine spends on one layer of a plan."""

    name: str
    macs: int  # multiplications for one picture
    band_rows: int  # output rows of the largest band
    bands: int  # instructions
    tiles: int  # that are expanded for one picture
    density: float  # share of the weights that are not zero
    bits: int  # two's complement width that holds all weights
    bytes: int  # of the weight store
    cycles: int  # predicted
    output_shape: Shape


def layer_rows(plan: Plan) -> tuple[LayerRow, ...]:
    """One row for each layer, in the order of computation."""
    return tuple(_row(plan, index, layer) for index, layer in enumerate(plan.layers))


def _row(plan: Plan, index: int, layer: Layer) -> LayerRow:
    mine = [i for i, band in enumerate(plan.bands) if band.layer == index]
    rows = [end - first for first, end in (plan.bands[i].out_rows for i in mine)]
    end = plan.timing.end
    weights = [half.conv.weight for half in layer.halves]
    return LayerRow(
        name=layer.name,
        macs=layer.macs,
        band_rows=max(rows),
        bands=len(mine),
        tiles=layer.groups * len(mine),
        density=round(sum(int(np.count_nonzero(w)) for w in weights) / sum(w.size for w in weights), 6),
        bits=max(weight_bits(w) for w in weights),
        bytes=plan.store.layer_words[index] * WORD_BYTES,
        cycles=sum(int(end[i]) - (int(end[i - 1]) if i else 0) for i in mine),
        output_shape=layer.target_shape,
    )


def weight_bits(weight: np.ndarray) -> int:
    """Smallest two's complement width that holds all weights, at least 2."""
    low, high = int(weight.min()), int(weight.max())
    return next(b for b in range(2, 9) if -(1 << (b - 1)) <= low and high < 1 << (b - 1))


def _cells(row: LayerRow) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.macs / 1e6:.1f}",
        str(row.band_rows),
        str(row.bands),
        str(row.tiles),
        f"{100 * row.density:.0f} %",
        f"{row.bytes:,}",
        f"{row.cycles / 1e3:.1f}",
        " x ".join(map(str, row.output_shape)),
    )


def _lines(plan: Plan) -> Iterator[str]:
    """The sums, one line each; every figure is the planner's estimate."""
    engine, board, used = plan.engine, plan.board, plan.resources
    yield f"{plan.network.name} on {board.name}: {engine.pix} x {engine.cin} x {engine.cout} array, engine {engine.id}"
    yield (
        f"{plan.cycles:,} cycles, {plan.fps:.1f} pictures a second at {plan.clock_mhz:g} MHz; "
        f"ideal {plan.ideal_cycles:,}, utilization {100 * plan.utilization:.1f} %"
    )
    yield f"weights {plan.residency}, {len(plan.weights_bin):,} bytes; {len(plan.program.instructions)} instructions"
    counts = ((name, getattr(used, name), getattr(board, f"available_{name}")) for name in RESOURCES)
    yield ", ".join(f"{name.upper()} {have:,} of {there:,}" for name, have, there in counts if there)


def text(plan: Plan) -> str:
    """Sums, and a table of the layers; figures are estimates."""
    table = [COLUMNS, *map(_cells, layer_rows(plan))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    ends = (0, len(COLUMNS) - 1)  # texts; numbers stand between them

    def line(cells: tuple[str, ...]) -> str:
        padded = (c.ljust(w) if i in ends else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return "  ".join(padded).rstrip()

    return "\n".join([*_lines(plan), "", *map(line, table)])


def html(plan: Plan) -> str:
    """The same for a notebook; names may be a stranger's and are escaped."""
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in _cells(row)) for row in layer_rows(plan))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<p>{'<br>'.join(map(escape, _lines(plan)))}</p><table><tr>{head}</tr>{body}</table>"
