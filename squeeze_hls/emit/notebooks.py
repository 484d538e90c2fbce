"""Notebooks out of ``templates/notebooks``: Python in percent format there, nbformat 4 JSON here.

A line ``# %% [markdown]`` begins a cell of text, whose lines are comments; ``# %%`` one of code.  Nothing of a model
is in them: they read names and figures when they run, so that all builds have the same notebooks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from squeeze_hls.artifacts.bundle import Bundle
from squeeze_hls.paths import TEMPLATES

SOURCES = TEMPLATES / "notebooks"
HELPERS = "helpers.py"
CODE, TEXT = "# %%", "# %% [markdown]"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def names() -> list[str]:
    """The notebooks without their ending, in order."""
    return sorted(path.stem for path in SOURCES.glob("[0-9]_*.py"))


def emit() -> Bundle:
    """Files of the folder ``notebooks``: all of them without outputs, and the module that they share."""
    bundle = Bundle({HELPERS: (SOURCES / HELPERS).read_bytes()})
    for name in names():
        bundle.add(f"{name}.ipynb", to_json(from_percent((SOURCES / f"{name}.py").read_text(encoding="utf-8"))))
    return bundle


def from_percent(text: str) -> dict[str, Any]:
    """A notebook of nbformat 4.5 out of a script in percent format.

    Raises ValueError where something stands before the first cell, or a cell of text holds code.
    """
    cells: list[dict[str, Any]] = []
    lines: list[str] = []
    for line in [*text.splitlines(), CODE]:
        if line not in (CODE, TEXT):
            lines.append(line)
            continue
        if cells:
            cells[-1]["source"] = _source(lines, cells[-1]["cell_type"])
        elif any(lines):
            raise ValueError(f"a notebook begins with {CODE}, not with {lines[0]!r}")
        lines = []
        cells.append(_cell(len(cells), text=line == TEXT))
    return {"cells": cells[:-1], "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _cell(number: int, *, text: bool) -> dict[str, Any]:
    cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": []}
    return {"cell_type": "markdown", **cell} if text else {
        "cell_type": "code", **cell, "execution_count": None, "outputs": [],
    }  # fmt: skip


def _source(lines: list[str], kind: str) -> list[str]:
    """Lines of a cell, each but the last with its line break, without empty ones around them."""
    if kind == "markdown":
        code = [line for line in lines if line and not line.startswith("#")]
        if code:
            raise ValueError(f"a cell of text holds code: {code[0]!r}")
        lines = [line[2:] for line in lines]
    return "\n".join(lines).strip("\n").splitlines(keepends=True)


def to_json(notebook: dict[str, Any]) -> str:
    """The file's text, as Jupyter itself writes it."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: Path) -> dict[str, Any]:
    """A notebook file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def sources(notebook: dict[str, Any]) -> list[tuple[str, str]]:
    """(kind, source) of every cell: what a notebook is, without its outputs."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
