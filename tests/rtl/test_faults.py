"""What goes wrong on the whole engine: the documented code or plain correct behaviour, and the next frame is exact.

Every start has a limit of cycles.  Bad packets run through the C simulation too, which must give the same codes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from squeeze_hls import tools
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.packets import parse_logits
from squeeze_hls.errors import ToolFailedError
from squeeze_hls.sim.csim import CSim
from squeeze_hls.sim.protocol import Transfer
from squeeze_hls.sim.rtl_engine import IN, IN_EMPTY, OUT, WEIGHTS
from tests.networks import random_network
from tests.rtl.fault_bench import AUTO_RESTART, START, Bench, check_frame, given_up, packets
from tests.rtl.fault_cases import Subject, altered, order_cases, single_cases
from tests.rtl.runner import BUILDS, require
from tests.rtl.test_control_path import few_pixels

# Array, and the seeds of two networks that fit it.
SHAPES = {"2x4x8": ((2, 4, 8), 31, 36), "3x8x16": ((3, 8, 16), 26, 9)}
READ_ONLY = ("error", "engine_id", "program_id", "weights_id", "loaded_flags", "frames", "cycles", "busy")


@cache
def subjects(shape: str, streamed: bool) -> tuple[Subject, Subject]:
    (pix, cin, cout), *seeds = SHAPES[shape]
    engine = EngineConfig(
        pix=pix, cin=cin, cout=cout, act_pieces=(512,), store_pieces=() if streamed else (16384,),
        program_depth=512, carry_words=4096, tables=0 if streamed else cin // 2,
    )  # fmt: skip
    first, second = (Subject(engine, random_network(seed)) for seed in seeds)
    return first, second


KINDS = [(shape, streamed) for shape in SHAPES for streamed in (False, True)]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{'streamed' if kind[1] else 'resident'}")
def networks(request) -> tuple[Subject, Subject]:
    """Two networks on an engine."""
    require()
    return subjects(*request.param)


@pytest.fixture
def subject(networks) -> Subject:
    return networks[0]


@pytest.fixture
def bench(subject) -> Bench:
    """An engine with program and weights."""
    loaded = Bench(subject)
    loaded.load()
    return loaded


# --- packets ---


def test_bad_packets_one_after_the_other(subject, full) -> None:
    """In one engine, so that whatever one leaves behind meets the next."""
    bench = Bench(subject)
    for seed in range(20 if full else 1):
        rng = np.random.default_rng([seed, 1])
        cases = single_cases(subject)
        for number in rng.permutation(len(cases)):
            bench.pauses(rng)
            codes = bench.play(cases[number])
            assert cases[number].agrees(codes), (seed, cases[number].name, codes, cases[number].codes)


def test_packets_in_the_wrong_order(networks, full) -> None:
    for seed in range(20 if full else 2):
        for case in order_cases(*networks):
            bench = Bench(networks[0])
            bench.pauses(np.random.default_rng([seed, 2]))
            codes = bench.play(case)
            assert case.agrees(codes), (seed, case.name, codes, case.codes)


def test_same_codes_in_c_simulation(networks) -> None:
    if tools.find_cxx() is None or tools.hls_headers() is None:
        pytest.skip("the C simulation needs g++ and 'squeeze-hls[csim]'")
    simulation = CSim(networks[0].engine, BUILDS)
    for case in [*single_cases(networks[0]), *order_cases(*networks)]:
        try:
            results = simulation.run(case.steps, timeout=60)
        except ToolFailedError as error:
            raise AssertionError(case.name) from error
        codes = [result.error for result in results]
        assert case.agrees(codes), (case.name, codes, case.codes)
        for number, result in enumerate(results):
            if number in case.logits and result.error == 0:
                logits = case.logits[number]
                assert np.array_equal(parse_logits(result.beats, len(logits)), logits), case.name
            assert result.last[-1:].all(), case.name


# --- reset ---


def test_reset_in_a_frame(bench, full) -> None:
    """At random cycles, with the next image coming in or not; then the rest of the packets comes, or is lost."""
    subject, engine = bench.subject, bench.engine
    bench.frame()
    cycles = engine.read("cycles")
    for number in range(500 if full else 50):
        rng = np.random.default_rng([number, 3])
        bench.pauses(rng)
        what = f"reset {number}"
        for _ in range(int(rng.integers(1, 3))):
            bench.queue_frame()
        bench.begin()
        near_the_end = rng.random() < 0.3
        engine.step(cycles - int(rng.integers(80)) if near_the_end else int(rng.integers(int(1.2 * cycles))))
        bench.reset(int(rng.choice([1, 2, 16])))
        if rng.integers(2):
            engine.clear(IN)
            engine.clear(WEIGHTS)
        else:
            engine.run(4000, until=IN_EMPTY)  # the rest of the packet is taken, and forgotten
        engine.step(int(rng.integers(1, 60)))
        # A frame that had been sent whole may still come out, or one that is closed.
        assert len(list(packets(bench.sent(), what))) <= 2, what
        code = restart(bench, what)
        assert code in (0, 1, 2, 3, 4), (what, code)
        if code:
            list(given_up(bench.sent(), what))
            engine.run(4000, until=IN_EMPTY)
            code = restart(bench, what)
        assert code == 0, what
        bench.check(what)
        while engine.waiting(IN):
            assert restart(bench, what) == 0, what
            bench.check(what)
    assert np.array_equal(bench.subject.logits, subject.logits)


def restart(bench: Bench, what: str) -> int:
    """Start with what waits in the streams; what is missing for a frame is sent."""
    subject = bench.subject
    if not bench.engine.waiting(IN):
        bench.queue(subject.image)
    if len(subject.stream) and bench.engine.waiting(WEIGHTS) < len(subject.stream):
        bench.queue(subject.stream, weights=True)
    return bench.start(what)


def test_reset_while_loading(subject, full) -> None:
    bench = Bench(subject)
    for number in range(60 if full else 10):
        rng = np.random.default_rng([number, 4])
        bench.load()
        words = subject.weights if number % 2 and len(subject.weights) else subject.program
        bench.queue(words)
        bench.begin()
        bench.engine.step(int(rng.integers(1, len(words) + 20)))
        bench.reset()
        bench.engine.clear(IN)
        flags = bench.engine.read("loaded_flags")
        expected = 7 if not flags & 1 else 8 if not flags & 2 else 0
        if not expected:
            bench.frame(f"reset {number}")
            continue
        bench.queue(subject.image)
        assert bench.start() == expected, (number, flags)
        bench.load()
        bench.frame(f"reset {number}")


# --- starts and registers ---


def test_start_without_an_image(bench) -> None:
    bench.begin()
    bench.waits(5000, "nothing to do")
    bench.queue_frame()
    assert bench.finish() == 0
    bench.check()
    bench.frame()


def test_image_before_its_start(bench) -> None:
    bench.queue_frame()
    bench.engine.step(5000)
    assert bench.engine.read("frames") == 0 and not bench.engine.read("ap_ctrl") & START
    assert bench.start() == 0
    bench.check()


def test_a_frame_lasts_until_its_packets_end(subject) -> None:
    """No kernel reads this picture's last row, so all logits are there before its last beat comes."""
    unread = Subject(subject.engine, random_network(5))  # 10 rows, of which 3 x 3 kernels with stride 2 reach 9
    bench = Bench(unread)
    bench.load()
    bench.queue(unread.image[:-1], ends=False)
    for step in unread.streamed():
        bench.engine.queue(step)
    bench.begin()
    bench.waits(20_000, "a beat is missing")
    bench.queue(unread.image[-1:])
    assert bench.finish() == 0
    bench.check()
    bench.frame()


