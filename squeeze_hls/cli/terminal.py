"""Everything that reaches the user's terminal: results, stages, notes and the one line of an error.

Results go to standard output, notes and errors to standard error.  With ``--json`` standard output is
exactly one JSON object.  Texts may hold names out of a stranger's model: they are never read as markup,
and control characters are shown as escapes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from squeeze_hls.progress import Stage

SLOW = 2.0  # seconds
PIPE_WIDTH = 120  # columns of a table that goes to a file or another program


def printable(text: str) -> str:
    """``text`` as one line: whatever a terminal might obey is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Terminal:
    """Where one command writes.  Implements ``progress.Listener``."""

    def __init__(self, *, json_output: bool = False):
        self.json_output = json_output
        self.quiet = False
        self.verbose = False
        self.debug = False
        self.every_stage = False  # show quick stages too
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
        self.out = Console(markup=False, highlight=False, emoji=False, width=width)
        self.err = Console(markup=False, highlight=False, emoji=False, stderr=True)
        self.notes: list[str] = []  # all notes, each once, also where nobody sees them
        self._held: list[str] = []
        self._printed_json = False

    # --- results ---

    def print(self, *items: Any) -> None:
        """A result for people; nothing with ``--json``.  Tables and rich Text are rendered."""
        if not self.json_output:
            for item in items:
                self.out.print(item, soft_wrap=isinstance(item, str))

    def result(self, value: dict[str, Any]) -> None:
        """The one JSON object of ``--json``; nothing without it."""
        if self.json_output and not self._printed_json:
            self._printed_json = True
            sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")

    # --- what happens meanwhile ---

    def note(self, text: str) -> None:
        """Something the user should know of the result; said once."""
        text = printable(text)
        if text not in self.notes:
            self.notes.append(text)
            self.remark(text)

    def remark(self, text: str) -> None:
        """Something of this moment.

        Held back until the command has succeeded, so that a failure is one line, unless somebody watches.
        """
        if self.quiet:
            return
        self._held.append(printable(text))
        if self.err.is_terminal or self.verbose:
            self.release()

    def release(self) -> None:
        """Print the notes that were held back."""
        for text in self._held:
            self._line("note", "yellow", text)
        self._held.clear()

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Show progress while a stage runs, and one line with its time and outcome when it is done."""
        stage = Stage()
        started = time.monotonic()
        if self.err.is_terminal and not self.quiet:
            with self._progress() as progress:
                task = progress.add_task(name, total=None, detail="")

                def update(done: float, total: float | None, detail: str) -> None:
                    progress.update(task, completed=done, total=total, detail=printable(detail))

                stage.watch(update)
                yield stage
        else:
            yield stage
        seconds = time.monotonic() - started
        wanted = self.verbose or (not self.json_output and (self.every_stage or seconds > SLOW))
        if wanted and not self.quiet:
            line = f"{name:<10}{seconds:6.1f} s  {printable(stage.outcome)}"
            (self.err if self.json_output else self.out).print(line.rstrip(), soft_wrap=True)

    def _progress(self) -> Progress:
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(30),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        for column in columns:
            if isinstance(column, TextColumn):
                column.markup = False
        return Progress(*columns, console=self.err, transient=True)

    # --- errors ---

    def error(self, text: str, exit_code: int) -> None:
        """The one line that a failure leaves on standard error, and the JSON object of ``--json``."""
        text = printable(text)
        self._line("error", "bold red", text)
        self.result({"error": text, "exit_code": exit_code})

    def _line(self, label: str, style: str, text: str) -> None:
        self.err.print(Text.assemble((f"{label}:", style), " ", text), soft_wrap=True)


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """A plain table; columns named in ``right`` hold numbers."""
    result = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        number_column = column in right
        result.add_column(
            column, justify="right" if number_column else "left", no_wrap=number == 0 or number_column, overflow="fold"
        )
    return result


def cells(*values: Any) -> list[Text]:
    """Table cells that no content can turn into markup."""
    return [Text(printable("" if value is None else str(value))) for value in values]
