"""``synth``: what the engine of a build costs, counted in a synthesized netlist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from squeeze_hls.cli.options import Existing, global_options, json_option, pass_terminal
from squeeze_hls.cli.terminal import Terminal, cells, printable, table


@click.command()
@click.argument("folder", metavar="BUILD_DIR", type=Existing)
@json_option
@global_options
@pass_terminal
def synth(terminal: Terminal, folder: Path) -> None:
    """Synthesize the RTL engine of BUILD_DIR with Yosys, for the board's family.

    The figures go into the build's report.json, beside the planner's estimate.  No vendor tool is needed; Yosys comes
    with `pip install 'squeeze-hls[synth]'`.
    """
    from squeeze_hls.flows.synth import synthesize_build

    terminal.every_stage = True
    report = synthesize_build(folder, terminal)
    if not terminal.quiet:
        path = report["synthesis"]["deepest_path"]
        terminal.print(
            _resources(report),
            f"deepest path: {path['levels']} logic levels, from {printable(path['start'])} to {printable(path['end'])}",
        )
    terminal.print(f"{folder / 'report.json'}")
    terminal.result(report)


def _resources(report: dict[str, Any]) -> Table:
    columns = ("synthesized", "estimate", "available")
    result = table("resource", *columns, right=columns)
    for name, entry in report["resources"].items():
        if entry["used"] or entry["available"]:
            figures = (f"{entry[key]:,}" for key in ("used", "estimate", "available"))
            result.add_row(*cells(name.upper(), *figures))
    return result
