"""Fine-tuning by distillation: it starts at the compressed network, improves it, and repeats itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls.network.ir import Conv, Graph, IntConv
from squeeze_hls.progress import Stage
from squeeze_hls.quantize import calibrated, measure, rate
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize.compression import Compressed, compress
from tests.quantize.compare import assert_same_network
from tests.quantize.graphs import PAD, fire_graph, pictures

torch = pytest.importorskip("torch")
from squeeze_hls.quantize import finetune  # noqa: E402

ROOM = 4500  # bits, two a weight
HELD = pictures(30, seed=8)


@pytest.fixture(scope="module")
def graph() -> Graph:
    """A network whose first convolution is padded and whose predictions are not certain."""
    small = fire_graph(first_pads=PAD)
    last = next(n for n in small.nodes if isinstance(n, Conv) and n.name == "conv10")
    weak = replace(last, weight=last.weight / 10, bias=last.bias / 10)
    return replace(small, nodes=tuple(weak if n is last else n for n in small.nodes))


@pytest.fixture(scope="module")
def given(graph: Graph) -> calibrated.Prepared:
    return calibrated.prepare(graph, pictures(30), seed=0, mirror=True)


@pytest.fixture(scope="module")
def start(graph: Graph) -> Compressed:
    return compress(graph, pictures(30), ROOM)


def test_training_starts_with_what_hardware_computes(given: calibrated.Prepared, start: Compressed) -> None:
    """Teacher and student before the first batch are the float and the integer network."""
    x = torch.from_numpy(HELD.transpose(0, 3, 1, 2).astype(np.float32))
    network = start.network
    layers = {conv.name: finetune._layer(torch, network, conv) for conv in network.convs}
    student = finetune._logits(torch, network, layers, x).detach().numpy()
    expected = measure.integer_logits(network, HELD)
    # sums in float32 land on the other side of a tie here and there
    assert np.median(np.abs(student - expected)) < 1e-4 * np.abs(expected).max()
    assert np.abs(student - expected).max() < 2e-2 * np.abs(expected).max()
    weights = finetune._teacher(torch, given.graph)
    teacher = finetune._float_logits(torch, given.graph, weights, given.pad_value, x).numpy()
    np.testing.assert_allclose(teacher, batch.logits(given.graph, HELD, given.border), rtol=1e-4, atol=1e-4)
    same = tuple(finetune._integer(layers[n.name], 0.0) if isinstance(n, IntConv) else n for n in network.nodes)
    assert_same_network(replace(network, nodes=same), network)


def test_training_improves_pictures_that_it_did_not_see_and_keeps_the_room(
    graph: Graph, given: calibrated.Prepared
) -> None:
    done = compress(graph, pictures(30), ROOM, batches=150)
    assert [stage.name for stage in done.stages] == ["float", "compressed", "fine-tuned"]
    assert done.bits == rate.stored_bits(done.network) <= ROOM
    true = batch.logits(given.graph, HELD, given.border)
    before = compress(graph, pictures(30), ROOM)
    away = [measure.difference(measure.integer_logits(d.network, HELD), true).divergence for d in (before, done)]
    assert away[1] < 0.8 * away[0]


def test_bits_between_integers_lie_on_straight_lines(start: Compressed) -> None:
    values = torch.zeros(64)
    values[32:35] = torch.tensor([1.0, 3.0, 7.0])  # of 0, 1 and 2
    weights = torch.tensor([0.0, 0.25, 1.5, 2.0], requires_grad=True)
    total = finetune._bits(torch, weights, values)
    assert total.item() == pytest.approx(1 + 1.5 + 5 + 7)
    total.backward()
    assert weights.grad.tolist()[:3] == [2, 2, 4]


def test_what_does_not_fit_is_not_taken(given: calibrated.Prepared, start: Compressed) -> None:
    got = finetune.finetune(
        given.graph, start.network, pictures(8), 2, price=1e-6, fits=lambda _: False, seed=0, stage=Stage()
    )
    assert got is None


def test_the_same_arguments_give_the_same_integers(given: calibrated.Prepared, start: Compressed) -> None:
    def tuned(seed: int) -> object:
        return finetune.finetune(
            given.graph, start.network, pictures(8), 30, price=1e-6, fits=lambda _: True, seed=seed, stage=Stage()
        )

    first, second, third = tuned(0), tuned(0), tuned(1)
    assert_same_network(first, second)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        assert_same_network(first, third)  # type: ignore[arg-type]
