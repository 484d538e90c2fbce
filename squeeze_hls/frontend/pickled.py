"""Unpickling of NumPy arrays and nothing else."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from squeeze_hls.errors import InputError

# what the pickle of an array refers to: under its old module name, and the new one of NumPy 2
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_KIND = "ndarray"  # stands for the class, which could be called with any size


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return _KIND
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module in _MODULES and name == "_reconstruct":
            return _empty
        raise pickle.UnpicklingError("not an array")


def _empty(kind: object, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """Stands for NumPy's own _reconstruct: an empty array, which the pickle then fills."""
    if kind is not _KIND or tuple(shape) != (0,):
        raise pickle.UnpicklingError("not an array")
    return np.ndarray((0,), np.int8)


def load_arrays(data: bytes, where: str) -> dict[str, list[np.ndarray]]:
    """Lists of arrays by name.

    Raises InputError, beginning with ``where``, for a pickle that holds anything else; nothing of such a
    pickle is executed.
    """
    try:
        value = _ArraysOnly(io.BytesIO(data)).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{where}: not a pickle of NumPy arrays alone; it was not read.") from error
    good = isinstance(value, dict) and all(
        isinstance(key, str)
        and isinstance(arrays, (list, tuple))
        and all(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays)
        for key, arrays in value.items()
    )
    if not good:
        raise InputError(f"{where}: not lists of floating-point arrays by name.")
    return {key: list(arrays) for key, arrays in value.items()}
