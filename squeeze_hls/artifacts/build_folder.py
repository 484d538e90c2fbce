"""Reading a build folder, which may come from a stranger.

Only plain files inside the folder are read, of bounded size, and only where they are what ``report.json``
says they are.  Nothing in a build folder is ever executed or compiled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze_hls.artifacts.bundle import MAX_REPORT_BYTES, REPORT, SCHEMA_VERSION, check_path
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from squeeze_hls.network.ir import IntNetwork

MODEL, PROGRAM, WEIGHTS = "model.onnx", "program.bin", "weights.bin"
MAX_FILES = 1_000
MAX_NOTES, MAX_NOTE_LENGTH = 100, 2_000
MAX_FILE_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class Build:
    """A build folder whose report and data files have been checked."""

    folder: Path
    report: dict[str, Any]
    engine: EngineConfig
    model: Path
    program: bytes
    store: bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """What was said of the model when it was built; raises InputError where that is no list of notes."""
        found = self.report.get("notes", [])
        good = isinstance(found, list) and len(found) <= MAX_NOTES
        if not good or not all(isinstance(note, str) and len(note) <= MAX_NOTE_LENGTH for note in found):
            raise InputError(
                f"{self.folder / REPORT}: 'notes' is no list of at most {MAX_NOTES} texts of at most {MAX_NOTE_LENGTH} "
                "characters; build again"
            )
        return tuple(found)

    def network(self) -> IntNetwork:
        """The integer network of the build."""
        from squeeze_hls.frontend import load_graph
        from squeeze_hls.quantize import to_int

        return to_int(load_graph(str(self.model)))

    def weights(self) -> dict[str, np.ndarray]:
        """Integer weights by layer, int8 (O, kh, kw, I), decoded from the weight store."""
        from squeeze_hls.plan.decode import decode_weights

        return decode_weights(self.network(), self.engine, self.program, self.store)


def is_build(path: str | Path) -> bool:
    """Whether ``path`` is a folder: models are files."""
    return Path(path).is_dir()


def open_build(folder: Path) -> Build:
    """Check and read a build folder; raises InputError for anything that is not one, whole and unaltered."""
    report = read_report(folder)
    digests = _listed(folder, report)
    for path, digest in digests.items():
        if hashlib.sha256(read_plain(folder, path, MAX_FILE_BYTES)).hexdigest() != digest:
            raise InputError(f"{folder / path}: differs from what {REPORT} says; build again")
    for path in (MODEL, PROGRAM, WEIGHTS):
        if path not in digests:
            raise InputError(f"{folder}: {REPORT} does not list {path}; build again")
    return Build(
        folder=folder,
        report=report,
        engine=_engine(folder, report),
        model=folder / MODEL,
        program=read_plain(folder, PROGRAM, MAX_FILE_BYTES),
        store=read_plain(folder, WEIGHTS, MAX_FILE_BYTES),
    )


def read_report(folder: Path) -> dict[str, Any]:
    """The report of a build folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such build folder")
    try:
        report = json.loads(read_plain(folder, REPORT, MAX_REPORT_BYTES))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder / REPORT}: not a report of a build") from error
    if not isinstance(report, dict) or not isinstance(report.get("schema_version"), int):
        raise InputError(f"{folder / REPORT}: not a report of a build")
    if report["schema_version"] != SCHEMA_VERSION:
        version = report["schema_version"]
        raise InputError(
            f"{folder / REPORT}: schema version {version}, this version reads {SCHEMA_VERSION}; build again"
        )
    return report


def _listed(folder: Path, report: dict[str, Any]) -> dict[str, str]:
    """Digests by path."""
    entries = report.get("files")
    if not isinstance(entries, list) or len(entries) > MAX_FILES:
        raise InputError(f"{folder / REPORT}: 'files' is no list of at most {MAX_FILES} files")
    digests = {}
    for entry in entries:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("path", "sha256")):
            raise InputError(f"{folder / REPORT}: 'files' must hold a path and a sha256 for each file")
        digests[check_path(entry["path"])] = entry["sha256"]
    return digests


def read_plain(folder: Path, path: str, limit: int) -> bytes:
    """A plain file inside ``folder``: no symbolic link on the way, no device, at most ``limit`` bytes."""
    try:
        step = folder
        for part in path.split("/"):
            step = step / part
            if step.is_symlink():
                raise InputError(f"{step}: a symbolic link in a build folder is not followed")
        handle = os.open(step, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                raise InputError(f"{step}: not a plain file of at most {limit} bytes")
            return stream.read(limit)
    except OSError as error:
        raise InputError(f"{folder / path}: cannot be read: {error.strerror}") from error


# --- the engine of a build ---

MAX_DEPTH = 2**20  # words of any memory


def _engine(folder: Path, report: dict[str, Any]) -> EngineConfig:
    """The engine's parameters; an engine is what its identity says."""
    where = folder / REPORT
    try:
        engine = parse_engine(report["engine"]["config"])
        if engine.id != report["engine"]["id"]:
            raise ValueError("its identity does not match")
        return engine
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: the engine's configuration is malformed ({error}); build again") from error


def parse_engine(table: dict[str, Any]) -> EngineConfig:
    """An engine from the table of its parameters, which may come from a stranger; raises TypeError or ValueError."""
    known = {field.name: str(field.type) for field in dataclasses.fields(EngineConfig)}
    if set(table) != set(known):
        raise ValueError("its keys are not those of an engine")
    return EngineConfig(**{key: _parameter(key, known[key], value) for key, value in table.items()})


def _parameter(key: str, kind: str, value: Any) -> Any:
    if kind.startswith("tuple"):
        if not isinstance(value, list) or len(value) > 32:
            raise ValueError(f"{key} is no short list")
        return tuple(_parameter(key, "int", item) for item in value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"{key} is neither true nor false")
    elif not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_DEPTH:
        raise ValueError(f"{key} is not from 0 to {MAX_DEPTH}")
    return value
