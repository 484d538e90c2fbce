"""What is emitted: notebooks, the plan that they draw, and the second model."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls import cli
from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.artifacts.model_file import read_model
from squeeze_hls.board import load_board
from squeeze_hls.emit import notebooks, planned, update
from squeeze_hls.network import golden
from squeeze_hls.plan import make_plan
from tests.networks import random_network

MOST_BYTES = 1_500_000  # of all shipped notebooks


def cells(name: str) -> list[tuple[str, str]]:
    return notebooks.sources(json.loads(notebooks.emit()[f"{name}.ipynb"]))


# --- notebooks ---


def test_the_names() -> None:
    assert notebooks.names() == ["1_classify", "2_hardware", "3_update", "4_accuracy"]


@pytest.mark.parametrize("name", notebooks.names())
def test_shipped_notebooks_are_what_is_emitted(root: Path, name: str) -> None:
    shipped = notebooks.read(root / "docs" / "notebooks" / f"{name}.ipynb")
    assert notebooks.sources(shipped) == cells(name), "run scripts/make_notebooks.py"
    outputs = [output for cell in shipped["cells"] for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if "application/javascript" in output.get("data", {})]


def test_shipped_notebooks_are_small(root: Path) -> None:
    assert sum(path.stat().st_size for path in (root / "docs" / "notebooks").glob("*.ipynb")) < MOST_BYTES


@pytest.mark.parametrize("name", notebooks.names())
def test_emitted_notebooks_have_no_outputs_and_are_valid(name: str) -> None:
    emitted = json.loads(notebooks.emit()[f"{name}.ipynb"])
    for cell in emitted["cells"]:
        assert cell["source"] and cell.get("outputs", []) == [] and cell.get("execution_count") is None
    assert len({cell["id"] for cell in emitted["cells"]}) == len(emitted["cells"])
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed in this environment")
    nbformat.validate(emitted)


@pytest.mark.parametrize("name", [*notebooks.names(), "helpers"])
def test_python_of_old_boards(name: str) -> None:
    if name == "helpers":
        code = notebooks.emit()["helpers.py"].decode()
    else:
        code = "\n".join(source for kind, source in cells(name) if kind == "code")
    ast.parse(code, feature_version=(3, 8))


def test_percent_format() -> None:
    text = "# %% [markdown]\n# # Title\n#\n# text\n\n# %%\n\nx = 1\n\n\ny = 2\n\n# %%\nz = 3\n"
    done = notebooks.from_percent(text)
    assert notebooks.sources(done) == [("markdown", "# Title\n\ntext"), ("code", "x = 1\n\n\ny = 2"), ("code", "z = 3")]
    assert done["cells"][1]["source"] == ["x = 1\n", "\n", "\n", "y = 2"]


@pytest.mark.parametrize("text", ["x = 1\n# %%\n", "# %% [markdown]\nx = 1\n"])
def test_what_is_no_percent_format(text: str) -> None:
    with pytest.raises(ValueError, match="x = 1"):
        notebooks.from_percent(text)


# --- plan.json ---


def spans(table: dict[str, Any]) -> dict[int, list[tuple[int, int, str]]]:
    """(low, high, tensor) by instruction."""
    found: dict[int, list[tuple[int, int, str]]] = {}
    for tensor in table["memory"]["tensors"]:
        for first, last, low, high in tensor["spans"]:
            for i in range(first, last + 1):
                found.setdefault(i, []).append((low, high, tensor["name"]))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_plan_of_random_networks(seed: int) -> None:
    plan = make_plan(random_network(seed), load_board("pynq-z2"))
    check_plan(json.loads(planned.describe(plan, "random")))


def test_plan_of_a_whole_network(whole: Path) -> None:
    table = json.loads((whole / "deploy" / "plan.json").read_text())
    report = json.loads((whole / "report.json").read_text())
    check_plan(table)
    assert table["cycles"] == {key: report["cycles"][key] for key in ("ideal", "predicted")}
    assert [layer["name"] for layer in table["layers"]] == [layer["name"] for layer in report["layers"]]
    assert table["store"]["words"] * table["store"]["word_bytes"] == report["weights"]["encoded_bytes"]


def check_plan(table: dict[str, Any]) -> None:
    begin = 0
    for entry in table["instructions"]:
        assert entry["begin"] == begin
        begin += entry["busy"] + sum(entry["waits"].values())
        assert entry["end"] == begin
    assert begin == table["cycles"]["predicted"]
    assert sum(entry["macs"] for entry in table["instructions"]) == pytest.approx(
        sum(layer["macs"] for layer in table["layers"]), rel=1e-4
    )
    starts = [layer["store_word"] for layer in table["layers"]] + [table["store"]["words"]]
    ends = [layer["store_word"] + layer["store_words"] for layer in table["layers"]]
    assert ends == starts[1:]
    by_instruction = spans(table)
    assert set(by_instruction) == set(range(len(table["instructions"])))
    for ranges in by_instruction.values():
        ranges.sort()
        assert ranges[0][0] >= 0 and ranges[-1][1] <= table["memory"]["bank_words"]
        for (_, end, first), (low, _, second) in zip(ranges, ranges[1:], strict=False):
            assert end <= low, f"{first} and {second} overlap"


def test_spans_are_joined_where_nothing_lies_between() -> None:
    ranges = [(0, 0, 8), (1, 0, 8), (2, 4, 8), (2, 0, 2), (3, 0, 8), (4, 5, 5)]
    entry = planned._entry("x", "map", ranges)
    assert entry == {"name": "x", "kind": "map", "spans": [[0, 1, 0, 8], [2, 2, 4, 8], [2, 2, 0, 2], [3, 3, 0, 8]]}


# --- the second model ---


def test_choose_classes() -> None:
    logits = np.array([[0, 9, 8, 7, 6, 5, 4, 0, 0, 0, 0, 0], [0, 9, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5]])
    assert update.choose_classes(logits) == [1, 2, 3, 4, 8, 9]  # the better ranks of both come first; half of 12
    assert update.choose_classes(np.array([[3, 1, 2]])) == [0]
    assert update.choose_classes(np.array([[5]])) == [0]


@pytest.mark.parametrize("seed", range(6))
def test_logits_that_are_kept_are_the_same(seed: int) -> None:
    network = random_network(seed)
    network = dataclasses.replace(network, labels=tuple(f"class {i}" for i in range(network.classes)))
    chosen = sorted(np.random.default_rng(seed).choice(network.classes, network.classes // 2 or 1, replace=False))
    smaller = update.keep_classes(network, [int(i) for i in chosen])
    assert smaller.name == "fewer-classes"
    assert smaller.labels == tuple(f"class {i}" for i in chosen)
    image = np.random.default_rng(seed).integers(0, 256, network.input_shape, np.uint8)
    whole, part = (golden.run(n, image)[n.nodes[-1].output].reshape(-1) for n in (network, smaller))
    np.testing.assert_array_equal(part, whole[chosen])


def test_the_command_in_the_notebook_makes_the_second_model(digits: Path, tmp_path: Path) -> None:
    command = " ".join(text for kind, text in cells("3_update") if kind == "markdown")
    assert "squeeze-hls build update/fewer-classes.onnx --engine BUILD_DIR --out NEW" in command
    words = ["build", digits / "deploy/update/fewer-classes.onnx", "--engine", digits, "--verify", "none"]
    assert cli.run([*map(str, words), "-q", "--out", str(tmp_path / "new")]) == 0
    made = (tmp_path / "new" / "deploy" / "model.sqz").read_bytes()
    assert made == (digits / "deploy" / "update" / "model.sqz").read_bytes()
    first = read_model((digits / "deploy" / "model.sqz").read_bytes())
    second = read_model(made)
    assert second.engine == first.engine == open_build(digits).engine.id
    assert second.classes == 5 and set(second.labels) < set(first.labels) and second.program != first.program


# --- hostile names ---

HOSTILE = "\x1b[2J$\\frac{x$<script>alert(1)</script>\n\u202e" + 100 * "y"


def test_hostile_names_in_drawings(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="Matplotlib is not installed in this environment")
    matplotlib.use("agg")
    monkeypatch.syspath_prepend(notebooks.SOURCES)
    import helpers

    line = helpers.plain(HOSTILE)
    assert line.isprintable() and "$" not in line and len(line) == 28
    table = json.loads((digits / "deploy" / "plan.json").read_text())
    table["network"] = HOSTILE
    for entry in (*table["layers"], *table["memory"]["tensors"]):
        entry["name"] = HOSTILE
    for draw in (helpers.timeline, helpers.utilization, helpers.memory_map, helpers.weight_store):
        figure = draw(table)
        figure.canvas.draw()
        texts = [text.get_text() for axes in figure.axes for text in axes.texts + axes.get_yticklabels()]
        assert not [text for text in texts if not text.replace("\n", "").isprintable() or "$" in text]
        helpers.plt.close(figure)


def test_hostile_names_in_files(whole: Path) -> None:
    """Notebooks are the same for all networks, and the plan is plain ASCII."""
    plan = make_plan(random_network(1), load_board("pynq-z2"))
    text = planned.describe(plan, HOSTILE).decode("ascii")
    assert json.loads(text)["network"] == HOSTILE
    for path, content in notebooks.emit().items():
        assert (whole / "deploy" / "notebooks" / path).read_bytes() == content
