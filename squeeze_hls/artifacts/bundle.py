"""What a build writes: a Bundle of files in memory, put on disk in one step or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from squeeze_hls.errors import InputError

REPORT = "report.json"
SCHEMA_VERSION = 1  # of the report
MAX_REPORT_BYTES = 16 * 2**20
MAX_PATH = 200


def check_path(path: str) -> str:
    """``path`` itself where it is a plain relative one (forward slashes, no ``..``); else InputError.

    The characters are those that every file system and Tcl take without quoting.
    """
    plain = all(c.isascii() and (c.isalnum() or c in "-_./+") for c in path)
    parts = PurePosixPath(path).parts
    if not plain or not 0 < len(path) <= MAX_PATH or path != "/".join(parts) or any(p[0] in "./-" for p in parts):
        raise InputError(f"{path[:MAX_PATH]!r} is not a safe relative path")
    return path


class Bundle(Mapping[str, bytes]):
    """Files by relative path, in sorted order.  Text is written as UTF-8."""

    def __init__(self, files: Mapping[str, bytes | str] | None = None):
        self._files: dict[str, bytes] = {}
        for path, content in (files or {}).items():
            self.add(path, content)

    def add(self, path: str, content: bytes | str) -> None:
        """Add a file; a path can be added only once."""
        if check_path(path) in self._files:
            raise ValueError(f"{path} is in the bundle already")
        self._files[path] = content.encode() if isinstance(content, str) else content

    def merge(self, other: Mapping[str, bytes], under: str = "") -> None:
        """Add all files of ``other``, below the folder ``under``."""
        for path, content in other.items():
            self.add(f"{under}/{path}" if under else path, content)

    def digests(self) -> list[dict[str, str]]:
        """``[{path, sha256}]``, sorted by path, as a report lists them."""
        return [{"path": path, "sha256": hashlib.sha256(content).hexdigest()} for path, content in self.items()]

    def __getitem__(self, path: str) -> bytes:
        return self._files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def __len__(self) -> int:
        return len(self._files)


def check_out_dir(out_dir: Path) -> None:
    """Raise InputError where a build may not go to ``out_dir``: only a new, empty or earlier build folder."""
    if out_dir.is_symlink():
        raise InputError(f"{out_dir}: is a symbolic link; name the folder itself with --out")
    if not out_dir.exists():
        parent = next(p for p in out_dir.absolute().parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(f"{out_dir}: cannot be made, {parent} is not a writable folder; choose another --out")
        return
    if not out_dir.is_dir():
        raise InputError(f"{out_dir}: exists and is not a folder; choose another --out")
    if any(out_dir.iterdir()) and _listed_files(out_dir) is None:
        raise InputError(f"{out_dir}: is not empty and holds no build (no {REPORT} of ours); choose another --out")


def write_bundle(bundle: Mapping[str, bytes], out_dir: Path) -> list[str]:
    """Put ``bundle`` into ``out_dir``, replacing an earlier build there.

    The files are written to a temporary folder beside it, which is then renamed, so that the folder
    holds the old build or the new one, whatever happens.  Files that the earlier build did not list in
    its report (a user's own, a synthesis tool's) are kept; returns their relative paths.

    Raises InputError where the folder is not ours to replace, or the disk does not take the files.
    """
    out_dir = Path(os.path.abspath(out_dir))
    check_out_dir(out_dir)
    made: list[Path] = []
    try:
        _make_parents(out_dir.parent, made)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
        try:
            _write_files(bundle, temporary)
            return _move_into_place(temporary, out_dir)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except BaseException as error:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # holds something by now: then it stays
                folder.rmdir()
        if isinstance(error, OSError):
            raise InputError(f"{out_dir}: cannot be written: {error.strerror or error}") from error
        raise


def check_output_file(path: Path) -> None:
    """Raise InputError early where ``path`` cannot become a file."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")


def write_file(content: bytes, path: Path) -> None:
    """Put ``content`` into the file ``path`` in one step; raises InputError where the disk does not take it."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_array(array: np.ndarray, path: Path) -> None:
    """Write an ``.npy`` file in one step, under exactly this name."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_file(buffer.getvalue(), path)


def _make_parents(folder: Path, made: list[Path]) -> None:
    """``mkdir -p`` that appends what it made to ``made``."""
    if not folder.exists():
        _make_parents(folder.parent, made)
        folder.mkdir()
        made.append(folder)


def _write_files(bundle: Mapping[str, bytes], folder: Path) -> None:
    for path in sorted(bundle):
        target = folder / check_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bundle[path])
    folder.chmod(0o777 & ~_umask())  # a temporary folder is private, a build is not


def _move_into_place(new: Path, out_dir: Path) -> list[str]:
    """Rename ``new`` to ``out_dir``, keeping unlisted files of what was there; returns their paths."""
    if not out_dir.exists():
        new.rename(out_dir)
        return []
    listed = _listed_files(out_dir) or set()
    old = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.old.", dir=out_dir.parent)) / "build"
    out_dir.rename(old)
    try:
        new.rename(out_dir)
    except BaseException:
        old.rename(out_dir)
        old.parent.rmdir()
        raise
    kept = []
    for path in sorted(_files_below(old)):
        if path not in listed and not (out_dir / path).exists():
            (out_dir / path).parent.mkdir(parents=True, exist_ok=True)
            (old / path).rename(out_dir / path)
            kept.append(path)
    shutil.rmtree(old.parent, ignore_errors=True)
    return kept


def _files_below(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        for name in files + links:
            yield Path(root, name).relative_to(folder).as_posix()


def _listed_files(folder: Path) -> set[str] | None:
    """Paths that the report in ``folder`` lists, itself included; None where there is no report of ours."""
    path = folder / REPORT
    try:
        if path.is_symlink() or path.stat().st_size > MAX_REPORT_BYTES:
            return None
        report = json.loads(path.read_bytes())
        if not isinstance(report["schema_version"], int) or not isinstance(report["engine"]["id"], str):
            return None
        return {str(entry["path"]) for entry in report["files"]} | {REPORT}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_json(report: Mapping[str, Any]) -> bytes:
    """The bytes of ``report.json``."""
    return (json.dumps(report, indent=2, allow_nan=False, ensure_ascii=True) + "\n").encode()
