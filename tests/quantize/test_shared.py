"""The quantizer and the golden model on the real networks and pictures (only where they are at hand)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import quantize
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.quantize import operators as batch


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared


@pytest.fixture(scope="module")
def graph(folder: Path) -> Graph:
    return load_graph(folder / "models" / "squeezenet1.0.onnx", preprocess="caffe")


@pytest.fixture(scope="module")
def caffe(folder: Path) -> dict[str, np.ndarray]:
    """What Caffe computed for one picture, (H, W, C)."""
    with np.load(folder / "models" / "caffe_activations_squeezenet1.0.npz", allow_pickle=False) as file:
        return {name: file[name].transpose(1, 2, 0) for name in file.files if file[name].ndim == 3}


@pytest.fixture(scope="module")
def network(folder: Path, graph: Graph) -> IntNetwork:
    """Quantized on a few pictures only, to be quick."""
    few = pictures.load(folder / "images" / "calibration100.npz")[:8]
    return quantize.quantize(graph, pictures.stack(few, graph.input_shape, graph.preprocess))


def test_the_float_network_is_what_caffe_computes(graph: Graph, caffe: dict[str, np.ndarray]) -> None:
    got = batch.run(graph, caffe["data"][None])
    compared = [name for name in caffe if name in got and name != "data"]
    assert len(compared) >= 20
    for name in compared:
        assert np.abs(got[name][0] - caffe[name]).max() < 2e-3, name


def test_the_integer_network_is_close_to_what_caffe_computes(network: IntNetwork, caffe: dict[str, np.ndarray]) -> None:
    # Caffe's input back to the picture: BGR minus its means; the resized pixels were not whole numbers
    image = np.clip(np.rint(caffe["data"] + [104, 117, 123]), 0, 255)[..., ::-1].astype(np.uint8)
    got = golden.run(network, image)
    # inside the network channels are equalized: each has its own factor, so correlation is what can be compared
    for name, least in (("conv10", 0.98), ("fire9/concat", 0.95), ("fire5/squeeze1x1", 0.97), ("pool1", 0.99)):
        wanted, values = caffe[name].reshape(-1, caffe[name].shape[2]), got[name].reshape(-1, caffe[name].shape[2])
        active = (wanted.std(axis=0) > 0.05 * wanted.std()) & (values.std(axis=0) > 0)
        pairs = zip(wanted[:, active].T, values[:, active].T.astype(float), strict=True)
        correlation = [np.corrcoef(a, b)[0, 1] for a, b in pairs]
        assert np.median(correlation) > least, name
    wanted = caffe["conv10"].mean(axis=(0, 1))
    logits = got[network.nodes[-1].output] * network.scale[network.nodes[-1].output]
    assert np.sqrt(((logits - wanted) ** 2).mean() / (wanted**2).mean()) < 0.06
    assert golden.top_k(network, got[network.nodes[-1].output], 1)[0][0] == 967  # espresso


def test_predictions_stay(folder: Path, graph: Graph, network: IntNetwork) -> None:
    chosen = pictures.load(folder / "images" / "validation200.npz")[:20]
    images = pictures.stack(chosen, graph.input_shape, graph.preprocess)
    real = batch.logits(graph, images[..., ::-1] - np.array([104, 117, 123], np.float32)).argmax(axis=1)
    got = np.array([golden.run(network, i)[network.nodes[-1].output].argmax() for i in images])
    assert (got == real).mean() >= 0.8  # 8 calibration pictures; the full figures stand in docs/quantization.md
