"""`build` and what reads a build folder: good ones, altered ones and hostile ones."""

import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from squeeze_hls.artifacts.model_file import read_model
from tests.cli.conftest import Run, change_report, report_of, resign, tree

# --- building ---


def test_what_a_build_holds(built: Path, root: Path, quantized: Path) -> None:
    files = tree(built)
    report = report_of(built)
    jsonschema.validate(report, json.loads((root / "docs" / "report.schema.json").read_text()))
    assert {"report.json", "weights.bin", "program.bin", "model.onnx", "deploy/model.sqz"} <= set(files)
    assert {"hls/run_hls.tcl", "rtl/sources.f", "rtl/src/squeeze_engine.sv", "rtl/vivado/build.tcl"} <= set(files)
    assert {entry["path"]: entry["sha256"] for entry in report["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in files.items() if path != "report.json"
    }
    assert report["model"]["sha256"] == hashlib.sha256(quantized.read_bytes()).hexdigest()
    assert report["weights"]["encoded_bytes"] == len(files["weights.bin"])
    assert [(check["name"], check["status"]) for check in report["checks"]] == [
        ("executor", "passed"),
        ("csim", "skipped"),
        ("rtl", "skipped"),
    ]
    model = read_model(files["deploy/model.sqz"])
    assert (model.program, model.weights) == (files["program.bin"], files["weights.bin"])
    assert model.engine == report["engine"]["id"] and model.labels[1] == "one"


@pytest.mark.parametrize(("flow", "absent"), [("hls", "rtl"), ("rtl", "hls")])
def test_one_back_end(run: Run, quantized: Path, flow: str, absent: str) -> None:
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "none", "--flow", flow, "--out", "one")
    assert result.code == 0, result.err
    assert Path("one", flow).is_dir() and not Path("one", absent).exists()


def test_the_same_twice(run: Run, here: Path, quantized: Path, built: Path, digits: Path) -> None:
    image = digits / "test" / "1" / "1500.png"
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "executor", "--image", image, "--json")
    assert result.code == 0, result.err
    assert tree(here / "build" / "digits-pynq-z2") == tree(built)
    assert result.json == report_of(built)


def test_for_people(run: Run, quantized: Path) -> None:
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "none", "--out", "out")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert len(lines) < 50 and lines[-1] == "out"
    assert "(estimate)" in result.out and "not verified" in result.out
    quiet = run("build", quantized, "--board", "pynq-z2", "--verify", "none", "--out", "out", "-q")
    assert quiet.out == "out\n" and quiet.err == ""


def test_a_build_is_replaced(run: Run, mine: Path, quantized: Path) -> None:
    (mine / "notes.txt").write_text("mine")
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "none", "--out", mine, "--clock", "125")
    assert result.code == 0
    assert report_of(mine)["engine"]["clock_mhz"] == 125 and (mine / "notes.txt").read_text() == "mine"
    assert "notes.txt" in result.err


def test_streamed(run: Run, here: Path, quantized: Path) -> None:
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "executor", "--weights", "streamed", "--json")
    assert result.code == 0, result.err
    assert result.json["weights"]["residency"] == "streamed" and result.json["weights"]["streamed_bytes_per_frame"] > 0


