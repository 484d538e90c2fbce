"""What the functions take and refuse, and that they do what the commands do."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import squeeze_hls as sq
from squeeze_hls import cli
from squeeze_hls.artifacts.bundle import to_json
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.pictures import prepare
from tests.cli.test_structure import MODELS
from tests.frontend.build import save
from tests.networks import random_network

SIZE = (40, 50)


@pytest.fixture(scope="module")
def network() -> sq.IntNetwork:
    return random_network(3)


@pytest.fixture(scope="module")
def plan(network: sq.IntNetwork) -> sq.Plan:
    return sq.plan(network)


@pytest.fixture
def arrays() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (3, *SIZE, 3), np.uint8)


def expected(network: sq.IntNetwork, arrays: np.ndarray) -> np.ndarray:
    """Logits of the golden model, called by hand."""
    prepared = [prepare(array, network.input_shape, network.preprocess) for array in arrays]
    return np.stack([golden.run(network, image)[network.nodes[-1].output] for image in prepared])


def test_every_form_of_pictures(network: sq.IntNetwork, arrays: np.ndarray, tmp_path: Path) -> None:
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{i}.png")
        np.save(tmp_path / f"{i}.npy", array)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    mixed = [str(paths[0]), arrays[1], Image.open(paths[2])]
    (tmp_path / "folder").mkdir()
    for path in paths:
        shutil.copy(path, tmp_path / "folder")
    wanted = expected(network, arrays)
    for given in (arrays, list(arrays), paths, mixed, tmp_path / "folder", pictures.load(tmp_path / "folder")):
        np.testing.assert_array_equal(sq.run(network, given), wanted)
    for one in (arrays[0], Image.fromarray(arrays[0]), tmp_path / "0.npy", str(paths[0])):
        np.testing.assert_array_equal(sq.run(network, one), wanted[:1])
    assert sq.run(network, arrays).dtype == np.int32


def test_images_of_any_mode_and_orientation(network: sq.IntNetwork, arrays: np.ndarray) -> None:
    grey = Image.fromarray(arrays[0]).convert("L")
    as_rgb = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(sq.run(network, grey), expected(network, [as_rgb]))
    turned = Image.fromarray(arrays[0])
    turned.getexif()[0x0112] = 3  # upside down
    np.testing.assert_array_equal(sq.run(network, turned), expected(network, [arrays[0][::-1, ::-1]]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), r"picture 0: .*\(4, 4, 1\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), "no pictures"),
        ([], "no pictures"),
        ([np.zeros((4, 4, 3), np.uint8), 7], "picture 1: .*int"),
        ("nowhere.png", "nowhere.png: no such"),
        (["nowhere.png"], "nowhere.png: cannot be read"),
        (Image.new("1", (10_000, 6_000)), "50000000 pixels"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture(network: sq.IntNetwork, given: object, words: str) -> None:
    with pytest.raises(sq.InputError, match=words):
        sq.run(network, given)  # type: ignore[arg-type]


def test_everything_that_computes_agrees(network: sq.IntNetwork, plan: sq.Plan, arrays: np.ndarray) -> None:
    logits = sq.run(network, arrays)
    for model, on in ((network, "executor"), (plan, "golden"), (plan, "executor")):
        np.testing.assert_array_equal(sq.run(model, arrays, on=on), logits)
    for model in (network, plan):
        with pytest.raises(sq.InputError, match="give the file or a build folder"):
            sq.run(model, arrays, on="onnxruntime")
        with pytest.raises(sq.InputError, match="use one of golden"):
            sq.run(model, arrays, on="gpu")  # type: ignore[arg-type]


def test_guesses_and_accuracy(network: sq.IntNetwork, arrays: np.ndarray) -> None:
    logits = sq.run(network, arrays)
    best = logits.argmax(axis=1)
    guesses = sq.classify(network, arrays, top=2)
    assert [g[0].index for g in guesses] == best.tolist() and all(len(g) == 2 for g in guesses)
    assert sq.evaluate(network, arrays, best).top1 == 100.0
    wrong = best.copy()
    wrong[0] = (wrong[0] + 1) % logits.shape[1]
    result = sq.evaluate(network, arrays, wrong.tolist())
    assert result.top1 == pytest.approx(200 / 3) and result.predictions.tolist() == best.tolist()
    assert sq.evaluate(network, arrays).top1 is None
    for labels in ([1, 2], [0.5, 1.0, 2.0], [[1], [2], [3]]):
        with pytest.raises(sq.InputError, match="not one class index for each of 3"):
            sq.evaluate(network, arrays, labels)  # type: ignore[arg-type]


def test_boards_in_every_form(network: sq.IntNetwork, root: Path) -> None:
    board = {b.name: b for b in sq.boards()}["kv260"]
    plans = [sq.plan(network, form) for form in ("kv260", board, str(root / "boards" / "kv260.toml"))]
    assert len({p.program_bin for p in plans}) == 1 and plans[0].board == board
    slow = sq.plan(network, board, clock_mhz=50.0, weights="streamed")
    assert slow.residency == "streamed" and slow.clock_mhz == 50.0 and slow.fps == 5e7 / slow.cycles


def test_a_plan_for_the_engine_of_another(network: sq.IntNetwork, plan: sq.Plan) -> None:
    assert sq.plan(network, plan.board, engine=plan).engine == plan.engine
    with pytest.raises(sq.DoesNotFitError, match=f"engine {plan.engine.id}"):
        sq.plan(sq.load(), plan.board, engine=plan)


def test_a_plan_shows_itself(plan: sq.Plan) -> None:
    text, html = str(plan), plan._repr_html_()
    for row in plan.table:
        assert row.name in text and f"<td>{row.name}</td>" in html
    assert f"{plan.cycles:,} cycles" in text and f"{plan.cycles:,} cycles" in html and f"{plan.cycles:,}" in repr(plan)
    assert f"BRAM36 {plan.resources.bram36} of {plan.board.available_bram36}" in text
    assert max(map(len, text.splitlines())) <= 120 and repr(plan).count("\n") == 0
    assert len({line.rindex("  ") for line in text.splitlines()[5:]}) == 1  # where the last column begins


def test_names_of_strangers_are_escaped() -> None:
    network = replace(random_network(3), name="<script>")
    assert "<script>" not in sq.plan(network)._repr_html_() and "&lt;script&gt;" in sq.plan(network)._repr_html_()


def test_verify_finds_a_difference(plan: sq.Plan, arrays: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [c.name for c in sq.verify(plan, arrays[0])] == ["executor"]
    with pytest.raises(sq.InputError, match="none of executor"):
        sq.verify(plan, on="golden")  # type: ignore[arg-type]
    run = golden.run

    def wrong(network: sq.IntNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
        tensors = run(network, image)
        tensors[network.nodes[-1].output] = tensors[network.nodes[-1].output] + 1
        return tensors

    monkeypatch.setattr(golden, "run", wrong)
    with pytest.raises(sq.MismatchError, match="executor and golden model differ"):
        sq.verify(plan, arrays[0])


def test_a_build_is_that_of_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """From a path all files are the same bytes; from a plan all but the model's name and digest are."""
    by_path = sq.build(None, tmp_path / "path", check="none")
    by_plan = sq.build(sq.plan(sq.load()), tmp_path / "plan", check="none")
    assert capfd.readouterr() == ("", "")
    arguments = ["build", "--board", "pynq-z2", "--verify", "none", "--out", str(tmp_path / "command"), "-q"]
    assert cli.run(arguments) == 0

    def files(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    path, from_plan = files("path"), files("plan")
    assert path == files("command")
    reports = [json.loads(given.pop("report.json")) for given in (path, from_plan)]
    assert path == from_plan
    assert [json.loads(to_json(done.report)) for done in (by_path, by_plan)] == reports
    digests = {entry["path"]: entry["sha256"] for entry in reports[1]["files"]}
    assert reports[1]["model"].pop("sha256") == digests["model.onnx"]
    del reports[0]["model"]["sha256"]
    assert reports[0] == reports[1]


def test_what_a_build_refuses(plan: sq.Plan, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for options, words in (
        ({"out": tmp_path / "mine"}, "mine"),
        ({"flow": "vhdl"}, "none of hls, rtl, both"),
        ({"check": "board"}, "none of none, executor"),
        ({"picture": np.zeros((4, 4), np.uint8)}, "uint8"),
    ):
        with pytest.raises(sq.InputError, match=words):
            sq.build(plan, **({"out": tmp_path / "out"} | options))  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "letter.txt"]


def test_what_compress_refuses(root: Path) -> None:
    model, chosen = root / "tests" / "fixtures" / "digits" / "digits.onnx", np.zeros((2, 32, 32, 3), np.uint8)
    for options in ({}, {"fit": "pynq-z2", "room": 1000}):
        with pytest.raises(sq.InputError, match="fit.*or room"):
            sq.compress(model, chosen, **options)  # type: ignore[arg-type]
    with pytest.raises(sq.DoesNotFitError, match="weights"):
        sq.compress(model, chosen, room=10)


def test_saved_networks_come_back(network: sq.IntNetwork, tmp_path: Path) -> None:
    for form in ("qdq", "qonnx"):
        sq.save(network, tmp_path / f"{form}.onnx", format=form)  # type: ignore[arg-type]
        again = sq.quantize(tmp_path / f"{form}.onnx")
        assert str(again).splitlines()[1:] == str(network).splitlines()[1:]
        for old, new in zip(network.convs, again.convs, strict=True):
            np.testing.assert_array_equal(old.weight, new.weight)
    with pytest.raises(sq.InputError, match="neither qdq nor qonnx"):
        sq.save(network, tmp_path / "x.onnx", format="tflite")  # type: ignore[arg-type]


def test_what_the_engine_cannot_do_is_refused_before_quantizing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise AssertionError("quantized")

    monkeypatch.setattr("squeeze_hls.quantize.quantize", fail)
    path = save(MODELS["bypass"][0], tmp_path, "odd.onnx")
    with pytest.raises(sq.DoesNotFitError, match="bypass"):
        sq.plan(sq.load(path))
