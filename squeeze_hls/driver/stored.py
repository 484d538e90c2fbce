"""The golden values that ``selftest`` compares with: written with a build, read on the board.

The folder ``selftest`` holds ``expected.json`` (names of the pictures, identities, checksums), ``images.npy`` (u8
(N, H, W, 3), prepared pictures) and ``logits.npy`` (int32 (N, classes), by the golden model).
"""

from __future__ import annotations

import json
import os
import platform
import zlib
from typing import Any, NamedTuple

import numpy as np

from ._generated import DRIVER_VERSION
from .errors import BadModel
from .model import Model, load_model

MAX_BYTES = 64 * 2**20


class Stored(NamedTuple):
    """What a board should give."""

    folder: str
    model: Model
    engine_id: int
    program_id: int
    weights_id: int  # 0 where weights are streamed
    names: list[str]  # of the pictures, in the folder ``pictures``
    images: np.ndarray  # u8 (N, H, W, 3)
    logits: np.ndarray  # int32 (N, classes)


def load_stored(folder: str) -> Stored:
    """Read the golden values and the model beside them; raises BadModel where they do not belong together."""
    model = load_model(os.path.join(folder, "model.sqz"))
    where = os.path.join(folder, "selftest", "expected.json")
    try:
        if os.path.getsize(where) > MAX_BYTES:
            raise ValueError("too large")
        with open(where, encoding="utf-8") as stream:
            table = json.load(stream)
        stored = Stored(
            folder=folder,
            model=model,
            engine_id=int(table["engine_id"], 16),
            program_id=int(table["program_id"], 16),
            weights_id=int(table["weights_id"], 16),
            names=[os.path.basename(str(row["name"])) for row in table["images"]],
            images=_array(folder, "images.npy"),
            logits=_array(folder, "logits.npy"),
        )
        _check(stored, table)
        return stored
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{where}: cannot be used ({type(error).__name__}: {error}); copy the folder again") from error


def _check(stored: Stored, table: dict[str, Any]) -> None:
    """Raise ValueError where a file was altered, or is of another build."""
    model, count = stored.model, len(stored.names)
    if (stored.engine_id, stored.program_id) != (model.engine_id, model.program_crc):
        raise ValueError("the model is of another build")
    if stored.images.shape != (count, *model.input_shape) or stored.images.dtype != np.uint8:
        raise ValueError("images.npy has another shape")
    if stored.logits.shape != (count, model.classes) or stored.logits.dtype != np.int32:
        raise ValueError("logits.npy has another shape")
    for index, row in enumerate(table["images"]):
        for key, array in (("image_crc32", stored.images[index]), ("logits_crc32", stored.logits[index])):
            if int(row[key], 16) != crc(array):
                raise ValueError(f"{key} of {row['name']} differs")


def _array(folder: str, name: str) -> np.ndarray:
    path = os.path.join(folder, "selftest", name)
    if os.path.getsize(path) > MAX_BYTES:
        raise ValueError(f"{name} is too large")
    return np.array(np.load(path, mmap_mode="r", allow_pickle=False))


def crc(array: np.ndarray) -> int:
    """CRC-32 of an array's little-endian bytes."""
    return zlib.crc32(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())


def environment() -> dict[str, str]:
    """Versions that a result may depend on, and what board this is; nothing of who uses it."""
    import PIL

    versions = {
        "driver": DRIVER_VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "board": os.environ.get("BOARD") or _text_of("/proc/device-tree/model") or "unknown",
        "system": _system(),
    }
    try:
        import pynq

        versions["pynq"] = str(getattr(pynq, "__version__", "unknown"))
    except ImportError:
        versions["pynq"] = "absent"
    return versions


def _system() -> str:
    """The operating system's name and version."""
    for line in _text_of("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return platform.system()


def _text_of(path: str) -> str:
    """A short text file of the system; empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(10_000).strip("\0\n ")
    except OSError:
        return ""
