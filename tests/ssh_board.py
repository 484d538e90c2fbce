"""A PYNQ board behind a faked ssh (``fake_ssh.py``): what is sent to it is really received, in a folder."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from squeeze_hls.remote.receive import RECORD

SSH = Path(__file__).with_name("fake_ssh.py")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass(frozen=True)
class Board:
    """``folder`` plays the board; ``programs`` holds what PATH must find: ssh, sh and the board's python3."""

    folder: Path
    programs: Path

    @property
    def notebooks(self) -> Path:
        return self.folder / "home" / "xilinx" / "jupyter_notebooks"

    @property
    def deployed(self) -> Path:
        return self.notebooks / "squeeze_hls"

    def files(self) -> dict[str, bytes]:
        """What is deployed, without the record."""
        return {path: content for path, content in tree(self.deployed).items() if path != RECORD}

    def fails(self, how: str) -> None:
        (self.folder / "how").write_text(how)

    def calls(self) -> list[list[str]]:
        """The words of every call of ssh."""
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def set_up(where: Path) -> Board:
    """A board with the folders of a PYNQ image, in ``where``; PATH and FAKE_SSH are the caller's to set."""
    board = Board(where / "board", where / "programs")
    board.notebooks.mkdir(parents=True)
    board.programs.mkdir()
    (board.programs / "sh").symlink_to(shutil.which("sh") or "sh")
    for name, script in (("ssh", f"{sys.executable} {SSH}"), ("python3", sys.executable)):
        (board.programs / name).write_text(f'#!/bin/sh\nexec {script} "$@"\n')
        (board.programs / name).chmod(0o755)
    return board
