"""Everything that computes networks, and what each must agree with.

The judge of integers is the golden model, whose own judge is the naive one; the judge of real numbers are the float64
definitions of ``tests.frontend.build``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.flows.comparison import assert_same
from squeeze_hls.flows.verify import run_executor
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden
from squeeze_hls.network.ir import Graph, IntNetwork, Preprocess
from squeeze_hls.network.operators import Conv, GraphNode
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.quantize import calibrated, carried, export, integers, measure
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize.sensitivity import backward
from tests.conformance.cases import CALIBRATION, ENGINE, Case, real
from tests.frontend import build
from tests.golden import naive
from tests.quantize.test_export import in_onnxruntime

# One engine for all: the RTL's is compiled for tests/rtl/test_engine.py as well.
CONFIG = EngineConfig(
    pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=(16384,), program_depth=512, carry_words=4096, tables=2
)
RELATIVE, ABSOLUTE = 1e-4, 1e-4  # of float32 against float64; the absolute one in shares of the largest value
NUDGE = 1e-6  # by which weights are moved for a difference quotient
FLOAT_SUM = 2.0**-20  # relative error of an average in float32
EXACTLY = 0.01  # of a step

Shares = tuple[int, int]  # of so many values (the second) the first number agree exactly, or were judged at all


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
        shares.append(_within_a_step(node.output, steps, expected.reshape(steps.shape)))
    return _total(shares)


def _within_a_step(tensor: str, got: np.ndarray, expected: np.ndarray) -> Shares:
    away = np.abs(got - expected)
    most = max(1.0, FLOAT_SUM * float(expected.max()))
    assert away.max() <= most + EXACTLY, f"{tensor}: {away.max():.3g} steps from the golden model's"
    return int((away <= max(EXACTLY, FLOAT_SUM * float(expected.max()))).sum()), away.size


def _total(shares: list[Shares]) -> Shares:
    return sum(s for s, _ in shares), sum(n for _, n in shares)


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


def _shifted(case: Case, graph: Graph) -> Graph:
    """The graph for pictures less their border, which is 0 then."""
    first, *rest = graph.nodes
    assert isinstance(first, Conv)
    border = np.array(case.network.pad_value, np.float64)
    bias = first.bias + (first.weight.astype(np.float64) * border).sum(axis=(1, 2, 3))
    return replace(graph, nodes=(replace(first, bias=bias), *rest))


def _reals(case: Case, rng: np.random.Generator) -> tuple[Graph, dict[str, np.ndarray]]:
    """The case in real numbers, and every tensor in float64."""
    graph = real(case, rng)
    x = (case.image - np.array(case.network.pad_value, np.float64)).transpose(2, 0, 1)[None]
    return graph, build.evaluate(_shifted(case, graph), x)


def _assert_close(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    for tensor, values in got.items():
        if tensor != "image":
            largest = float(np.abs(expected[tensor]).max())
            np.testing.assert_allclose(
                values, expected[tensor], rtol=RELATIVE, atol=ABSOLUTE * largest + 1e-6, err_msg=tensor
            )


def check_forward(case: Case, rng: np.random.Generator) -> None:
    """The quantizer's real numbers."""
    graph, expected = _reals(case, rng)
    got = batch.run(graph, case.image[None], np.array(case.network.pad_value, np.float32))
    _assert_close({tensor: values[0] for tensor, values in got.items()}, expected)


def check_gradient(case: Case, rng: np.random.Generator) -> Shares:
    """Moving the weights of a convolution moves the logits as the gradient by its outputs says.

    Convolutions at which the logits have a kink, for two values of a pooling window are alike, are not judged.
    """
    graph, tensors = _reals(case, rng)
    graph = _shifted(case, graph)
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
        ahead, behind = (_slope(graph, conv, way, x, by_logits[0], nudge) for nudge in (NUDGE, -NUDGE))
        if abs(ahead - behind) > away:
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


def check_calibrated(case: Case, rng: np.random.Generator) -> Shares:
    """The real network quantized again: its logits are about the real ones, mostly within a twentieth."""
    graph = real(case, rng)
    nodes = tuple(_awake(n, n.output == graph.averaged) if isinstance(n, Conv) else n for n in graph.nodes)
    graph = replace(graph, nodes=nodes, preprocess=Preprocess(mean=_border(case.network)))
    images = rng.integers(0, 256, (8, *case.image.shape)).astype(np.uint8)
    network = calibrated.quantize(graph, images, mirror=False)
    assert str(integers.hollow(graph)) == str(network)
    good = 0
    for image in images:
        x = (image - np.array(case.network.pad_value, np.float64)).transpose(2, 0, 1)[None]
        expected = build.evaluate(graph, x)["logits"].reshape(-1)
        got = golden.run(network, image)["logits"] * network.scale["logits"]
        good += bool(np.abs(got - expected).max() <= 0.05 * np.abs(expected).max())
    return good, len(images)


