"""From a file or a name to an integer network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squeeze_hls.ir import Graph, IntNetwork
from squeeze_hls.progress import Listener

MAX_CALIBRATION = 1_000  # pictures


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model and how to read it; ``model`` None is the embedded default."""

    model: str | None = None
    preprocess: str | None = None
    labels: Path | None = None
    calibration: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A model as it was read and as integers."""

    graph: Graph
    network: IntNetwork
    sha256: str  # of that file
    quantized: bool  # by us, on the way


def load(source: Source, listener: Listener) -> Loaded:
    """Read a model and, where it is a float one, quantize it."""
    with listener.stage("load") as stage:
        graph, sha256 = read(source, listener)
        height, width, _ = graph.input_shape
        stage.outcome = (
            f"{graph.name}, {height} x {width}, {sum(hasattr(n, 'weight') for n in graph.nodes)} convolutions"
        )
    network, quantized = to_network(graph, source, listener)
    return Loaded(graph=graph, network=network, sha256=sha256, quantized=quantized)


def read(source: Source, listener: Listener) -> tuple[Graph, str]:
    """Graph, and SHA-256 of the file that it was read from."""
    from squeeze_hls import frontend
    from squeeze_hls.frontend import zoo

    model = source.model or zoo.DEFAULT
    graph = frontend.load_graph(model, preprocess=source.preprocess, labels=source.labels, notify=listener.note)
    return graph, frontend.model_sha256(model)


def to_network(graph: Graph, source: Source, listener: Listener) -> tuple[IntNetwork, bool]:
    """Integers of a graph, and whether they had to be found by quantizing a float model."""
    from squeeze_hls.quantize.calibrated import quantize
    from squeeze_hls.quantize.carried import from_quantized, is_quantized

    if is_quantized(graph):
        return from_quantized(graph), False
    with listener.stage("quantize") as stage:
        images = calibration_images(graph, source, listener)
        network = quantize(graph, images, progress=lambda detail, done, total: stage.progress(done, total, detail))
        stage.outcome = f"6-bit weights, 8-bit activations, on {len(images)} pictures"
    return network, True


def calibration_images(graph: Graph, source: Source, listener: Listener) -> np.ndarray:
    """The pictures that a float model is quantized on, u8 (N, H, W, 3)."""
    from squeeze_hls import pictures

    if source.calibration is None:
        listener.note(
            f"{graph.name} is a float model; it is quantized on the built-in pictures (--calibration DIR|FILE.npz)"
        )
        chosen = pictures.builtin()
    else:
        chosen = pictures.load(source.calibration)
    if len(chosen) > MAX_CALIBRATION:
        listener.note(f"{len(chosen)} calibration pictures: the first {MAX_CALIBRATION} are used")
        chosen = chosen[:MAX_CALIBRATION]
    return pictures.stack(chosen, graph.input_shape, graph.preprocess)
