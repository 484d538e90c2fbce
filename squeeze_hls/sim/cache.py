"""Where compiled engines are kept between commands."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def compiled_folder(kind: str) -> Iterator[Path]:
    """The folder ``kind`` of the user's cache, or a temporary one where that cannot be written."""
    from squeeze_hls.frontend.download import cache_dir

    folder = cache_dir() / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if writable:
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="squeeze-hls-") as temporary:
            yield Path(temporary)
