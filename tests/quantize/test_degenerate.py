"""Networks whose numbers are no good for statistics: inputs that never change, sums of one map, u16 that saturate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from squeeze_hls.network import golden
from squeeze_hls.quantize import quantize, statistics
from tests.frontend.build import Builder, load, relu
from tests.frontend.dialects import Qdq


def test_an_input_that_never_changes_has_no_variance() -> None:
    """255 squared less 255 squared is not 0 in float32: a negative variance would be no covariance any more."""
    rng = np.random.default_rng(0)
    x = np.full((5000, 3), 254.7, np.float32)
    x[:, 2] = rng.integers(0, 256, 5000)
    y = rng.normal(size=(5000, 2)).astype(np.float32)
    given = statistics.moments((x[i : i + 100], y[i : i + 100]) for i in range(0, 5000, 100))
    assert (given.hessian[:2, :2] == given.damping * np.eye(2)).all() and (given.cross[:, :2] == 0).all()
    assert given.hessian[2, 2] > 5000
    assert np.linalg.eigvalsh(given.hessian).min() > 0


def test_a_map_added_to_itself(tmp_path: Path) -> None:
    b = Builder(("N", 3, 9, 9))
    x = relu(b, b.conv("x", b.weights(4, 3, 3, 3), name="conv1"))
    x = b.node("Sum", x, x, x, name="three")
    x = relu(b, b.conv(x, b.weights(5, 4, 1, 1), name="conv10"))
    graph = load(b.model(b.node("GlobalAveragePool", x)), tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (4, *graph.input_shape)).astype(np.uint8)
    network = quantize(graph, images)
    tensors = golden.run(network, images[0])
    single, total = tensors[network.nodes[0].output], tensors[network.nodes[1].output]
    ratio = network.scale[network.nodes[0].output] / network.scale[network.nodes[1].output]
    np.testing.assert_allclose(total, np.minimum(3.0 * single * ratio, 255), atol=0.51)


def test_a_trained_16_bit_range_that_saturates(tmp_path: Path) -> None:
    """65535 is more than a float16 holds."""
    q, b = Qdq(), Builder(("N", 3, 8, 8), opset=21)
    x = q.activation(b, relu(b, b.conv("x", b.weights(4, 3, 3, 3), name="conv1")), 40.0)
    x = q.activation(b, relu(b, b.conv(x, b.weights(5, 4, 1, 1), name="conv10")), 0.5, 16)
    graph = load(b.model(b.node("GlobalAveragePool", x)), tmp_path)
    images = np.random.default_rng(2).integers(0, 256, (4, *graph.input_shape)).astype(np.uint8)
    with np.errstate(over="raise", invalid="raise"):
        network = quantize(graph, images)
    assert golden.run(network, images[0])[network.nodes[-2].output].max() == 65535
