"""A driver of one simulated engine, and what it checks after every start."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squeeze_hls.engine.packets import parse_logits
from squeeze_hls.sim.protocol import Start, Transfer
from squeeze_hls.sim.rtl_engine import IN, INTERRUPT, OUT, WEIGHTS, Beats, RtlEngine
from squeeze_hls.sim.verilate import compile_engine
from tests.rtl.fault_cases import Case, Subject, Words
from tests.rtl.runner import BUILDS

LIMIT = 200_000  # cycles of one start; a frame takes less than 10,000
CLOSING = 2_000  # cycles until a packet of logits that was given up is closed
START, DONE, AUTO_RESTART = 1 << 0, 1 << 1, 1 << 7
CAUSES = ("busy", "stall_weights", "stall_input", "stall_output")


class Bench:
    """An engine out of reset."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.engine = RtlEngine(compile_engine(subject.engine, BUILDS), subject.engine)
        self.reset()

    def reset(self, cycles: int = 5) -> None:
        self.engine.reset(cycles)
        self.engine.write("gie", 1)
        self.engine.write("ier", 1)

    def pauses(self, rng: np.random.Generator) -> None:
        """Random gaps on every stream."""
        for stream in (IN, WEIGHTS, OUT):
            self.engine.pauses(stream, float(rng.choice([0, 0, 0.2, 0.7])), int(rng.integers(1, 1 << 30)))

    # --- streams ---

    def queue(self, words: Words, *, weights: bool = False, ends: bool = True) -> None:
        """Beats of a packet, with or without its end."""
        self.engine.queue(Transfer(words=words, weights=weights, last=None if ends else ()))

    def queue_frame(self) -> None:
        for step in self.subject.frame:
            self.engine.queue(step)

    def sent(self) -> Beats:
        """What came out; a packet that was begun is waited for."""
        parts = [self.engine.take()]
        end = self.engine.cycle + CLOSING
        while any(len(p.last) for p in parts) and not parts[-1].last[-1:].all() and self.engine.cycle < end:
            self.engine.step(20)
            parts += [p for p in [self.engine.take()] if len(p.last)]
        return Beats(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("data", "keep", "last", "cycle")))

    # --- starts ---

    def begin(self) -> None:
        self.engine.write("ap_ctrl", START)

    def finish(self, what: str = "") -> int:
        """Wait for the end of a start; its code."""
        assert self.engine.run(LIMIT, until=INTERRUPT), f"{what}: still running after {LIMIT} cycles"
        self.engine.write("isr", 1)
        assert self.engine.read("ap_ctrl") & DONE, f"{what}: an interrupt, but not done"
        return self.engine.read("error")

    def start(self, what: str = "") -> int:
        self.begin()
        return self.finish(what)

    def waits(self, cycles: int, what: str) -> None:
        """The start does not end yet."""
        assert not self.engine.run(cycles, until=INTERRUPT), f"{what}: ended too early"
        assert not self.engine.read("ap_ctrl") & DONE, what

    def load(self) -> None:
        for step in self.subject.load:
            if isinstance(step, Start):
                assert self.start("loading") == 0
            else:
                self.engine.queue(step)

    def frame(self, what: str = "") -> None:
        """A good frame."""
        self.queue_frame()
        assert self.start(what) == 0, what
        self.check(what)

    def check(self, what: str = "") -> None:
        """Logits and counters of the frame that is done."""
        check_frame(self.sent(), self.subject.logits, what)
        assert self.engine.read("cycles") == sum(self.engine.read(name) for name in CAUSES), what

    def play(self, case: Case) -> list[int]:
        """The codes of a case, whose frames are checked."""
        codes: list[int] = []
        for step in case.steps:
            if isinstance(step, Transfer):
                self.engine.queue(step)
                continue
            what = f"{case.name}, start {len(codes)}"
            codes.append(self.start(what))
            if len(codes) - 1 in case.logits and codes[-1] == 0:
                check_frame(self.sent(), case.logits[len(codes) - 1], what)
            else:
                assert len(list(given_up(self.sent(), what))) <= 1, what
        return codes


def packets(beats: Beats, what: str) -> Iterator[Words]:
    """What was sent, packet by packet; each ends with TLAST."""
    begin = 0
    for end in np.flatnonzero(beats.last) + 1:
        yield beats.data[begin:end]
        begin = end
    assert begin == len(beats.data), f"{what}: a packet of logits was left open"


def given_up(beats: Beats, what: str) -> Iterator[Words]:
    """Packets of frames that were given up: closed by zeros."""
    for packet in packets(beats, what):
        assert packet[-1] == 0, f"{what}: logits that nobody asked for"
        yield packet


def check_frame(beats: Beats, logits: np.ndarray, what: str) -> None:
    """One packet, which holds the logits."""
    (packet,) = packets(beats, what)
    got = parse_logits(packet, len(logits))
    assert np.array_equal(got, logits), f"{what}: logits {got}, expected {logits}"
    assert beats.keep.tolist() == [0xFF] * (len(logits) // 2) + [0x0F] * (len(logits) % 2), what
