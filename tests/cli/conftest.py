"""The command line, called in process."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from squeeze_hls import cli
from tests.ssh_board import Board, set_up
from tests.ssh_board import tree as tree  # for the tests

DIGITS = Path(__file__).resolve().parent.parent / "fixtures" / "digits"


@dataclass(frozen=True)
class Result:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object of ``--json``."""
        return json.loads(self.out)

    def refused(self, code: int, *words: str) -> Result:
        """Assert one line of error with ``words`` in it, and nothing else."""
        assert self.code == code, self
        assert self.err.startswith("error: ") and self.err.count("\n") == 1 and self.err.endswith("\n"), self.err
        assert "Traceback" not in self.err
        assert self.err.strip().isprintable(), self.err
        assert self.out == "", self.out
        for word in words:
            assert word in self.err, self.err
        return self


Run = Callable[..., Result]
Deploy = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled engines and downloads of the tests do not go to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run(here: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs ``squeeze-hls`` with the given arguments in an empty folder."""

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = cli.run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture(scope="session")
def digits() -> Path:
    """A small float SqueezeNet with 10 classes, pictures and labels."""
    return DIGITS


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network quantized."""
    path = tmp_path_factory.mktemp("model") / "digits.onnx"
    code = cli.run(
        ["quantize", str(DIGITS / "digits.onnx"), "--calibration", str(DIGITS / "calibration"), "-q",
         "--labels", str(DIGITS / "labels.txt"), "--preprocess", "torchvision", "-o", str(path)]
    )  # fmt: skip
    assert code == 0
    return path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, quantized: Path, digits: Path) -> Path:
    """A build of the small network, verified by the executor; a module of tests may have another."""
    folder = tmp_path_factory.mktemp("build") / "digits"
    image = digits / "test" / "1" / "1500.png"
    arguments = [
        "build",
        quantized,
        "--board",
        "pynq-z2",
        "--verify",
        "executor",
        "--out",
        folder,
        "--image",
        image,
        "-q",
    ]
    assert cli.run([str(a) for a in arguments]) == 0
    return folder


@pytest.fixture
def mine(built: Path, here: Path) -> Path:
    """A copy of the build that a test may spoil."""
    shutil.copytree(built, here / "mine")
    return here / "mine"


def report_of(folder: Path) -> dict[str, Any]:
    """The report of a build."""
    return json.loads((folder / "report.json").read_text())


def change_report(folder: Path, **values: Any) -> None:
    """Give keys of a build's report other values."""
    (folder / "report.json").write_text(json.dumps({**report_of(folder), **values}))


def resign(folder: Path, path: str) -> None:
    """Make the report agree with an altered file, as somebody hostile would."""
    files = [
        {**entry, "sha256": hashlib.sha256((folder / path).read_bytes()).hexdigest()}
        if entry["path"] == path
        else entry
        for entry in report_of(folder)["files"]
    ]
    change_report(folder, files=files)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board after a faked ssh; no other program is on PATH."""
    result = set_up(tmp_path)
    monkeypatch.setenv("PATH", str(result.programs))
    monkeypatch.setenv("FAKE_SSH", str(result.folder))
    return result


@pytest.fixture
def deploy(run: Run, mine: Path, board: Board) -> Deploy:
    """Runs ``squeeze-hls deploy`` on ``mine``."""

    def call(*arguments: object, host: str = "pynq", to: str = "jupyter_notebooks/squeeze_hls") -> Result:
        return run("deploy", mine, host, "--to", to, *arguments)

    return call
