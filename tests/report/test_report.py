"""The report obeys its schema, adds up, and fits a screen."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from squeeze_hls.artifacts.bundle import to_json
from squeeze_hls.board import load_board
from squeeze_hls.errors import MismatchError
from squeeze_hls.flows.verify import check_executor, compare_all, require_passed, run_executor
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan, make_plan
from squeeze_hls.plan.decode import decode_weights
from squeeze_hls.report.build_report import Check, build_report
from squeeze_hls.report.summary import summary
from tests.networks import random_network

SEEDS = range(8)


@pytest.fixture(scope="module", params=SEEDS)
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan(random_network(request.param), load_board("pynq-z2"))


def picture(plan: Plan, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, plan.network.input_shape, np.uint8)


def report_of(plan: Plan) -> dict[str, Any]:
    checks = [Check(name="executor", status="passed", detail="all"), Check(name="csim", status="skipped", detail="no")]
    files = [{"path": "weights.bin", "sha256": "0" * 64}]
    return build_report(plan, name="tiny", model_sha256="f" * 64, checks=checks, tools={"numpy": "2"}, files=files)


@pytest.fixture(scope="module")
def schema(root: Path) -> dict[str, Any]:
    loaded = json.loads((root / "docs" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return loaded


def test_schema(plan: Plan, schema: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(to_json(report_of(plan))), schema)


@pytest.mark.parametrize("key", ["engine", "cycles", "hardware_verified"])
def test_the_schema_misses_what_is_missing(schema: dict[str, Any], key: str) -> None:
    report = report_of(make_plan(random_network(0), load_board("pynq-z2")))
    del report[key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, schema)


def test_figures_add_up(plan: Plan) -> None:
    report = report_of(plan)
    layers = report["layers"]
    assert sum(layer["macs"] for layer in layers) == report["model"]["macs"]
    assert sum(layer["bytes"] for layer in layers) == report["weights"]["encoded_bytes"] == len(plan.weights_bin)
    assert sum(layer["bands"] for layer in layers) == report["memory"]["instructions"]
    assert 0 <= report["cycles"]["predicted"] - sum(layer["cycles"] for layer in layers) < 500  # start and drain
    assert report["cycles"]["ideal"] == -(-report["model"]["macs"] // (3 * 8 * 16))
    assert report["fps"]["value"] == pytest.approx(1e8 / report["cycles"]["predicted"], abs=1e-3)
    assert sum(report["resources"]["bram36"]["parts"].values()) == report["resources"]["bram36"]["used"]
    weights = np.concatenate([conv.weight.ravel() for conv in plan.network.convs])
    assert report["weights"]["density"] == pytest.approx(np.count_nonzero(weights) / weights.size, abs=1e-6)
    assert report["weights"]["bits"] == 6 or np.abs(weights).max() <= 16


def test_bytes_are_the_same_twice(plan: Plan) -> None:
    again = make_plan(plan.network, plan.board)
    assert to_json(report_of(plan)) == to_json(report_of(again))
    assert (plan.program_bin, plan.weights_bin) == (again.program_bin, again.weights_bin)


def test_no_absolute_paths(plan: Plan, root: Path) -> None:
    assert str(root) not in to_json(report_of(plan)).decode()


def test_summary_fits_80_columns(plan: Plan) -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(*summary(report_of(plan)), sep="\n")
    lines = console.export_text().splitlines()
    assert len(lines) < 50
    text = "\n".join(lines)
    assert "not verified" in text and "(estimate)" in text


def test_weights_come_back_from_the_store(plan: Plan) -> None:
    decoded = decode_weights(plan.network, plan.engine, plan.program_bin, plan.weights_bin)
    assert set(decoded) == {conv.name for conv in plan.network.convs}
    for conv in plan.network.convs:
        assert decoded[conv.name].dtype == np.int8
        np.testing.assert_array_equal(decoded[conv.name], conv.weight)


def test_executor_equals_golden_model(plan: Plan) -> None:
    image = picture(plan)
    check = check_executor(plan, image, golden.run(plan.network, image))
    assert check.status == "passed", check.detail
    assert set(run_executor(plan, image)) >= {plan.network.nodes[-1].output}


def test_a_wrong_value_is_found() -> None:
    plan = make_plan(random_network(0), load_board("pynq-z2"))
    image = picture(plan)
    expected = {name: values.copy() for name, values in golden.run(plan.network, image).items()}
    tensor = plan.layers[1].target
    expected[tensor][2, 1, 0] ^= 1
    check = check_executor(plan, image, expected)
    assert check.status == "failed"
    assert f"{tensor}: 1 of" in check.detail and "the first at [2, 1, 0]" in check.detail
    with pytest.raises(MismatchError, match="executor and golden model differ"):
        require_passed([check])


def test_shapes_are_compared() -> None:
    check = compare_all("csim", {"a": np.ones(2), "b": np.zeros(1), "c": np.ones(1)}, dict.fromkeys("abc", np.zeros(2)))
    assert check.status == "failed" and "2 further tensors differ" in check.detail
