"""What calibration pictures say about one convolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

DAMPING = 0.1  # of the mean diagonal; keeps a few pictures from deciding too much
NOISE = 4e-6  # of a mean square: error of sums in float32
LEAST_DAMPING = 1 / 12  # what rounding integers does to them; also where an input hardly varies


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Second moments of what a convolution sees (x) and what it should give (y), about their means."""

    hessian: np.ndarray  # float64 (K, K): covariance of x, damped so that it is positive definite
    cross: np.ndarray  # float64 (O, K): covariance of y and x
    mean_in: np.ndarray  # float64 (K,)
    mean_out: np.ndarray  # float64 (O,)
    damping: float


def moments(chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Moments:
    """Moments of float32 chunks (x (pixels, K), y (pixels, O))."""
    count, parts = 0, None
    for x, y in chunks:
        sums = [x.T @ x, y.T @ x, x.sum(axis=0, dtype=np.float64), y.sum(axis=0, dtype=np.float64)]
        sums = [s.astype(np.float64) for s in sums]
        parts = sums if parts is None else [a + b for a, b in zip(parts, sums, strict=True)]
        count += len(x)
    assert parts is not None
    square, cross, mean_in, mean_out = (p / count for p in parts)
    square -= np.outer(mean_in, mean_in)
    cross -= np.outer(mean_out, mean_in)
    constant = np.diag(square) <= NOISE * mean_in**2  # what float32 leaves of an input that never changes
    square[constant], square[:, constant], cross[:, constant] = 0.0, 0.0, 0.0
    damping = max(DAMPING * float(np.diag(square).mean()), LEAST_DAMPING)
    square[np.diag_indices(len(square))] += damping
    return Moments(hessian=square, cross=cross, mean_in=mean_in, mean_out=mean_out, damping=damping)


def best_weights(given: Moments, start: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Real weights (O, K) that reproduce y best; damping draws them to ``start``; zero outside ``support``."""
    wanted = given.cross + given.damping * start
    dense = support.all(axis=1)
    result = np.zeros_like(start)
    if dense.any():
        result[dense] = np.linalg.solve(given.hessian, wanted[dense].T).T
    for row in np.flatnonzero(~dense & support.any(axis=1)):
        kept = np.flatnonzero(support[row])
        result[row, kept] = np.linalg.solve(given.hessian[np.ix_(kept, kept)], wanted[row, kept])
    return result
