"""The whole engine: random small networks and the two ImageNet networks, logits and cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import golden, pictures
from squeeze_hls.board import load_board
from squeeze_hls.compare import assert_same
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.frontend import load_graph
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.plan.engine import EngineConfig
from squeeze_hls.plan.packets import image_packet, parse_logits, program_packet, stream_packet, weights_packet
from squeeze_hls.quantize import to_int
from squeeze_hls.sim.csim import Start, Transfer
from tests.networks import random_network
from tests.rtl import engine


def frames(plan: Plan, images: list[np.ndarray], folder: Path, *, gaps: int = 0) -> list[engine.Result]:
    """Load program and weights, then compute the images; each next one is in the stream already."""
    script: list[Transfer | Start] = [Transfer.of(program_packet(plan.program_bin, plan.engine)), Start()]
    if not plan.engine.streamed:
        script += [Transfer.of(weights_packet(plan.weights_bin, plan.engine)), Start()]
    for image in images:
        script.append(Transfer.of(image_packet(image, plan.program_bin)))
        if plan.engine.streamed:
            script.append(Transfer.of(stream_packet(plan.stream_bin, plan.program_bin), weights=True))
    script += [Start()] * len(images)
    results = engine.run(plan.engine, script, folder, gaps=gaps)
    assert len(results) == sum(isinstance(step, Start) for step in script), "a start hung"
    assert not any(r.error for r in results), f"errors {[r.error for r in results]}"
    return results[-len(images) :]


def agree(plan: Plan, images: list[np.ndarray], results: list[engine.Result], what: str) -> None:
    name = plan.network.nodes[-1].output
    for image, result in zip(images, results, strict=True):
        logits = parse_logits(result.beats, plan.network.classes)
        assert_same({name: logits}, golden.run(plan.network, image), what=what)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("array", [(3, 8, 16), (2, 4, 8)])
def test_random_networks(array: tuple[int, int, int], streamed: bool, tmp_path: Path, full: bool) -> None:
    pix, cin, cout = array
    config = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(512,), store_pieces=() if streamed else (16384,),
        program_depth=512, carry_words=4096,
    )  # fmt: skip
    tested = 0
    for seed in range(300 if full else 24):
        network = random_network(seed, small=bool(seed % 3))
        try:
            plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=config))
        except DoesNotFitError:
            continue
        rng = np.random.default_rng(seed)
        images = [rng.integers(0, 256, network.input_shape).astype(np.uint8) for _ in range(3)]
        agree(plan, images, frames(plan, images, tmp_path, gaps=seed % 4), f"seed {seed}")
        tested += 1
    assert tested >= 10


def test_v11_whole(tmp_path: Path) -> None:
    plan = make_plan(to_int(load_graph("squeezenet1.1-w6")), load_board("pynq-z2"))
    known = pictures.builtin()
    images = list(pictures.stack(known[:2], plan.network.input_shape, plan.network.preprocess))
    results = frames(plan, images, tmp_path)
    agree(plan, images, results, "v1.1")
    assert results[0].first_to_last <= 990_000
    assert abs(results[0].first_to_last - plan.timing.total) <= 0.01 * plan.timing.total
    assert results[1].counters["cycles"] <= results[0].counters["cycles"]


def test_deep_compression_whole(shared: Path, tmp_path: Path, full: bool) -> None:
    if not full:
        pytest.skip("quantizes v1.0 first; runs with scripts/test --all")
    graph = load_graph(shared / "models" / "compressed_SqueezeNet.net")
    calibration = pictures.load(shared / "images" / "calibration100.npz")
    network = to_int(graph, pictures.stack(calibration, graph.input_shape, graph.preprocess)[:8])
    plan = make_plan(network, load_board("pynq-z2"))
    images = list(pictures.stack(pictures.builtin()[:2], network.input_shape, network.preprocess))
    results = frames(plan, images, tmp_path)
    agree(plan, images, results, "v1.0")
    assert results[0].first_to_last <= 2_360_000
    assert abs(results[0].first_to_last - plan.timing.total) <= 0.01 * plan.timing.total
