"""From logits to named classes with probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Guess(NamedTuple):
    """A class that a picture may belong to."""

    index: int  # type: ignore[assignment]  # the class, rather than the method of tuples
    name: str  # the label, or the index where the model has none
    probability: float


def top_k(logits: np.ndarray, scale: float, labels: Sequence[str], k: int = 5) -> list[Guess]:
    """The ``k`` most likely classes, most likely first; of equal ones the smaller index comes first.

    ``logits`` is int (classes,); probabilities are the softmax of the logits times ``scale``.
    """
    real = logits.astype(np.float64) * scale
    weights = np.exp(real - real.max())
    probabilities = weights / weights.sum()
    order = np.argsort(-logits.astype(np.int64), kind="stable")[:k]
    return [Guess(int(i), labels[i] if i < len(labels) else str(i), float(probabilities[i])) for i in order]
