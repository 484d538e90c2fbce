"""Every operator in everything that computes networks: they agree, or refuse; none is left out."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest

from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network import golden
from squeeze_hls.network.operators import GraphNode, IntNode
from squeeze_hls.quantize import calibrated, carried, export, finetune, integers
from squeeze_hls.quantize import operators as batch
from tests.conformance import cases
from tests.conformance.cases import OPERATORS, SITUATIONS, Case, Row
from tests.conformance.evaluators import EVALUATORS
from tests.differential import layers
from tests.frontend import build
from tests.golden import naive

CASES = 50  # of each row and evaluator
ROWS: dict[str, Row] = {kind.__name__: row for kind, row in OPERATORS.items()} | SITUATIONS

# Whatever is looked up by the class of a node, and the nodes that it must know.
TABLES: dict[str, tuple[dict[type, Any], Any]] = {
    "golden": (golden.COMPUTE, IntNode),
    "naive": (naive.COMPUTE, IntNode),
    "exact": (batch.EXACT, IntNode),
    "forward": (batch.FORWARD, GraphNode),
    "gradient": (batch.GRADIENT, GraphNode),
    "teacher": (finetune.FLOAT, GraphNode),
    "student": (finetune.ROUNDED, IntNode),
    "export": (export.WRITE, IntNode),
    "calibrated": (calibrated.QUANTIZE, GraphNode),
    "carried": (carried.CARRY, GraphNode),
    "hollow": (integers.HOLLOW, GraphNode),
    "definitions": (build.EVALUATE, GraphNode),
    "differential": (layers.COMPUTE, IntNode),
    "rows": (OPERATORS, IntNode),
    "in real numbers": (cases.REAL, IntNode),
}


def missing(integer: Any = IntNode, floating: Any = GraphNode) -> list[str]:
    """What has no row, of the nodes of the two unions."""
    nodes = {IntNode: get_args(integer), GraphNode: get_args(floating)}
    return [
        f"{name}: {kind.__name__}"
        for name, (table, union) in TABLES.items()
        for kind in nodes[union]
        if kind not in table
    ]


def test_every_operator_has_a_row_everywhere() -> None:
    assert not missing()
    assert set(OPERATORS) == set(get_args(IntNode))


def test_no_evaluator_and_no_situation_is_left_out() -> None:
    assert " ".join(name.replace(" ", "-") for name in EVALUATORS) == (
        "golden naive exact measure onnxruntime read-back calibrated forward gradient teacher student executor csim rtl"
    )
    assert list(SITUATIONS) == [
        "a sum of unequal scales saturates",
        "a sum saturates below 255",
        "a sum of more than two",
        "an average of a concatenation",
        "an average of a pooling",
        "an average of a sum",
        "a clamp below 255",
        "a clamp below 65535",
        "outputs beyond 15 bits",
    ]


def test_a_new_operator_is_missed_everywhere() -> None:
    class Depthwise:
        pass

    found = missing(IntNode | Depthwise, GraphNode | Depthwise)
    assert found == [f"{name}: Depthwise" for name in TABLES]


def _entries() -> Iterator[Any]:
    for name, (table, _) in TABLES.items():
        for kind in table:
            yield pytest.param(name, kind, id=f"{name}-{kind.__name__}")


@pytest.mark.parametrize(("name", "kind"), list(_entries()))
def test_a_row_that_is_removed_is_missed(name: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TABLES[name][0], kind)
    assert missing() == [f"{name}: {kind.__name__}"]


# --- operator x evaluator ---


def _pairs() -> Iterator[Any]:
    for name, evaluator in EVALUATORS.items():
        marks = [getattr(pytest.mark, evaluator.mark)] if evaluator.mark else []
        for row in ROWS:
            yield pytest.param(name, row, id=f"{name}-{row}", marks=marks)


def drawn(name: str, row: str, number: int, *, plain: bool) -> tuple[Case, np.random.Generator]:
    rng = np.random.default_rng([zlib.crc32(f"{name} {row}".encode()), number])
    return cases.draw(ROWS[row], rng, plain=plain), rng


@pytest.mark.parametrize(("name", "row"), list(_pairs()))
def test_agrees(name: str, row: str) -> None:
    """On CASES random networks; what is not computed is refused, each time with the reason in its row."""
    evaluator = EVALUATORS[name]
    refused = ROWS[row].refused.get(evaluator.stage)
    good = total = 0
    for number in range(CASES):
        case, rng = drawn(name, row, number, plain=evaluator.stage == cases.ENGINE)
        try:
            if refused:
                with pytest.raises((DoesNotFitError, InputError), match=refused):
                    evaluator.check(case, rng)
                continue
            shares = evaluator.check(case, rng)
        except Exception as error:
            error.add_note(f"case {number} of {name}, {row}:\n{case.network}")
            raise
        good, total = (total_ + own for total_, own in zip((good, total), shares or (0, 0), strict=True))
    assert good >= evaluator.least * total, f"{good} of {total}"
