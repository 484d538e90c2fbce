"""The compiled engine of a bitstream, from the cache that ``squeeze-hls simulate`` uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.sim.board import bitfile
from squeeze_hls.sim.cache import compiled_folder
from squeeze_hls.sim.verilate import compile_engine


@contextmanager
def compiled(engine: EngineConfig, *, before: Callable[[], None] | None = None) -> Iterator[Path]:
    """The library, which may be gone afterwards; ``before`` is called where it must be compiled first."""
    with compiled_folder("rtl") as folder:
        yield compile_engine(engine, folder, before=before)


def prepare(path: Path | str, *, before: Callable[[], None] | None = None) -> None:
    """Compile the engine of a bitstream of the simulated board, so that its first overlay need not wait for it.

    ``before`` is called where that has not happened before.  Raises InputError for what is no such bitstream,
    MissingToolError without Verilator, and ToolFailedError where it fails.
    """
    with compiled(bitfile.read(Path(path)).engine, before=before):
        pass