def test_start_twice(bench) -> None:
    """A start that is given while one is pending or runs is none."""
    frames = bench.engine.read("frames")
    bench.begin()
    bench.begin()
    bench.queue_frame()
    bench.queue_frame()
    bench.engine.step(300)
    bench.begin()
    assert bench.finish() == 0
    bench.check()
    bench.waits(5000, "the second image")
    assert bench.engine.read("frames") == frames + 1
    assert bench.start() == 0
    bench.check()


def test_auto_restart_goes_on_behind_errors(bench) -> None:
    """The codes of packets between the frames pass by; the last one stays."""
    subject, engine = bench.subject, bench.engine
    for bad in (None, altered(subject.image, 0, 1), None, altered(subject.image, 0, 1 << 20), None):
        bench.queue_frame() if bad is None else bench.queue(bad)
    engine.write("ap_ctrl", AUTO_RESTART | START)
    sent = []
    for _ in range(200):
        engine.step(1000)
        sent += list(packets(bench.sent(), "auto-restart"))
        if engine.read("frames") == 3:
            break
    assert len(sent) == 3 and all(np.array_equal(parse_logits(p, len(subject.logits)), subject.logits) for p in sent)
    assert engine.read("error") == 0
    bench.queue(altered(subject.image, 0, 1))
    engine.step(1000)
    assert engine.read("error") == 1
    engine.write("ap_ctrl", 0)  # the start that waits remains
    engine.read("ap_ctrl")
    engine.write("isr", engine.read("isr"))
    bench.queue_frame()
    assert bench.finish() == 0
    bench.check()
    bench.waits(2000, "no further start")


