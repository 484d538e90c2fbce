"""What goes wrong on the whole engine: the documented code or plain correct behaviour, and the next frame is exact.

Every start has a limit of cycles.  Bad packets run through the C simulation too, which must give the same codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from squeeze_hls import tools
from squeeze_hls.plan.engine import EngineConfig
from squeeze_hls.plan.packets import parse_logits
from squeeze_hls.sim.csim import CSim
from squeeze_hls.sim.protocol import Start, Transfer
from squeeze_hls.sim.rtl_engine import IN, INTERRUPT, OUT, WEIGHTS, Beats, RtlEngine
from squeeze_hls.sim.verilate import compile_engine
from tests.rtl.fault_cases import Case, Subject, order_cases, single_cases
from tests.rtl.runner import BUILDS, require

LIMIT = 200_000  # cycles of one start; the networks take less than 10,000
DONE = 1 << 1

# Array, and the seeds of two networks that fit it.
SHAPES = {"2x4x8": ((2, 4, 8), 31, 36), "3x8x16": ((3, 8, 16), 26, 9)}


@cache
def subjects(shape: str, streamed: bool) -> tuple[Subject, Subject]:
    (pix, cin, cout), *seeds = SHAPES[shape]
    engine = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(512,), store_pieces=() if streamed else (16384,),
        program_depth=512, carry_words=4096,
    )  # fmt: skip
    first, second = (Subject(engine, seed) for seed in seeds)
    return first, second


@pytest.fixture(params=[(shape, streamed) for shape in SHAPES for streamed in (False, True)],
                ids=lambda p: f"{p[0]}-{'streamed' if p[1] else 'resident'}")  # fmt: skip
def networks(request) -> tuple[Subject, Subject]:
    require()
    return subjects(*request.param)


class Bench:
    """A driver of one simulated engine."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.engine = RtlEngine(compile_engine(subject.engine, BUILDS), subject.engine)
        self.engine.reset()
        self.enable()

    def enable(self) -> None:
        """Interrupts on, as after every reset."""
        self.engine.write("gie", 1)
        self.engine.write("ier", 1)

    def pauses(self, rng: np.random.Generator) -> None:
        for stream in (IN, WEIGHTS, OUT):
            self.engine.pauses(stream, float(rng.choice([0, 0, 0.2, 0.7])), int(rng.integers(1, 1 << 30)))

    def queue(self, *words: np.ndarray) -> None:
        for packet in words:
            self.engine.queue(Transfer(words=packet))

    def start(self, what: str = "") -> int:
        """Start and wait for the end; the code."""
        self.engine.write("ap_ctrl", 1)
        return self.finish(what)

    def finish(self, what: str = "") -> int:
        assert self.engine.run(LIMIT, until=INTERRUPT), f"{what}: still running after {LIMIT} cycles"
        self.engine.write("isr", 1)
        assert self.engine.read("ap_ctrl") & DONE, f"{what}: an interrupt, but not done"
        return self.engine.read("error")

    def load(self, subject: Subject | None = None) -> None:
        for step in (subject or self.subject).load:
            if isinstance(step, Start):
                assert self.start("loading") == 0
            else:
                self.engine.queue(step)

    def queue_frame(self) -> None:
        for step in self.subject.frame:
            self.engine.queue(step)

    def frame(self, what: str = "") -> None:
        """A good frame, its logits and its counters."""
        self.queue_frame()
        assert self.start(what) == 0, what
        self.check(what)

    def check(self, what: str = "") -> None:
        check_frame(self.engine.take(), self.subject.logits, what)
        causes = [self.engine.read(name) for name in ("busy", "stall_weights", "stall_input", "stall_output")]
        assert self.engine.read("cycles") == sum(causes), what


def packets(beats: Beats) -> Iterator[np.ndarray]:
    """What was sent, packet by packet; each ends with TLAST."""
    begin = 0
    for end in np.flatnonzero(beats.last) + 1:
        yield beats.data[begin:end]
        begin = end
    assert begin == len(beats.data), "a packet of logits was left open"


def check_frame(beats: Beats, logits: np.ndarray, what: str) -> None:
    """The last packet is the frame's; one that a fault cut off may stand before it, closed by zeros."""
    *cut, last = list(packets(beats))
    assert len(cut) <= 1 and all(packet[-1] == 0 for packet in cut), what
    got = parse_logits(last, len(logits))
    assert np.array_equal(got, logits), f"{what}: logits {got}, expected {logits}"
    assert beats.keep[-1] == (0x0F if len(logits) % 2 else 0xFF), what


def play(bench: Bench, case: Case) -> list[int]:
    codes = []
    for step in case.steps:
        if isinstance(step, Transfer):
            bench.engine.queue(step)
            continue
        what = f"{case.name}, start {len(codes)}"
        codes.append(bench.start(what))
        beats = bench.engine.take()
        if len(codes) - 1 in case.logits:
            check_frame(beats, case.logits[len(codes) - 1], what)
        else:
            assert not beats.data[beats.last].any() and len(list(packets(beats))) <= 1, what
    return codes


def chosen(cases: list[Case], seed: int, full: bool) -> list[tuple[int, Case]]:
    """Cases with seeds for their pauses: each once, or with many in the full campaign."""
    return [(seed * 1000 + n, case) for n in range(20 if full else 1) for case in cases]


def test_bad_packets(networks, full) -> None:
    subject, other = networks
    wrong = []
    for seed, case in chosen([*single_cases(subject), *order_cases(subject, other)], 1, full):
        bench = Bench(subject)
        bench.pauses(np.random.default_rng([seed, len(case.name)]))
        codes = play(bench, case)
        if codes != case.codes:
            wrong.append((case.name, seed, codes, case.codes))
    assert not wrong


def test_bad_packets_in_c_simulation(networks) -> None:
    """The same scripts, the same codes."""
    if tools.find_cxx() is None or tools.hls_headers() is None:
        pytest.skip("the C simulation needs g++ and 'squeeze-hls[csim]'")
    subject, other = networks
    simulation = CSim(subject.engine, BUILDS)
    wrong = []
    for case in [*single_cases(subject), *order_cases(subject, other)]:
        try:
            results = simulation.run(case.steps, timeout=20)
        except Exception as error:
            wrong.append((case.name, str(error)))
            continue
        codes = [result.error for result in results]
        if codes != case.codes:
            wrong.append((case.name, codes, case.codes))
            continue
        for number, logits in case.logits.items():
            assert np.array_equal(parse_logits(results[number].beats, len(logits)), logits), case.name
    assert not wrong
