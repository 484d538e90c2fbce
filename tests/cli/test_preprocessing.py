"""How pictures are prepared, from the command line: size, resizing and levels, the same wherever they are computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from squeeze_hls.artifacts.model_file import read_model
from squeeze_hls.engine.packets import image_packet
from squeeze_hls.flows.onnx_runtime import onnx_session
from squeeze_hls.frontend import PREPROCESS_KEY, load_graph
from squeeze_hls.network import pictures
from tests.cli.conftest import Run, tree

# Twice is not once, so that it is noticed, and predictions change.
LEVELS = [[255 - i // 2 for i in range(256)], [(5 * i) % 256 for i in range(256)], [*range(1, 256), 255]]
RAW = {"channels": "RGB", "mean": [0, 0, 0], "scale": [1, 1, 1]}
TORCHVISION = {"channels": "RGB", "mean": [123.675, 116.28, 103.53], "scale": [0.017125, 0.017507, 0.017429]}


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """The float network for pictures of any size."""
    path = tmp_path_factory.mktemp("dynamic") / "any.onnx"
    shutil.copy(digits / "digits.onnx", path)
    model = onnx.load(path)
    for number, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[number].dim_param = name
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def levelled(tmp_path_factory: pytest.TempPathFactory, quantized: Path) -> Path:
    """The quantized network, which says that pictures go through levels."""
    path = tmp_path_factory.mktemp("levels") / "levelled.onnx"
    model = onnx.load(quantized)
    onnx.helper.set_model_props(
        model, {p.key: p.value for p in model.metadata_props} | {PREPROCESS_KEY: json.dumps(RAW | {"levels": LEVELS})}
    )
    onnx.save(model, path)
    return path


@pytest.fixture
def photo(digits: Path, here: Path) -> tuple[Path, Path]:
    """A picture of the input's size, and what levels make of it."""
    pixels = pictures.read(digits / "test" / "1" / "1500.png")
    np.save(here / "plain.npy", pixels)
    np.save(here / "levelled.npy", pictures.apply_levels(pixels, tuple(map(bytes, LEVELS))))  # type: ignore[arg-type]
    return here / "plain.npy", here / "levelled.npy"


def written(here: Path, value: object) -> Path:
    path = here / "own.json"
    path.write_text(json.dumps(value))
    return path


# --- the size ---


def test_every_command_that_takes_a_model_takes_a_size(
    run: Run, here: Path, dynamic: Path, digits: Path, quantized: Path
) -> None:
    """One number is a square; all of them compile the network for it, without one they name the option."""
    calibration, test = ("--calibration", digits / "calibration"), ("--images", digits / "test")
    photo = digits / "test" / "1" / "1500.png"
    for arguments in (
        ["build", dynamic, "--board", "pynq-z2", "--verify", "none", "--out", "b", *calibration],
        ["quantize", dynamic, "-o", "q.onnx", *calibration],
        ["compress", dynamic, "--bytes", 20_000, "-o", "c.onnx", *calibration],
        ["run", dynamic, photo, "--on", "golden", *calibration],
        ["run", dynamic, photo, "--on", "onnxruntime"],
        ["evaluate", dynamic, *test, *calibration],
        ["compare", dynamic, quantized, *test],
    ):
        before = tree(here)
        run(*arguments).refused(2, "any.onnx", "dynamic height or width", "--input HxW")
        assert tree(here) == before
        size = "64" if arguments[0] == "compress" else "64x64"
        result = run(*arguments, "--input", size, "--preprocess", "torchvision")
        assert result.code == 0, result.err
    for name in ("q.onnx", "c.onnx", "b/model.onnx"):
        assert load_graph(here / name).input_shape == (64, 64, 3)


def test_the_size_of_a_file_that_says_nothing_else(run: Run, here: Path, dynamic: Path, digits: Path) -> None:
    """The same logits as of the network with that size in its file, and a notice of what is assumed."""
    photo, own = digits / "test" / "1" / "1500.png", written(here, {"input": [64, 64]})
    expected = run("run", digits / "digits.onnx", photo, "--logits", "expected.npy")
    assert "no preprocessing in the model: torchvision's is assumed" in expected.err
    for options in (["--preprocess", own], ["--input", "64"], ["--input", "64x64"]):
        result = run("run", dynamic, photo, "--logits", "got.npy", *options)
        assert result.code == 0 and "torchvision's" in result.err and "assumed" in result.err
        np.testing.assert_array_equal(np.load("got.npy"), np.load("expected.npy"))


def test_the_option_wins(run: Run, here: Path, dynamic: Path, digits: Path) -> None:
    """Over the size in a preprocessing file, and over the one that the model declares; rows come first."""
    own = written(here, TORCHVISION | {"input": [64, 64]})
    calibration = ("--calibration", digits / "calibration", "--preprocess", own)
    for model in (dynamic, digits / "digits.onnx"):
        assert run("quantize", model, "-o", "q.onnx", *calibration, "--input", "48x80").code == 0
        graph = load_graph(here / "q.onnx")
        assert graph.input_shape == (48, 80, 3) and graph.preprocess.resize == (55, 91)


