"""``compare``: two models side by side on the same pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.bar import Bar
from rich.table import Table

from squeeze_hls.cli.options import (
    Existing,
    board_option,
    global_options,
    json_option,
    pass_terminal,
    reading_options,
)
from squeeze_hls.cli.terminal import Terminal, cells, table

if TYPE_CHECKING:
    from squeeze_hls.flows.compare import SideBySide
    from squeeze_hls.report.accuracy import Side


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--images", metavar="DIR|FILE.npz", type=Existing, required=True, help="Pictures, best with their classes."
)
@click.option("--chart", metavar="F.png|F.svg|F.pdf", type=Existing, help="Draw the comparison.")
@board_option
@reading_options
@json_option
@global_options
@pass_terminal
def compare(
    terminal: Terminal,
    first: str,
    second: str,
    images: Path,
    chart: Path | None,
    board: str,
    preprocess: str | None,
    input_size: tuple[int, int] | None,
    labels: Path | None,
) -> None:
    """Compare B with A: accuracy, agreement, size and cycles; each a MODEL or a BUILD_DIR.

    Float models are computed in floating point, quantized ones in their integers.
    """
    from squeeze_hls.artifacts.bundle import check_output_file, write_file
    from squeeze_hls.board import load_board
    from squeeze_hls.errors import InputError
    from squeeze_hls.flows import compare as side_by_side
    from squeeze_hls.flows.source import Source
    from squeeze_hls.network import pictures
    from squeeze_hls.report import compare_chart

    kind = chart.suffix[1:].lower() if chart else ""
    if chart:
        check_output_file(chart)
        if kind not in compare_chart.FORMATS:
            raise InputError(f"{chart}: a chart is one of {', '.join(compare_chart.FORMATS)}, by the file's suffix")
    target, chosen = load_board(board), pictures.load(images)
    a, b = (Source(model=m, preprocess=preprocess, input_size=input_size, labels=labels) for m in (first, second))
    found = side_by_side.compare(a, b, target, chosen, terminal)
    if chart:
        write_file(compare_chart.draw([found.a, found.b], found.change, kind), chart)
    _show(terminal, found, target.name)
    terminal.result(_json(found))


def _show(terminal: Terminal, found: SideBySide, board: str) -> None:
    terminal.print(_table(found.a, found.b))
    low, high = found.agreement_interval
    terminal.print(f"\n{found.images} pictures, 95 % intervals; sizes and cycles on {board}")
    terminal.print(f"the same prediction  {found.agreement:.1f} % ({low:.1f} to {high:.1f})")
    if change := found.change:
        low, high = change.difference_interval
        terminal.print(f"change of top-1      {change.difference:+.1f} points ({low:+.1f} to {high:+.1f}), paired")
        p = change.p_value
        terminal.print(f"right in one only    {change.lost} in A, {change.won} in B; McNemar's exact test: p = {p:.3g}")


def _table(a: Side, b: Side) -> Table:
    view = table("", "A", "B", "", right=("A", "B"))
    view.add_row(*cells("model", a.name, b.name, ""))
    view.add_row(*cells("numbers", a.numbers, b.numbers, ""))
    rows = (
        ("top-1, %", a.result.top1, b.result.top1, ".2f"),
        ("top-5, %", a.result.top5, b.result.top5, ".2f"),
        ("weights", a.weights, b.weights, ",d"),
        ("bytes of weights", a.weight_bytes, b.weight_bytes, ",d"),
        ("cycles a picture", a.cycles, b.cycles, ",d"),
    )
    for what, one, other, form in rows:
        texts = ["" if value is None else format(value, form) for value in (one, other)]
        view.add_row(*cells(what, *texts), "" if one is None or other is None else _bars(one, other))
    view.add_row(*cells("weights are", a.residency, b.residency, ""))
    return view


def _bars(one: float, other: float) -> Any:
    """A's bar above B's."""
    from rich.console import Group

    largest = max(one, other) or 1
    return Group(*(Bar(largest, 0, value, width=24, color=c) for value, c in ((one, "blue"), (other, "yellow"))))


def _json(found: SideBySide) -> dict[str, Any]:
    def side(s: Side) -> dict[str, Any]:
        own = {key: getattr(s, key) for key in ("name", "numbers", "weights", "weight_bytes", "residency", "cycles")}
        return own | {"top1": s.result.top1, "top5": s.result.top5, "notes": list(s.notes)}

    change = None
    if found.change:
        change = {
            "top1": found.change.difference,
            "interval": list(found.change.difference_interval),
            "lost": found.change.lost,
            "won": found.change.won,
            "p_value": found.change.p_value,
        }
    return {
        "a": side(found.a),
        "b": side(found.b),
        "images": found.images,
        "agreement": {"percent": found.agreement, "interval": list(found.agreement_interval)},
        "change": change,
        "notes": list(found.notes),
    }
