"""A sample of the campaign always; 20,000 models, or an hour of them, with SQUEEZE_HLS_ALL=1."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.frontend import load_graph
from squeeze_hls.network.ir import Concat, Conv, Graph, IntConv, IntNetwork, Pads
from squeeze_hls.quantize import to_int
from tests.differential.choices import Choices, shrink

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx-tools)")
pytest.importorskip("qonnx", reason="qonnx is not installed (extra onnx-tools)")

from tests.differential import campaign, judge
from tests.differential.grammar import DIALECTS, generate

SAMPLE = 200
SEED = 2026


def assert_sound(tally: campaign.Tally) -> None:
    failures = "\n\n".join(map(str, campaign.failures(tally, 3)))
    assert not tally.failed, f"{tally}\n\n{failures}"
    assert tally.kinds["accepted"] >= 0.3 * tally.graphs, str(tally)
    assert tally.kinds["unjudged"] <= 0.03 * tally.graphs, str(tally)
    assert tally.dull <= 0.25 * tally.kinds["accepted"], "too many networks do not depend on the picture"


def test_sample() -> None:
    assert_sound(campaign.run(SEED, SAMPLE))


@pytest.mark.skipif(not os.environ.get("SQUEEZE_HLS_ALL"), reason="SQUEEZE_HLS_ALL is not set (scripts/test --all)")
def test_campaign() -> None:
    tally = campaign.run(100_000, 20_000, seconds=3600)
    print(tally)
    assert_sound(tally)
    assert tally.graphs >= 5_000, "too few models an hour to find anything"
    for dialect in ("float", "qdq", "qonnx", "qcdq", "weights only", "activations only"):
        assert tally.by_dialect[dialect]["accepted"] > 0.2 * sum(tally.by_dialect[dialect].values()), dialect


def test_every_seed_is_judged_once() -> None:
    """By several processes, too, and where the last share is smaller than the others."""
    graphs = 6 * campaign.CHUNK + 1
    alone, shared = (campaign.run(SEED, graphs, jobs=jobs) for jobs in (1, 2))
    assert alone.graphs == shared.graphs == graphs
    assert alone.reasons == shared.reasons


def test_replay() -> None:
    """The decisions of a case make it again, and so no other decision counts."""
    for seed in range(20):
        case = generate(seed)
        assert generate(seed, case.made).model == case.model


def test_shrinking() -> None:
    """Down to the decisions that matter, and to the smallest values of them."""
    made = {f"d{i}": i % 5 + 1 for i in range(40)}

    def fails(candidate: dict[str, int]) -> bool:
        c = Choices(0, candidate)
        values = [c.below(f"d{i}", 6) for i in range(40)]
        return values[7] > 0 and values[31] > 1

    assert shrink(made, fails) == {"d7": 1, "d31": 2}


def scales_off(network: IntNetwork) -> IntNetwork:
    return replace(network, scale={t: s * 1.02 for t, s in network.scale.items()})


def logits_off(network: IntNetwork) -> IntNetwork:
    last = network.nodes[-1].output
    return replace(network, scale=network.scale | {last: network.scale[last] * 1.01})


def changed(change: Callable[[IntConv], IntConv]) -> Callable[[IntNetwork], IntNetwork]:
    """All convolutions changed."""
    return lambda network: replace(
        network, nodes=tuple(change(n) if isinstance(n, IntConv) else n for n in network.nodes)
    )


def rounding_down(conv: IntConv) -> IntConv:
    half = np.ldexp(0.5 / conv.multiplier, conv.shift)
    return replace(conv, bias=(conv.bias - np.rint(half)).astype(np.int32))


def halves_exchanged(network: IntNetwork) -> IntNetwork:
    return replace(
        network, nodes=tuple(replace(n, inputs=n.inputs[::-1]) if isinstance(n, Concat) else n for n in network.nodes)
    )


def pads_exchanged(conv: IntConv) -> IntConv:
    pads = conv.pads
    return replace(conv, pads=Pads(top=pads.bottom, left=pads.right, bottom=pads.top, right=pads.left))


def without_a_weight(conv: IntConv) -> IntConv:
    weight = conv.weight.copy()
    weight.reshape(-1)[1] = 0
    return replace(conv, weight=weight)


DAMAGES = {
    "scales": scales_off,
    "logits": logits_off,
    "rounding": changed(rounding_down),
    "largest": changed(lambda conv: replace(conv, limit=conv.top - 60)),
    "multiplier": changed(lambda conv: replace(conv, multiplier=np.maximum(conv.multiplier - 700, 2**16))),
    "one weight": changed(without_a_weight),
    "concatenation": halves_exchanged,
    "padding": changed(pads_exchanged),
}


@pytest.mark.parametrize("damage", [None, *DAMAGES])
@pytest.mark.parametrize("dialect", ["qdq", "qonnx"])
def test_the_judge_sees(damage: str | None, dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged integers differ from the judge's tensors, undamaged ones do not."""
    made = {"dialect": list(DIALECTS).index(dialect), "fire0/branch0/auto_pad": 1, "fire0/branch0/auto_pad is": 1}
    case = generate(8, {**made, "fire0/branch0/kernel": 1})
    if damage is not None:
        monkeypatch.setattr(judge, "to_int", lambda *a: DAMAGES[damage](to_int(*a)))
    verdict = judge.judge(case, tmp_path)
    assert verdict.kind == ("accepted" if damage is None else "silent"), verdict.reason


def test_the_judge_sees_a_wrong_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_bias(graph: Graph) -> Graph:
        conv = graph.nodes[0]
        assert isinstance(conv, Conv)
        return replace(graph, nodes=(replace(conv, bias=conv.bias + np.float32(0.01)), *graph.nodes[1:]))

    case = generate(8, {})
    assert judge.judge(case, tmp_path).kind == "accepted"
    monkeypatch.setattr(judge, "load_graph", lambda *a, **k: one_bias(load_graph(*a, **k)))
    assert judge.judge(case, tmp_path).reason.startswith("import Conv 'relu_5'")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("Conv 'a': dilation 2 is not supported. Re-export the model."), "refused"),
        (InputError("two\nlines of text are not one. Re-export the model."), "unclear"),
        (DoesNotFitError("no"), "unclear"),
        (KeyError("a"), "foreign"),
    ],
)
def test_refusals(error: Exception, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(judge, "load_graph", fail)
    assert judge.judge(generate(8, {}), tmp_path).kind == kind
