"""Every command on good input: output for people, for programs, and files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import __version__, cli
from tests.cli.conftest import Run

ON = ("golden", "executor", "onnxruntime")


def picture(digits: Path) -> Path:
    return digits / "test" / "1" / "1500.png"


def test_version(run: Run) -> None:
    assert run("--version").out == f"squeeze-hls {__version__}\n"


def test_help(run: Run) -> None:
    assert "build" in run("--help").out
    assert run().out == run("-h").out
    for command in cli.cli.commands:
        result = run(command, "--help")
        assert result.code == 0 and f"squeeze-hls {command}" in result.out


def test_version_is_quick() -> None:
    code = "import sys; from squeeze_hls.cli import run; run(['--version']); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'numpy'" not in loaded and "'onnx'" not in loaded


def test_boards(run: Run) -> None:
    assert "xc7z020clg400-1" in run("boards").out
    listed = {board["name"]: board for board in run("boards", "--json").json["boards"]}
    assert listed["pynq-z2"]["bram36"] == 140 and set(listed) == {"kv260", "pynq-z1", "pynq-z2", "zcu104"}


def test_models(run: Run) -> None:
    assert "squeezenet1.1-w6" in run("models").out
    result = run("models", "--json").json
    assert result["default"] == "squeezenet1.1-w6"
    assert {"name", "size", "source", "licence"} <= set(result["models"][0])


def test_doctor(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "C++ compiler" in run("doctor").out
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = {tool["name"]: tool for tool in run("doctor", "--json").json["tools"]}
    assert tools["C++ compiler"]["version"] is None and "install g++" in tools["C++ compiler"]["cost"]
    assert tools["squeeze-hls"]["version"] == __version__
    assert all(tool["version"] or tool["cost"] for tool in tools.values())


@pytest.mark.parametrize("on", ON)
def test_run(run: Run, digits: Path, quantized: Path, on: str, here: Path) -> None:
    if on == "onnxruntime":
        pytest.importorskip("onnxruntime")
    result = run(
        "run", quantized, picture(digits), picture(digits), "--on", on, "--top", 3, "--json", "--logits", "l.npy"
    )
    assert result.code == 0, result.err
    assert result.json["on"] == on
    first, second = result.json["results"]
    assert first == second and first["file"] == str(picture(digits))
    assert [guess["index"] for guess in first["top"]][0] == 1 and first["top"][0]["name"] == "one"
    probabilities = [guess["probability"] for guess in first["top"]]
    assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1
    logits = np.load(here / "l.npy")
    assert logits.shape == (2, 10) and logits.dtype == (np.float32 if on == "onnxruntime" else np.int32)


def test_golden_and_executor_give_the_same_logits(run: Run, digits: Path, quantized: Path, here: Path) -> None:
    for on in ("golden", "executor"):
        assert run("run", quantized, picture(digits), "--on", on, "--logits", f"{on}.npy").code == 0
    np.testing.assert_array_equal(np.load(here / "golden.npy"), np.load(here / "executor.npy"))


def test_run_takes_arrays(run: Run, quantized: Path, here: Path) -> None:
    np.save("picture.npy", np.full((64, 64, 3), 200, np.uint8))
    result = run("run", quantized, "picture.npy")
    assert result.code == 0 and result.out.count("%") == 5


def test_run_for_people(run: Run, digits: Path, quantized: Path) -> None:
    result = run("run", quantized, picture(digits))
    assert "one (1)" in result.out and "%" in result.out


@pytest.mark.parametrize("on", ON)
def test_evaluate(run: Run, digits: Path, quantized: Path, on: str, here: Path) -> None:
    if on == "onnxruntime":
        pytest.importorskip("onnxruntime")
    result = run("evaluate", quantized, "--images", digits / "test", "--on", on, "--json", "--predictions", "p.npy")
    assert result.code == 0, result.err
    assert result.json["on"] == on and result.json["images"] == 20
    assert result.json["top1"] >= 90 and result.json["top5"] >= result.json["top1"]
    predictions = np.load(here / "p.npy")
    assert predictions.dtype == np.int64 and predictions.shape == (20,)
    labels = [int(path.parent.name) for path in sorted((digits / "test").rglob("*.png"))]
    assert 100 * np.mean(predictions == labels) == pytest.approx(result.json["top1"])


def test_evaluate_without_classes(run: Run, digits: Path, quantized: Path) -> None:
    result = run("evaluate", quantized, "--images", picture(digits).parent, "--json")
    assert result.code == 0 and result.json["top1"] is None and result.json["images"] >= 1


def test_evaluate_for_people(run: Run, digits: Path, quantized: Path) -> None:
    assert "top-1" in run("evaluate", quantized, "--images", digits / "test").out


@pytest.mark.parametrize("dialect", ["qdq", "qonnx"])
def test_quantize(run: Run, digits: Path, here: Path, dialect: str) -> None:
    result = run(
        "quantize", digits / "digits.onnx", "--calibration", digits / "calibration", "--format", dialect,
        "--labels", digits / "labels.txt", "--preprocess", "torchvision", "-o", "q.onnx", "--json",
    )  # fmt: skip
    assert result.code == 0 and result.json["format"] == dialect
    assert result.json["bytes"] == (here / "q.onnx").stat().st_size
    assert os.listdir(here) == ["q.onnx"]
    assert run("run", "q.onnx", picture(digits), "--json").json["results"][0]["top"][0]["name"] == "one"


def test_a_float_model_is_quantized_with_a_notice(run: Run, digits: Path) -> None:
    result = run("run", digits / "digits.onnx", picture(digits), "--labels", digits / "labels.txt")
    assert result.code == 0
    assert "note: digits is a float model" in result.err and "torchvision" in result.err
    quiet = run("-q", "run", digits / "digits.onnx", picture(digits), "--labels", digits / "labels.txt")
    assert quiet.code == 0 and quiet.err == ""


@pytest.mark.parametrize("where", ["before", "after"])
def test_global_options_stand_anywhere(run: Run, digits: Path, where: str) -> None:
    command = ["run", digits / "digits.onnx", picture(digits), "--on", "golden"]
    result = run("-q", *command) if where == "before" else run(*command, "-q")
    assert result.code == 0 and result.err == ""


def test_no_colours_in_files_or_with_no_color(run: Run, digits: Path, quantized: Path, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("run", quantized, picture(digits)).out + run("boards").out + run("nonsense").err


def test_a_closed_pipe_is_no_disaster() -> None:
    command = f"{sys.executable} -m squeeze_hls boards --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "{" and done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_standard_output() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "squeeze_hls", "boards"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2 and done.stderr == "error: No space left on device\n"


def test_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, quantized: Path, digits: Path) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("squeeze_hls.flows.classify.run", interrupt)
    run("run", quantized, picture(digits)).refused(130, "interrupted")


def test_an_unexpected_error_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, quantized: Path, digits: Path
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("oh\x1b[31m\nno")

    monkeypatch.setattr("squeeze_hls.flows.classify.run", fail)
    run("run", quantized, picture(digits)).refused(2, "internal error", "ZeroDivisionError", "--debug")
    debug = run("run", quantized, picture(digits), "--debug")
    assert debug.code == 2 and "Traceback" in debug.err


def test_errors_in_json(run: Run) -> None:
    result = run("build", "missing.onnx", "--board", "pynq-z2", "--json")
    assert result.code == 2 and result.json["exit_code"] == 2 and result.err == f"error: {result.json['error']}\n"
    assert json.loads(run("nonsense", "--json").out)["exit_code"] == 2


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["squeeze-hls", "build", "--board", "none"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
