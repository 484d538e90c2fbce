"""Everything that computes networks, and what each must agree with.

The judge of integers is the golden model, whose own judge is the naive one; the judge of real numbers are the float64
definitions of ``tests.frontend.build``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from squeeze_hls.flows.exact import assert_same
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden
from squeeze_hls.network.ir import Graph, IntNetwork, Preprocess
from squeeze_hls.network.operators import Conv, GraphNode
from squeeze_hls.quantize import calibrated, carried, export, integers, measure
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize.sensitivity import backward
from tests.conformance.cases import CALIBRATION, ENGINE, Case, real
from tests.conformance.engine import check_csim, check_executor, check_rtl
from tests.conformance.judges import Shares, assert_close, reals, shifted, total, within_a_step
from tests.conformance.training import check_student, check_teacher
from tests.frontend import build
from tests.golden import naive
from tests.quantize.test_export import in_onnxruntime

CALIBRATED = 0.03  # mean error of calibrated networks, in shares of the largest value
NUDGE = 1e-6  # by which weights are moved for a difference quotient

# --- integers ---


def check_golden(case: Case, _: np.random.Generator) -> None:
    assert_same(golden.run(case.network, case.image), naive.run(case.network, case.image))


def check_naive(case: Case, _: np.random.Generator) -> None:
    assert_same(naive.run(case.network, case.image), case.golden)


def check_exact(case: Case, rng: np.random.Generator) -> None:
    """The quantizer's integers, of two pictures at a time."""
    other = rng.integers(0, 256, case.image.shape).astype(np.uint8)
    got = batch.run_integers(case.network, np.stack([other, case.image]))
    for index, expected in enumerate((golden.run(case.network, other), case.golden)):
        own = {tensor: values[index].reshape(expected[tensor].shape) for tensor, values in got.items()}
        assert_same(own, expected)


def check_measure(case: Case, _: np.random.Generator) -> None:
    got = measure.integer_logits(case.network, case.image[None])
    np.testing.assert_array_equal(got[0], case.golden["logits"] * case.network.scale["logits"])


def check_onnxruntime(case: Case, _: np.random.Generator) -> Shares:
    """The exported model, node by node on its own inputs; sums lie on the other side of a tie here and there."""
    network, got = case.network, in_onnxruntime(case.network, case.image)
    integers = {t: np.rint(v[0].transpose(1, 2, 0) / network.scale[t]).astype(np.int64) for t, v in got.items()}
    integers[network.input] = case.image
    shares = []
    for node in network.nodes:
        border = network.pad_value if network.input in node.inputs else 0
        expected = golden.COMPUTE[type(node)](node, [integers[t] for t in node.inputs], border)
        steps = got[node.output][0].transpose(1, 2, 0) / network.scale[node.output]
        shares.append(within_a_step(node.output, steps, expected.reshape(steps.shape)))
    return total(shares)


def check_read_back(case: Case, _: np.random.Generator) -> None:
    """The exported model, read again: the same tensors, where an average of u8 maps has become one of their copies."""
    network = case.network
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case.onnx"
        file.write_bytes(export.to_onnx(replace(network, preprocess=Preprocess(mean=_border(network)))))
        again = carried.from_quantized(load_graph(file))
    got = golden.run(again, case.image)
    shared = got.keys() & case.golden.keys() - {"logits"}
    assert len(shared) >= len(network.nodes) - 1
    assert_same({tensor: got[tensor] for tensor in shared}, case.golden)
    own, expected = (v["logits"] * n.scale["logits"] for v, n in ((got, again), (case.golden, network)))
    np.testing.assert_allclose(own, expected, rtol=1e-6)


def _border(network: IntNetwork) -> tuple[float, float, float]:
    red, green, blue = network.pad_value
    return float(red), float(green), float(blue)


# --- real numbers ---


def check_forward(case: Case, rng: np.random.Generator) -> None:
    """The quantizer's real numbers."""
    graph, expected = reals(case, rng)
    got = batch.run(graph, case.image[None], np.array(case.network.pad_value, np.float32))
    assert_close({tensor: values[0] for tensor, values in got.items()}, expected)


