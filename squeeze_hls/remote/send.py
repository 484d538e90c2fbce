"""Sending the ``deploy/`` of a build to a board over one ssh connection (so that a password is asked for once).

The board's Python runs ``receive.py``, whose text is part of ssh's command line; everything that differs from board to
board, the folder's path above all, goes through the connection as data and never through a shell.  ssh asks for
passwords and unknown host keys itself, on the user's terminal.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from squeeze_hls import tools
from squeeze_hls.artifacts.build_folder import MAX_FILE_BYTES, MAX_FILES, open_build, read_plain
from squeeze_hls.emit.board_folder import BITFILE, HANDOFF, code_files
from squeeze_hls.errors import InputError, MissingToolError, ToolFailedError
from squeeze_hls.progress import Listener, Stage
from squeeze_hls.remote import USER, receive
from squeeze_hls.sim.board.bitfile import MAGIC as SIMULATED

DEPLOY = "deploy"
LASTING = (BITFILE, HANDOFF)
CONNECT_SECONDS = 20
CHUNK = 64 * 2**10  # bytes between two signs of progress
MAX_ANSWER = 2**20
MAX_ERROR = 500  # characters of what a board says
MAX_GREETING_LINES = 1_000  # that login scripts may print first
# No shell's and no ssh token's character (a user's ProxyCommand may quote badly), and no option's dash in front.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where to: names that are safe on a command line."""

    user: str
    name: str

    def __str__(self) -> str:
        return f"{self.user}@{self.name}"


@dataclass(frozen=True, kw_only=True)
class File:
    """One file to be sent; ``path`` is relative to ``deploy/``, with forward slashes."""

    path: str
    content: bytes
    sha256: str


def parse_host(text: str, user: str | None = None) -> Host:
    """``[USER@]HOST``, a name or an address; raises InputError for what ssh or a shell could take for anything else."""
    before, at, name = text.rpartition("@")
    if at and user is not None and user != before:
        raise InputError(f"{text!r} and --user {user!r} name different users; give one")
    chosen = before if at else USER if user is None else user
    if not _USER.fullmatch(chosen):
        raise InputError(f"{chosen!r} is no user name")
    if ":" in name:
        try:
            ipaddress.IPv6Address(name.partition("%")[0])
        except ValueError as error:
            raise InputError(f"{name!r} is no host name; a port belongs into ~/.ssh/config") from error
        name, _, zone = name.partition("%")
        if zone and not _HOST.fullmatch(zone):
            raise InputError(f"{zone!r} is no network interface")
        return Host(user=chosen, name=f"{name}%{zone}" if zone else name)
    if not _HOST.fullmatch(name):
        raise InputError(f"{name!r} is no host name: letters, digits, '.', '-' and '_', not beginning with '-'")
    return Host(user=chosen, name=name)


def check_folder(to: str) -> str:
    """A folder on the board; raises InputError for what is none."""
    if not to or not to.isprintable() or len(to) > 1_000:
        raise InputError(f"--to {to[:80]!r}: is no folder's path")
    return to


def collect(folder: Path) -> list[File]:
    """The plain files of a build's ``deploy/``, sorted by path; hidden ones and compiled Python stay here.

    Raises InputError where ``folder`` is no build, was altered, or holds links or names that do not belong there.
    """
    open_build(folder)
    files: list[File] = []
    size = 0
    for path in _paths(folder / DEPLOY):
        content = read_plain(folder, f"{DEPLOY}/{path}", MAX_FILE_BYTES)
        size += len(content)
        if size > MAX_FILE_BYTES or len(files) == MAX_FILES:
            raise InputError(f"{folder / DEPLOY}: holds more than {MAX_FILES} files or {MAX_FILE_BYTES} bytes")
        files.append(File(path=path, content=content, sha256=hashlib.sha256(content).hexdigest()))
    if not files:
        raise InputError(f"{folder / DEPLOY}: is missing or empty; build again")
    if any(file.path == BITFILE and SIMULATED in file.content for file in files):
        raise InputError(f"{folder / DEPLOY / BITFILE}: is the simulated board's, which no board can load; remove it")
    return files


def _paths(deploy: Path) -> Iterator[str]:
    if deploy.is_symlink():
        raise InputError(f"{deploy}: a symbolic link in a build folder is not followed")
    found = []
    for root, folders, names in os.walk(deploy):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        for name in folders:
            if Path(root, name).is_symlink():
                raise InputError(f"{Path(root, name)}: a symbolic link in a build folder is not followed")
        found += [Path(root, name).relative_to(deploy).as_posix() for name in names if not name.startswith(".")]
    for path in sorted(found):
        if not path.isprintable():  # control characters, and bytes that are no UTF-8
            raise InputError(f"{deploy / path}: its name cannot be shown; rename or remove it")
        yield path


def foreign_code(files: list[File]) -> list[str]:
    """Python and notebooks that are not what this version writes: a stranger's, or another version's."""
    ours = code_files()
    return [
        file.path for file in files if file.path.endswith((".py", ".ipynb")) and ours.get(file.path) != file.content
    ]