def test_writes_that_do_nothing(bench) -> None:
    """To read-only registers and where there are none, in the middle of a frame."""
    engine, rng = bench.engine, np.random.default_rng(5)
    bench.frame()
    before = [engine.read(name) for name in READ_ONLY]
    addresses = list(range(0x10, 0x100, 4))
    for address in rng.permutation(addresses):
        engine.write(int(address), int(rng.integers(1 << 32)))
    assert [engine.read(name) for name in READ_ONLY] == before
    assert not engine.read("ap_ctrl") & (AUTO_RESTART | START)
    assert (engine.read("gie"), engine.read("ier"), engine.read("isr")) == (1, 1, 0)
    bench.queue_frame()
    bench.begin()
    for address in rng.permutation(addresses):
        engine.write(int(address), int(rng.integers(1 << 32)))
    assert bench.finish() == 0
    bench.check()
    assert all(engine.read(address) == 0 for address in range(0x10, 0x40, 4))


# --- streams ---


def test_streams_that_pause(subject) -> None:
    """Each packet stops for thousands of cycles, at its header, in its middle and before its end."""
    bench = Bench(subject)
    parts = [(subject.program, False), (subject.weights, False), (subject.image, False), (subject.stream, True)]
    for words, weights in parts:
        for cut in (1, 2, len(words) // 2, len(words) - 1):
            if not len(words):
                continue
            bench.load()
            bench.queue(words[:cut], weights=weights, ends=False)
            if weights:
                bench.queue(subject.image)
            elif words is subject.image:
                bench.queue(subject.stream, weights=True) if len(subject.stream) else None
            bench.begin()
            bench.waits(7000, f"cut behind {cut} words")
            bench.queue(words[cut:], weights=weights)
            assert bench.finish() == 0, cut
            if weights or words is subject.image:
                bench.check(f"cut behind {cut} words")
            else:
                bench.load()
            bench.frame()


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_logits_that_nobody_takes(streamed) -> None:
    """The frame waits for its last logit, however long, and so does the next one: more groups than the FIFO holds."""
    require()
    subject = Subject(subjects("2x4x8", streamed)[0].engine, few_pixels(1))
    assert len(subject.logits) > 8 * 4 * 2
    bench = Bench(subject)
    bench.load()
    engine = bench.engine
    for _ in range(3):
        bench.queue_frame()
    for number in range(3):
        engine.pauses(OUT, 1.0)
        bench.begin()
        bench.waits(25_000, f"frame {number}")
        assert engine.waiting(OUT) == 0
        engine.pauses(OUT, 0.0)
        assert bench.finish() == 0
        bench.check(f"frame {number}")
        assert engine.read("stall_output") > 10_000


def test_tkeep_of_the_inputs_means_nothing(subject) -> None:
    bench = Bench(subject)
    for keep in (0x00, 0x0F, 0x01):
        for step in [*subject.load, *subject.frame]:
            if isinstance(step, Transfer):
                bench.engine.queue(step, keep=keep)
        starts = 2 if subject.engine.streamed else 3
        assert [bench.start() for _ in range(starts)] == [0] * starts
        bench.check(f"TKEEP {keep}")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cut", [1, 20, 60])
def test_stream_of_an_image_that_was_cut_off(shape, cut) -> None:
    """It is discarded: before the next frame, while that begins, and two of them."""
    require()
    subject = subjects(shape, True)[0]
    bench = Bench(subject)
    bench.load()
    stream = subject.stream

    def cut_off() -> None:
        bench.queue(subject.image[: cut + 1])
        assert bench.start() == 10

    cut_off()
    bench.queue(stream, weights=True)
    bench.frame("behind one that was discarded")

    cut_off()
    bench.queue(subject.image)
    bench.begin()
    bench.waits(3000, "the weights of the image that was cut off")
    bench.queue(altered(stream, 0, 1), weights=True)
    bench.waits(3000, "its own weights")
    bench.queue(stream, weights=True)
    assert bench.finish() == 0
    bench.check("behind one that is discarded meanwhile")

    cut_off()
    bench.queue(stream[:50], weights=True, ends=False)
    cut_off()
    bench.queue(stream[50:], weights=True)
    bench.queue(altered(stream, 5, 1), weights=True)
    bench.frame("behind two")
    bench.frame()
    assert bench.engine.waiting(WEIGHTS) == 0


def test_fault_bench_sees_wrong_logits(bench) -> None:
    """The checks of this file can fail."""
    bench.queue_frame()
    assert bench.start() == 0
    beats = bench.sent()
    check_frame(beats, bench.subject.logits, "as they are")
    with pytest.raises(AssertionError):
        check_frame(beats, bench.subject.logits + 1, "others")
    with pytest.raises(AssertionError):
        list(given_up(beats, "a frame that is none"))
