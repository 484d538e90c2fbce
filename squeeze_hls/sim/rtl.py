"""RTL simulation: whole networks on the Verilated engine, frame in and logits out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.packets import parse_logits
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.plan.planner import Plan
from squeeze_hls.sim.protocol import COUNTERS, Packets, Result, tensors
from squeeze_hls.sim.rtl_engine import IN, INTERRUPT, OUT, RtlEngine, Stamp
from squeeze_hls.sim.verilate import compile_engine

LIMIT = 20_000_000  # cycles of one start; the slowest network of the zoo takes 2.3 million
SETTLED = 100  # cycles beside the chunks of two tiles, and more
Watch = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class RtlResult(Result):
    """What one start gave, and when."""

    first: int  # cycle in which the packet's first beat was taken
    end: int  # cycle in which the last logit was taken; of other packets, that of the interrupt
    activity: np.ndarray  # int64 (instructions, 4): see RtlEngine.activity; empty where nothing is observed

    @property
    def cycles(self) -> int:
        """From the first beat in to the last logit out, both included; of an image that was received during the
        one before, the time it waited is in it: ``counters["cycles"]`` is not.
        """
        return self.end - self.first + 1


@dataclass(frozen=True)
class Window:
    """A waveform of some cycles of a start, counted from it."""

    path: Path
    first: int
    last: int


class SimulatedRtl:
    """A simulated engine with one program and its weights, which are loaded once.

    ``weights`` is ``weights.bin``; in streamed mode what is streamed is cut from it.  ``observe`` keeps activation
    writes and per-instruction counts.  ``limit`` is the most cycles of one start (default: LIMIT).
    """

    def __init__(
        self,
        engine: RtlEngine,
        program: bytes,
        weights: bytes,
        *,
        observe: bool = False,
        limit: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.engine = engine
        self._packets = Packets(engine.config, program, weights)
        self.program = self._packets.program
        self._limit, self._watch, self._observe = LIMIT if limit is None else limit, watch, observe
        self._stamps: list[Stamp] = []
        engine.reset()
        engine.write("gie", 1)
        engine.write("ier", 1)
        for transfer in self._packets.load:
            engine.queue(transfer)
            self._good(self.start(), "loading")
        # Meanwhile the first two tiles are expanded; any driver takes longer until it sends an image.
        engine.step(2 * engine.config.tile_words * engine.config.chunks_per_word + SETTLED)
        if observe:  # what a netlist cannot
            engine.observe()

    def start(self, window: Window | None = None) -> RtlResult:
        """Start the engine as a driver does, and wait for its interrupt; ``window`` writes a waveform.

        Raises ToolFailedError where it does not come within the limit.
        """
        engine = self.engine
        engine.write("ap_ctrl", 1)
        if window is not None:
            engine.run(window.first, until=INTERRUPT)
            engine.waves(window.path)
            engine.run(window.last - window.first, until=INTERRUPT, watch=self._watch)
            engine.waves(None)
        if not engine.run(self._limit, until=INTERRUPT, watch=self._watch):
            raise ToolFailedError(f"RTL simulation: a start did not end within {self._limit:,} cycles")
        interrupted = engine.cycle
        engine.write("isr", 1)
        engine.read("ap_ctrl")  # clears done
        beats = engine.take()
        self._stamps += engine.stamps(IN)
        sent = engine.stamps(OUT)
        first = self._stamps.pop(0).first if self._stamps else interrupted
        return RtlResult(
            error=engine.read("error"),
            counters={name: engine.read(name) for name in COUNTERS},
            beats=beats.data,
            keep=beats.keep,
            last=beats.last,
            trace=engine.writes() if self._observe else np.zeros(0),
            first=first,
            end=sent[-1].last if sent else interrupted,
            activity=engine.activity(len(self.program.instructions)) if self._observe else np.zeros((0, 4), np.int64),
        )

    def run(self, images: Sequence[np.ndarray], *, window: Window | None = None) -> list[RtlResult]:
        """Results of u8 (H, W, 3) images back to back: all are in the stream before the first one starts.

        Raises ToolFailedError where a start ends with an error code, or not at all.  ``window`` belongs to
        the first image.
        """
        for image in images:
            for transfer in self._packets.frame(image):
                self.engine.queue(transfer)
        return [self._good(self.start(None if number else window), f"image {number}") for number in range(len(images))]

    def logits(self, image: np.ndarray) -> np.ndarray:
        """int32 (classes,) of one image."""
        return parse_logits(self.run([image])[0].beats, self.program.header.classes)

    def _good(self, result: RtlResult, what: str) -> RtlResult:
        if result.error:
            raise ToolFailedError(f"RTL simulation: {what} ended with error code {result.error}")
        return result


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One image, computed by the simulated engine."""

    tensors: dict[str, np.ndarray]  # every thin tensor and the logits, by the golden model's names and shapes
    result: RtlResult

    @property
    def cycles(self) -> int:
        """From the first pixel in to the last logit out."""
        return self.result.cycles


def load(library: Path, plan: Plan, *, limit: int | None = None, watch: Watch | None = None) -> SimulatedRtl:
    """A simulated engine that observes, with a plan's program and weights."""
    engine = RtlEngine(library, plan.engine)
    return SimulatedRtl(engine, plan.program_bin, plan.weights_bin, observe=True, limit=limit, watch=watch)


def simulated(
    config: EngineConfig,
    program: bytes,
    weights: bytes,
    build_dir: Path,
    *,
    observe: bool = False,
    limit: int | None = None,
    watch: Watch | None = None,
) -> SimulatedRtl:
    """Compile an engine (or take it from ``build_dir``) and load a program with its weights."""
    engine = RtlEngine(compile_engine(config, build_dir), config)
    return SimulatedRtl(engine, program, weights, observe=observe, limit=limit, watch=watch)


def run_frames(
    plan: Plan, images: Sequence[np.ndarray], rtl: SimulatedRtl, *, window: Window | None = None
) -> list[Frame]:
    """Every tensor of u8 (H, W, 3) images that follow each other; ``rtl`` observes, and runs this plan's program."""
    results = rtl.run(images, window=window)
    return [Frame(tensors=tensors(plan, result.beats, result.trace), result=result) for result in results]


def run(plan: Plan, image: np.ndarray, build_dir: Path, *, watch: Watch | None = None) -> Frame:
    """Every tensor of one u8 (H, W, 3) image, logits included, and the cycles it took."""
    rtl = load(compile_engine(plan.engine, build_dir), plan, watch=watch)
    return run_frames(plan, [image], rtl)[0]