def test_without_a_compiler(run: Run, here: Path, quantized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    result = run("build", quantized, "--board", "pynq-z2", "--json")
    assert result.code == 0 and "note: no C++ compiler" in result.err
    assert [c["status"] for c in result.json["checks"]] == ["passed", "skipped", "skipped"]


def test_a_mismatch_is_exit_1_and_leaves_nothing(
    run: Run, here: Path, quantized: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from squeeze_hls.network import golden

    original = golden.run

    def wrong(network: Any, image: np.ndarray) -> dict[str, np.ndarray]:
        tensors = original(network, image)
        tensors[network.nodes[-1].output][3] += 1
        return tensors

    monkeypatch.setattr(golden, "run", wrong)
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "executor", "-q").refused(
        1, "executor", "1 of 10"
    )
    assert "first at [3]" in result.err and tree(here) == {}


@pytest.mark.csim
def test_csim(run: Run, here: Path, quantized: Path) -> None:
    result = run("build", quantized, "--board", "pynq-z2", "--verify", "csim", "--json")
    assert result.code == 0, result.err
    assert [c["status"] for c in result.json["checks"]] == ["passed", "passed", "skipped"]
    assert result.json["tools"]["c++"]


# --- planning for a frozen engine ---


def test_engine(run: Run, here: Path, built: Path, quantized: Path) -> None:
    before = tree(built)
    for _ in range(2):  # the second time over the first
        result = run(
            "build", quantized, "--board", "pynq-z2", "--engine", built, "--out", "update", "--verify", "executor"
        )
        assert result.code == 0, result.err
    assert list(tree(here)) == ["update/deploy/model.sqz"]
    assert (here / "update/deploy/model.sqz").read_bytes() == before["deploy/model.sqz"]
    assert tree(built) == before


def test_an_engine_of_another_board(run: Run, here: Path, built: Path, quantized: Path) -> None:
    run("build", quantized, "--board", "zcu104", "--engine", built).refused(2, "pynq-z2", "zcu104")


def test_an_update_does_not_go_into_a_build(run: Run, mine: Path, built: Path, quantized: Path) -> None:
    before = tree(mine)
    run("build", quantized, "--engine", built, "--out", mine).refused(2, "complete build")
    assert tree(mine) == before


def test_a_network_that_exceeds_the_engine(run: Run, here: Path, built: Path, tmp_path: Path, digits: Path) -> None:
    model = onnx.load(digits / "digits.onnx")
    for entry in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        entry.dim_value = 240
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "large.onnx")
    result = run("build", tmp_path / "large.onnx", "--engine", built, "--out", "update", "-q")
    result.refused(3)
    assert tree(here) == {}


# --- reading build folders ---


@pytest.mark.parametrize("on", ["golden", "executor", "onnxruntime"])
def test_run_on_a_build(run: Run, built: Path, digits: Path, on: str) -> None:
    if on == "onnxruntime":
        pytest.importorskip("onnxruntime")
    result = run("run", built, digits / "test" / "1" / "1500.png", "--on", on, "--json")
    assert result.code == 0, result.err
    assert result.json["results"][0]["top"][0]["name"] == "one"


def test_evaluate_on_a_build(run: Run, built: Path, digits: Path) -> None:
    result = run("evaluate", built, "--images", digits / "test", "--on", "executor", "--json")
    assert result.code == 0 and result.json["top1"] >= 90


