"""Rounding weights to integers that an entropy code makes short.

Uniform rounding followed by an entropy code is within a quarter of a bit of the best that any quantizer of
single weights can do (Gish and Pierce 1968), so no weight is pruned on purpose: zeros are frequent, hence short.
What a weight becomes is the integer with the least ``error + slope * bits`` (entropy-constrained
quantization, Chou, Lookabaugh and Gray 1989); weights that are still real compensate the error made
(OPTQ/GPTQ, Frantar et al. 2023), then single integers move as long as that helps.

With steps of one length D(R) falls by 2 ln 2 nats a bit (6 dB), and D is a twelfth of the squared step: that fixes
the price of a bit against squared error, in squares of the step.
"""

from __future__ import annotations

import numpy as np

from squeeze_hls.network import arith

SLOPE = 2 * np.log(2) / 12  # squared steps that a bit is worth
UNSEEN = 0.1  # counts of every value in a histogram before any weight is seen
ROUNDS = 2  # of compensation, each with the bits that the values of the one before take
SWEEPS = 6
VALUES = arith.WEIGHT_MAX - arith.WEIGHT_MIN + 1


def bits_of(integers: np.ndarray) -> np.ndarray:
    """Bits of every value -32..31 in an ideal code for ``integers`` (float64 whole numbers), float64 (64,)."""
    seen = integers.astype(np.int64).reshape(-1) - arith.WEIGHT_MIN
    counts = np.bincount(seen, minlength=VALUES) + UNSEEN
    return -np.log2(counts / counts.sum())


def choose(real: np.ndarray, bits: np.ndarray, slope: np.ndarray | float) -> np.ndarray:
    """Of each real number the integer z with the least ``(real - z)**2 + slope * bits[z]``, float64.

    Candidates are the nearest integer, the next one towards zero, and zero.
    """
    best = np.clip(np.rint(real), arith.WEIGHT_MIN, arith.WEIGHT_MAX)
    lowest = _cost(real, best, bits, slope)
    for candidate in (best - np.sign(best), np.zeros_like(best)):
        cost = _cost(real, candidate, bits, slope)
        best, lowest = np.where(cost < lowest, candidate, best), np.minimum(cost, lowest)
    return best


def _cost(real: np.ndarray, integers: np.ndarray, bits: np.ndarray, slope: np.ndarray | float) -> np.ndarray:
    return np.square(real - integers) + slope * bits[integers.astype(np.int64) - arith.WEIGHT_MIN]


def spare_variance(hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How inputs are ordered, and how much of each its successors cannot make up for.

    The order (K,) is by falling variance.  Rounding weight ``order[j]`` by ``e`` costs ``e * e * spare[j]`` once
    the weights after it have been adapted: the second result, float64 (K,), is the variance of that input, given those
    after it.
    """
    order = np.argsort(-np.diag(hessian), kind="stable")
    return order, np.diag(_factor(hessian, order)) ** -2.0


def _factor(hessian: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Upper Cholesky factor of the inverse of the reordered Hessian."""
    inverse = np.linalg.inv(hessian[np.ix_(order, order)])
    return np.linalg.cholesky((inverse + inverse.T) / 2).T


def round_coded(target: np.ndarray, hessian: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Integers (O, K) such that ``integers * step`` is close to ``target`` and the integers are short.

    ``target`` is float64 (O, K), ``hessian`` float64 (K, K) positive definite, ``step`` float64 (O,).
    """
    order, spare = spare_variance(hessian)
    factor = _factor(hessian, order)
    price = SLOPE * np.exp(np.log(spare).mean())  # of a bit, against errors of the outputs in squared steps
    bits = bits_of(choose(target / step[:, None], np.zeros(VALUES), 0.0))
    for _ in range(ROUNDS):
        integers = compensate(target, order, factor, step, bits, price)
        bits = bits_of(integers)
    return descend(integers, target, hessian, step, bits, price)


def compensate(
    target: np.ndarray, order: np.ndarray, factor: np.ndarray, step: np.ndarray, bits: np.ndarray, price: float
) -> np.ndarray:
    """One integer after the other, all rows at once; those that follow are moved to make up for its error."""
    work = np.ascontiguousarray(target[:, order].T)
    result = np.empty_like(work)
    for j in range(len(order)):
        own = factor[j, j]
        result[j] = choose(work[j] / step, bits, price * own * own)
        error = (work[j] - result[j] * step) / own
        work[j + 1 :] -= factor[j, j + 1 :, None] * error
    back = np.empty_like(target)
    back[:, order] = result.T
    return back


def descend(
    integers: np.ndarray, target: np.ndarray, hessian: np.ndarray, step: np.ndarray, bits: np.ndarray, price: float
) -> np.ndarray:
    """Move single integers as long as error and bits together fall; float64 (O, K)."""
    current = np.ascontiguousarray(integers.T)
    gradient = hessian @ (current * step - target.T)  # half of it, (K, O)
    for _ in range(SWEEPS):
        moved = 0
        for j, curvature in enumerate(np.diag(hessian)):
            best = choose(current[j] - gradient[j] / (curvature * step), bits, price / curvature)
            rows = np.flatnonzero(best != current[j])
            if len(rows):
                moved += len(rows)
                change = (best - current[j])[rows]
                current[j, rows] += change
                gradient[:, rows] += np.outer(hessian[:, j], change * step[rows])
        if not moved:
            break
    return current.T


def settle(integers: np.ndarray, target: np.ndarray, hessian: np.ndarray, step: np.ndarray) -> np.ndarray:
    """``descend`` from integers that were chosen for slightly other steps, with the bits that they take now."""
    price = SLOPE * np.exp(np.log(spare_variance(hessian)[1]).mean())
    return descend(integers, target, hessian, step, bits_of(integers), price)
