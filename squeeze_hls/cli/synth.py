"""``synth``: what the engine of a build costs, counted in a synthesized netlist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from squeeze_hls.cli.options import Existing, global_options, json_option, pass_terminal
from squeeze_hls.cli.terminal import Terminal, cells, printable, table

ESTIMATE = "Timing is estimated from the netlist, before place and route; it is not implemented."


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
        if report["timing"]:
            terminal.print(_models(report["timing"]), _paths(report["timing"]), ESTIMATE)
    terminal.print(f"{folder / 'report.json'}")
    terminal.result(report)


def _models(timing: dict[str, Any]) -> Table:
    columns = ("worst ns", "MHz at most", f"fail at {timing['clock_mhz']:g} MHz")
    result = table("model of the wires", *columns, right=columns)
    for model in timing["models"]:
        figures = (f"{model['worst_ns']:.2f}", f"{model['fmax_mhz']:.1f}", f"{model['failing_endpoints']:,}")
        result.add_row(*cells(f"{model['name']}: {model['wire']}", *figures))
    return result


def _paths(timing: dict[str, Any]) -> Table:
    """The slowest clusters by the most pessimistic model."""
    right = ("ns", "levels", "fan-out", "ends")
    result = table("slowest paths: start", "end", *right, right=right)
    for path in timing["paths"]:
        figures = (f"{path['ns']:.2f}", str(path["levels"]), f"{path['fanout']:,}", f"{path['endpoints']:,}")
        result.add_row(*cells(printable(path["start"]), printable(path["end"]), *figures))
    return result


def _resources(report: dict[str, Any]) -> Table:
    columns = ("synthesized", "estimate", "available")
    result = table("resource", *columns, right=columns)
    for name, entry in report["resources"].items():
        if entry["used"] or entry["available"]:
            figures = (f"{entry[key]:,}" for key in ("used", "estimate", "available"))
            result.add_row(*cells(name.upper(), *figures))
    return result
