"""The receiving end of ``squeeze-hls deploy``: this text is run by the board's own Python.

It imports nothing but the standard library and keeps to Python 3.8.  ``send.py`` is the other end:

1. this end prints GREETING (anything before it is a login script's);
2. one line of JSON comes: ``{"to": folder, "files": [{"path", "bytes", "sha256"}], "lasting": [path]}``;
3. this end answers ``{"wanted": [path]}``: what it has already is not sent;
4. the contents of those files come, in that order, nothing between them;
5. this end answers ``{"done": {...}}``; or ``{"error": text}`` instead of any answer.

Nothing in the folder changes before all files have come and their digests are right.  A file of the last deployment
that somebody has changed since is never lost: it is kept under another name, or, if it is a notebook of which no newer
one comes, as it is.  What was last deployed stands in RECORD; of that, what does not come again is removed, but for the
``lasting`` files.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import signal
import stat
import sys
from typing import Any, BinaryIO

GREETING = "squeeze-hls receives 1"
RECORD = ".squeeze_hls.json"
CHUNK = 1 << 20
ROOM = 4 << 20  # bytes that must stay free
WAY_OUT = "move the folder away, or name another with --to"


class Refused(Exception):
    """The reason, for the user."""


def main() -> int:
    answer(GREETING)
    try:
        done = receive(json.loads(sys.stdin.buffer.readline().decode("utf-8")), sys.stdin.buffer)
    except Refused as refusal:
        return fail(str(refusal))
    except OSError as error:
        where = f"{error.filename2 or error.filename}: " if error.filename else ""
        hint = ""
        if error.errno in (errno.EACCES, errno.EPERM):
            hint = "; if root owns it: sudo chown -R $USER FOLDER, on the board"
        return fail(f"{where}{error.strerror or error}{hint}")
    answer(json.dumps({"done": done}))
    return 0


def answer(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def fail(text: str) -> int:
    answer(json.dumps({"error": text}))
    return 1


def receive(offer: dict[str, Any], stream: BinaryIO) -> dict[str, Any]:
    """Take the offered files into their folder; returns what was done."""
    import fcntl  # not where this module is only read, which may be on Windows

    target = os.path.realpath(os.path.expanduser(offer["to"]))
    parent, name = os.path.split(target)
    if not name or not os.path.isdir(parent):
        raise Refused(f"there is no folder {parent}; name another with --to")
    lock = os.open(parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(f"another deployment to {parent} is under way") from error
        staging = os.path.join(parent, f".{name}.deploying")
        shutil.rmtree(staging, ignore_errors=True)  # of a deployment that was cut off
        try:
            os.makedirs(os.path.join(staging, "new"))
            os.mkdir(os.path.join(staging, "old"))
            return into(target, staging, offer, stream)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        os.close(lock)


def into(target: str, staging: str, offer: dict[str, Any], stream: BinaryIO) -> dict[str, Any]:
    files = {entry["path"]: entry["sha256"] for entry in offer["files"]}
    steps = Steps(target, read_record(target), files, offer["lasting"])
    wanted = [entry for entry in offer["files"] if entry["path"] in steps.wanted]
    total = sum(entry["bytes"] for entry in wanted)
    disk = os.statvfs(staging)
    if disk.f_bavail * disk.f_frsize < total + ROOM:
        free = disk.f_bavail * disk.f_frsize / 1e6
        raise Refused(f"the disk is full: {(total + ROOM) / 1e6:.1f} MB are needed, {free:.1f} MB are free")
    answer(json.dumps({"wanted": [entry["path"] for entry in wanted]}))
    new = os.path.join(staging, "new")
    for entry in wanted:
        take(stream, entry, os.path.join(new, entry["path"]))
    write(os.path.join(new, RECORD), json.dumps({"version": 1, "files": steps.record}, indent=1, sort_keys=True))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # from here to the end it does not matter who still listens
    if os.path.isdir(target):
        steps.carry_out(new, os.path.join(staging, "old"))
    else:
        os.rename(new, target)
    os.sync()  # power may be cut from now on
    return {
        "to": target,
        "copied": [entry["path"] for entry in wanted],
        "same": len(files) - len(wanted) - len(steps.left),
        "left": steps.left,
        "lasting": steps.lasting,
        "kept": [{"path": path, "as": kept} for path, kept in steps.kept],
        "removed": steps.removed,
    }


def take(stream: BinaryIO, entry: dict[str, Any], path: str) -> None:
    """One file from the stream to the disk, where its digest is compared."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    left = entry["bytes"]
    with open(path, "wb") as out:
        while left:
            data = stream.read(min(CHUNK, left))
            if not data:
                raise Refused("the connection ended early; nothing was changed")
            out.write(data)
            left -= len(data)
        out.flush()
        os.fsync(out.fileno())
    if digest(path) != entry["sha256"]:
        raise Refused(f"{entry['path']} arrived damaged; nothing was changed")


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())


