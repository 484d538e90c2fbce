"""The quantizer on small networks: exact where it must be, close where it can only be close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls import quantize
from squeeze_hls.errors import InputError
from squeeze_hls.network import arith, golden
from squeeze_hls.network.ir import CAFFE, TORCHVISION, Conv, Graph, IntNetwork, Pads, verify_int_network
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize import rounding
from squeeze_hls.quantize.equalize import equalize
from squeeze_hls.quantize.folding import fold_preprocess
from tests.quantize.compare import assert_same_network
from tests.quantize.graphs import PAD, fire_graph, model_input, pictures


def relative_error(graph: Graph, network: IntNetwork, images: np.ndarray) -> dict[str, float]:
    """Root mean square error of each tensor, relative to the float one; conv channels may be equalized, so logits."""
    expected = batch.run(graph, model_input(graph, images))["logits"][:, 0, 0]
    got = np.stack([golden.run(network, i)["logits"] * network.scale["logits"] for i in images])
    return {"logits": float(np.sqrt(((got - expected) ** 2).mean() / (expected**2).mean()))}


@pytest.mark.parametrize("preprocess", [CAFFE, TORCHVISION])
def test_folding_the_preprocessing_changes_nothing(preprocess: object) -> None:
    graph = fire_graph(preprocess=preprocess)  # type: ignore[arg-type]
    folded, pad_value, notes = fold_preprocess(graph)
    images = pictures(3)
    expected = batch.run(graph, model_input(graph, images))["logits"]
    np.testing.assert_allclose(batch.run(folded, images)["logits"], expected, rtol=2e-4, atol=2e-4)
    assert pad_value == (0, 0, 0) and notes == ()


def test_a_padded_first_convolution_is_padded_with_the_mean_and_says_how_far_off_that_is() -> None:
    graph = fire_graph(first_pads=PAD, preprocess=replace(CAFFE, mean=(104.0, 117.25, 123.0)))
    folded, pad_value, notes = fold_preprocess(graph)
    assert pad_value == (123, 117, 104)  # RGB
    assert "off by at most 0.25" in notes[0]
    exact = fold_preprocess(fire_graph(first_pads=PAD))
    assert exact[2] == ()
    images = pictures(3)
    expected = batch.run(fire_graph(first_pads=PAD), model_input(graph := fire_graph(first_pads=PAD), images))["logits"]
    got = batch.run(exact[0], images, np.array(exact[1], np.float32))["logits"]
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_equalizing_changes_no_function_and_no_zero(density: float) -> None:
    graph, _, _ = fold_preprocess(fire_graph(density=density))
    images = pictures()
    equal = equalize(graph, images, np.zeros(3, np.float32))
    np.testing.assert_allclose(
        batch.run(equal, images)["logits"], batch.run(graph, images)["logits"], rtol=1e-4, atol=1e-3
    )
    for one, other in zip(equal.nodes, graph.nodes, strict=True):
        if isinstance(one, Conv) and isinstance(other, Conv):
            np.testing.assert_array_equal(one.weight == 0, other.weight == 0)


@pytest.mark.parametrize("first_pads", [Pads(), PAD])
def test_the_quantized_network_is_close_to_the_float_one(first_pads: Pads) -> None:
    graph = fire_graph(first_pads=first_pads)
    network = quantize.quantize(graph, pictures(40))
    verify_int_network(network)
    assert relative_error(graph, network, pictures(20, seed=9))["logits"] < 0.08


def test_the_same_arguments_give_the_same_integers() -> None:
    first, second = (quantize.quantize(fire_graph(), pictures(), seed=3) for _ in range(2))
    assert_same_network(first, second)


def test_pruned_weights_stay_zero_and_filters_may_be_empty() -> None:
    graph = fire_graph(density=0.3)
    nodes = list(graph.nodes)
    index = next(i for i, n in enumerate(nodes) if n.name == "fire3/expand3x3")
    conv = nodes[index]
    assert isinstance(conv, Conv)
    weight = conv.weight.copy()
    weight[2] = 0
    nodes[index] = replace(conv, weight=weight)
    graph = replace(graph, nodes=tuple(nodes))
    network = quantize.quantize(graph, pictures())
    for integer, real in zip(network.convs, (n for n in graph.nodes if isinstance(n, Conv)), strict=True):
        assert not integer.weight[(real.weight == 0)[..., ::-1] if integer.name == "conv1" else real.weight == 0].any()
    constant = golden.run(network, pictures()[0])["fire3/expand3x3"][:, :, 2] * network.scale["fire3/expand3x3"]
    assert np.ptp(constant) == 0


def test_multipliers_have_few_bits() -> None:
    for conv in quantize.quantize(fire_graph(), pictures()).convs:
        power = conv.multiplier & -conv.multiplier
        assert (conv.multiplier // power <= 31).all() or conv.wide or (conv.shift < 25).all()


def test_pictures_of_the_wrong_size_are_refused() -> None:
    with pytest.raises(InputError, match="calibration pictures are uint8"):
        quantize.quantize(fire_graph(), pictures()[:, :20])


# --- rounding ---


def _problem(seed: int, rows: int = 5, size: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, size)) @ rng.normal(size=(size, size))  # correlated, as pixels are
    return rng.normal(size=(rows, size)), x.T @ x / 200 + 0.01 * np.eye(size), np.full(rows, 0.15)


@pytest.mark.parametrize("seed", range(5))
def test_compensated_rounding_beats_plain_rounding(seed: int) -> None:
    target, hessian, scale = _problem(seed)
    got = rounding.round_weights(target, hessian, scale, np.ones(target.shape, bool))
    plain = rounding.to_grid(target / scale[:, None])
    better = rounding.error(got, target, hessian, scale) / rounding.error(plain, target, hessian, scale)
    assert (better <= 1).all() and better.mean() < 0.75
    assert got.min() >= arith.WEIGHT_MIN and got.max() <= arith.WEIGHT_MAX and (got == np.rint(got)).all()


def test_later_weights_compensate_earlier_ones() -> None:
    target, hessian, scale = _problem(11, rows=60)
    got = rounding.compensate(target, hessian, scale)
    plain = rounding.to_grid(target / scale[:, None])
    errors = [rounding.error(i, target, hessian, scale).sum() for i in (got, plain)]
    assert errors[0] < 0.75 * errors[1]


def test_no_single_step_improves_the_result() -> None:
    target, hessian, scale = _problem(7, rows=2, size=6)
    got = rounding.round_weights(target, hessian, scale, np.ones(target.shape, bool))
    lowest = rounding.error(got, target, hessian, scale)
    for row, column, step in ((r, c, s) for r in range(2) for c in range(6) for s in (-1, 1)):
        other = got.copy()
        other[row, column] += step
        assert rounding.error(other, target, hessian, scale)[row] >= lowest[row] - 1e-12


def test_rows_are_compensated_within_their_own_support() -> None:
    target, hessian, scale = _problem(3, rows=40, size=20)
    support = np.random.default_rng(3).random(target.shape) < 0.3
    support[0] = False
    got = rounding.round_weights(target * support, hessian, scale, support)
    plain = rounding.to_grid(target * support / scale[:, None])
    assert not got[~support].any() and not got[0].any()
    errors = [rounding.error(i, target * support, hessian, scale).sum() for i in (got, plain)]
    assert errors[0] < 0.9 * errors[1]
