"""Networks that Brevitas trained with coarse activations, in both of its dialects, against its own results.

The models, what each is for, and what Brevitas computed are in ``tests/fixtures/lowbit``.  Brevitas' logits are
kept as the integers that they are: sums, over the averaged pixels, of activations in steps of the last quantizer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.quantize import operators, to_int
from squeeze_hls.report.accuracy import evaluate

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "lowbit"
FACTS = json.loads((FOLDER / "expected.json").read_text())["networks"]
DIALECTS = ("qonnx", "qcdq")


@dataclass(frozen=True)
class Expected:
    """How nearly a network is computed as Brevitas does; shares are of pictures, all of whose logits are the same."""

    bits: int  # of the activations of every convolution but the last
    graph: float = 0.99  # share, as the front end reads the model: float32 may add in another order
    integers: float = 1.0  # share, as the engine computes it
    median: float = 0.0  # of the pictures' largest differences of a logit, in shares of the largest logit


# Where the integers are not the model's own, one activation in hundreds to thousands is rounded to the other side: a
# large step where there are few.  The reasons: biases that the model does not quantize are no whole accumulator steps
# (in the first convolution where the picture has no quantizer, everywhere in w6a4_bn and w6a4_dynamo); halves are
# rounded up, in Brevitas to even (w6a4_fixed, whose scales are powers of two, so that accumulators often are exact
# halves); colours with different factors are rounded to common steps (w6a4_colours).  The README has the measured
# figures; these leave a little room.
ACCEPTED = {
    "w6a8": Expected(8, integers=0.55),  # of 256 steps, one more or less is common and small
    "w6a4": Expected(4, integers=0.97),
    "w6a3": Expected(3, integers=0.98),
    "w6a2": Expected(2),
    "w6a4_in8": Expected(4),
    "w6a4_in4": Expected(4),
    "w6a3_shared": Expected(3),
    "w6a4_bn": Expected(4, integers=0, median=0.03),
    "w6a4_fixed": Expected(4, integers=0, median=0.042),
    "w6a4_dynamo": Expected(4, integers=0, median=0.03),
    "w6a4_colours": Expected(4, graph=0.05, integers=0.05, median=0.04),
}
REFUSED = {"w6a4_own": "must share one"}


def load(name: str, dialect: str) -> Graph:
    return load_graph(FOLDER / f"{name}.{dialect}.onnx")


@cache
def integers_of(name: str, dialect: str) -> IntNetwork:
    return to_int(load(name, dialect))


@cache
def brevitas_sums(name: str) -> np.ndarray:
    with np.load(FOLDER / "logits.npz", allow_pickle=False) as file:
        return file[name]


@pytest.fixture(scope="module")
def chosen() -> pictures.PictureSet:
    return pictures.load(FOLDER / "test.npz")


def differences(name: str, logits: np.ndarray) -> np.ndarray:
    """Each picture's largest difference from Brevitas of real logits (N, classes), in steps of Brevitas' integers."""
    sums = np.rint(logits / FACTS[name]["logit_unit"])
    return np.abs(sums - brevitas_sums(name)).max(axis=1)


def test_every_model_is_tested() -> None:
    assert {*ACCEPTED, *REFUSED} == set(FACTS)
    files = [file for facts in FACTS.values() for file in facts["files"]]
    assert sorted(files) == sorted(p.name for p in FOLDER.glob("*.onnx"))


def test_brevitas_logits_and_accuracy_go_together(chosen: pictures.PictureSet) -> None:
    """The fixture's own parts: the labels of the pictures, the logits, and the accuracy that Brevitas measured."""
    for name, facts in FACTS.items():
        assert evaluate(brevitas_sums(name), chosen.labels).top1 == pytest.approx(facts["top1"], abs=0.01), name


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_graph_computes_what_brevitas_does(name: str, chosen: pictures.PictureSet) -> None:
    """What the front end read, in floating point, where biases are not rounded."""
    graph = load(name, "qonnx")
    how = graph.preprocess
    images = pictures.stack(chosen, graph.input_shape, how).astype(np.float64)
    if how.channels == "BGR":
        images = images[..., ::-1]
    x = ((images - how.mean) * how.scale).astype(np.float32)
    assert (differences(name, operators.logits(graph, x)) == 0).mean() >= ACCEPTED[name].graph


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_integers_are_as_good_as_brevitas(name: str, chosen: pictures.PictureSet) -> None:
    network = integers_of(name, "qonnx")
    output = network.nodes[-1].output
    images = pictures.stack(chosen, network.input_shape, network.preprocess)
    logits = np.stack([golden.run(network, image)[output] for image in images])
    expected = ACCEPTED[name]
    assert evaluate(logits, chosen.labels).top1 == pytest.approx(FACTS[name]["top1"], abs=1.0)
    away = differences(name, logits * network.scale[output])
    assert (away == 0).mean() >= expected.integers
    assert np.median(away) <= expected.median * brevitas_sums(name).max()


@pytest.mark.parametrize("name", ACCEPTED)
def test_activations_keep_their_steps(name: str) -> None:
    """As many as were trained, not finer ones in the same range."""
    *inner, last = integers_of(name, "qonnx").convs
    assert {conv.top for conv in inner} == {2 ** ACCEPTED[name].bits - 1}
    assert last.top == 255


@pytest.mark.parametrize("name", ACCEPTED)
def test_both_dialects_give_the_same_integers(name: str) -> None:
    one, other = (integers_of(name, dialect) for dialect in DIALECTS)
    assert [type(node) for node in one.nodes] == [type(node) for node in other.nodes]
    for a, b in zip(one.convs, other.convs, strict=True):
        assert (a.stride, a.pads, a.wide, a.top) == (b.stride, b.pads, b.wide, b.top)
        for field in ("weight", "bias", "multiplier", "shift"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=f"{a.name} {field}")
    assert (one.pad_value, one.preprocess, one.labels) == (other.pad_value, other.preprocess, other.labels)
    assert list(one.scale.values()) == list(other.scale.values())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_refused_in_a_line(name: str, dialect: str) -> None:
    with pytest.raises(InputError, match=REFUSED[name]) as caught:
        integers_of(name, dialect)
    assert "\n" not in str(caught.value)