def command(host: Host) -> list[str]:
    """The one command that is started; the same for every folder."""
    ssh = tools.find_program("ssh")
    if ssh is None:
        raise MissingToolError("no ssh on PATH: install the OpenSSH client (on Debian: apt install openssh-client)")
    options = {
        "StrictHostKeyChecking": "ask",  # whatever the user's configuration says
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
    }
    text = Path(receive.__file__).read_text(encoding="utf-8")
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return [str(ssh), "-T", *words, "-l", host.user, "--", host.name, f"exec python3 -c {shlex.quote(text)}"]


def send(files: list[File], host: Host, to: str, listener: Listener) -> dict[str, Any]:
    """Copy ``files`` into the folder ``to`` of the board; returns what the board did (``receive.into``).

    The board's folder holds the old files or the new ones, whatever happens.  Raises MissingToolError without ssh,
    ToolFailedError where ssh or the board says no.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-hls.") as folder:
        log = Path(folder) / "ssh.log"
        talk = _Talk(files, to, listener)
        code = tools.converse(command(host), talk, log=log)
        said = log.read_text(errors="replace")
    if talk.error is not None:
        raise ToolFailedError(f"{host}: {talk.error}")
    if talk.done is None:
        raise ToolFailedError(explain(host, code, said))
    return _checked(talk.done, host)


def _checked(done: dict[str, Any], host: Host) -> dict[str, Any]:
    """What the board says it did, in the form that ``receive.into`` gives it; a board may be a stranger's, too."""

    def paths(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(path, str) for path in value)

    kept = done.get("kept")
    if not (
        all(paths(done.get(key)) for key in ("copied", "left", "lasting", "removed"))
        and isinstance(done.get("to"), str)
        and isinstance(done.get("same"), int)
        and isinstance(kept, list)
        and all(isinstance(row, dict) and sorted(row) == ["as", "path"] and paths(list(row.values())) for row in kept)
    ):
        raise ToolFailedError(f"{host}: its answer is not understood; is that a PYNQ board?")
    return done


class _Talk:
    """This end of the conversation; ``done`` or ``error`` is what the board answered."""

    def __init__(self, files: list[File], to: str, listener: Listener):
        self.files, self.to, self.listener = files, to, listener
        self.done: dict[str, Any] | None = None
        self.error: str | None = None

    def __call__(self, out: IO[bytes], back: IO[bytes]) -> None:
        greeting = (receive.GREETING + "\n").encode()
        if not any(back.readline(MAX_ANSWER) == greeting for _ in range(MAX_GREETING_LINES)):
            return
        with self.listener.stage("copy") as stage:
            table = [{"path": f.path, "bytes": len(f.content), "sha256": f.sha256} for f in self.files]
            out.write(json.dumps({"to": self.to, "files": table, "lasting": LASTING}).encode() + b"\n")
            out.flush()
            wanted = self._answer(back).get("wanted")
            if not isinstance(wanted, list):
                return
            with contextlib.suppress(BrokenPipeError):  # where the board stops listening, it has said why
                self._pour([file for file in self.files if file.path in wanted], out, stage)
            done = self._answer(back).get("done")
            if isinstance(done, dict):
                self.done = done
                stage.outcome = f"{len(wanted)} of {len(self.files)} files"

    def _answer(self, back: IO[bytes]) -> dict[str, Any]:
        try:
            answer = json.loads(back.readline(MAX_ANSWER))
        except ValueError:
            return {}
        if not isinstance(answer, dict):
            return {}
        if "error" in answer:
            self.error = str(answer["error"])[:MAX_ERROR]
        return answer

    def _pour(self, files: list[File], out: IO[bytes], stage: Stage) -> None:
        total, sent = sum(len(file.content) for file in files), 0
        for file in files:
            for start in range(0, len(file.content), CHUNK):
                sent += out.write(file.content[start : start + CHUNK])
                out.flush()
                stage.progress(sent, total, file.path)


_MEANINGS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one known for it: another board or SD card has that address, or somebody is in"
        " between. If you changed the card: ssh-keygen -R {host.name}, then ssh {host} once",
    ),
    (
        "Host key verification failed",
        "its host key is not known here: run ssh {host} once, compare the fingerprint, answer yes, and deploy again",
    ),
    ("Permission denied", "ssh: permission denied: wrong password, or no key of yours is known there"),
    ("Could not resolve hostname", "ssh: no such host: is the board on? Try its address, such as 192.168.2.99"),
    ("Connection refused", "ssh: connection refused: is that the board, and has it booted?"),
    ("No route to host", "ssh: no route to the host: is the board on, and the cable in?"),
    ("timed out", "ssh: no answer within {seconds} s: is the board on, and in the same network?"),
    ("python3: not found", "has no python3: is it a PYNQ board?"),
    ("python3: command not found", "has no python3: is it a PYNQ board?"),
)


def explain(host: Host, code: int, said: str) -> str:
    """One line for what ssh printed, ``said``, before it ended with ``code``."""
    for sign, meaning in _MEANINGS:
        if sign in said:
            return f"{host}: {meaning.format(host=host, seconds=CONNECT_SECONDS)}"
    lines = [line.strip() for line in said.splitlines()[1:] if line.strip()]
    return f"{host}: the connection ended (ssh: {lines[-1][:200] if lines else f'exit code {code}'})"