@pytest.mark.parametrize(
    "value",
    ["0x5", "5x0", "-3x4", "99999x9", "5000", "1025x1024", "axb", "", "224x", "x224", "224x224x3", "224*224", "1.5"]
    + ["\u0662\u0662\u0664", "9" * 5000, "\x1b[2J"],
    ids=lambda value: value.encode("unicode_escape").decode()[:20],
)
def test_no_size(run: Run, digits: Path, here: Path, value: str) -> None:
    result = run("quantize", digits / "digits.onnx", "-o", "q.onnx", f"--input={value}")
    result.refused(2, "--input", "such as 224x224", "1 to 4096 a side, up to 1,048,576 pixels")
    assert tree(here) == {} and len(result.err) < 400


def test_a_size_for_what_has_its_own(run: Run, digits: Path, built: Path, quantized: Path) -> None:
    photo, test = digits / "test" / "1" / "1500.png", ("--images", digits / "test")
    run("run", built, photo, "--input", "64").refused(2, built.name, "a build is for one input size", "--input")
    run("evaluate", built, *test, "--input", "64x64").refused(2, built.name, "a build is for one input size")
    run("compare", built, quantized, *test, "--input", "48").refused(2, "the build is for 64x64", "--input")
    result = run("compare", built, quantized, *test, "--input", "64x64", "--json")
    assert result.json["agreement"]["percent"] == 100


def test_a_build_says_that_it_ignores_preprocessing(run: Run, digits: Path, built: Path) -> None:
    photo = digits / "test" / "1" / "1500.png"
    assert run("run", built, photo).err == ""
    result = run("run", built, photo, "--preprocess", "caffe")
    assert result.code == 0 and "built with; --preprocess is ignored" in result.err
    assert result.out == run("run", built, photo).out


def test_onnx_runtime_runs_a_model_at_the_size_that_is_asked_for(
    run: Run, digits: Path, dynamic: Path, here: Path
) -> None:
    pytest.importorskip("onnxruntime")
    photo, options = digits / "test" / "1" / "1500.png", ("--on", "onnxruntime", "--preprocess", "torchvision")
    assert run("run", digits / "digits.onnx", photo, *options, "--input", "64").code == 0
    assert run("run", digits / "digits.onnx", photo, *options, "--input", "48x80", "--logits", "own.npy").code == 0
    assert run("run", dynamic, photo, *options, "--input", "48x80", "--logits", "a.npy").code == 0
    np.testing.assert_array_equal(np.load("own.npy"), np.load("a.npy"))
    session, graph = onnx_session(dynamic), load_graph(dynamic, preprocess="torchvision", input_size=(48, 80))
    image = pictures.prepare(pictures.read(photo), graph.input_shape, graph.preprocess)
    values = ((image - np.array(graph.preprocess.mean)) * np.array(graph.preprocess.scale)).astype(np.float32)
    expected = session.run(None, {"image": values.transpose(2, 0, 1)[None]})[0].reshape(-1)
    np.testing.assert_allclose(np.load("a.npy")[0], expected, rtol=1e-4, atol=1e-5)  # ONNX Runtime's own order of sums


# --- resizing ---


def test_pictures_larger_than_a_small_input(run: Run, here: Path, digits: Path, dynamic: Path) -> None:
    """Files of any size are seen nearly whole: accuracy stays; at 256 by 256 it is lost, and a notice says why."""
    for path in (digits / "test").rglob("*.png"):
        for side in (80, 300):
            folder = here / str(side) / path.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            border = np.pad(pictures.read(path), ((4, 4), (4, 4), (0, 0)), "edge")  # what the crop takes away again
            pictures.Image.fromarray(border).resize((side, side)).save(folder / path.name)
    options = ("--preprocess", "torchvision", "--input", "64", "--calibration", digits / "calibration")
    for side in ("80", "300"):
        result = run("evaluate", dynamic, "--images", here / side, *options, "--json")
        assert result.json["top1"] >= 85 and "note: pictures" not in result.err, result.err
    own = written(here, TORCHVISION | {"resize": 256})
    options = ("--preprocess", own, "--input", "64", "--calibration", digits / "calibration")
    result = run("evaluate", dynamic, "--images", here / "300", *options, "--json")
    assert result.json["top1"] <= 60
    assert "resized to 256 x 256, of which the network sees the middle 64 x 64: 6.2 % of a picture" in result.err
    assert 'write "resize": 73 in a --preprocess FILE.json' in result.err


def test_a_build_says_that_it_sees_little(run: Run, here: Path, digits: Path, quantized: Path) -> None:
    """Builds of earlier versions have 256 by 256 for every network."""
    own = written(here, {"resize": 256})
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "none", "--out", "b", "--preprocess", own)
    assert result.code == 0 and "6.2 % of a picture" in result.err
    photo = digits / "test" / "1" / "1500.png"
    for on in ("golden", "onnxruntime"):
        assert run("run", "b", photo, "--on", on).err.count("6.2 % of a picture") == 1
    assert "6.2 %" in run("evaluate", "b", "--images", photo.parent).err


# --- levels ---


