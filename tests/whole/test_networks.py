"""Both ImageNet networks, whole, on real pictures: golden model = executor = C simulation, bit for bit."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import tools
from squeeze_hls.board import board_names, load_board
from squeeze_hls.engine.executor import Executor
from squeeze_hls.engine.store import StoreReader
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.flows.verify import compare_all, run_executor
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import IntConv, IntNetwork
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.quantize import to_int
from squeeze_hls.sim.csim import CSim, run_frames

PICTURES = ("coffee", "chelsea", "rocket", "astronaut", "china")
RIGHT = {"coffee": {967}, "chelsea": {281, 282, 285}}  # espresso; tabby, tiger and Egyptian cat

needs_compiler = pytest.mark.skipif(
    tools.find_cxx() is None or tools.hls_headers() is None, reason="needs a C++ compiler and the HLS headers"
)
csim = pytest.mark.csim


@pytest.fixture(scope="module")
def v11() -> Plan:
    return make_plan(to_int(load_graph("squeezenet1.1-w6")), load_board("pynq-z2"))


@pytest.fixture(scope="module")
def deep_compression_network(shared: Path) -> IntNetwork:
    graph = load_graph(shared / "models" / "compressed_SqueezeNet.net")
    calibration = pictures.load(shared / "images" / "calibration100.npz")
    return to_int(graph, pictures.stack(calibration, graph.input_shape, graph.preprocess)[:8])


@pytest.fixture(scope="module")
def v10(deep_compression_network: IntNetwork) -> Plan:
    return make_plan(deep_compression_network, load_board("pynq-z2"))


def images(network: IntNetwork) -> dict[str, np.ndarray]:
    known = {Path(p.name).stem: p for p in pictures.builtin()}
    return {n: pictures.stack([known[n]], network.input_shape, network.preprocess)[0] for n in PICTURES}


def agree_on_every_tensor(plan: Plan, folder: Path | None) -> None:
    """Executor, and C simulation where a folder to compile in is given, against the golden model."""
    chosen = images(plan.network)
    expected = {name: golden.run(plan.network, image) for name, image in chosen.items()}
    for name, right in RIGHT.items():
        logits = expected[name][plan.network.nodes[-1].output]
        assert int(np.argmax(logits)) in right, f"{name} is taken for class {int(np.argmax(logits))}"
    if folder is None:
        for name, image in chosen.items():
            check = compare_all(f"executor, {name}", run_executor(plan, image), expected[name])
            assert check.status == "passed", check.detail
    else:
        frames = run_frames(plan, list(chosen.values()), CSim(plan.engine, folder))
        for name, frame in zip(chosen, frames, strict=True):
            check = compare_all(f"csim, {name}", frame, expected[name])
            assert check.status == "passed", check.detail


def test_v11_executor(v11: Plan) -> None:
    agree_on_every_tensor(v11, None)


@csim
@needs_compiler
def test_v11_csim(v11: Plan, tmp_path: Path) -> None:
    agree_on_every_tensor(v11, tmp_path)


def test_deep_compression_executor(v10: Plan) -> None:
    agree_on_every_tensor(v10, None)


@csim
@needs_compiler
def test_deep_compression_csim(v10: Plan, tmp_path: Path) -> None:
    agree_on_every_tensor(v10, tmp_path)


@pytest.mark.parametrize("weights", ["resident", "streamed"])
def test_v11_meets_its_cycles_on_the_pynq_z2(v11: Plan, weights: str) -> None:
    plan = make_plan(v11.network, load_board("pynq-z2"), PlanOptions(weights=weights))
    assert plan.residency == weights
    assert plan.timing.total <= 990_000
    assert plan.ideal_cycles == 909_250
    assert plan.resources.dsp <= 216 and plan.resources.bram36 <= 136


def test_v11_is_resident_everywhere(v11: Plan) -> None:
    for board in board_names():
        assert make_plan(v11.network, load_board(board)).residency == "resident"


def test_dense_v11_is_refused_where_its_weights_do_not_fit(v11: Plan) -> None:
    """Weights of which every value is as frequent as any other, which no code makes smaller."""
    rng = np.random.default_rng(1)
    nodes = tuple(
        replace(node, weight=rng.integers(-32, 32, node.weight.shape).astype(np.int8))
        if isinstance(node, IntConv)
        else node
        for node in v11.network.nodes
    )
    with pytest.raises(DoesNotFitError, match=r"BRAM36 needed 2\d\d .* 136 available.*--weights streamed.*zcu104"):
        make_plan(replace(v11.network, nodes=nodes), load_board("pynq-z2"), PlanOptions(weights="resident"))


def test_deep_compression_is_resident_on_the_pynq_z2_and_fast(v10: Plan) -> None:
    assert v10.residency == "resident"
    assert v10.resources.bram36 <= 136 and v10.resources.dsp <= 216
    assert v10.timing.total <= 2_360_000 and v10.utilization >= 0.92
    assert len(v10.weights_bin) <= 410_000
    assert v10.program.header.weights_crc == zlib.crc32(v10.weights_bin)


def test_the_store_holds_exactly_the_quantized_weights(v10: Plan) -> None:
    reader = StoreReader(v10.weights_bin, v10.engine.chunk, v10.program.tables)
    for layer, record in zip(v10.layers, v10.program.layers, strict=True):
        halves = dict(zip("ab", layer.halves, strict=False))
        wanted = [{n: h.tiles[g] for n, h in halves.items() if g < h.groups} for g in range(layer.groups)]
        decoded = reader.layer(record, [{n: tile.shape for n, tile in tiles.items()} for tiles in wanted])
        for got, tiles in zip(decoded, wanted, strict=True):
            assert list(got) == list(tiles)
            for name, tile in tiles.items():
                np.testing.assert_array_equal(got[name], tile)


def test_pruned_weights_stay_zero(shared: Path, deep_compression_network: IntNetwork) -> None:
    graph = load_graph(shared / "models" / "compressed_SqueezeNet.net")
    floats = {n.name: n.weight for n in graph.nodes if hasattr(n, "weight")}
    for conv in deep_compression_network.convs:
        original = floats[conv.name]
        if graph.input in conv.inputs:
            original = original[..., ::-1]  # BGR in the file, RGB in hardware
        revived = (conv.weight != 0) & (original == 0)
        assert not revived.any(), f"{conv.name}: {int(revived.sum())} pruned weights came back"


def test_the_executor_refuses_foreign_weights(v11: Plan) -> None:
    altered = bytearray(v11.weights_bin)
    altered[1000] ^= 1
    with pytest.raises(Exception, match="not those of the program"):
        Executor(v11.engine, v11.program_bin, bytes(altered))
