"""Integer networks on many pictures at a time, and how their predictions differ from those of the float network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.quantize import operators as batch

PICTURES = 8  # at a time
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How predictions differ from those of the float network."""

    divergence: float  # Kullback-Leibler, mean over pictures, nats
    agreement: float  # percent of pictures with the same most likely class
    pictures: int


def difference(logits: np.ndarray, reference: np.ndarray) -> Difference:
    """Compare logits (N, classes) with those of the float network; both in real units."""
    own, true = _log_softmax(logits), _log_softmax(reference)
    divergence = (np.exp(true) * (true - own)).sum(axis=1).mean()
    same = (logits.argmax(axis=1) == reference.argmax(axis=1)).mean()
    return Difference(divergence=max(float(divergence), 0.0), agreement=100 * float(same), pictures=len(logits))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def integer_logits(network: IntNetwork, images: np.ndarray, progress: Progress | None = None) -> np.ndarray:
    """Logits of an integer network in real units, float64 (N, classes); ``images`` are u8 (N, H, W, 3).

    The integers are those of the golden model, many pictures at a time.
    """
    parts, output = [], network.nodes[-1].output
    for start in range(0, len(images), PICTURES):
        if progress:
            progress(start, len(images))
        parts.append(batch.run_integers(network, images[start : start + PICTURES])[output][:, 0, 0])
    return np.concatenate(parts) * network.scale[output]
