"""Calibration pictures that leave much of a network at 0, or are of one colour: one line each, healthy sets none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.frontend import load_graph
from squeeze_hls.network import pictures
from squeeze_hls.network.ir import Conv, Graph
from squeeze_hls.quantize import calibrated, from_quantized, sparse_calibration
from tests.quantize.graphs import fire_graph

DIGITS = Path(__file__).resolve().parent.parent / "fixtures" / "digits"
COLOUR = "of one single colour"
ASLEEP = "channels never rise above 0 on the calibration pictures"
Make = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
BAD: dict[str, tuple[Make, tuple[str, ...]]] = {
    "black": (lambda rng, shape: np.zeros((1, *shape)), (COLOUR, ASLEEP)),
    "white": (lambda rng, shape: np.full((1, *shape), 255), (COLOUR, ASLEEP)),
    "red": (lambda rng, shape: np.full((1, *shape), [200, 20, 30]), (COLOUR, ASLEEP)),
    "a blurred colour": (lambda rng, shape: 100 + rng.integers(0, 5, (1, *shape)), (COLOUR, ASLEEP)),
    "noise": (lambda rng, shape: rng.integers(0, 256, (1, *shape)), (ASLEEP,)),
    "dark noise": (lambda rng, shape: rng.integers(0, 8, (2, *shape)), (ASLEEP,)),
}


def noted(graph: Graph, images: np.ndarray) -> list[str]:
    """What calibrating on these pictures would note of them."""
    found = calibrated.prepare(graph, images.astype(np.uint8), seed=0, mirror=True).notes
    return [note for note in found if COLOUR in note or ASLEEP in note]


@pytest.fixture(scope="module")
def digits() -> Graph:
    return load_graph(DIGITS / "digits.onnx", preprocess="torchvision")


def test_healthy_pictures_are_not_mentioned(digits: Graph) -> None:
    for source in (pictures.load(DIGITS / "calibration"), pictures.load(DIGITS / "test"), pictures.builtin()):
        assert noted(digits, pictures.stack(source, digits.input_shape, digits.preprocess)) == []


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are(digits: Graph, kind: str) -> None:
    make, words = BAD[kind]
    found = noted(digits, make(np.random.default_rng(0), digits.input_shape))
    assert len(found) == len(words)
    for note, word in zip(found, words, strict=True):
        assert word in note and note.endswith("use pictures of the model's classes, several of each")


def test_missing_scales_of_a_quantized_network(digits: Graph) -> None:
    """Its weights have scales, its activations get them from the pictures."""

    def in_steps(conv: Conv) -> Conv:
        step = np.abs(conv.weight).max(axis=(1, 2, 3)).astype(np.float64) / 31
        steps = np.rint(conv.weight / step[:, None, None, None])
        return replace(conv, weight=(steps * step[:, None, None, None]).astype(np.float32), weight_scale=step)

    graph = replace(digits, nodes=tuple(in_steps(n) if isinstance(n, Conv) else n for n in digits.nodes))
    graph = replace(graph, preprocess=replace(graph.preprocess, scale=(1 / 64,) * 3))
    black = from_quantized(graph, np.zeros((1, *graph.input_shape), np.uint8)).notes
    assert any(COLOUR in note for note in black) and any(ASLEEP in note for note in black)
    images = pictures.stack(pictures.load(DIGITS / "test"), graph.input_shape, graph.preprocess)
    healthy = from_quantized(graph, images).notes
    assert healthy and not any(COLOUR in note or ASLEEP in note for note in healthy)


@pytest.mark.parametrize("model", ["squeezenet1.1", "squeezenet1.0"])
def test_the_networks_of_the_authors(shared: Path, model: str) -> None:
    graph = load_graph(shared / "models" / f"{model}.onnx", preprocess="caffe")
    few = pictures.load(shared / "images" / "calibration100.npz")[:4]
    assert noted(graph, pictures.stack(few, graph.input_shape, graph.preprocess)) == []
    found = noted(graph, np.zeros((1, *graph.input_shape)))
    assert COLOUR in found[0] and ASLEEP in found[1]


# --- the limit, the layers, the words ---


@pytest.fixture
def at_zero(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, ...]]:
    """Notes for a network of 74 channels of which some stay at 0; on the built-in pictures some others."""
    graph = fire_graph()
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    assert sum(len(conv.bias) for conv in convs[:-1]) == 66

    def reach(asleep: dict[str, int]) -> dict[str, np.ndarray]:
        return {conv.output: (np.arange(len(conv.bias)) >= asleep.get(conv.name, 0)).astype(float) for conv in convs}

    def call(builtin: dict[str, int] | None = None, **asleep: int) -> tuple[str, ...]:
        def on_builtin(*arguments: object) -> dict[str, np.ndarray]:
            looked.append(True)
            return reach(builtin or {})

        monkeypatch.setattr(sparse_calibration, "_on_builtin_pictures", on_builtin)
        named = {name.replace("_", "/"): count for name, count in asleep.items()}
        return sparse_calibration.notes(graph, np.eye(21)[None, :, :19, None] * [200, 9, 9], np.zeros(3), reach(named))

    looked: list[bool] = []
    call.looked = looked  # type: ignore[attr-defined]
    return call


def test_one_channel_of_twenty_may_stay_at_0(at_zero: Callable[..., tuple[str, ...]]) -> None:
    assert at_zero() == at_zero(fire2_expand1x1=3) == ()
    assert not at_zero.looked  # type: ignore[attr-defined]
    assert at_zero(fire2_expand1x1=4)[0].startswith(f"4 of 66 {ASLEEP}, though 4 of them do on the built-in ones; use ")
    assert at_zero(conv10=7) == ()  # a class is not on every picture


def test_channels_that_nothing_wakes_do_not_count(at_zero: Callable[..., tuple[str, ...]]) -> None:
    half = {"fire2/expand1x1": 5, "fire2/expand3x3": 5, "fire3/expand1x1": 6, "fire3/expand3x3": 6}
    asleep = {name.replace("/", "_"): count for name, count in half.items()}
    assert at_zero(half, **asleep) == ()
    (note,) = at_zero({**half, "fire2/expand1x1": 0, "fire2/expand3x3": 4}, **asleep)
    assert note.startswith(f"22 of 66 {ASLEEP}, though 6 of them do")


def test_layers_that_stay_at_0_as_a_whole_are_named(at_zero: Callable[..., tuple[str, ...]]) -> None:
    (one,) = at_zero(fire2_squeeze=6)
    assert f"{ASLEEP}, all of 'fire2/squeeze' among them, though 6 of them do" in one
    (more,) = at_zero(fire2_squeeze=6, fire3_squeeze=8, fire3_expand1x1=12)
    assert "all of 'fire2/squeeze' and of 2 more layers among them" in more
    assert at_zero({"fire2/squeeze": 6}, fire2_squeeze=6) == ()


def test_a_thin_layer_counts_where_all_of_it_stays_at_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the limit by its share, but nothing passes it."""
    graph = fire_graph()
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    thin = replace(convs[1], weight=convs[1].weight[:2], bias=convs[1].bias[:2])
    graph = replace(graph, nodes=tuple(thin if node is convs[1] else node for node in graph.nodes))
    ones = {conv.output: np.ones(len(conv.bias)) for conv in graph.nodes if isinstance(conv, Conv)}
    monkeypatch.setattr(sparse_calibration, "_on_builtin_pictures", lambda *arguments: ones)
    image = np.eye(21)[None, :, :19, None] * [200, 9, 9]
    (note,) = sparse_calibration.notes(graph, image, np.zeros(3), {**ones, thin.output: np.zeros(2)})
    assert note.startswith(f"2 of 62 {ASLEEP}, all of 'fire2/squeeze' among them")