def check_gradient(case: Case, rng: np.random.Generator) -> Shares:
    """Moving the weights of a convolution moves the logits as the gradient by its outputs says.

    Convolutions at which the logits have a kink, for two values of a pooling window are alike, are not judged.
    """
    graph, tensors = reals(case, rng)
    graph = shifted(case, graph)
    x = case.image - np.array(case.network.pad_value, np.float64)
    by_logits = rng.normal(0, 1, (1, *tensors["logits"].shape)).astype(np.float32)
    found = backward(graph, batch.run(graph, x[None]), by_logits)
    assert [conv.name for conv, _ in found] == [conv.name for conv in graph.convs][::-1]
    judged = 0
    for conv, gradient in found:
        way = replace(
            conv,
            weight=rng.normal(0, 1, conv.weight.shape) * np.abs(conv.weight).max(),
            bias=rng.normal(0, 1, conv.bias.shape) * np.abs(conv.bias).max(),
            relu=False,
        )
        moved = build.EVALUATE[Conv](way, [tensors[t] for t in conv.inputs])
        products = gradient[0].astype(np.float64) * moved
        away = 1e-3 * np.abs(products).sum() + 1e-6
        ahead, after = (_slope(graph, conv, way, x, by_logits[0], nudge) for nudge in (NUDGE, -NUDGE))
        if abs(ahead - after) > away:
            continue
        judged += 1
        assert abs(products.sum() - ahead) <= away, (
            f"{conv.name}: the logits move by {ahead:g}, by the gradient {products.sum():g}"
        )
    return judged, len(found)


def _slope(graph: Graph, conv: Conv, way: Conv, x: np.ndarray, by_logits: np.ndarray, nudge: float) -> float:
    """By how much the weighted sum of the logits rises where ``conv`` moves along ``way``, from a small step."""
    moved = replace(conv, weight=conv.weight + nudge * way.weight, bias=conv.bias + nudge * way.bias)
    nodes: tuple[GraphNode, ...] = tuple(moved if node.name == conv.name else node for node in graph.nodes)
    before, after = (
        build.evaluate(g, x.transpose(2, 0, 1)[None])["logits"] for g in (graph, replace(graph, nodes=nodes))
    )
    return float(((after - before) * by_logits).sum() / nudge)


def check_calibrated(case: Case, rng: np.random.Generator) -> None:
    """The real network quantized again: its logits, and sums on the way, are about the real ones.

    Other maps have channels that were equalized.  Convolutions make up for errors before them, wrong sums included.
    """
    graph = real(case, rng)
    nodes = tuple(_awake(n, n.output == graph.averaged) if isinstance(n, Conv) else n for n in graph.nodes)
    graph = replace(graph, nodes=nodes, preprocess=Preprocess(mean=_border(case.network)))
    images = rng.integers(0, 256, (4, *case.image.shape)).astype(np.uint8)
    network = calibrated.quantize(graph, images, mirror=False)
    assert str(integers.hollow(graph)) == str(network)
    as_they_are = [n.output for n in graph.nodes if not n.shares_scale and not isinstance(n, Conv)]
    for image in images:
        x = (image - np.array(case.network.pad_value, np.float64)).transpose(2, 0, 1)[None]
        expected, got = build.evaluate(graph, x), golden.run(network, image)
        for tensor in as_they_are:
            away = np.abs(got[tensor].reshape(expected[tensor].shape) * network.scale[tensor] - expected[tensor])
            assert away.mean() <= CALIBRATED * np.abs(expected[tensor]).max(), f"{tensor}: {away.mean():.3g} on average"


def _awake(conv: Conv, last: bool) -> Conv:
    """With a ReLU that few outputs stay below: of the last convolution none, for logits need a scale."""
    weight = np.abs(conv.weight) if last else conv.weight
    return replace(conv, relu=True, weight=weight, bias=np.abs(conv.bias))


# --- all of them ---


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """What computes networks; ``check`` raises where it does not agree with its judge on a case."""

    check: Callable[[Case, np.random.Generator], Shares | None]
    least: float = 1.0  # of the shares that it gives, over all cases
    stage: str = ""  # through which networks pass on the way, where that refuses some
    mark: str = ""  # the stage of scripts/test to which it belongs


EVALUATORS: dict[str, Evaluator] = {
    "golden": Evaluator(check=check_golden),
    "naive": Evaluator(check=check_naive),
    "exact": Evaluator(check=check_exact),
    "measure": Evaluator(check=check_measure),
    "onnxruntime": Evaluator(check=check_onnxruntime, least=0.999),
    "read back": Evaluator(check=check_read_back),
    "calibrated": Evaluator(check=check_calibrated, stage=CALIBRATION),
    "forward": Evaluator(check=check_forward),
    "gradient": Evaluator(check=check_gradient, least=0.98),
    "teacher": Evaluator(check=check_teacher),
    "student": Evaluator(check=check_student, least=0.999),
    "executor": Evaluator(check=check_executor, stage=ENGINE),
    "csim": Evaluator(check=check_csim, stage=ENGINE, mark="csim"),
    "rtl": Evaluator(check=check_rtl, stage=ENGINE, mark="rtl"),
}