def _awake(conv: Conv, last: bool) -> Conv:
    """With a ReLU that few outputs stay below: of the last convolution none, for logits need a scale."""
    weight = np.abs(conv.weight) if last else conv.weight
    return replace(conv, relu=True, weight=weight, bias=np.abs(conv.bias))


# --- training ---


def check_teacher(case: Case, rng: np.random.Generator) -> None:
    """Fine-tuning's real numbers."""
    torch, finetune = _training()
    graph, expected = _reals(case, rng)
    x = torch.from_numpy(case.image.transpose(2, 0, 1)[None].astype(np.float32))
    weights = finetune._teacher(torch, graph)
    got = finetune._tensors(torch, finetune.FLOAT, graph, weights, case.network.pad_value, x)
    _assert_close({tensor: values[0].numpy().transpose(1, 2, 0) for tensor, values in got.items()}, expected)


def check_student(case: Case, _: np.random.Generator) -> Shares:
    """Fine-tuning's integers: node by node on the golden model's, and all in a row."""
    torch, finetune = _training()
    network = case.network
    layers = {conv.name: finetune._layer(torch, network, conv) for conv in network.convs}

    def stacked(values: np.ndarray) -> Any:
        return torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float32))

    whole = finetune._tensors(torch, finetune.ROUNDED, network, layers, network.pad_value, stacked(case.image))
    shares = []
    for node in network.nodes:
        border = network.pad_value if network.input in node.inputs else None
        inputs = [stacked(case.golden[tensor]) for tensor in node.inputs]
        alone = finetune.ROUNDED[type(node)](torch, node, inputs, border, layers)
        expected = case.golden[node.output]
        if node.output == "logits":  # means
            expected = expected.reshape(1, 1, -1) / case.golden[network.averaged][:, :, 0].size
            np.testing.assert_allclose(_channels_last(alone), expected, rtol=1e-5)
        else:
            shares.append(_within_a_step(node.output, _channels_last(alone), expected))
        assert np.abs(_channels_last(whole[node.output]) - expected).mean() <= 1
    logits = finetune._logits(torch, network, layers, stacked(case.image)).detach().numpy()[0]
    step = network.scale[network.averaged]
    np.testing.assert_allclose(logits, case.golden["logits"] * network.scale["logits"], rtol=0.01, atol=2 * step)
    return _total(shares)


def _channels_last(values: Any) -> np.ndarray:
    return values.detach().numpy()[0].transpose(1, 2, 0)


def _training() -> tuple[Any, Any]:
    torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
    from squeeze_hls.quantize import finetune

    return torch, finetune


# --- the engine ---


def plan(case: Case) -> Plan:
    return make_plan(case.network, load_board("zcu104"), PlanOptions(engine=CONFIG))


def check_executor(case: Case, _: np.random.Generator) -> None:
    assert_same(run_executor(plan(case), case.image), case.golden)


def check_csim(case: Case, _: np.random.Generator) -> None:
    from squeeze_hls.sim.csim import run_frames

    assert_same(run_frames(plan(case), [case.image], _compiled())[0], case.golden)


@cache
def _compiled() -> Any:
    from squeeze_hls import tools
    from squeeze_hls.sim.csim import CSim
    from tests.rtl.runner import BUILDS

    if tools.find_cxx() is None or tools.hls_headers() is None:
        pytest.skip("needs a C++ compiler and ap_int.h (extra csim)")
    return CSim(CONFIG, Path(BUILDS).with_name(f"{BUILDS.name}-csim"), options=("-DSQUEEZE_COUNT_PORTS",))


def check_rtl(case: Case, _: np.random.Generator) -> None:
    from tests.rtl.simulated import simulate

    simulate(plan(case), [case.image])


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
    "onnxruntime": Evaluator(check=check_onnxruntime, least=0.99),
    "read back": Evaluator(check=check_read_back),
    "calibrated": Evaluator(check=check_calibrated, least=0.9, stage=CALIBRATION),
    "forward": Evaluator(check=check_forward),
    "gradient": Evaluator(check=check_gradient, least=0.9),
    "teacher": Evaluator(check=check_teacher),
    "student": Evaluator(check=check_student, least=0.99),
    "executor": Evaluator(check=check_executor, stage=ENGINE),
    "csim": Evaluator(check=check_csim, stage=ENGINE, mark="csim"),
    "rtl": Evaluator(check=check_rtl, stage=ENGINE, mark="rtl"),
}
