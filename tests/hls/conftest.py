"""Compiled engines, once a session; skipped where there is no compiler or no HLS headers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import tools
from squeeze_hls.emit.hls_memories import headers
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.sim.csim import FLAGS, CSim, compile_program

UNITS = Path(__file__).parent / "units.cpp"
Build = Callable[..., CSim]
Unit = Callable[..., np.ndarray]

RESIDENT = EngineConfig(
    pix=3, cin=8, cout=16, act_pieces=(512, 128), store_pieces=(32768,), tile_words=256, carry_words=4096
)
STREAMED = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(512, 128), store_pieces=(), tile_words=256, carry_words=4096)


@pytest.fixture(scope="session")
def needs_compiler() -> None:
    if tools.find_cxx() is None:
        pytest.skip("no C++ compiler: install g++")
    if tools.hls_headers() is None:
        pytest.skip("no ap_int.h: pip install 'squeeze-hls[csim]'")


@pytest.fixture(scope="session")
def build(needs_compiler: None, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """(engine, *options) -> CSim."""
    folder = tmp_path_factory.mktemp("csim")
    return cache(lambda engine, *options: CSim(engine, folder, options=options))


@pytest.fixture(scope="session")
def unit(needs_compiler: None, tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """(name, inputs, engine) -> outputs of one unit of units.cpp, both int32."""
    folder = tmp_path_factory.mktemp("units")

    @cache
    def binary(engine: EngineConfig) -> Path:
        flags = [*FLAGS, "-DSQUEEZE_COUNT_PORTS", "-DSQUEEZE_EXACT_WIDTHS"]
        return compile_program(UNITS, headers(engine), flags, folder)

    def run(name: str, inputs: np.ndarray, engine: EngineConfig = RESIDENT) -> np.ndarray:
        np.asarray(inputs).astype("<i4").tofile(folder / "in")
        tools.run([str(binary(engine)), name, "in", "out"], log=folder / "log", cwd=folder, timeout=120)
        return np.fromfile(folder / "out", "<i4")

    return run


def record_words(words: list[int]) -> list[int]:
    """64-bit words of a record as pairs of int32, low half first."""
    return np.array(words, "<u8").view("<i4").tolist()
