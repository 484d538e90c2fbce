"""``simulate``: the RTL of a build, cycle for cycle."""

from __future__ import annotations

import re
from pathlib import Path

import click

from squeeze_hls.cli.options import Existing, global_options, json_option, pass_terminal
from squeeze_hls.cli.terminal import Terminal

BESIDE = "beside report.json"


def _cycles(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,12}):(\d{1,12})", value)
    if not found or int(found[1]) >= int(found[2]):
        raise click.BadParameter(f"{value} is not FIRST:END, two cycles with FIRST before END.")
    return int(found[1]), int(found[2])


@click.command()
@click.argument("build_dir", metavar="BUILD_DIR", type=Existing)
@click.option("--image", metavar="FILE", type=Existing, help="Picture to compute  [default: a built-in one]")
@click.option(
    "--waves",
    metavar="[FILE]",
    type=Existing,
    is_flag=False,
    flag_value=BESIDE,
    help="Write a waveform: .vcd, or .fst where that can be built  [default: waves.vcd or .fst in BUILD_DIR]",
)
@click.option(
    "--waves-cycles",
    "window",
    metavar="FIRST:END",
    default="0:50000",
    show_default=True,
    callback=_cycles,
    help="Cycles of the picture that the waveform shows; 50,000 of the largest array are 100 MB of VCD.",
)
@json_option
@global_options
@pass_terminal
def simulate(
    terminal: Terminal, build_dir: Path, image: Path | None, waves: Path | None, window: tuple[int, int]
) -> None:
    """Simulate the RTL of a build on a picture: every tensor must equal the golden model's.

    Shows where the cycles of each instruction went, and writes the simulated figures into report.json.
    """
    from squeeze_hls.flows.simulate import Waves, simulate
    from squeeze_hls.network import pictures
    from squeeze_hls.report.simulated import instruction_table, totals

    terminal.every_stage = True
    wanted = None
    if waves is not None:
        wanted = Waves(path=None if str(waves) == BESIDE else waves, first=window[0], last=window[1])
    done = simulate(build_dir, image or pictures.DEFAULT_PICTURE, wanted, terminal)
    assert done.report is not None  # a build has one
    if not terminal.quiet:
        terminal.print("", instruction_table(done.instructions), "")
    terminal.print(*totals(done.report, done.counters))
    if done.waves:
        terminal.print(f"waves     {done.waves}")
    terminal.result(
        {
            **{key: done.report[key] for key in ("cycles", "fps", "checks")},
            "counters": done.counters,
            "instructions": done.instructions,
            "waves": None if done.waves is None else str(done.waves),
            "notes": terminal.notes,
        }
    )
