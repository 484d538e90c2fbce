"""The chart of ``compare``: accuracy, size and cycles of two models, and the difference with its interval."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from squeeze_hls.errors import MissingToolError
from squeeze_hls.report.accuracy import Comparison, Side

COLOURS = ("#5b7fa6", "#d98841")
FORMATS = ("png", "svg", "pdf")


def draw(sides: Sequence[Side], found: Comparison | None, format: str) -> bytes:
    """The chart as a file of one of FORMATS.  Raises MissingToolError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingToolError(
            "Matplotlib is not installed: pip install 'squeeze-hls[notebook]', or leave --chart away"
        ) from error
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, middle, right, last = figure.subplots(1, 4)
    names = [_plain(side.name) for side in sides]
    _bars(left, "top-1, %", [side.result.top1 for side in sides])
    _bars(middle, "weights, kilobytes", [side.weight_bytes / 1e3 for side in sides])
    _bars(right, "thousand cycles", [None if side.cycles is None else side.cycles / 1e3 for side in sides])
    last.set_title("change of top-1, points", fontsize=9)
    last.axvline(0, color="0.6", linewidth=0.8)
    if found:
        low, high = found.difference_interval
        last.plot([low, high], [0, 0], color=COLOURS[1], linewidth=2)
        last.plot([found.difference], [0], "o", color=COLOURS[1])
        last.set_xlabel(f"{found.images} pictures, 95 %, paired", fontsize=8)
    last.set_yticks([])
    patches = left.patches[: len(sides)]
    figure.legend(patches, names, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, metadata=_undated(format), dpi=120)
    return buffer.getvalue()


def _bars(axes: Any, title: str, values: Sequence[float | None]) -> None:
    heights = [value or 0.0 for value in values]
    bars = axes.bar(range(len(values)), heights, color=COLOURS, width=0.6)
    axes.bar_label(bars, ["none" if value is None else f"{value:,.1f}" for value in values], fontsize=8, padding=2)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _plain(name: str) -> str:
    """A name that no formula is read into."""
    return name[:40].replace("$", r"\$")


def _undated(format: str) -> dict[str, None]:
    return {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[format]
