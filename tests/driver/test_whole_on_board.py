"""The whole SqueezeNet v1.1 through driver and PYNQ on the simulated board, and a swap with another network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls import cli
from squeeze_hls.driver import Accelerator
from squeeze_hls.flows.source import Source, load
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.progress import SILENT
from squeeze_hls.quantize.export import to_onnx
from tests.driver.on_board import ROOT, needs_pynq
from tests.networks import random_network

needs_pynq()
pytestmark = pytest.mark.board

COUNT = 5
SEED = 11  # of the other network


def real_pictures(folder: Path) -> list[Path]:
    """Validation pictures of ImageNet where they are at hand, else the built-in ones."""
    shared = Path(os.environ.get("SQUEEZE_HLS_SHARED", ROOT.parent / "shared")) / "images" / "validation200.npz"
    if not shared.is_file():
        return sorted(pictures.BUILTIN.glob("*.jpg"))[:COUNT]
    with np.load(shared, allow_pickle=False) as archive:
        jpeg, offsets = archive["jpeg"], archive["offsets"]
    found = [folder / f"{i}.jpg" for i in range(COUNT)]
    for i, path in enumerate(found):
        path.write_bytes(jpeg[offsets[i] : offsets[i + 1]].tobytes())
    return found


def build(*arguments: str) -> None:
    assert cli.run(["build", *arguments, "-q"]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deploy folder of the built-in network, and ``other.sqz``: another network that was built for its engine."""
    from squeeze_hls.sim import board

    whole, other = tmp_path_factory.mktemp("whole") / "build", tmp_path_factory.mktemp("other")
    deploy = whole / "deploy"
    build("--board", "pynq-z2", "--verify", "none", "--flow", "rtl", "--out", str(whole))
    (deploy / "other.onnx").write_bytes(to_onnx(random_network(SEED), "qdq"))
    build(str(deploy / "other.onnx"), "--engine", str(whole), "--verify", "none", "--out", str(other))
    (other / "deploy" / "model.sqz").rename(deploy / "other.sqz")
    board.make(whole, deploy)
    return deploy


@pytest.fixture
def accelerator(device: Any, folder: Path) -> Iterator[Accelerator]:
    with Accelerator(folder / "squeeze_engine.bit") as accelerator:
        yield accelerator


def right(network: IntNetwork, images: list[Path]) -> np.ndarray:
    """The golden model's logits."""
    output = network.nodes[-1].output
    prepared = [pictures.prepare(pictures.read(path), network.input_shape, network.preprocess) for path in images]
    return np.stack([golden.run(network, image)[output].reshape(-1) for image in prepared])


def test_the_whole_network_there_and_back(accelerator: Accelerator, folder: Path, tmp_path: Path) -> None:
    images = real_pictures(tmp_path)
    sources = Source(), Source(model=str(folder / "other.onnx"))
    network, other = (load(source, SILENT).network for source in sources)
    logits = right(network, images)
    assert len({values.tobytes() for values in logits}) == COUNT
    np.testing.assert_array_equal(accelerator.logits(images[: COUNT - 1]), logits[: COUNT - 1])
    guesses = accelerator.classify(images[0])
    assert [tuple(guess) for guess in guesses] == golden.top_k(network, logits[0], 5)

    accelerator.load_model(folder / "other.sqz")
    assert accelerator.model.classes == other.classes != network.classes
    others = right(other, images)
    assert len({values.tobytes() for values in others}) > 1
    np.testing.assert_array_equal(accelerator.logits(images), others)

    accelerator.load_model(folder / "model.sqz")
    np.testing.assert_array_equal(accelerator.logits(images[COUNT - 1 :]), logits[COUNT - 1 :])
    assert accelerator.counters()["frames"] == 2 * COUNT + 1
