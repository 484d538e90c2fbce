"""``boards``, ``models`` and ``doctor``: what there is to work with."""

from __future__ import annotations

import dataclasses

import click

from squeeze_hls.cli.options import global_options, json_option, pass_terminal
from squeeze_hls.cli.terminal import Terminal, cells, table


@click.command()
@global_options
@json_option
@pass_terminal
def boards(terminal: Terminal) -> None:
    """List the boards and what their parts offer."""
    from squeeze_hls.board import board_names, load_board

    numbers = ("BRAM36", "URAM", "DSP", "LUT", "FF", "MHz")
    view = table("board", "part", *numbers, "", right=numbers)
    view.columns[1].no_wrap = True  # whole, to be copied
    known = [load_board(name) for name in board_names()]
    for b in known:
        view.add_row(*cells(b.name, b.part, b.bram36, b.uram, b.dsp, b.lut, b.ff, f"{b.clock_mhz:g}", b.title))
    terminal.print(view)
    terminal.result({"boards": [dataclasses.asdict(board) for board in known]})


@click.command()
@global_options
@json_option
@pass_terminal
def models(terminal: Terminal) -> None:
    """List the models that can be named instead of a file."""
    from squeeze_hls.frontend import zoo

    view = table("model", "bytes", "what it is", "source", "licence", right=("bytes",))
    listed = []
    for entry in zoo.entries():
        name = f"{entry.name} *" if entry.name == zoo.DEFAULT else entry.name
        view.add_row(*cells(name, f"{entry.size:,}", entry.kind, entry.source, entry.licence))
        keys = ("name", "kind", "size", "source", "licence", "embedded", "sha256", "url")
        listed.append({key: getattr(entry, key) for key in keys})
    terminal.print(view, "* the embedded default; it needs no download")
    terminal.result({"default": zoo.DEFAULT, "models": listed})


@click.command()
@global_options
@json_option
@pass_terminal
def doctor(terminal: Terminal) -> None:
    """Show which tools are present, and what each absence costs."""
    from squeeze_hls.flows.doctor import examine

    view = table("", "tool", "version", "what it is for")
    found = examine()
    for tool in found:
        mark = "ok" if tool.version else "--"
        purpose = tool.purpose if tool.version else f"missing: {tool.cost}"
        view.add_row(*cells(mark, tool.name, tool.version or "", purpose))
    terminal.print(view)
    terminal.result({"tools": [dataclasses.asdict(tool) for tool in found]})
