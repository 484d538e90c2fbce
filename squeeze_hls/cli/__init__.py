"""The command line.

Exit codes: 0 done, and verified as asked; 1 verification mismatch; 2 usage, bad input, disk or network;
3 does not fit the board or engine; 4 a needed tool is missing; 5 an external tool failed; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType

import click

from squeeze_hls.cli.commands import cli
from squeeze_hls.cli.terminal import Terminal
from squeeze_hls.errors import InputError, SqueezeError

INTERRUPTED = 130
USAGE = 2


def main() -> None:
    """Entry point of the ``squeeze-hls`` program."""
    code = run(sys.argv[1:])
    _close_output()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line, with all its output; returns the exit code."""
    terminal = Terminal(json_output="--json" in arguments)
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _terminated)
    if "--debug" not in arguments:
        warnings.simplefilter("ignore")
    try:
        with cli.make_context("squeeze-hls", list(arguments), obj=terminal) as context:
            cli.invoke(context)
        terminal.release()
        sys.stdout.flush()
        return 0
    except BaseException as error:
        return _report(error, terminal)


def _report(error: BaseException, terminal: Terminal) -> int:
    """Tell the user what went wrong in one line; returns the exit code."""
    code, text = _describe(error)
    if terminal.debug and not isinstance(error, (SystemExit, click.exceptions.Exit)):
        traceback.print_exception(error, file=sys.stderr)
    with contextlib.suppress(OSError):
        if text:
            terminal.error(text, code)
        sys.stdout.flush()
    return code


def _describe(error: BaseException) -> tuple[int, str]:
    """Exit code and message of anything that can be raised; an empty message is not shown."""
    if isinstance(error, click.exceptions.Exit):  # --help and --version
        return error.exit_code, ""
    if isinstance(error, SystemExit):
        return (error.code if isinstance(error.code, int) else USAGE), ""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED, "interrupted"
    if isinstance(error, SqueezeError):
        return error.exit_code, str(error)
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "squeeze-hls"
        return USAGE, f"{error.format_message()} See '{where} --help'."
    if isinstance(error, click.ClickException):
        return USAGE, error.format_message()
    if isinstance(error, BrokenPipeError):
        return USAGE, ""  # whoever read our output has left
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return InputError.exit_code, f"{where}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return InputError.exit_code, "not enough memory for this model or picture"
    kind = type(error).__name__
    return USAGE, f"internal error, please report it ({kind}: {error}). --debug shows where it happened."


def _terminated(number: int, frame: FrameType | None) -> None:
    """Leave through every ``finally``, so that no temporary folder stays."""
    raise SystemExit(128 + number)


def _close_output() -> None:
    """Whatever could not be written by now is lost; spare the user the interpreter's complaint about it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
