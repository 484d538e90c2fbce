"""``compare``: two models side by side on the same pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.bar import Bar

from squeeze_hls.cli.options import (
    Existing,
    board_option,
    global_options,
    json_option,
    pass_terminal,
    reading_options,
)
from squeeze_hls.cli.terminal import Terminal, cells, table


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
    from squeeze_hls.report import statistics as evaluate

    kind = chart.suffix[1:].lower() if chart else ""
    if chart:
        check_output_file(chart)
        if kind not in compare_chart.FORMATS:
            raise InputError(f"{chart}: a chart is one of {', '.join(compare_chart.FORMATS)}, by the file's suffix")
    target, chosen = load_board(board), pictures.load(images)
    sides = [
        side_by_side.examine(
            Source(model=m, preprocess=preprocess, input_size=input_size, labels=labels), target, chosen, terminal
        )
        for m in (first, second)
    ]
    a, b = sides
    notes = list(dict.fromkeys((*a.notes, *b.notes)))
    for note in notes:
        whose = "" if note in a.notes and note in b.notes else "A: " if note in a.notes else "B: "
        terminal.note(whose + note)
    same, interval = evaluate.agreement(b.result.predictions, a.result.predictions)
    found = None
    if chosen.labels is not None:
        found = evaluate.compare(b.result.predictions, a.result.predictions, chosen.labels)
    if chart:
        write_file(compare_chart.draw(sides, found, kind), chart)
    _show(terminal, a, b)
    low, high = interval
    terminal.print(f"\n{len(chosen)} pictures, 95 % intervals; sizes and cycles on {target.name}")
    terminal.print(f"the same prediction  {same:.1f} % ({low:.1f} to {high:.1f})")
    if found:
        low, high = found.difference_interval
        terminal.print(f"change of top-1      {found.difference:+.1f} points ({low:+.1f} to {high:+.1f}), paired")
        terminal.print(
            f"right in one only    {found.lost} in A, {found.won} in B; McNemar's exact test: p = {found.p_value:.3g}"
        )
    terminal.result({**_json(a, b, len(chosen), (same, interval), found), "notes": notes})


def _show(terminal: Terminal, a: Any, b: Any) -> None:
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
    terminal.print(view)


def _bars(one: float, other: float) -> Any:
    """A's bar above B's."""
    from rich.console import Group

    largest = max(one, other) or 1
    return Group(*(Bar(largest, 0, value, width=24, color=c) for value, c in ((one, "blue"), (other, "yellow"))))


def _json(a: Any, b: Any, images: int, same: tuple[float, tuple[float, float]], found: Any) -> dict[str, Any]:
    def side(s: Any) -> dict[str, Any]:
        own = {key: getattr(s, key) for key in ("name", "numbers", "weights", "weight_bytes", "residency", "cycles")}
        return own | {"top1": s.result.top1, "top5": s.result.top5, "notes": list(s.notes)}

    change = None
    if found:
        change = {
            "top1": found.difference,
            "interval": list(found.difference_interval),
            "lost": found.lost,
            "won": found.won,
            "p_value": found.p_value,
        }
    agreement = {"percent": same[0], "interval": list(same[1])}
    return {"a": side(a), "b": side(b), "images": images, "agreement": agreement, "change": change}
