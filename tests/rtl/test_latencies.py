"""A pipeline that gets another stage: one number, and prediction, RTL, benches and the plan's waits follow."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.emit.rtl import PACKAGE, render_package
from squeeze_hls.engine import latencies
from squeeze_hls.engine.fields import FORMAT_VERSION
from squeeze_hls.engine.latencies import TABLE, Latencies, markdown
from squeeze_hls.engine.timing import predict, raw_distance
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.paths import RTL_SOURCES
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from tests.networks import mixed_network
from tests.plan.test_plan import cramped_plan
from tests.rtl.runner import run, shapes
from tests.rtl.simulated import simulate
from tests.rtl.test_engine import SAMPLED, config

DEEPENED = [f.name for f in fields(Latencies) if f.metadata["stages"]]
BENCHES = {
    "operands": ("operand_stage", "bench_operand_stage", {"PIX": 3, "CIN": 4}),
    "mac_output": ("mac_array", "bench_mac_array", {"PIX": 2, "CIN": 4, "COUT": 8}),
    "requantize": ("requantizer", "bench_requantizer", {"CIN": 4}),
    "write": ("output_stage", "bench_output_stage", {"PIX": 2, "CIN": 4, "COUT": 8, "CARRY_WORDS": 256}),
}
NETWORKS = 4
FINGERPRINT = (3, 2313659470)  # of the format version and the table that belongs to it


def deepened(names: list[str], folder: Path) -> tuple[Latencies, Path]:
    """The table with a stage more in each of the named places, and the RTL with its package."""
    table = replace(TABLE, **{name: getattr(TABLE, name) + 1 for name in names})
    shutil.copytree(RTL_SOURCES, folder, dirs_exist_ok=True)
    (folder / PACKAGE).write_text(render_package(table))
    return table, folder


def plans(count: int) -> list[Plan]:
    """Random networks on a small array, planned with the latencies that now hold."""
    found: list[Plan] = []
    for seed in range(100):
        try:
            found.append(
                make_plan(mixed_network(seed), load_board("zcu104"), PlanOptions(engine=config(SAMPLED[1], False)))
            )
        except DoesNotFitError:
            continue
        if len(found) == count:
            return found
    raise AssertionError("too few networks fit")


@pytest.mark.parametrize("names", shapes([[name] for name in DEEPENED], [DEEPENED]), ids="+".join)
def test_one_number_deepens_a_pipeline(names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, rtl = deepened(names, tmp_path / "rtl")
    before = [plan.timing.total for plan in plans(NETWORKS)]
    monkeypatch.setattr(latencies, "TABLE", table)
    assert table.deeper == len(names)
    slower = 0
    for number, plan in enumerate(plans(NETWORKS)):
        rng = np.random.default_rng(number)
        images = list(rng.integers(0, 256, (2, *plan.network.input_shape)).astype(np.uint8))
        first, _ = simulate(plan, images, what=f"{names}, network {number}", rtl=rtl)
        assert abs(plan.timing.total - first.cycles) <= 0.01 * first.cycles, (plan.timing.total, first.cycles)
        slower += plan.timing.total > before[number]
    assert slower, "the prediction does not know of the stage"


@pytest.mark.parametrize("name", DEEPENED)
def test_benches_follow(name: str, tmp_path: Path) -> None:
    table, rtl = deepened([name], tmp_path / "rtl")
    top, bench, parameters = BENCHES[name]
    environment = {"SQUEEZE_HLS_LATENCIES": json.dumps({name: getattr(table, name)})}
    run(top, bench, parameters, sources=[rtl / f"{top}.sv"], library=rtl, environment=environment)


def test_a_bench_without_the_number_fails(tmp_path: Path) -> None:
    _, rtl = deepened(["requantize"], tmp_path / "rtl")
    with pytest.raises(AssertionError, match="tests failed"):
        run("requantizer", "bench_requantizer", {"CIN": 4}, sources=[rtl / "requantizer.sv"], library=rtl)


def test_reads_keep_away_from_deeper_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = config(SAMPLED[0], False)
    usual = raw_distance(engine)
    for name in DEEPENED:
        monkeypatch.setattr(latencies, "TABLE", replace(TABLE, **{name: getattr(TABLE, name) + 3}))
        assert raw_distance(engine) == usual + 3, name


def test_predictions_follow_every_latency_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number is read somewhere: with 20,000 cycles more, some network is predicted otherwise."""
    found = plans(6) + [plan for seed in range(12) if (plan := cramped_plan(seed))]  # these wait for credits
    streamed = config(SAMPLED[1], True)
    for seed in range(100):
        try:
            found.append(make_plan(mixed_network(seed), load_board("zcu104"), PlanOptions(engine=streamed)))
            break
        except DoesNotFitError:
            continue
    for f in fields(Latencies):
        if f.name == "margin":
            continue
        monkeypatch.setattr(latencies, "TABLE", replace(TABLE, **{f.name: getattr(TABLE, f.name) + 20_000}))
        assert any(predict(plan.program, plan.engine).total != plan.timing.total for plan in found), f.name


def test_too_few_stages_are_refused() -> None:
    with pytest.raises(ValueError, match="requantize: at least 6"):
        Latencies(requantize=5)


def test_the_document_has_the_table(root: Path) -> None:
    assert markdown() in (root / "docs" / "timing.md").read_text(), "write latencies.markdown() to docs/timing.md"


def test_programs_of_other_latencies_have_another_version() -> None:
    """A program planned for a shallower pipeline could read too early on a deeper one."""
    assert (FORMAT_VERSION, zlib.crc32(repr(TABLE).encode())) == FINGERPRINT, (
        "raise FORMAT_VERSION, then write both here"
    )
