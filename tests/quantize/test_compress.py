"""Compression on small networks: sensitivities against differences, rounding by hand, budgets kept or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network import golden
from squeeze_hls.network.ir import Add, Conv, Graph, GraphNode, MaxPool
from squeeze_hls.quantize import coded, measure, rate
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize.compression import compress
from squeeze_hls.quantize.sensitivity import backward, sensitivities
from tests.quantize.compare import assert_same_network
from tests.quantize.graphs import PAD, fire_graph, pictures

FREE = np.zeros(64)  # bits of every value


def bits(**known: float) -> np.ndarray:
    """Bits by value, ``zero=1, one=3``; all others take 20."""
    values = {"minus": -1, "zero": 0, "one": 1, "two": 2}
    result = np.full(64, 20.0)
    for name, price in known.items():
        result[values[name] + 32] = price
    return result


# --- sensitivity ---


def bypass_graph() -> Graph:
    """fire_graph with a bypass around fire3, and a pool whose last windows are cut off."""
    graph = fire_graph(first_pads=PAD)
    nodes: list[GraphNode] = []
    for node in graph.nodes:
        if isinstance(node, Conv) and node.name == "fire3/expand1x1":
            node = replace(node, weight=node.weight[:10], bias=node.bias[:10])
        if isinstance(node, Conv) and node.name == "fire3/expand3x3":
            node = replace(node, weight=node.weight[:10], bias=node.bias[:10])
        if isinstance(node, Conv) and node.name == "conv10":
            nodes.append(Add(name="bypass", inputs=("fire2", "fire3"), output="sum"))
            node = replace(node, inputs=("sum",), weight=node.weight[..., :20])
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def test_gradients_are_what_differences_say() -> None:
    graph, rng = bypass_graph(), np.random.default_rng(0)
    x = pictures(2).astype(np.float32) / 50
    tensors = batch.run(graph, x)
    by_logits = rng.normal(size=tensors["logits"].shape).astype(np.float32)
    found = {conv.name: gradient for conv, gradient in backward(graph, tensors, by_logits)}
    assert list(found) == [n.name for n in reversed(graph.nodes) if isinstance(n, Conv)]
    for conv in [n for n in graph.nodes if isinstance(n, Conv)]:
        direction = rng.normal(size=conv.bias.shape) * 1e-3
        ends = []
        for sign in (1, -1):
            moved = replace(conv, bias=conv.bias + sign * direction)
            other = replace(graph, nodes=tuple(moved if n is conv else n for n in graph.nodes))
            ends.append(float((batch.run(other, x)["logits"] * by_logits).sum(dtype=np.float64)))
        # ReLUs and maxima that change sides within the difference leave a per cent or so
        expected = (ends[0] - ends[1]) / 2
        assert (found[conv.name].sum(axis=(0, 1, 2)) * direction).sum() == pytest.approx(expected, rel=0.03, abs=2e-5)


def test_of_equal_values_under_a_window_one_gets_the_gradient() -> None:
    pool = next(n for n in fire_graph().nodes if isinstance(n, MaxPool))
    x = np.ones((1, 4, 3, 1), np.float32)  # windows of 3 x 3 by 2, the second cut off: rows 0 to 2 and 2 to 3
    output, gradient = np.ones((1, 2, 1, 1), np.float32), np.array([3.0, 5.0], np.float32).reshape(1, 2, 1, 1)
    assert batch.unpooled(pool, x, output, gradient)[0, :, :, 0].tolist() == [
        [3, 0, 0],
        [0, 0, 0],
        [5, 0, 0],
        [0, 0, 0],
    ]


def test_sensitivity_predicts_the_divergence_of_a_small_change() -> None:
    graph, rng = fire_graph(), np.random.default_rng(0)
    graph = replace(
        graph, nodes=tuple(replace(n, bias=n.bias + 0.5) if isinstance(n, Conv) else n for n in graph.nodes)
    )
    x = pictures(60).astype(np.float32) / 50
    found = sensitivities(graph, x, 0.0, rng)
    conv = next(n for n in graph.nodes if isinstance(n, Conv) and n.name == "fire2/squeeze")
    true, predicted, measured = batch.logits(graph, x), 0.0, 0.0
    for _ in range(20):
        change = 0.02 * rng.normal(size=conv.weight.shape).astype(np.float32)
        moved = replace(conv, weight=conv.weight + change)
        other = replace(graph, nodes=tuple(moved if n is conv else n for n in graph.nodes))
        away = [
            (columns @ change.reshape(len(change), -1).T)
            for _, columns in batch.columns(conv, batch.run(graph, x)["pool1"])
        ]
        predicted += float((np.square(np.concatenate(away)).mean(axis=0) * found[conv.name]).sum()) / 2
        measured += measure.difference(batch.logits(other, x), true).divergence
    assert 0.3 < predicted / measured < 3  # one number for a filter and classes drawn by chance: the size is right


# --- rounding ---


def test_an_integer_is_chosen_by_error_and_bits() -> None:
    price = bits(zero=1, one=3, two=9)
    real = np.array([0.55, 0.55, 1.6, 1.6, 40.0, -0.2])
    slope = np.array([0.04, 0.06, 0.03, 0.04, 0.0, 0.04])
    # 0.55: one costs 0.2025 + 3 s, zero 0.3025 + s, even at s = 0.05; 1.6: two 0.16 + 9 s, one 0.36 + 3 s, even at 1/30
    assert coded.choose(real, price, slope).tolist() == [1, 0, 2, 1, 31, 0]


def test_zero_is_chosen_past_a_rare_neighbour() -> None:
    # two costs 0.01 + 20 s, one 0.81 + 20 s, zero 3.61 + s: zero from s = 3.6 / 19 on
    assert coded.choose(np.array([1.9, 1.9]), bits(zero=1), np.array([0.18, 0.20])).tolist() == [2, 0]


def test_compensation_by_hand() -> None:
    # Two equal inputs but for noise: H = [[1, 0.9], [0.9, 1]].  The first weight 0.4 becomes 0; its error 0.4
    # moves the second, at its best 0.4 + 0.9 * 0.4 = 0.76, which becomes 1.  Rounded alone both would be 0.
    hessian = np.array([[1.0, 0.9], [0.9, 1.0]])
    order, spare = coded.spare_variance(hessian)
    assert order.tolist() == [0, 1] and spare.tolist() == pytest.approx([1 - 0.81, 1.0])
    target, step = np.array([[0.4, 0.4]]), np.ones(1)
    factor = np.linalg.cholesky(np.linalg.inv(hessian)).T
    got = coded.compensate(target, order, factor, step, FREE, 0.0)
    assert got.tolist() == [[0, 1]]
    # With a price on ones the second stays 0 where 0.24**2 + 3 p > 0.76**2 + p, p = price of a bit: p > 0.26
    paid = [coded.compensate(target, order, factor, step, bits(zero=1, one=3), p)[0, 1] for p in (0.25, 0.27)]
    assert paid == [1, 0]
    # The first, 0.6, counts 0.19 (the second makes up for the rest): 1 where 0.36 > 0.16 + 2 p / 0.19: p < 0.019
    first = np.array([[0.6, 0.0]])
    paid = [coded.compensate(first, order, factor, step, bits(zero=1, one=3), p)[0, 0] for p in (0.018, 0.020)]
    assert paid == [1, 0]


def test_descending_never_costs_more() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12))
    hessian, target, step = inputs.T @ inputs / 200, rng.normal(size=(9, 12)), rng.uniform(0.2, 0.6, 9)
    start = np.rint(target / step[:, None])
    price, values = 0.3, coded.bits_of(start)

    def cost(integers: np.ndarray) -> np.ndarray:
        away = integers * step[:, None] - target
        error = ((away @ hessian) * away).sum(axis=1)
        return error + price * step**2 * values[integers.astype(int) + 32].sum(axis=1)

    got = coded.descend(start, target, hessian, step, values, price)
    assert (cost(got) <= cost(start) + 1e-9).all() and cost(got).sum() < 0.95 * cost(start).sum()


def test_entropy_by_hand() -> None:
    # four of eight are 0 (1 bit each), two 1 (2 bits), one 2 and one -3 (3 bits)
    assert rate.entropy_bits(np.array([[0, 0, 0, 0], [1, 1, 2, -3]])) == pytest.approx(4 * 1 + 2 * 2 + 2 * 3)
    assert rate.entropy_bits(np.zeros(9, np.int8)) == 0


# --- whole networks ---


@pytest.fixture(scope="module")
def graph() -> Graph:
    """fire_graph with a tenth of its logits, so that its predictions are not certain."""
    small = fire_graph()
    last = next(n for n in small.nodes if isinstance(n, Conv) and n.name == "conv10")
    weak = replace(last, weight=last.weight / 10, bias=last.bias / 10)
    return replace(small, nodes=tuple(weak if n is last else n for n in small.nodes))


def parameters(graph: Graph) -> int:
    return sum(n.weight.size for n in graph.nodes if isinstance(n, Conv))


def test_the_room_is_kept_and_used_and_more_room_is_better(graph: Graph) -> None:
    divergence = []
    for each in (2, 3, 4):
        room = each * parameters(graph)
        done = compress(graph, pictures(30), room)
        assert done.bits == rate.stored_bits(done.network)
        assert 0.94 * room < done.bits <= room  # a step of one weight is much of so small a network
        divergence.append(done.stages[-1].difference.divergence)
        assert done.stages[-1].bytes == -(-done.bits // 8)
    assert divergence[0] > 1.5 * divergence[1] > 1.5 * divergence[2]


def test_what_judges_the_room_can_be_another_code(graph: Graph) -> None:
    """An exact count of the store takes the place of the estimate."""
    room = 4 * parameters(graph)

    def dear(network: object) -> int:
        return 1000 + rate.stored_bits(network)  # type: ignore[arg-type]

    done = compress(graph, pictures(30), room, stored_bits=dear)
    assert 0.9 * room < 1000 + rate.stored_bits(done.network) == done.bits <= room


def test_with_room_enough_the_step_is_as_fine_as_six_bits_are(graph: Graph) -> None:
    done = compress(graph, pictures(30), 32 * parameters(graph))
    assert max(int(np.abs(conv.weight).max()) for conv in done.network.convs) >= 31
    assert done.stages[-1].difference.divergence < 1e-3


def test_the_same_arguments_give_the_same_integers(graph: Graph) -> None:
    room = 3 * parameters(graph)
    first, second, third = (compress(graph, pictures(12), room, seed=seed).network for seed in (1, 1, 2))
    assert_same_network(first, second)
    assert any((a.weight != b.weight).any() for a, b in zip(first.convs, third.convs, strict=True))


def test_too_little_room_is_refused(graph: Graph) -> None:
    with pytest.raises(DoesNotFitError, match=r"0\.90 bits each; 1 is the least"):
        compress(graph, pictures(4), int(0.9 * parameters(graph)))


def test_too_few_pictures_to_fine_tune_are_refused(graph: Graph) -> None:
    with pytest.raises(InputError, match="9 pictures are too few"):
        compress(graph, pictures(9), 4 * parameters(graph), batches=1)


def test_many_pictures_at_a_time_give_the_integers_of_the_golden_model(graph: Graph) -> None:
    network = compress(bypass_graph(), pictures(12), 3 * parameters(bypass_graph())).network
    images = pictures(11, seed=4)
    expected = np.stack([golden.run(network, image)["logits"] for image in images]) * network.scale["logits"]
    np.testing.assert_array_equal(measure.integer_logits(network, images), expected)


def test_difference_by_hand() -> None:
    # probabilities (1/2, 1/2) against (1/4, 3/4): ln 2 - (ln 3) / 2 nats
    found = measure.difference(np.log([[1.0, 3.0], [9.0, 1.0]]), np.log([[1.0, 1.0], [9.0, 1.0]]))
    assert found.divergence == pytest.approx((np.log(2) - np.log(3) / 2) / 2)
    assert (found.agreement, found.pictures) == (50, 2)