def digest(path: str) -> str | None:
    """SHA-256 of a plain file; None where there is none, or something that is no plain file."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        found = hashlib.sha256()
        with open(path, "rb") as stream:
            for data in iter(lambda: stream.read(CHUNK), b""):
                found.update(data)
        return found.hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_record(target: str) -> dict[str, str]:
    """Digests by path, of the last deployment."""
    if not os.path.lexists(target):
        return {}
    if not os.path.isdir(target):
        raise Refused(f"{target} is no folder; name another with --to")
    try:
        with open(os.path.join(target, RECORD), encoding="utf-8") as stream:
            files = json.load(stream)["files"]
        return {str(path): str(value) for path, value in files.items()}
    except FileNotFoundError as error:
        if os.listdir(target):
            raise Refused(f"{target} is not empty and was not deployed by squeeze-hls: {WAY_OUT}") from error
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{os.path.join(target, RECORD)} is damaged: {WAY_OUT}") from error


class Steps:
    """What has to be done in the folder, decided before anything is sent."""

    def __init__(self, target: str, record: dict[str, str], files: dict[str, str], lasting: list[str]):
        self.target = target
        self.wanted: set[str] = set()  # paths to be sent
        self.replaced: list[str] = []  # paths that are as they were deployed, and make way
        self.removed: list[str] = []  # such paths for which nothing comes
        self.kept: list[tuple[str, str]] = []  # (path, path that the changed file gets)
        self.left: list[str] = []  # changed notebooks that stay
        self.lasting: list[str] = []  # files of the last deployment that stay, although they do not come again
        self._moves: list[tuple[str, str]] = []
        for path in sorted(files):
            self._decide(path, record.get(path), files[path])
        for path in sorted(set(record) - set(files)):
            if inside(path) and digest(os.path.join(target, path)) == record[path]:
                (self.lasting if path in lasting else self.removed).append(path)
        self.record = dict(files, **{path: record[path] for path in self.lasting})

    def _decide(self, path: str, deployed: str | None, new: str) -> None:
        here = os.path.join(self.target, path)
        found = digest(here)
        if found == new:
            return
        if os.path.lexists(here):
            changed = found is None or found != deployed
            if changed and found is not None and path.endswith(".ipynb") and deployed == new:
                self.left.append(path)
                return
            if changed:
                self.kept.append((path, self._free_name(path)))
            else:
                self.replaced.append(path)
        self.wanted.add(path)

    def _free_name(self, path: str) -> str:
        stem, extension = os.path.splitext(path)
        names = (f"{stem}.kept-{number}{extension}" for number in itertools.count(1))
        return next(name for name in names if not os.path.lexists(os.path.join(self.target, name)))

    def carry_out(self, new: str, old: str) -> None:
        """Rename everything into place; where one renaming fails, all are undone."""
        try:
            for path, kept in self.kept:
                self._move(os.path.join(self.target, path), os.path.join(self.target, kept))
            for number, path in enumerate([*self.replaced, *self.removed]):
                self._move(os.path.join(self.target, path), os.path.join(old, str(number)))
            for path in sorted(self.wanted):
                os.makedirs(os.path.dirname(os.path.join(self.target, path)), exist_ok=True)
                self._move(os.path.join(new, path), os.path.join(self.target, path))
            os.replace(os.path.join(new, RECORD), os.path.join(self.target, RECORD))
        except OSError:
            for source, destination in reversed(self._moves):
                os.rename(destination, source)
            raise

    def _move(self, source: str, destination: str) -> None:
        os.rename(source, destination)
        self._moves.append((source, destination))


def inside(path: str) -> bool:
    """Whether a recorded path stays in the folder."""
    return not os.path.isabs(path) and ".." not in path.split("/")


if __name__ == "__main__":
    sys.exit(main())
