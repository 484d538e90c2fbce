"""Quantize models and compare them with their float originals on labelled pictures.

    python scripts/bench_quantize.py MODEL... --calibration SET --validation SET [--preprocess caffe]

MODEL is whatever `squeeze-hls quantize` takes.  Prints a Markdown table: time, unchanged predictions with a 95 %
interval, top-1 of both and their paired difference with a 95 % interval.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from squeeze_hls import quantize
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import Graph
from squeeze_hls.quantize import operators as batch
from squeeze_hls.report.accuracy import Comparison, compare


def float_predictions(graph: Graph, images: np.ndarray) -> np.ndarray:
    """Predictions of the float network, int64 (N,)."""
    how = graph.preprocess
    ordered = images if how.channels == "RGB" else images[..., ::-1]
    parts = [
        batch.logits(graph, ((ordered[i : i + 8] - np.array(how.mean)) * np.array(how.scale)).astype(np.float32))
        for i in range(0, len(images), 8)
    ]
    return np.concatenate(parts).argmax(axis=1)


def measure(model: str, calibration: Path, validation: Path, preprocess: str | None) -> tuple[float, Comparison]:
    """Seconds to quantize, and the comparison."""
    graph = load_graph(model, preprocess=preprocess)
    seen = pictures.load(calibration)
    start = time.perf_counter()
    images = pictures.stack(seen, graph.input_shape, graph.preprocess)
    network = quantize.quantize(graph, images)
    seconds = time.perf_counter() - start
    judged = pictures.load(validation)
    if judged.labels is None:
        raise SystemExit(f"{validation} has no labels")
    images = pictures.stack(judged, graph.input_shape, graph.preprocess)
    last = network.nodes[-1].output
    got = np.array([golden.run(network, image)[last].argmax() for image in images])
    return seconds, compare(got, float_predictions(graph, images), judged.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--preprocess")
    arguments = parser.parse_args()
    print("| model | seconds | unchanged | float top-1 | quantized top-1 | difference |\n|---|---|---|---|---|---|")
    for model in arguments.models:
        seconds, c = measure(model, arguments.calibration, arguments.validation, arguments.preprocess)
        low, high = c.unchanged_interval
        down, up = c.difference_interval
        print(
            f"| {Path(model).name} | {seconds:.0f} | {c.unchanged:.1f} % ({low:.1f} to {high:.1f}) "
            f"| {c.reference_top1:.1f} | {c.top1:.1f} | {c.difference:+.1f} ({down:+.1f} to {up:+.1f}) |",
            flush=True,
        )
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
