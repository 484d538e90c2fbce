"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from squeeze_hls import __version__
from squeeze_hls.cli.terminal import Terminal
from squeeze_hls.flows import ON

Command = TypeVar("Command", bound=Callable[..., Any])


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            setattr(context.find_root().obj, name, True)

    return callback


def global_options(command: Command) -> Command:
    """``-q``, ``-v`` and ``--debug``, before or after the name of the command."""
    for flags, name, help_text in (
        (("--debug",), "debug", "Show tracebacks."),
        (("-v", "--verbose"), "verbose", "Say more about what is being done."),
        (("-q", "--quiet"), "quiet", "No progress, no notes: results and errors only."),
    ):
        option = click.option(*flags, is_flag=True, expose_value=False, callback=_set(name), help=help_text)
        command = option(command)
    return command


version_option = click.version_option(__version__, "--version", message="squeeze-hls %(version)s")

json_option = click.option(
    "--json", "json_output", is_flag=True, expose_value=False, help="Print exactly one JSON object to standard output."
)

Existing = click.Path(path_type=Path)  # whether it exists is checked, and explained, by whoever reads it

board_option = click.option(
    "--board",
    metavar="NAME",
    default="pynq-z2",
    show_default=True,
    help="Board (see `boards`) or a board's .toml file.",
)
preprocess_option = click.option(
    "--preprocess",
    metavar="caffe|torchvision|FILE.json",
    help="Channel order, mean and scale that the model was trained with. What FILE.json leaves out is the model's.",
)


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Height and width out of ``224x224`` or ``224``."""
    if value is None:
        return None
    from squeeze_hls.frontend.input_limits import MAX_PIXELS, MAX_SIDE

    found = re.fullmatch(r"([0-9]{1,9})(?:[xX]([0-9]{1,9}))?", value)
    height, width = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise click.BadParameter(
            f"'{value[:40]}' is no size of a picture. Give height and width, such as 224x224, or one number for both: "
            f"1 to {MAX_SIDE} a side, up to {MAX_PIXELS:,} pixels."
        )
    return height, width


input_option = click.option(
    "--input",
    "input_size",
    metavar="HxW",
    callback=_size,
    help="Height and width at which the network is compiled, such as 224x224 or 224  [default: what the model says]",
)
labels_option = click.option(
    "--labels", metavar="FILE", type=Existing, help="Class names, one a line, where the model's file has none."
)
calibration_option = click.option(
    "--calibration",
    metavar="DIR|FILE.npz",
    type=Existing,
    help="Pictures for quantizing a float model (default: a small built-in set).",
)
format_option = click.option(
    "--format",
    "dialect",
    type=click.Choice(["qonnx", "qdq"]),
    default="qdq",
    show_default=True,
    help="QDQ runs in ONNX Runtime; QONNX in the qonnx package.",
)
on_option = click.option(
    "--on",
    type=click.Choice(ON),
    default="golden",
    show_default=True,
    help="What computes: the golden model, the program executor, the compiled C++, the simulated RTL, or ONNX Runtime.",
)


def reading_options(command: Command) -> Command:
    """How to read MODEL."""
    return preprocess_option(input_option(labels_option(command)))


def model_options(command: Command) -> Command:
    """How to read, and where necessary quantize, MODEL."""
    return reading_options(calibration_option(command))


pass_terminal = click.make_pass_decorator(Terminal)
