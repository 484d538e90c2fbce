"""Compiles the whole engine with Verilator, without Python in its cycles, and runs packets through it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squeeze_hls.plan.engine import EngineConfig
from squeeze_hls.sim.csim import Start, Transfer, _encode
from tests.rtl.runner import BUILDS, MAKEFLAGS, PACKAGE, RTL, require

HARNESS = Path(__file__).with_name("engine.cpp")
HUNG = 255
COUNTERS = ("cycles", "busy", "stall_weights", "stall_input", "stall_output")


@dataclass(frozen=True)
class Result:
    """What one start gave."""

    error: int
    first_to_last: int  # cycles from the first beat taken to the last logit sent
    counters: dict[str, int]
    beats: np.ndarray  # uint64 (n,), of m_axis_out


def parameters(engine: EngineConfig) -> dict[str, str]:
    """Parameters of squeeze_engine."""
    return {
        "PIX": str(engine.pix),
        "CIN": str(engine.cin),
        "COUT": str(engine.cout),
        "ACT_DEPTH": str(engine.act_depth),
        "TILE_WORDS": str(engine.tile_words),
        "STORE_WORDS": str(engine.store_words),
        "PARAM_DEPTH": str(engine.param_depth),
        "PROGRAM_DEPTH": str(engine.program_depth),
        "LAYER_DEPTH": str(engine.layer_depth),
        "BUFFER_DEPTH": str(engine.buffer_depth),
        "CARRY_WORDS": str(engine.carry_words),
        "KERNEL_MAX": str(engine.kernel_max),
        "ENGINE_ID": f"32'd{engine.identity}",
    }


def build(engine: EngineConfig) -> Path:
    """The compiled simulator of an engine; kept by the digest of its sources."""
    binaries = require()
    sources = [PACKAGE, *sorted(p for p in RTL.glob("*.sv") if p != PACKAGE)]
    digest = hashlib.sha256(repr(engine).encode())
    for path in [*sources, HARNESS]:
        digest.update(path.read_bytes())
    folder = BUILDS / f"engine-{digest.hexdigest()[:16]}"
    binary = folder / "Vsqueeze_engine"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        "verilator", "--cc", "--exe", "--build", "-j", "2", "-O3", "--x-assign", "fast", "--x-initial", "fast",
        "--no-assert", "-Wno-fatal", "-Wno-lint", "--output-split-cfuncs", "500", "-CFLAGS", "-O2",
        "--top-module", "squeeze_engine", "--Mdir", str(folder),
        *(f"-G{name}={value}" for name, value in parameters(engine).items()), *map(str, sources), str(HARNESS),
    ]  # fmt: skip
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "MAKEFLAGS": MAKEFLAGS}
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return binary


def run(
    engine: EngineConfig, script: Sequence[Transfer | Start], folder: Path, *, gaps: int = 0, limit: int = 10_000_000
) -> list[Result]:
    """Feed packets and starts to a fresh engine; a start that exceeds `limit` cycles ends the run with error HUNG."""
    (folder / "script").write_bytes(b"".join(_encode(step) for step in script))
    command = [str(build(engine)), str(folder / "script"), str(folder / "results"), str(gaps), str(limit)]
    subprocess.run(command, check=True, timeout=1800)
    words = np.fromfile(folder / "results", "<u4")
    results, position = [], 0
    while position < len(words):
        head = words[position : position + 8].tolist()
        position += 8
        beats = words[position : position + 2 * head[7]].copy().view("<u8")
        position += 2 * head[7]
        results.append(Result(head[0], head[1], dict(zip(COUNTERS, head[2:7], strict=True)), beats))
    return results
