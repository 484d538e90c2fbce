"""Exact comparison of integer tensors, with a message that shows where to look."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from squeeze_hls.errors import MismatchError


def difference(name: str, got: np.ndarray, expected: np.ndarray) -> str | None:
    """None where two integer arrays agree in every element, else one line that names the first that differs."""
    if got.shape != expected.shape:
        return f"{name}: shape {got.shape}, expected {expected.shape}"
    wrong = np.asarray(got, np.int64) != np.asarray(expected, np.int64)
    if not wrong.any():
        return None
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{name}: {int(wrong.sum())} of {wrong.size} elements differ, the first at {list(where)}: "
        f"got {got[where]}, expected {expected[where]}"
    )


def assert_same(got: Mapping[str, np.ndarray], golden: Mapping[str, np.ndarray], *, what: str = "") -> None:
    """Raise MismatchError unless every tensor in `got` equals the golden one of that name."""
    for name, tensor in got.items():
        found = difference(name, tensor, golden[name])
        if found:
            raise MismatchError(f"{what}: {found}" if what else found)
