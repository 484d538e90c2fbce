"""How what was computed is compared with what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from squeeze_hls.network.ir import Graph
from squeeze_hls.network.operators import Conv
from tests.conformance.cases import Case, real
from tests.frontend import build

RELATIVE, ABSOLUTE = 1e-4, 1e-4  # of float32 against float64; the absolute one in shares of the largest value
FLOAT_SUM = 2.0**-20  # relative error of an average in float32
EXACTLY = 0.01  # of a step

Shares = tuple[int, int]  # of so many values (the second) the first number agree exactly, or were judged at all


def within_a_step(tensor: str, got: np.ndarray, expected: np.ndarray) -> Shares:
    """For values that floats round: none more than a step away, and how many are exact."""
    away = np.abs(got - expected)
    most = max(1.0, FLOAT_SUM * float(expected.max()))
    assert away.max() <= most + EXACTLY, f"{tensor}: {away.max():.3g} steps from the golden model's"
    return int((away <= max(EXACTLY, FLOAT_SUM * float(expected.max()))).sum()), away.size


def total(shares: list[Shares]) -> Shares:
    return sum(s for s, _ in shares), sum(n for _, n in shares)


def shifted(case: Case, graph: Graph) -> Graph:
    """The graph for pictures less their border, which is 0 then."""
    first, *rest = graph.nodes
    assert isinstance(first, Conv)
    border = np.array(case.network.pad_value, np.float64)
    bias = first.bias + (first.weight.astype(np.float64) * border).sum(axis=(1, 2, 3))
    return replace(graph, nodes=(replace(first, bias=bias), *rest))


def reals(case: Case, rng: np.random.Generator) -> tuple[Graph, dict[str, np.ndarray]]:
    """The case in real numbers, and every tensor in float64."""
    graph = real(case, rng)
    x = (case.image - np.array(case.network.pad_value, np.float64)).transpose(2, 0, 1)[None]
    return graph, build.evaluate(shifted(case, graph), x)


def assert_close(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """Of tensors in float32, with those in float64."""
    for tensor, values in got.items():
        if tensor != "image":
            largest = float(np.abs(expected[tensor]).max())
            np.testing.assert_allclose(
                values, expected[tensor], rtol=RELATIVE, atol=ABSOLUTE * largest + 1e-6, err_msg=tensor
            )
