"""``bitstream``: the vendor's tools, here or elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from squeeze_hls.cli.options import Existing, global_options, json_option, pass_terminal
from squeeze_hls.cli.terminal import Terminal, cells, printable, table


@click.command()
@click.argument("folder", metavar="BUILD_DIR", type=Existing)
@click.option(
    "--flow",
    type=click.Choice(("rtl", "hls")),
    help="What the engine is made from: the RTL, which only Vivado is needed for (default), or the C++.",
)
@click.option("--jobs", type=click.IntRange(1, 64), metavar="N", help="Processes that Vivado may start (default: 2).")
@click.option("--fresh", is_flag=True, help="Begin anew, where a former call was interrupted or failed.")
@click.option("--board", metavar="FILE.toml", help="The board file that the build was made with, if not one of ours.")
@click.option("--archive", metavar="FILE.tar.gz", type=Existing, help="Only pack what another machine needs.")
@click.option(
    "--import", "source", metavar="DIR|FILE.tar.gz", type=Existing, help="Take over what another machine made."
)
@json_option
@global_options
@pass_terminal
def bitstream(
    terminal: Terminal,
    folder: Path,
    flow: str | None,
    jobs: int | None,
    fresh: bool,
    board: str | None,
    archive: Path | None,
    source: Path | None,
) -> None:
    """Make the bitstream of BUILD_DIR with Vivado (2023.2 or later), and Vitis HLS for --flow hls.

    It goes to BUILD_DIR/deploy, timing and resources go to report.json. That takes minutes to hours; a second call goes
    on after the last step that was done. Without Vivado, everything another machine needs is packed into one archive.
    """
    from squeeze_hls.flows import bitstream as vendor

    if archive is not None and source is not None:
        raise click.UsageError("--archive and --import exclude each other.")
    terminal.every_stage = True
    if archive is not None:
        project = vendor.pack_bitstream(folder, archive, terminal, flow=flow, board=board)
        steps = vendor.instructions(folder, archive)
        terminal.print(steps)
        terminal.result({"archive": str(archive), "flow": project.flow, "sources": project.digest, "next": steps})
        return
    if source is not None:
        report = vendor.import_bitstream(folder, source, terminal, flow=flow, board=board)
    else:
        report = vendor.make_bitstream(
            folder, terminal, flow=flow, board=board, jobs=jobs or min(2, os.cpu_count() or 1), fresh=fresh
        )
    if not terminal.quiet:
        terminal.print(_resources(report), _timing(report["implementation"]))
    terminal.print(f"{folder / 'deploy' / 'squeeze_engine.bit'}")
    terminal.result(report)


def _resources(report: dict[str, Any]) -> Table:
    done = report["implementation"]
    planned = report["resources_hls" if done["flow"] == "hls" else "resources"]
    columns = ("whole design", "engine", "estimate", "available")
    result = table("resource", *columns, right=columns)
    for name, used in done["design"].items():
        entry = planned[name]
        if used or entry["available"]:
            engine = f"{entry['used']:,}" if entry["source"] == "implemented" else ""
            result.add_row(
                *cells(
                    name.upper(),
                    f"{used:,}",
                    engine,
                    f"{entry['estimate']:,}",
                    f"{entry['available']:,}",
                )
            )
    return result


def _timing(done: dict[str, Any]) -> str:
    path = done["worst_path"]
    where = f", from {printable(path['start'])} to {printable(path['end'])}" if path else ""
    return f"timing met at {done['clock_mhz']:g} MHz: {done['setup_slack_ns']:.3f} ns to spare{where}"
