"""Boards: what a part offers and how much of it the engine may have.

A board is a TOML file, one of ours in ``boards/`` or the user's own.  Every key is required unless it
has a default below; unknown keys, wrong types and absurd values are refused.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from squeeze_hls import paths
from squeeze_hls.errors import InputError

FAMILIES = {"zynq-7000": "DSP48E1", "zynq-ultrascale+": "DSP48E2"}
MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board.  BRAM36 are blocks of 36 Kbit, URAM of 288 Kbit; ``reserved_*`` go to interconnect and DMA."""

    name: str
    title: str
    part: str  # as Vivado and Vitis HLS name it
    family: str
    dsp_type: str
    board_part: str = ""  # Vivado's board definition; empty: none is published
    bram36: int
    uram: int = 0
    dsp: int
    lut: int
    ff: int
    reserved_bram36: int = 0
    reserved_lut: int = 0
    reserved_ff: int = 0
    reserved_dsp: int = 0
    clock_mhz: float = 100.0  # default clock of the engine
    pix: int  # default MAC array: PIX x CIN x COUT products a cycle
    cin: int
    cout: int
    processor: tuple[str, ...] = ()  # NAME=VALUE of Vivado's processing system, where no board file sets them
    sources: tuple[str, ...]  # where the figures come from

    @property
    def processor_settings(self) -> tuple[tuple[str, str], ...]:
        """``processor`` as pairs."""
        pairs = (entry.partition("=") for entry in self.processor)
        return tuple((name, value) for name, _, value in pairs)

    @property
    def available_bram36(self) -> int:
        return self.bram36 - self.reserved_bram36

    @property
    def available_uram(self) -> int:
        return self.uram

    @property
    def available_lut(self) -> int:
        return self.lut - self.reserved_lut

    @property
    def available_ff(self) -> int:
        return self.ff - self.reserved_ff

    @property
    def available_dsp(self) -> int:
        return self.dsp - self.reserved_dsp


# Smallest and largest value that makes sense; the largest Zynq UltraScale+ stays well inside.
_RANGES: dict[str, tuple[float, float]] = {
    "bram36": (1, 10_000),
    "uram": (0, 10_000),
    "dsp": (1, 100_000),
    "lut": (1, 10_000_000),
    "ff": (1, 20_000_000),
    "reserved_bram36": (0, 10_000),
    "reserved_lut": (0, 10_000_000),
    "reserved_ff": (0, 20_000_000),
    "reserved_dsp": (0, 100_000),
    "clock_mhz": (1, 1000),
    "pix": (1, 64),
    "cin": (1, 64),
    "cout": (1, 256),
}
_MAX_TEXT = 200


def board_names() -> tuple[str, ...]:
    """Names of the boards that come with the package, sorted."""
    return tuple(sorted(path.stem for path in paths.BOARDS.glob("*.toml")))


def load_board(name_or_path: str | Path) -> Board:
    """The board of that name, or the one that a TOML file describes.

    A name of ours wins; whatever ends in ``.toml`` or contains a path separator is a file.
    Raises InputError for an unknown name and for a file that does not describe a board.
    """
    text = str(name_or_path)
    if text in board_names():
        return _read(paths.BOARDS / f"{text}.toml")
    if text.endswith(".toml") or "/" in text or "\\" in text:
        return _read(Path(text))
    raise InputError(f"unknown board '{text}'; known boards: {', '.join(board_names())}, or give a .toml file")


def as_board(board: Board | str) -> Board:
    """``board`` itself, or the one of that name; see ``load_board``."""
    return board if isinstance(board, Board) else load_board(board)


def _read(path: Path) -> Board:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot read the board file: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"{path}: a board file has at most {MAX_FILE_BYTES} bytes")
    try:
        table = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from error
    return parse_board(table, str(path))


def parse_board(table: dict[str, Any], where: str) -> Board:
    """A Board from a TOML table; ``where`` begins every message."""
    known = {f.name: f for f in fields(Board)}
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise InputError(f"{where}: unknown key '{unknown[0]}'")
    missing = [name for name, f in known.items() if name not in table and f.default is MISSING]
    if missing:
        raise InputError(f"{where}: key '{missing[0]}' is missing")
    values = {key: _check(where, key, str(known[key].type), value) for key, value in table.items()}
    board = Board(**values)
    _check_together(where, board)
    return board


def _check(where: str, key: str, kind: str, value: Any) -> Any:
    """One value of the right type and in its range; ``kind`` is the annotation in Board."""
    if kind == "str":
        if not isinstance(value, str) or len(value) > _MAX_TEXT or not value.isprintable():
            raise InputError(f"{where}: {key} must be a line of text of at most {_MAX_TEXT} characters")
        return value
    if kind.startswith("tuple"):
        if not isinstance(value, list) or len(value) > 20:
            raise InputError(f"{where}: {key} must be a list of at most 20 lines of text")
        return tuple(_check(where, key, "str", item) for item in value)
    number = (int, float) if kind == "float" else int
    low, high = _RANGES[key]
    if isinstance(value, bool) or not isinstance(value, number) or not low <= value <= high:
        what = "a number" if kind == "float" else "a whole number"
        raise InputError(f"{where}: {key} must be {what} from {low} to {high}, not {value!r}")
    return float(value) if kind == "float" else value


def _check_together(where: str, board: Board) -> None:
    if not board.name or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in board.name):
        raise InputError(f"{where}: name must consist of letters, digits, '-', '_' and '.', not {board.name!r}")
    for key in ("part", "board_part"):  # these go into Tcl
        if not all(c.isascii() and (c.isalnum() or c in "-_.:") for c in getattr(board, key)):
            raise InputError(f"{where}: {key} must consist of letters, digits, '-', '_', '.' and ':'")
    for entry in board.processor:
        if not re.fullmatch(r"P(CW|SU)_[A-Z0-9_]+=[A-Za-z0-9 ._-]+", entry):
            raise InputError(f"{where}: processor must hold settings such as PCW_CRYSTAL_PERIPHERAL_FREQMHZ=50")
    if not board.part:
        raise InputError(f"{where}: part is empty")
    if board.family not in FAMILIES:
        raise InputError(f"{where}: family must be one of {', '.join(FAMILIES)}, not {board.family!r}")
    if board.dsp_type != FAMILIES[board.family]:
        raise InputError(f"{where}: a {board.family} part has {FAMILIES[board.family]}, not {board.dsp_type}")
    for resource in ("bram36", "lut", "ff", "dsp"):
        if getattr(board, f"reserved_{resource}") > getattr(board, resource):
            raise InputError(f"{where}: reserved_{resource} is more than the part has")
