"""Is a model refused in one clear line, or computed as the judge computes it?"""

from __future__ import annotations

import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from squeeze_hls.errors import SqueezeError
from squeeze_hls.frontend import load_graph, safe_name
from squeeze_hls.network import golden
from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.quantize import is_quantized, scales, to_int
from tests.differential import runners
from tests.differential.case import Case
from tests.differential.compare import Difference, compare_graph, compare_network, compare_output

JUDGED = 2  # pictures
LOOSE = 0.3  # of the logits' span: what quantizing a float network of a few channels may cost
DEVIATIONS = 6  # standard deviations of rounding, which no network is judged by
LONGEST_LINE = 600
SAMPLE = 4000  # values of a map: these are small, and the usual sample would only repeat them


@dataclass
class Verdict:
    """``kind``: accepted, refused, unjudged, silent, foreign (an exception that is not ours) or unclear (a refusal)."""

    kind: str
    reason: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.kind in ("silent", "foreign", "unclear")


def judge(case: Case, folder: Path) -> Verdict:
    """Read the model, quantize it, run the golden model, and compare; ``folder`` is for its files."""
    images = case.pictures()
    try:
        graph, network, logits = _computed(case, images, folder)
    except SqueezeError as error:
        return _refusal(str(error))
    except Exception as error:  # whatever it is, it is a finding
        return Verdict("foreign", f"{type(error).__name__}: {error} at {_place(error)}")
    try:
        return _judged(case, graph, network, images, logits)
    except runners.CannotRun as error:
        return Verdict("unjudged", str(error))
    except Difference as difference:
        return Verdict("silent", str(difference))


def _computed(case: Case, images: np.ndarray, folder: Path) -> tuple[Graph, IntNetwork, list[np.ndarray]]:
    """Network, and its logits for the judged pictures, real numbers."""
    path, preprocess = case.write(folder)
    with warnings.catch_warnings(), mock.patch.object(scales, "SAMPLE", SAMPLE):
        warnings.simplefilter("error")
        graph = load_graph(path, preprocess=preprocess)
        seen = _levelled(images, graph.preprocess.levels)
        if graph.input_shape != seen.shape[1:]:
            raise Difference(f"the input is {graph.input_shape}")
        network = to_int(graph, seen)
        last = network.nodes[-1].output
        logits = [golden.run(network, image)[last] * network.scale[last] for image in seen[:JUDGED]]
    return graph, network, logits


def _levelled(images: np.ndarray, levels: tuple[bytes, bytes, bytes] | None) -> np.ndarray:
    if levels is None:
        return images
    tables = np.frombuffer(b"".join(levels), np.uint8).reshape(3, 256)
    return tables[np.arange(3), images]


def _refusal(message: str) -> Verdict:
    clear = message.isprintable() and 20 < len(message) < LONGEST_LINE and message.rstrip().endswith((".", ")", "]"))
    return Verdict("refused" if clear else "unclear", message)


def _place(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "squeeze_hls" in f.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"


def _judged(case: Case, graph: Graph, network: IntNetwork, images: np.ndarray, found: list[np.ndarray]) -> Verdict:
    exact = is_quantized(graph)
    truths, errors = [], []
    for image, quantized in zip(images[:JUDGED], found, strict=True):
        pixels = _levelled(image, graph.preprocess.levels)
        x, seen = (prepared(p, how) for p, how in ((image, case.preprocess()), (pixels, graph.preprocess)))
        common = _check_input(case, graph, x, seen)
        given = seen if common else x
        wanted = _counterparts(case, [n.output for n in graph.nodes])
        judged = runners.tensors(case, given, {name for names in wanted.values() for name in names})
        pairs = {t: [judged[n] for n in names if n in judged] for t, names in wanted.items()}
        own = compare_network(case, network, graph, pixels, pairs) if exact else compare_graph(case, graph, seen, pairs)
        compare_output(case, own.real, own.bound, judged[case.model.graph.output[0].name])
        truths.append(own)
        errors.append(np.abs(own.real - quantized))
    logits = np.stack([own.real for own in truths])
    span, largest = float(np.ptp(logits)), max(float(np.abs(logits).max()), 1e-6)
    dull = float(np.ptp(logits, axis=0).max()) < 1e-6 * largest
    size = largest if dull or len(logits[0]) == 1 else span
    figures = {
        "loss": 0.0 if exact or case.uneven else float(np.max(errors)) / size,
        "dull": float(dull),
        "exact": float(exact),
    }
    noise = np.stack([np.broadcast_to(own.noise, own.real.shape) for own in truths])
    if figures["loss"] > LOOSE and (errors > np.maximum(LOOSE * size, DEVIATIONS * noise)).any():
        raise Difference(f"quantized, the logits are {figures['loss']:.0%} of their span away")
    return Verdict("accepted", figures=figures)


def prepared(pixels: np.ndarray, how: Any) -> np.ndarray:
    """u8 (H, W, 3) RGB as the model takes it: float32 (1, 3, H, W)."""
    ordered = pixels if how.channels == "RGB" else pixels[:, :, ::-1]
    values = (ordered.astype(np.float32) - np.array(how.mean, np.float32)) * np.array(how.scale, np.float32)
    return values.transpose(2, 0, 1)[None]


def _check_input(case: Case, graph: Graph, x: np.ndarray, seen: np.ndarray) -> bool:
    """What the network sees must be what the preprocessing says; whether it is that in common steps of the colours.

    The steps of a model's own quantizer of the picture are judged with its first convolution.
    """
    if case.picture_quantizer and graph.preprocess.levels is not None:
        return False
    away = float(np.abs(x - seen).max())
    step = max(graph.preprocess.scale)
    if graph.preprocess.levels is not None:
        if away > 0.51 * step:
            raise Difference(f"input: pixels are {away / step:.3g} common steps away")
        return True
    if away > 1e-4 * max(float(np.abs(x).max()), 1e-6):
        raise Difference(f"input: preprocessed pixels differ by {away:.3g}")
    return False


def _counterparts(case: Case, tensors: list[str]) -> dict[str, list[str]]:
    """The ONNX tensors that one of ours may be, by name."""
    by_safe: dict[str, list[str]] = {}
    for node in case.model.graph.node:
        for name in node.output:
            by_safe.setdefault(safe_name(name), []).append(name)
    return {t: by_safe.get(t if t in by_safe else t.rpartition("~")[0], []) for t in tensors}
