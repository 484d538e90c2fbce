"""Statistics of predictions: accuracy, and how two models compare on the same pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from squeeze_hls.errors import InputError

NORMAL_95 = 1.959964


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What a model said about a set of pictures; percentages are None where the set has no labels."""

    predictions: np.ndarray  # int64 (N,)
    top1: float | None
    top5: float | None
    images: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model against a reference, in percent of the pictures that both saw."""

    images: int
    unchanged: float  # the same prediction
    unchanged_interval: tuple[float, float]  # 95 %, Wilson
    top1: float
    reference_top1: float
    difference: float  # top1 - reference_top1, percentage points
    difference_interval: tuple[float, float]  # 95 %, paired
    lost: int  # pictures that only the reference gets right
    won: int  # pictures that only the model gets right
    p_value: float  # McNemar's exact test: so uneven a split, or worse, of those if both models were equally good


def evaluate(logits: Iterable[np.ndarray], labels: np.ndarray | None) -> Result:
    """Rank the classes of each picture by its logits (classes,), and count what is right where labels (N,) are known.

    Of equal logits the smaller class index wins.
    """
    ranked = [np.argsort(-values.astype(np.float64), kind="stable")[:5] for values in logits]
    order = np.stack(ranked).astype(np.int64)
    top1 = top5 = None
    if labels is not None:
        hits = order == labels[:, None]
        top1, top5 = 100 * float(hits[:, 0].mean()), 100 * float(hits.any(axis=1).mean())
    return Result(predictions=order[:, 0], top1=top1, top5=top5, images=len(order))


def compare(predictions: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> Comparison:
    """Compare int (N,) predictions of two models on the same labelled pictures.

    The interval of the difference is the normal one of the per-picture differences, which are -1, 0 or 1;
    that of the agreement is Wilson's score interval (1927).  Raises InputError where the numbers differ.
    """
    count = len(labels)
    if not len(predictions) == len(reference) == count or not count:
        raise InputError(f"{len(predictions)} and {len(reference)} predictions for {count} labels cannot be compared")
    same, interval = agreement(predictions, reference)
    gain = (predictions == labels).astype(float) - (reference == labels)
    spread = NORMAL_95 * float(gain.std(ddof=1) if count > 1 else 1.0) / count**0.5
    middle = float(gain.mean())
    return Comparison(
        images=count,
        unchanged=same,
        unchanged_interval=interval,
        top1=100 * float((predictions == labels).mean()),
        reference_top1=100 * float((reference == labels).mean()),
        difference=100 * middle,
        difference_interval=(100 * (middle - spread), 100 * (middle + spread)),
        lost=int((gain < 0).sum()),
        won=int((gain > 0).sum()),
        p_value=mcnemar(int((gain < 0).sum()), int((gain > 0).sum())),
    )


def agreement(predictions: np.ndarray, reference: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Percent of int (N,) predictions that are alike, and Wilson's 95 % interval of it."""
    same = float((predictions == reference).mean())
    return 100 * same, _wilson(same, len(reference))


def mcnemar(lost: int, won: int) -> float:
    """Two-sided p-value of McNemar's exact test (1947): of ``lost + won`` fair coins so many or more fall alike."""
    count = lost + won
    tail = sum(math.comb(count, k) for k in range(min(lost, won) + 1))
    return min(1.0, 2 * tail / 2**count)


def _wilson(share: float, count: int) -> tuple[float, float]:
    z = NORMAL_95**2 / count
    middle = (share + z / 2) / (1 + z)
    half = (share * (1 - share) * z + z * z / 4) ** 0.5 / (1 + z)
    return 100 * (middle - half), 100 * (middle + half)


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the two models."""

    name: str
    numbers: str  # "float" or "6 bit"
    result: Result
    weights: int
    weight_bytes: int  # float32, or what the board's store takes
    residency: str | None  # of the plan for the board; None for a float model
    cycles: int | None  # of one picture, predicted; None for a float model
    notes: tuple[str, ...]  # what one should know of the model
