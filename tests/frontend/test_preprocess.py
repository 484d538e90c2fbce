"""Preprocessing and class names: where they come from, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import LABELS_KEY, PREPROCESS_KEY, preprocess_from_json, preprocess_to_json, read_labels
from squeeze_hls.frontend.text import safe_name, unique_names
from squeeze_hls.ir import CAFFE, TORCHVISION, Preprocess
from tests.frontend.build import fire_model, load

OWN = Preprocess(channels="BGR", mean=(1.0, 2.5, 3.0), scale=(0.5, 1.0, 2.0), resize=40)
NAMES = [f"class {i}" for i in range(7)]


def carrying(**metadata: str) -> onnx.ModelProto:
    model = fire_model()
    onnx.helper.set_model_props(model, {f"squeeze_hls.{key}": value for key, value in metadata.items()})
    return model


def test_nothing_is_known(tmp_path: Path) -> None:
    notices: list[str] = []
    graph = load(fire_model(), tmp_path, preprocess=None, notify=notices.append)
    assert graph.preprocess == TORCHVISION and graph.labels == ()
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
    assert graph.preprocess == CAFFE and graph.labels[6] == "other 6"
    own = tmp_path / "own.json"
    own.write_text(preprocess_to_json(OWN))
    assert load(fire_model(), tmp_path, preprocess=str(own)).preprocess == OWN


def test_resize_reaches_the_input(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"resize": 18}')  # the input is 17 x 19
    notices: list[str] = []
    assert load(fire_model(), tmp_path, preprocess=str(own), notify=notices.append).preprocess.resize == 19
    assert "pictures are resized to 19, not 18: the input would not fit" in notices


numbers = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-9, 1e6)


@given(
    st.builds(
        Preprocess,
        channels=st.sampled_from(["RGB", "BGR"]),
        mean=st.tuples(numbers, numbers, numbers),
        scale=st.tuples(positive, positive, positive),
        resize=st.integers(1, 4096),
    )
)
def test_json_gives_back_the_same(preprocess: Preprocess) -> None:
    assert preprocess_from_json(preprocess_to_json(preprocess)) == preprocess


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
        ('{"resize": 0}', "p: resize must be a whole number from 1 to 4096."),
        ('{"resize": 256.0}', "p: resize must be a whole number"),
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
