"""Error-compensating rounding of weights to 6-bit integers.

The error of a convolution's output on the calibration pictures is a quadratic form of its weights: for
one output channel ``(w - t) H (w - t)``, where ``t`` is the best real-valued weight vector and ``H`` the
covariance of what the convolution sees.  Rounding goes through the weights one by one and lets those
that are still real compensate the error made (OPTQ/GPTQ, Frantar et al. 2023, after OBQ); then single
weights move to a neighbouring integer as long as that helps (coordinate descent, as in QuantEase,
Behdin et al. 2023).  Weights that were pruned stay zero: a row is compensated within its own support.
"""

from __future__ import annotations

import numpy as np

from squeeze_hls.network import arith

SWEEPS = 12


def round_weights(target: np.ndarray, hessian: np.ndarray, scale: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Integers (O, K) such that ``integers * scale`` is close to ``target`` under ``hessian``.

    ``target`` is float64 (O, K), ``hessian`` float64 (K, K) positive definite, ``scale`` float64 (O,) and
    ``support`` bool (O, K): where it is False the integer is zero, as ``target`` is.
    """
    dense = support.all(axis=1)
    result = np.zeros(target.shape)
    if dense.any():
        result[dense] = compensate(target[dense], hessian, scale[dense])
    for row in np.flatnonzero(~dense & support.any(axis=1)):
        kept = np.flatnonzero(support[row])
        result[row, kept] = compensate(target[row : row + 1, kept], hessian[np.ix_(kept, kept)], scale[row : row + 1])
    return descend(result, target, hessian, scale, support)


def compensate(target: np.ndarray, hessian: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """GPTQ on rows that share one Hessian: float64 integers (R, K)."""
    order = np.argsort(-np.diag(hessian), kind="stable")  # what matters most first, while all can compensate
    upper = _upper(hessian[np.ix_(order, order)])
    work = np.ascontiguousarray(target[:, order].T)
    result = np.empty_like(work)
    for j in range(len(order)):
        result[j] = to_grid(work[j] / scale)
        error = (work[j] - result[j] * scale) / upper[j, j]
        work[j + 1 :] -= upper[j, j + 1 :, None] * error
    back = np.empty_like(target)
    back[:, order] = result.T
    return back


def _upper(hessian: np.ndarray) -> np.ndarray:
    """Upper Cholesky factor of the inverse; inputs that hardly vary may want more damping than they have."""
    size = np.eye(len(hessian)) * float(np.abs(np.diag(hessian)).mean())
    for damping in (0.0, 1e-4, 1e-2, 1.0):
        try:
            inverse = np.linalg.inv(hessian + damping * size)
            return np.linalg.cholesky((inverse + inverse.T) / 2).T
        except np.linalg.LinAlgError:
            continue
    return np.eye(len(hessian))


def descend(
    integers: np.ndarray, target: np.ndarray, hessian: np.ndarray, scale: np.ndarray, support: np.ndarray
) -> np.ndarray:
    """Move single integers as long as the quadratic error falls; float64 (O, K)."""
    current = np.ascontiguousarray(integers.T)
    slope = hessian @ (current * scale - target.T)  # half the gradient, (K, O)
    diagonal, kept = np.diag(hessian), np.ascontiguousarray(support.T)
    for _ in range(SWEEPS):
        moved = 0
        for j in range(len(diagonal)):
            best = to_grid(current[j] - slope[j] / (diagonal[j] * scale))
            step = np.where(kept[j], best - current[j], 0)
            rows = np.flatnonzero(step)
            if len(rows):
                moved += len(rows)
                current[j, rows] += step[rows]
                slope[:, rows] += np.outer(hessian[:, j], step[rows] * scale[rows])
        if not moved:
            break
    return current.T


def to_grid(values: np.ndarray) -> np.ndarray:
    """Nearest integers that 6 bits hold, as float64."""
    return np.clip(np.rint(values), arith.WEIGHT_MIN, arith.WEIGHT_MAX)


def error(integers: np.ndarray, target: np.ndarray, hessian: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The quadratic error of each row, float64 (O,)."""
    away = integers * scale[:, None] - target
    return ((away @ hessian) * away).sum(axis=1)