def logits(run: Run, model: Path | str, picture: Path, on: str, *options: object) -> np.ndarray:
    result = run("run", model, picture, "--on", on, "--logits", "l.npy", *options)
    assert result.code == 0, result.err
    return np.load("l.npy")


@pytest.mark.parametrize("on", ["golden", "executor", "onnxruntime"])
def test_levels_are_applied_once(
    run: Run, quantized: Path, levelled: Path, photo: tuple[Path, Path], on: str, here: Path
) -> None:
    """By a model and by a build of it, also to a picture of the right size; a build's logits are those of its model."""
    if on == "onnxruntime":
        pytest.importorskip("onnxruntime")
    plain, after = photo
    expected = logits(run, quantized, after, on)
    assert (expected != logits(run, quantized, plain, on)).any()
    np.testing.assert_array_equal(logits(run, levelled, plain, on), expected)
    built = run("build", levelled, "--board", "pynq-z2", "--verify", "executor", "--image", plain, "--out", "b")
    assert built.code == 0, built.err
    np.testing.assert_array_equal(logits(run, "b", plain, on), expected)


def test_levels_travel(run: Run, levelled: Path, photo: tuple[Path, Path], here: Path) -> None:
    """Into model.sqz, the build's ONNX, the pictures of the self-test and the HLS test bench; and out again."""
    plain, after = photo
    built = run("build", levelled, "--board", "pynq-z2", "--verify", "none", "--image", plain, "--out", "b")
    assert built.code == 0, built.err
    tables = tuple(map(bytes, LEVELS))
    assert read_model((here / "b/deploy/model.sqz").read_bytes()).levels == tables
    assert read_model((here / "b/deploy/update/model.sqz").read_bytes()).levels == tables
    assert load_graph(here / "b/model.onnx").preprocess.levels == tables
    program = (here / "b/program.bin").read_bytes()
    (packet,) = (here / "b/hls").rglob("image.pkt")
    assert packet.read_bytes() == image_packet(np.load(after), program).data
    stored = np.load(here / "b/deploy/selftest/images.npy")
    how = load_graph(levelled).preprocess
    names = json.loads((here / "b/deploy/selftest/expected.json").read_text())["images"]
    read = [pictures.read(pictures.BUILTIN / row["name"]) for row in names]
    np.testing.assert_array_equal(stored, [pictures.prepare(picture, (64, 64, 3), how) for picture in read])
    assert run("quantize", "b/model.onnx", "-o", "again.onnx").code == 0
    assert load_graph(here / "again.onnx").preprocess == load_graph(here / "b/model.onnx").preprocess == how
    np.testing.assert_array_equal(logits(run, "again.onnx", plain, "golden"), logits(run, levelled, plain, "golden"))


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_levels_where_pictures_are_counted(
    run: Run, quantized: Path, levelled: Path, digits: Path, here: Path, command: str
) -> None:
    for path in sorted((digits / "test").rglob("*.png"))[::4]:
        (here / "after").mkdir(exist_ok=True)
        pixels = pictures.apply_levels(pictures.read(path), tuple(map(bytes, LEVELS)))  # type: ignore[arg-type]
        np.save(here / "after" / path.stem, pixels)
        (here / "before").mkdir(exist_ok=True)
        np.save(here / "before" / path.stem, pictures.read(path))
    if command == "evaluate":
        predictions = []
        for model, folder in ((quantized, "after"), (levelled, "before"), (quantized, "before")):
            assert run("evaluate", model, "--images", folder, "--predictions", "p.npy").code == 0
            predictions.append(np.load("p.npy").tolist())
        assert predictions[0] == predictions[1] != predictions[2]
    else:
        agreement = run("compare", quantized, levelled, "--images", "before", "--json").json["agreement"]["percent"]
        expected = [run("run", m, *sorted((here / f).iterdir()), "--top", 1, "--json").json["results"]
                    for m, f in ((quantized, "before"), (quantized, "after"))]  # fmt: skip
        same = [a["top"][0]["index"] == b["top"][0]["index"] for a, b in zip(*expected, strict=True)]
        assert agreement == pytest.approx(100 * np.mean(same)) and agreement < 100


def test_calibration_sees_levels(run: Run, digits: Path, here: Path) -> None:
    """A float model quantized with levels is the one quantized on pictures that have been through them."""
    (here / "after").mkdir()
    for path in sorted((digits / "calibration").rglob("*.png")):
        pixels = pictures.apply_levels(pictures.read(path), tuple(map(bytes, LEVELS)))  # type: ignore[arg-type]
        np.save(here / "after" / f"{path.parent.name}-{path.stem}", pixels)  # in the same order
    own = written(here, TORCHVISION | {"levels": LEVELS})
    model = digits / "digits.onnx"
    calibration = ("--calibration", digits / "calibration")
    assert run("quantize", model, "-o", "a.onnx", "--preprocess", own, *calibration).code == 0
    own = written(here, TORCHVISION)
    assert run("quantize", model, "-o", "b.onnx", "--preprocess", own, "--calibration", "after").code == 0
    a, b = onnx.load("a.onnx"), onnx.load("b.onnx")
    assert a.graph == b.graph and a.metadata_props != b.metadata_props
