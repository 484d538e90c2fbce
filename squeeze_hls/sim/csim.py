"""C simulation: the HLS sources, compiled by an ordinary C++ compiler.

One binary serves an engine configuration; programs, weights and images arrive as packets, as on a board.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeeze_hls import tools
from squeeze_hls.emit.hls_memories import headers
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.packets import parse_logits
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.paths import HLS_SOURCES
from squeeze_hls.plan.planner import Plan
from squeeze_hls.sim.protocol import COUNTERS, Packets, Result, Start, Transfer, tensors
from squeeze_hls.sim.trace import trace_type

FLAGS = ("-O2", "-std=c++14", "-Wno-unknown-pragmas")
COMPILE_SECONDS = 300
_IN, _WEIGHTS, _START = range(3)


class CSim:
    """A compiled engine.  ``options`` are further compiler flags, such as ``-DSQUEEZE_COUNT_PORTS`` (every
    memory is read and written once a cycle at most) or ``-DSQUEEZE_EXACT_WIDTHS`` (hardware's widths in the array).

    Raises MissingToolError without compiler or headers, ToolFailedError where they fail.
    """

    def __init__(self, engine: EngineConfig, build_dir: Path, *, options: Sequence[str] = ()) -> None:
        self.engine = engine
        flags = [*FLAGS, *options]
        self.binary = compile_program(HLS_SOURCES / "csim.cpp", headers(engine), flags, build_dir)

    def run(self, script: Sequence[Transfer | Start], *, trace: bool = False, timeout: float = 600) -> list[Result]:
        """Feed beats and starts to a fresh engine; one result for each start.

        Raises ToolFailedError where the simulation ends early, which no sequence of whole packets makes it do.
        """
        with tempfile.TemporaryDirectory(prefix="squeeze-hls-") as name:
            folder = Path(name)
            (folder / "script").write_bytes(b"".join(_encode(step) for step in script))
            command = [str(self.binary), "script", "results", *(["trace"] if trace else [])]
            log = self.binary.with_name(f"run-{os.getpid()}.log")
            tools.run(command, log=log, cwd=folder, timeout=timeout)
            log.unlink()
            results = np.fromfile(folder / "results", "<u4")
            records = np.fromfile(folder / "trace", trace_type(self.engine)) if trace else None
        decoded = _decode(results, records)
        if len(decoded) != sum(isinstance(step, Start) for step in script):
            raise ToolFailedError(f"C simulation: {len(decoded)} results came back")
        return decoded


def compile_program(source: Path, headers: dict[str, str], flags: Sequence[str], build_dir: Path) -> Path:
    """Compile one C++ file with generated headers; a binary of the same inputs is kept in ``build_dir``."""
    cxx, ap_types = tools.require_cxx(), tools.require_hls_headers()
    digest = hashlib.sha256(repr((str(cxx), str(ap_types), list(flags), sorted(headers.items()))).encode())
    for path in sorted({*HLS_SOURCES.glob("*.?pp"), source}):
        digest.update(path.name.encode() + path.read_bytes())
    folder = build_dir / f"{source.stem}-{digest.hexdigest()[:16]}"
    binary = folder / source.stem
    if binary.exists():
        return binary
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in headers.items():
        (folder / name).write_text(text)
    fresh = folder / f"{source.stem}.{os.getpid()}"  # another process may compile the same
    command = [
        str(cxx), *flags, "-isystem", str(ap_types), "-I", str(folder), "-I", str(HLS_SOURCES), str(source),
        "-o", str(fresh),
    ]  # fmt: skip
    tools.run(command, log=folder / "compile.log", timeout=COMPILE_SECONDS)
    fresh.replace(binary)
    return binary


def _encode(step: Transfer | Start) -> bytes:
    if isinstance(step, Start):
        return np.array([_START, 0], "<u4").tobytes()
    count = len(step.words)
    beats = np.zeros((count, 3), "<u4")
    beats[:, :2] = np.ascontiguousarray(step.words, "<u8").view("<u4").reshape(count, 2)
    beats[:, 2] = step.last_flags
    head = np.array([_WEIGHTS if step.weights else _IN, count], "<u4")
    return head.tobytes() + beats.tobytes()


def _decode(words: np.ndarray, records: np.ndarray | None) -> list[Result]:
    results, position, traced = [], 0, 0
    while position < len(words):
        error, *counters, records_so_far, count = words[position : position + 9].tolist()
        position += 9
        beats = words[position : position + 4 * count].reshape(count, 4).astype(np.uint64)
        position += 4 * count
        result = Result(
            error=error,
            counters=dict(zip(COUNTERS, counters, strict=True)),
            beats=beats[:, 1] << np.uint64(32) | beats[:, 0],
            keep=beats[:, 2].astype(int),
            last=beats[:, 3].astype(bool),
            trace=np.zeros(0) if records is None else records[traced:records_so_far],
        )
        traced = records_so_far
        results.append(result)
    return results


# --- whole networks ---


class SimulatedEngine:
    """A compiled engine with one program and its weights; each call begins with a fresh engine.

    ``weights`` is ``weights.bin``; in streamed mode what is streamed is cut from it.
    """

    def __init__(self, engine: EngineConfig, program: bytes, weights: bytes, simulation: CSim) -> None:
        self._packets, self._simulation = Packets(engine, program, weights), simulation
        self.program = self._packets.program

    def run(self, images: Sequence[np.ndarray], *, trace: bool = False) -> list[Result]:
        """Results of u8 (H, W, 3) images back to back; rows are fetched ahead, as all are in the stream at once.

        Raises ToolFailedError where a start ends with an error code.
        """
        results = self._simulation.run(self._packets.script(images), trace=trace)
        for number, result in enumerate(results):
            if result.error:
                raise ToolFailedError(f"C simulation: start {number} ended with error code {result.error}")
        return results[-len(images) :]

    def logits(self, image: np.ndarray) -> np.ndarray:
        """int32 (classes,) of one image."""
        return parse_logits(self.run([image])[0].beats, self.program.header.classes)


def run_frames(plan: Plan, images: Sequence[np.ndarray], simulation: CSim) -> list[dict[str, np.ndarray]]:
    """Every tensor that the compiled engine writes for u8 (H, W, 3) images that follow each other."""
    simulated = SimulatedEngine(plan.engine, plan.program_bin, plan.weights_bin, simulation)
    return [tensors(plan, result.beats, result.trace) for result in simulated.run(images, trace=True)]


def run(plan: Plan, image: np.ndarray, build_dir: Path) -> dict[str, np.ndarray]:
    """Every tensor of one u8 (H, W, 3) image, logits included, by the golden model's names and shapes."""
    return run_frames(plan, [image], CSim(plan.engine, build_dir))[0]