def test_pictures_of_one_colour(at_zero: Callable[..., tuple[str, ...]]) -> None:
    graph = fire_graph()
    ones = {conv.output: np.ones(len(conv.bias)) for conv in graph.nodes if isinstance(conv, Conv)}

    def colours(graph: Graph, *values: int, spread: int = 0) -> tuple[str, ...]:
        images = np.stack([np.full((21, 19, 3), value, np.uint8) for value in values])
        images[:, 3, 4, 1] += spread
        return sparse_calibration.notes(graph, images, np.zeros(3), ones)

    assert colours(graph, 7)[0].startswith("the calibration picture is of one single colour; use ")
    assert colours(graph, 7, 200, 90)[0].startswith("all 3 calibration pictures are each of one single colour; use ")
    assert colours(graph, 7, spread=4) and not colours(graph, 7, spread=5)
    levels = (bytes(range(256)),) * 3
    few = replace(graph, preprocess=replace(graph.preprocess, levels=levels))  # type: ignore[arg-type]
    assert colours(few, 7) and not colours(few, 7, spread=1)
    mixed = np.stack(
        [np.zeros((21, 19, 3), np.uint8), np.eye(21, 19, dtype=np.uint8)[..., None] * np.uint8([9, 99, 9])]
    )
    assert sparse_calibration.notes(graph, mixed, np.zeros(3), ones) == ()
