"""``compress`` and ``compare`` on the small trained network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import cli
from tests.cli.conftest import Run, tree


@pytest.fixture(scope="session")
def compressed(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """The digits' network with 2.5 bits a weight."""
    path = tmp_path_factory.mktemp("compressed") / "digits-small.onnx"
    assert cli.run(["-q", *_arguments(digits, path)]) == 0
    return path


def _arguments(digits: Path, path: Path | str, *room: object) -> list[str]:
    room = room or ("--bytes", 7000)
    parts = ["compress", digits / "digits.onnx", "--preprocess", "torchvision", "--labels", digits / "labels.txt"]
    return [str(a) for a in (*parts, "--calibration", digits / "calibration", "-o", path, *room)]


def test_compress_writes_a_model_that_is_small_and_still_right(run: Run, digits: Path, compressed: Path) -> None:
    done = run(*_arguments(digits, "again.onnx"), "--json")
    assert done.code == 0, done
    assert Path("again.onnx").read_bytes() == compressed.read_bytes()  # the same arguments, the same bytes
    weights = done.json["weights"]
    assert weights["parameters"] == 22768 == sum(layer["before"] for layer in done.json["layers"])
    assert 0.95 * 7000 < weights["bytes"] <= weights["room_bytes"] == 7000
    assert [stage["name"] for stage in done.json["stages"]] == ["float", "compressed"]
    assert done.json["stages"][1]["difference"]["agreement"] > 90
    score = run("evaluate", compressed, "--images", digits / "test", "--json").json
    assert score["top1"] >= 95


def test_compress_shows_the_tables(run: Run, digits: Path) -> None:
    done = run(*_arguments(digits, "q.onnx", "--bytes", 4000))
    assert done.code == 0 and done.err == "", done
    for words in ("non-zero", "AlexNet", "511x", "divergence, nats", "of 4,000 bytes, coded"):
        assert words in done.out


def test_compress_for_a_board_gives_what_builds_resident(run: Run, digits: Path) -> None:
    done = run(*_arguments(digits, "q.onnx", "--fit", "pynq-z2"), "--json")
    assert done.code == 0 and done.json["weights"]["bytes"] < done.json["weights"]["room_bytes"]
    report = run(
        "build", "q.onnx", "--board", "pynq-z2", "--weights", "resident", "--verify", "executor", "--out", "b", "--json"
    ).json
    assert report["weights"]["residency"] == "resident"


def test_compress_refuses_what_cannot_be(run: Run, digits: Path, here: Path) -> None:
    before = tree(here)
    run(*_arguments(digits, "q.onnx", "--bytes", 1000), "-q").refused(3, "bits each", "larger board")
    run(*_arguments(digits, "q.onnx", "--fit", "pynq-z2", "--bytes", 9), "-q").refused(2, "--fit", "--bytes")
    run(*_arguments(digits, "q.onnx", "--fit", "no-board"), "-q").refused(2, "no-board")
    run(*_arguments(digits, digits, "--bytes", 7000), "-q").refused(2)
    assert tree(here) == before


def test_compare_tells_accuracy_size_and_cycles(run: Run, digits: Path, compressed: Path) -> None:
    pair = (digits / "digits.onnx", compressed, "--preprocess", "torchvision", "--images", digits / "test")
    done = run("compare", *pair, "--json")
    assert done.code == 0, done
    a, b = done.json["a"], done.json["b"]
    assert (a["numbers"], a["weight_bytes"], a["cycles"]) == ("float", 4 * 22768, None)
    assert b["residency"] == "resident" and b["weight_bytes"] < 22768 and b["cycles"] > 0
    assert b["top1"] == run("evaluate", compressed, "--images", digits / "test", "--json").json["top1"]
    change, images = done.json["change"], done.json["images"]
    assert change["top1"] == pytest.approx(100 * (change["won"] - change["lost"]) / images)
    assert change["top1"] == pytest.approx(b["top1"] - a["top1"])
    low, high = change["interval"]
    assert low <= change["top1"] <= high and 0 < change["p_value"] <= 1


def test_a_model_compared_with_itself_does_not_differ(run: Run, digits: Path, compressed: Path) -> None:
    done = run("compare", compressed, compressed, "--images", digits / "test")
    assert "the same prediction  100.0 %" in done.out and "p = 1" in done.out


def test_compare_takes_a_build(run: Run, digits: Path, built: Path, quantized: Path) -> None:
    found = run("compare", built, quantized, "--images", digits / "test", "--json").json
    assert found["a"]["name"] == built.name and found["agreement"]["percent"] == 100
    assert found["a"]["weight_bytes"] == found["b"]["weight_bytes"] and found["a"]["cycles"] == found["b"]["cycles"]


def test_compare_draws_a_chart(run: Run, digits: Path, compressed: Path) -> None:
    pytest.importorskip("matplotlib")
    pair = (compressed, compressed, "--images", digits / "test", "--chart")
    assert run("compare", *pair, "c.svg").code == 0
    svg = Path("c.svg").read_text()
    assert svg.startswith("<?xml") and "</svg>" in svg
    assert run("compare", *pair, "c.png").code == 0
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    run("compare", *pair, "c.gif").refused(2, "png, svg, pdf")


def test_compare_without_classes_gives_the_agreement_alone(
    run: Run, digits: Path, compressed: Path, here: Path
) -> None:
    for number in range(3):
        np.save(here / f"{number}.npy", np.full((32, 32, 3), 60 * number, np.uint8))
    found = run("compare", compressed, compressed, "--images", ".", "--json").json
    assert found["change"] is None and found["a"]["top1"] is None
    assert found["agreement"]["percent"] == 100 and json.dumps(found)


def test_fine_tuning_without_pytorch_is_refused_at_once(
    run: Run, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    run(*_arguments(digits, "q.onnx", "--bytes", 7000), "--finetune", 5).refused(4, "squeeze-hls[train]")


def test_a_chart_without_matplotlib_is_refused(
    run: Run, digits: Path, compressed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    pair = (compressed, compressed, "--images", digits / "test", "--chart", "c.png")
    run("compare", *pair).refused(4, "Matplotlib", "--chart")
    assert not Path("c.png").exists()