def test_unpack(run: Run, here: Path, built: Path, quantized: Path) -> None:
    assert run("unpack", built, "-o", "w.npz").code == 0
    assert run("unpack", built, "-o", "again.npz", "--json").json["layers"] == 20
    assert (here / "w.npz").read_bytes() == (here / "again.npz").read_bytes()
    stored = [
        numpy_helper.to_array(i) for i in onnx.load(quantized).graph.initializer if i.data_type == onnx.TensorProto.INT8
    ]
    with np.load(here / "w.npz", allow_pickle=False) as unpacked:
        assert all(unpacked[name].dtype == np.int8 for name in unpacked)
        for weight, name in zip(stored, unpacked, strict=True):
            np.testing.assert_array_equal(unpacked[name], weight.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("path", ["weights.bin", "program.bin", "model.onnx", "deploy/model.sqz"])
def test_an_altered_file(run: Run, mine: Path, path: str, digits: Path) -> None:
    content = bytearray((mine / path).read_bytes())
    content[len(content) // 2] ^= 1
    (mine / path).write_bytes(content)
    run("unpack", mine, "-o", "w.npz").refused(2, path, "differs")
    run("run", mine, digits / "test" / "1" / "1500.png").refused(2, path)


@pytest.mark.parametrize("path", ["weights.bin", "program.bin"])
@pytest.mark.parametrize("change", ["flip", "cut", "empty", "longer", "random"])
def test_an_altered_file_that_the_report_vouches_for(
    run: Run, mine: Path, path: str, change: str, digits: Path
) -> None:
    content = bytearray((mine / path).read_bytes())
    if change == "flip":
        content[len(content) // 2] ^= 1
    content = {"cut": content[: len(content) // 2], "empty": b"", "longer": content + b"\0" * 9,
               "random": np.random.default_rng(0).bytes(len(content)), "flip": content}[change]  # fmt: skip
    (mine / path).write_bytes(content)
    resign(mine, path)
    run("run", mine, digits / "test" / "1" / "1500.png", "--on", "executor").refused(2)


def test_compiled_code_runs_no_foreign_program(run: Run, mine: Path, digits: Path) -> None:
    """The program is well-formed, its checksums are right, but this planner did not write it."""
    content = bytearray((mine / "program.bin").read_bytes())
    content[-24] ^= 1  # a bit of the last requantization records
    content[-8:] = zlib.crc32(bytes(content[:-8])).to_bytes(8, "little")
    (mine / "program.bin").write_bytes(content)
    resign(mine, "program.bin")
    picture = digits / "test" / "1" / "1500.png"
    run("run", mine, picture, "--on", "csim").refused(2, "program", "--on executor")
    assert run("run", mine, picture, "--on", "executor").code == 0


def test_a_file_is_missing(run: Run, mine: Path) -> None:
    (mine / "weights.bin").unlink()
    run("unpack", mine, "-o", "w.npz").refused(2, "weights.bin")


def test_links_are_not_followed(run: Run, mine: Path, here: Path) -> None:
    (here / "secret").write_bytes((mine / "weights.bin").read_bytes())
    (mine / "weights.bin").unlink()
    (mine / "weights.bin").symlink_to(here / "secret")
    run("unpack", mine, "-o", "w.npz").refused(2, "symbolic link")
    (mine / "weights.bin").unlink()
    os.mkfifo(mine / "weights.bin")
    run("unpack", mine, "-o", "w.npz").refused(2, "weights.bin")


def test_a_linked_folder_is_not_followed(run: Run, mine: Path, here: Path) -> None:
    (mine / "deploy").rename(here / "elsewhere")
    (mine / "deploy").symlink_to(here / "elsewhere")
    run("unpack", mine, "-o", "w.npz").refused(2, "symbolic link")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", "", "\x1b[31m", "-x"])
def test_paths_that_lead_out(run: Run, mine: Path, path: str) -> None:
    change_report(mine, files=[*report_of(mine)["files"], {"path": path, "sha256": "0" * 64}])
    run("unpack", mine, "-o", "w.npz").refused(2, "safe relative path")


def test_a_huge_file(run: Run, mine: Path) -> None:
    with (mine / "weights.bin").open("wb") as stream:
        stream.truncate(10**12)  # sparse
    run("unpack", mine, "-o", "w.npz").refused(2, "weights.bin")


@pytest.mark.parametrize(
    "values",
    [
        {"schema_version": 2},
        {"schema_version": "1"},
        {"files": None},
        {"files": [1]},
        {"files": []},
        {"files": [{"path": "weights.bin"}]},
        {"files": [{"path": "weights.bin", "sha256": "0" * 64}] * 5000},
        {"engine": None},
        {"engine": {}},
        {"engine": {"id": "00000000", "config": {}}},
    ],
    ids=lambda values: repr(values)[:60],
)
def test_reports_that_are_none(run: Run, mine: Path, values: dict[str, Any]) -> None:
    change_report(mine, **values)
    run("unpack", mine, "-o", "w.npz").refused(2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pix", 0),
        ("pix", 10**9),
        ("cin", "8"),
        ("act_pieces", [2**40]),
        ("act_pieces", 5),
        ("extra", 1),
        ("store_uram", 1),
    ],
)
def test_engines_that_are_none(run: Run, mine: Path, key: str, value: Any) -> None:
    engine = report_of(mine)["engine"]
    change_report(mine, engine={**engine, "config": {**engine["config"], key: value}})
    run("unpack", mine, "-o", "w.npz").refused(2, "engine")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"[" * 200_000, b"\xff\xfe", b'{"schema_version": 1e999}']
)
def test_json_that_is_no_report(run: Run, mine: Path, content: bytes) -> None:
    (mine / "report.json").write_bytes(content)
    run("unpack", mine, "-o", "w.npz").refused(2, "report.json")
