"""What every simulation of the engine is told and answers: beats, starts, results; loading, and rebuilt tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.packets import (
    Packet,
    image_packet,
    parse_logits,
    program_packet,
    stream_packet,
    streamed_words,
    weights_packet,
)
from squeeze_hls.engine.program import parse_program
from squeeze_hls.plan.maps import Maps, logits_name
from squeeze_hls.plan.planner import Plan
from squeeze_hls.sim.trace import rebuild

COUNTERS = ("frames", "cycles", "busy", "stall_weights", "stall_input", "stall_output")


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Beats for one stream; by default TLAST stands on the last one alone."""

    words: np.ndarray  # uint64 (n,)
    last: tuple[int, ...] | None = None  # positions of TLAST
    weights: bool = False  # for s_axis_weights

    @classmethod
    def of(cls, packet: Packet, *, weights: bool = False) -> Transfer:
        return cls(words=packet.words, weights=weights)

    @property
    def last_flags(self) -> np.ndarray:
        """u8 (n,): TLAST of each beat."""
        flags = np.zeros(len(self.words), np.uint8)
        flags[[len(self.words) - 1] if self.last is None else list(self.last)] = 1
        return flags


@dataclass(frozen=True)
class Start:
    """One start of the engine: it consumes one packet of s_axis_in."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one start gave."""

    error: int
    counters: dict[str, int]
    beats: np.ndarray  # uint64 (n,), of m_axis_out
    keep: np.ndarray  # TKEEP of each beat
    last: np.ndarray  # bool, TLAST of each beat
    trace: np.ndarray = field(default_factory=lambda: np.zeros(0))  # records of `trace_type`


class Packets:
    """The packets of one program with its weights; ``weights`` is ``weights.bin``, whatever the residency."""

    def __init__(self, engine: EngineConfig, program: bytes, weights: bytes) -> None:
        self.program = parse_program(program)
        self._payload = program
        self.load = [Transfer.of(program_packet(program, engine))]  # each needs a start
        self._stream: list[Transfer] = []
        if engine.streamed:
            stream = stream_packet(streamed_words(self.program, weights), program)
            self._stream = [Transfer.of(stream, weights=True)]
        else:
            self.load.append(Transfer.of(weights_packet(weights, engine)))

    def frame(self, image: np.ndarray) -> list[Transfer]:
        """What one start computes logits from: a u8 (H, W, 3) image, and the weights where they are streamed."""
        return [Transfer.of(image_packet(image, self._payload)), *self._stream]

    def script(self, images: Sequence[np.ndarray]) -> list[Transfer | Start]:
        """Load, then compute images back to back: all are in the stream before the first one starts."""
        steps: list[Transfer | Start] = []
        for transfer in self.load:
            steps += [transfer, Start()]
        for image in images:
            steps += self.frame(image)
        return steps + [Start()] * len(images)


def tensors(plan: Plan, beats: np.ndarray, trace: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of one frame by the golden model's names: what was traced, and the logits in ``beats``.

    Raises MismatchError or ValueError where a word was written elsewhere than the program says, twice, or never.
    """
    maps = Maps(plan)
    for index, values in rebuild(plan.program, plan.engine, trace):
        maps.add(index, values)
    return maps.tensors() | {logits_name(plan): parse_logits(beats, plan.network.classes)}
