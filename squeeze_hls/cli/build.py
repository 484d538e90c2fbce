"""``build``: from a model to a checked accelerator project."""

from __future__ import annotations

import math
from pathlib import Path

import click

from squeeze_hls.cli.options import (
    Existing,
    global_options,
    json_option,
    model_options,
    pass_terminal,
)
from squeeze_hls.cli.terminal import Terminal


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no clock.")
    return value


@click.command()
@click.argument("model", required=False)
@click.option("--board", metavar="NAME", help="Board (see `boards`) or a board's .toml file.")
@click.option("--out", metavar="DIR", type=Existing, help="Folder to write  [default: build/MODEL-BOARD]")
@click.option(
    "--flow",
    type=click.Choice(["hls", "rtl", "both"]),
    default="both",
    show_default=True,
    help="Back end: Vitis HLS C++, SystemVerilog, or both.",
)
@click.option(
    "--verify",
    type=click.Choice(["none", "executor", "csim", "rtl"]),
    help="Compare every tensor with the golden model  [default: csim, without a C++ compiler executor]",
)
@click.option(
    "--weights",
    type=click.Choice(["auto", "resident", "streamed"]),
    default="auto",
    show_default=True,
    help="Keep the weights on chip, or stream them for every picture.",
)
@click.option(
    "--clock", metavar="MHZ", type=click.FloatRange(1, 1000), callback=_finite, help="Clock  [default: the board's]"
)
@click.option("--image", metavar="FILE", type=Existing, help="Picture used for verification  [default: a built-in one]")
@click.option(
    "--engine",
    metavar="BUILD_DIR",
    type=Existing,
    help="Plan for the engine of an earlier build and write only deploy/model.sqz.",
)
@model_options
@json_option
@global_options
@pass_terminal
def build(
    terminal: Terminal,
    model: str | None,
    board: str | None,
    out: Path | None,
    flow: str,
    verify: str | None,
    weights: str,
    clock: float | None,
    image: Path | None,
    engine: Path | None,
    preprocess: str | None,
    input_size: tuple[int, int] | None,
    labels: Path | None,
    calibration: Path | None,
) -> None:
    """Build an accelerator for MODEL, an .onnx or .net file or a name that `models` lists.

    Without MODEL the embedded SqueezeNet v1.1 is built.
    """
    from squeeze_hls.flows import build as pipeline
    from squeeze_hls.flows.source import Source
    from squeeze_hls.report.summary import summary

    if board is None and engine is None:
        raise click.UsageError("--board is missing; `squeeze-hls boards` lists them.")
    terminal.every_stage = True
    options = pipeline.BuildOptions(
        source=Source(
            model=model, preprocess=preprocess, input_size=input_size, labels=labels, calibration=calibration
        ),
        board=board,
        out=out,
        flow=flow,
        verify=verify,
        weights=weights,
        clock_mhz=clock,
        image=image,
        engine=engine,
    )
    done = pipeline.build(options, terminal)
    if not terminal.quiet:
        terminal.print(*summary(done.report))
    terminal.print(f"{done.where}")
    terminal.result(done.report)
