"""Preprocessing and class names: where they come from, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import (
    LABELS_KEY,
    PREPROCESS_KEY,
    load_graph,
    preprocess_from_json,
    preprocess_to_json,
    read_labels,
)
from squeeze_hls.frontend.preprocess import stated
from squeeze_hls.frontend.text import safe_name, unique_names
from squeeze_hls.network.ir import CAFFE, TORCHVISION, Conv, Graph, Preprocess
from tests.frontend.build import fire_model, load
from tests.frontend.test_deep_compression import encode, some_layers

LEVELS = tuple(bytes((i * step) % 256 for i in range(256)) for step in (1, 3, 5))
OWN = Preprocess(channels="BGR", mean=(1.0, 2.5, 3.0), scale=(0.5, 1.0, 2.0), resize=(27, 27), levels=LEVELS)  # type: ignore[arg-type]
NAMES = [f"class {i}" for i in range(7)]
USUAL = (19, 22)  # 256 / 224 of the 17 x 19 input
DYNAMIC = ("N", 3, "height", "width")


def carrying(**metadata: str) -> onnx.ModelProto:
    model = fire_model()
    onnx.helper.set_model_props(model, {f"squeeze_hls.{key}": value for key, value in metadata.items()})
    return model


def written(folder: Path, value: object, name: str = "own.json") -> str:
    """A preprocessing file."""
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def assert_same_graph(got: Graph, expected: Graph) -> None:
    assert str(got) == str(expected) and got.preprocess == expected.preprocess
    for one, other in zip(got.nodes, expected.nodes, strict=True):
        if isinstance(one, Conv) and isinstance(other, Conv):
            assert (one.weight == other.weight).all() and (one.bias == other.bias).all()


def test_nothing_is_known(tmp_path: Path) -> None:
    notices: list[str] = []
    graph = load(fire_model(), tmp_path, preprocess=None, notify=notices.append)
    assert graph.preprocess == replace(TORCHVISION, resize=USUAL) and graph.labels == ()
    assert notices == [
        "no preprocessing in the model: torchvision's is assumed (--preprocess caffe|torchvision|FILE.json)",
        "no class names in the model: classes are shown by index (--labels FILE)",
    ]


def test_metadata_travels(tmp_path: Path) -> None:
    assert (PREPROCESS_KEY, LABELS_KEY) == ("squeeze_hls.preprocess", "squeeze_hls.labels")
    notices: list[str] = []
    model = carrying(preprocess=preprocess_to_json(OWN), labels=json.dumps(NAMES))
    graph = load(model, tmp_path, preprocess=None, notify=notices.append)
    assert graph.preprocess == OWN and graph.labels == tuple(NAMES) and notices == []


def test_the_user_wins(tmp_path: Path) -> None:
    model = carrying(preprocess=preprocess_to_json(OWN), labels=json.dumps(NAMES))
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"n0000000{i} other {i}\n" for i in range(7)) + "\n")
    graph = load(model, tmp_path, preprocess="caffe", labels=labels)
    assert graph.preprocess == replace(CAFFE, resize=OWN.resize, levels=LEVELS) and graph.labels[6] == "other 6"
    own = written(tmp_path, preprocess_to_json(OWN))
    notices: list[str] = []
    assert load(fire_model(), tmp_path, preprocess=own, notify=notices.append).preprocess == OWN
    assert len(notices) == 1  # of class names
    other = carrying(preprocess=preprocess_to_json(replace(CAFFE, resize=(20, 21))))
    assert load(other, tmp_path, preprocess=own).preprocess == OWN


# --- keys left out ---

BGR_MEAN, BGR_SCALE = TORCHVISION.mean[::-1], TORCHVISION.scale[::-1]
ASSUMED = "the preprocessing names no channels, mean and scale: torchvision's are assumed (channels RGB; mean 123.67, "
PARTIAL: dict[str, tuple[dict | None, dict | str | None, Preprocess, str]] = {
    # the model's metadata, the user's file or preset, what counts, how the notice begins
    "input alone": (None, {"input": [17, 19]}, TORCHVISION, ASSUMED),
    "resize alone": (None, {"resize": 20}, replace(TORCHVISION, resize=(20, 20)), ASSUMED),
    "nothing": (None, {}, TORCHVISION, ASSUMED),
    "metadata without keys": ({}, None, TORCHVISION, ASSUMED),
    "blue first": (
        None,
        {"channels": "BGR"},
        Preprocess(channels="BGR", mean=BGR_MEAN, scale=BGR_SCALE),
        "the preprocessing names no mean and scale: torchvision's are assumed (mean 103.53, 116.28, 123.67; "
        "scale 0.01743, 0.01751, 0.01712)",
    ),
    "blue first, says the model": (
        {"channels": "BGR", "mean": [1, 2, 3]},
        {"resize": [20, 21]},
        Preprocess(channels="BGR", mean=(1, 2, 3), scale=BGR_SCALE, resize=(20, 21)),
        "the preprocessing names no scale: torchvision's is assumed (scale 0.01743, 0.01751, 0.01712)",
    ),
    "no mean": (
        None,
        {"channels": "RGB", "scale": [1, 1, 1]},
        Preprocess(mean=TORCHVISION.mean),
        "the preprocessing names no mean: torchvision's is assumed (mean 123.67, 116.28, 103.53)",
    ),
    "no channels": (
        {"mean": [0, 0, 0]},
        {"scale": [2, 2, 2]},
        Preprocess(scale=(2, 2, 2)),
        "the preprocessing names no channels: torchvision's are assumed (channels RGB)",
    ),
    "all by the model": (json.loads(preprocess_to_json(OWN)), {"input": [17, 19]}, OWN, ""),
    "one over the model's": (
        json.loads(preprocess_to_json(OWN)), {"scale": [3, 3, 3]}, replace(OWN, scale=(3.0, 3.0, 3.0)), ""
    ),
    "resize over the model's": (json.loads(preprocess_to_json(OWN)), {"resize": 20}, replace(OWN, resize=(20, 20)), ""),
    "a preset leaves the rest": (
        {"channels": "BGR", "resize": 20}, "torchvision", replace(TORCHVISION, resize=(20, 20)), ""
    ),
    "order of the colours over the model's": (
        {"channels": "RGB", "mean": [1, 2, 3], "scale": [1, 1, 1]},
        {"channels": "BGR"},
        Preprocess(channels="BGR", mean=(1, 2, 3)),
        "channels are BGR in place of RGB: mean stays as it is listed, blue first",
    ),
    "order of the colours where it does not matter": (
        {"channels": "RGB", "mean": [1, 2, 1], "scale": [1, 1, 1]},
        {"channels": "BGR"},
        Preprocess(channels="BGR", mean=(1, 2, 1)),
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("carried", "given", "expected", "notice"), PARTIAL.values(), ids=list(PARTIAL))
def test_keys_left_out(
    tmp_path: Path, carried: dict | None, given: dict | str | None, expected: Preprocess, notice: str
) -> None:
    """They are the model's, else torchvision's with a notice."""
    model = fire_model() if carried is None else carrying(preprocess=json.dumps(carried))
    source = given if given is None or isinstance(given, str) else written(tmp_path, given)
    notices: list[str] = []
    graph = load(model, tmp_path, preprocess=source, notify=notices.append)
    assert graph.preprocess == replace(expected, resize=expected.resize or USUAL)
    assert len(notices) == (2 if notice else 1) and notices[0].startswith(notice or "no class names"), notices


def test_the_first_may_be_the_model(tmp_path: Path) -> None:
    """As in comparisons, where one file stands for both models."""
    own = written(tmp_path, {"mean": [9, 9, 9], "scale": [9, 9, 9], "input": [21, 21]})
    model = carrying(preprocess=json.dumps({"channels": "BGR", "mean": [1, 2, 3]}))
    graph = load(model, tmp_path, preprocess=own, carried_first=True)
    assert graph.preprocess == Preprocess(channels="BGR", mean=(1, 2, 3), scale=(9, 9, 9), resize=USUAL)
    assert graph.input_shape == (17, 19, 3)
    graph = load(fire_model(), tmp_path, preprocess=own, carried_first=True)
    assert graph.preprocess == Preprocess(mean=(9, 9, 9), scale=(9, 9, 9), resize=(24, 24))
    assert graph.input_shape == (21, 21, 3)


def test_an_authors_network_keeps_what_a_file_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "x.net"
    path.write_bytes(encode(some_layers()))
    authors = replace(CAFFE, resize=(256, 256))
    notices: list[str] = []
    for keys, expected in (
        ({"input": [227, 227]}, authors),
        ({"resize": 240}, replace(authors, resize=(240, 240))),
        ({"mean": [1, 2, 3]}, replace(authors, mean=(1.0, 2.0, 3.0))),
    ):
        graph = load_graph(path, preprocess=written(tmp_path, keys), notify=notices.append)
        assert graph.preprocess == expected
    assert load_graph(path, input_size=(227, 227), notify=notices.append).preprocess == authors
    assert notices == []
    with pytest.raises(InputError) as caught:
        load_graph(path, preprocess=written(tmp_path, {"input": [32, 32]}))
    way_out = 'Leave "input" out of the --preprocess file.'
    assert str(caught.value) == f"squeezenet1.0-deep-compression: its input size is fixed, 227x227. {way_out}"
    with pytest.raises(InputError, match="its input size is fixed, 227x227. Leave --input out.$"):
        load_graph(path, input_size=(224, 224))


# --- the size of the input ---


def test_a_dynamic_size_changes_nothing_else(tmp_path: Path) -> None:
    """However the size is given, the network is the one that has it in its file."""
    expected = load(fire_model(), tmp_path, preprocess=None)
    dynamic = fire_model(shape=DYNAMIC)
    sized = written(tmp_path, {"input": [17, 19]})
    assert_same_graph(load(dynamic, tmp_path, preprocess=sized), expected)
    assert_same_graph(load(dynamic, tmp_path, preprocess=None, input_size=(17, 19)), expected)
    onnx.helper.set_model_props(dynamic, {PREPROCESS_KEY: preprocess_to_json(OWN)})
    expected = load(carrying(preprocess=preprocess_to_json(OWN)), tmp_path, preprocess=None)
    assert_same_graph(load(dynamic, tmp_path, preprocess=sized), expected)


def test_the_size_of_the_option_wins(tmp_path: Path) -> None:
    own = written(tmp_path, {"input": [40, 41]})
    for shape in (DYNAMIC, ("N", 3, 17, "width"), ("N", 3, 17, 19)):
        model = fire_model(shape=shape)
        onnx.helper.set_model_props(model, {PREPROCESS_KEY: '{"input": [30, 31]}'})
        for options, size in (
            ({"preprocess": own, "input_size": (21, 33)}, (21, 33, 3)),
            ({"preprocess": own}, (40, 41, 3)),
            ({"preprocess": None}, (30, 31, 3)),
        ):
            graph = load(model, tmp_path, **options)
            assert graph.input_shape == size
            assert graph.preprocess.resize == ((24, 38) if "input_size" in options else graph.preprocess.resize)


# --- resizing ---


@pytest.mark.parametrize(
    ("side", "resized"), [(224, 256), (227, 259), (32, 37), (64, 73), (28, 32), (1, 1), (3500, 4000), (4096, 4096)]
)
def test_pictures_are_resized_in_proportion_to_the_input(side: int, resized: int) -> None:
    """To 256 / 224 of each side; no side gets larger than the JSON form takes."""
    assert Preprocess().resized((side, 224, 3)) == (resized, 256)
    assert Preprocess().resized((224, side, 3)) == (256, resized)
    assert preprocess_from_json(preprocess_to_json(Preprocess(resize=(resized, 256)))).resize == (resized, 256)


@pytest.mark.parametrize(
    ("given", "resized", "notice"),
    [
        (18, (19, 19), "pictures are resized to 19, not 18: the input would not fit"),  # the input is 17 x 19
        ([18, 18], (19, 19), "pictures are resized to 19, not 18: the input would not fit"),
        ([16, 25], (17, 25), "pictures are resized to 17 x 25, not 16 x 25: the input would not fit"),
        ([20, 18], (20, 19), "pictures are resized to 20 x 19, not 20 x 18: the input would not fit"),
        (19, (19, 19), ""),
        ([17, 19], (17, 19), ""),
        (28, (28, 28), ""),
    ],
)
def test_resize_reaches_the_input(tmp_path: Path, given: object, resized: tuple, notice: str) -> None:
    notices: list[str] = []
    own = written(tmp_path, {**json.loads(preprocess_to_json(TORCHVISION)), "resize": given})
    assert load(fire_model(), tmp_path, preprocess=own, notify=notices.append).preprocess.resize == resized
    assert notices[:-1] == [notice] * bool(notice)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (256, "256 x 256, of which the network sees the middle 17 x 19: 0.49 % of a picture"),
        ([28, 40], "28 x 40, of which the network sees the middle 17 x 19: 29 % of a picture"),
        ([29, 22], "29 x 22, of which the network sees the middle 17 x 19: 51 % of a picture"),
        ([28, 31], ""),
    ],
)
@pytest.mark.parametrize("by_the_model", [False, True])
def test_a_small_part_of_the_picture(tmp_path: Path, given: object, seen: str, by_the_model: bool) -> None:
    """It is said, whoever asks for it, and what would be usual; that is not said."""
    text = json.dumps({**json.loads(preprocess_to_json(TORCHVISION)), "resize": given})
    model = carrying(preprocess=text) if by_the_model else fire_model()
    notices: list[str] = []
    load(model, tmp_path, preprocess=None if by_the_model else written(tmp_path, text), notify=notices.append)
    way_out = 'for 77 % write "resize": [19, 22] in a --preprocess FILE.json'
    assert notices[:-1] == [f"pictures are resized to {seen}; {way_out}"] * bool(seen)


# --- the JSON form ---

numbers = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-9, 1e6)
sides = st.integers(1, 4096)
tables = st.binary(min_size=256, max_size=256)


@given(
    st.builds(
        Preprocess,
        channels=st.sampled_from(["RGB", "BGR"]),
        mean=st.tuples(numbers, numbers, numbers),
        scale=st.tuples(positive, positive, positive),
        resize=st.none() | st.tuples(sides, sides) | sides.map(lambda side: (side, side)),
        levels=st.none() | st.tuples(tables, tables, tables),
    )
)
def test_json_gives_back_the_same(preprocess: Preprocess) -> None:
    assert preprocess_from_json(preprocess_to_json(preprocess)) == stated(preprocess)


@pytest.mark.parametrize("name", ["models", "your-own-model"])
def test_the_documents_show_the_form(root: Path, name: str) -> None:
    examples = re.findall(r'\{"channels": .*?\}', (root / "docs" / f"{name}.md").read_text())
    assert examples and all(preprocess_from_json(example).mean for example in examples)


def test_the_form_of_a_square_is_what_it_was() -> None:
    text = '{"channels": "BGR", "mean": [104.0, 117.0, 123.0], "scale": [1.0, 1.0, 1.0]'
    assert preprocess_to_json(replace(CAFFE, resize=(256, 256))) == text + ', "resize": 256}'
    assert preprocess_to_json(replace(CAFFE, resize=(37, 40))) == text + ', "resize": [37, 40]}'
    assert preprocess_to_json(CAFFE) == text + "}"


def levels_json(tables: int, *, length: int = 256, value: object = 7) -> str:
    return json.dumps({"levels": [*[[7] * 256] * (tables - 1), [value] * length]})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "p: not valid JSON."),
        ("[" * 100_000, "p: not valid JSON."),
        ("[]", "p: not a JSON object."),
        ('{"std": [1, 1, 1]}', "p: unknown key 'std'."),
        ('{"channels": "GBR"}', 'p: channels must be "RGB" or "BGR".'),
        ('{"channels": ["RGB"]}', 'p: channels must be "RGB" or "BGR".'),
        ('{"mean": 3}', "p: mean must be three numbers, one per channel."),
        ('{"mean": [1, 2]}', "p: mean must be three numbers"),
        ('{"mean": [1, 2, true]}', "p: mean must be three numbers"),
        ('{"mean": [1, 2, NaN]}', "p: mean must be finite."),
        ('{"mean": [1, 2, 1' + "0" * 400 + "]}", "p: mean must be finite."),
        ('{"scale": [1, 1, 0]}', "p: scale must be positive."),
        ('{"scale": [1, 1, Infinity]}', "p: scale must be finite."),
        ('{"resize": 0}', "p: resize must be a whole number from 1 to 4096"),
        ('{"resize": 256.0}', "p: resize must be a whole number"),
        ('{"resize": 4097}', "p: resize must be a whole number"),
        ('{"resize": [20]}', "p: resize must be a whole number from 1 to 4096, or [rows, columns] of such."),
        ('{"resize": [20, 20, 20]}', "p: resize must be a whole number"),
        ('{"resize": [20, 0]}', "p: resize must be a whole number"),
        ('{"resize": [20, true]}', "p: resize must be a whole number"),
        ('{"resize": null}', "p: resize must be a whole number"),
        ('{"mean": null}', "p: mean must be three numbers"),
        (
            '{"levels": null}',
            "p: levels must be three lists (red, green, blue) of 256 whole numbers from 0 to 255 each.",
        ),
        (levels_json(2), "p: levels must be three lists"),
        (levels_json(4), "p: levels must be three lists"),
        (levels_json(3, length=255), "p: levels must be three lists"),
        (levels_json(3, value=256), "p: levels must be three lists"),
        (levels_json(3, value=-1), "p: levels must be three lists"),
        (levels_json(3, value=1.0), "p: levels must be three lists"),
        (levels_json(3, value=True), "p: levels must be three lists"),
        (levels_json(3, value="7"), "p: levels must be three lists"),
        ('{"input": 224}', "p: input must be [height, width]."),
        ('{"input": [224, "x"]}', "p: input must be [height, width]."),
        ('{"resize": 1' + "0" * 5000 + "}", "p: "),
        (" " * (1 << 20) + "{}", "p: longer than the 1,048,576 characters accepted."),
    ],
)
def test_bad_json(text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        preprocess_from_json(text, "p")
    assert str(caught.value).startswith(problem)


def test_bad_metadata_names_the_property(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^model.onnx: squeeze_hls.preprocess: not valid JSON."):
        load(carrying(preprocess="{"), tmp_path)
    with pytest.raises(InputError, match="^model.onnx: squeeze_hls.labels: not a JSON list of class names."):
        load(carrying(labels='["a", 1]'), tmp_path)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("imagenet", "--preprocess 'imagenet': give caffe, torchvision or a .json file."),
        ("nowhere.json", "nowhere.json: no such file. Check the path."),
    ],
)
def test_bad_source(source: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(fire_model(), tmp_path, preprocess=source)
    assert str(caught.value) == problem


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text('["tench", "gold\\u001b[1mfish"]')
    assert read_labels(path) == ("tench", r"gold\x1b\x5b1mfish")
    path.write_text("\ufeffn01440764 tench, Tinca tinca\r\nn01443537 goldfish\r\n\r\n")
    assert read_labels(path) == ("tench, Tinca tinca", "goldfish")
    path.write_text("n01440764 tench\nplain\n")
    assert read_labels(path) == ("n01440764 tench", "plain")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"labels: not a text file \(UTF-8\)."):
        read_labels(path)
    path.write_text("x\n" * 65_537)
    with pytest.raises(InputError, match="65,537 class names, more than the 65,536 accepted."):
        read_labels(path)


def test_number_of_labels(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    with pytest.raises(
        InputError, match="^model: 2 class names for 7 classes. Give --labels a file with one name a line."
    ):
        load(fire_model(), tmp_path, labels=labels)


@given(st.text())
def test_safe_name(text: str) -> None:
    safe = safe_name(text)
    assert safe.isprintable() and len(safe) <= 120 and "[" not in safe
    assert safe_name(safe.replace("\\", "")) == safe.replace("\\", "")


@given(st.lists(st.text(alphabet="a[\x1b\\", max_size=4) | st.just("b" * 200) | st.just("b" * 300)))
def test_unique_names(names: list[str]) -> None:
    result = unique_names(names)
    assert len(set(result.values())) == len(set(names)) == len(result)
