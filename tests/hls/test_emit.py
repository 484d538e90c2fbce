"""The emitted project: complete, reproducible, compiles.  Its Tcl is tested in tests/vendor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from squeeze_hls import tools
from squeeze_hls.board import load_board
from squeeze_hls.emit import hls
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.paths import HLS_SOURCES, TEMPLATES
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.csim import FLAGS
from tests.networks import random_network


def plan_on(board: str, weights: str = "auto", seed: int = 3) -> Plan:
    return make_plan(random_network(seed), load_board(board), PlanOptions(weights=weights))


def write(bundle: Mapping[str, bytes], folder: Path) -> None:
    for path, content in bundle.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def compile_bench(folder: Path) -> Path:
    """What `csim_design` does."""
    sources = [str(folder / "src" / "squeeze_engine.cpp"), str(folder / "tb" / "testbench.cpp")]
    binary = folder / "tb" / "testbench"
    headers = tools.require_hls_headers()
    command = ["g++", *FLAGS, "-isystem", str(headers), "-I", str(folder / "src"), *sources, "-o", str(binary)]
    tools.run(command, log=folder / "compile.log")
    return binary


@pytest.mark.parametrize(
    ("board", "weights", "uram"),
    [("pynq-z2", "resident", False), ("pynq-z2", "streamed", False), ("kv260", "resident", True)],
)
def test_the_test_bench_passes(needs_compiler: None, tmp_path: Path, board: str, weights: str, uram: bool) -> None:
    plan = plan_on(board, weights)
    assert plan.engine.store_uram == uram
    write(hls.emit(plan), tmp_path)
    binary = compile_bench(tmp_path)
    for arguments in ([], ["quick"]):
        tools.run([str(binary), *arguments], log=tmp_path / "run.log", cwd=tmp_path / "tb", timeout=60)
        text = (tmp_path / "run.log").read_text()
        assert "all logits equal the golden model's" in text
        assert ("damaged program is refused: passed" in text) == (not arguments)


def test_the_test_bench_fails_where_a_logit_differs(needs_compiler: None, tmp_path: Path) -> None:
    plan = plan_on("pynq-z2")
    image = hls._pattern(plan.network.input_shape)
    from squeeze_hls.network import golden

    logits = golden.run(plan.network, image)[plan.network.nodes[-1].output].copy()
    logits[-1] += 1
    write(hls.emit(plan, image=image, logits=logits), tmp_path)
    with pytest.raises(ToolFailedError):
        tools.run([str(compile_bench(tmp_path))], log=tmp_path / "run.log", cwd=tmp_path / "tb", timeout=60)
    assert "image: FAILED" in (tmp_path / "run.log").read_text()


def test_the_same_plan_gives_the_same_bytes() -> None:
    first, second = (dict(hls.emit(plan_on("pynq-z2"))) for _ in range(2))
    assert first == second


def test_every_source_is_there() -> None:
    bundle = hls.emit(plan_on("pynq-z2"))
    for header in HLS_SOURCES.glob("*.hpp"):
        assert bundle[f"src/{header.name}"] == header.read_bytes()
    for text in (
        bundle["src/squeeze_engine.cpp"],
        bundle["tb/testbench.cpp"],
        *map(Path.read_bytes, HLS_SOURCES.glob("*")),
    ):
        for name in re.findall(rb'#include "([^"]+)"', text):
            ours = f"src/{name.decode()}" in bundle
            assert ours or name in (b"ap_int.h", b"hls_stream.h", b"ap_axi_sdata.h"), name


def test_names_from_a_model_do_not_reach_generated_text() -> None:
    plan = plan_on("pynq-z2")
    hostile = replace(plan.network, name='"; exec rm ;#\n#error', labels=("$(x)", "]"))
    assert dict(hls.emit(replace(plan, network=hostile))) == dict(hls.emit(plan))


def test_every_pragma_goes_through_one_header() -> None:
    for path in [*HLS_SOURCES.glob("*"), *TEMPLATES.glob("hls/*pp.j2")]:
        text = path.read_text()
        assert "#pragma HLS" not in text, path
        assert ("_Pragma" in text) == (path.name == "pragmas.hpp"), path


def test_every_loop_has_a_label() -> None:
    """Loops that are pipelined, and all in functions that hardware runs, are named in the reports of csynth."""
    for path in HLS_SOURCES.glob("*.hpp"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if "HLS_PIPELINE(1)" in line and "define" not in line:
                label = lines[number - 2].strip()
                assert re.fullmatch(r"[a-z_]+:", label), f"{path.name}:{number + 1}: {label}"
