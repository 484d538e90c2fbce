"""Malformed packets: each has its error code, none hangs, and the next good frame is exact."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest

from squeeze_hls.engine.fields import HEADER, LAYER
from squeeze_hls.engine.packets import (
    Packet,
    image_packet,
    parse_logits,
    program_packet,
    stream_packet,
    weights_packet,
)
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan
from squeeze_hls.sim.csim import Result, Start, Transfer

from .conftest import RESIDENT, STREAMED, Build
from .test_networks import plan_for

Script = list[Transfer | Start]


class Bench:
    """A network on an engine, its packets, and scripts of them."""

    def __init__(self, engine: object, build: Build, seed: int = 3) -> None:
        plan = plan_for(seed, engine)  # type: ignore[arg-type]
        assert plan is not None
        self.plan: Plan = plan
        rng = np.random.default_rng(seed)
        self.pixels = rng.integers(0, 256, plan.network.input_shape).astype(np.uint8)
        self.image = image_packet(self.pixels, plan.program_bin)
        self.program = program_packet(plan.program_bin, plan.engine)
        self.weights = weights_packet(plan.weights_bin, plan.engine)
        self.expected = golden.run(plan.network, self.pixels)[plan.network.nodes[-1].output]
        self.run: Callable[[Script], list[Result]] = build(engine, "-DSQUEEZE_COUNT_PORTS").run

    @property
    def load(self) -> Script:
        return [Transfer.of(self.program), Start(), Transfer.of(self.weights), Start()]

    def refused(self, *bad: Transfer, loaded: bool = True, reload: bool = False) -> int:
        """The code of one bad transfer; a good frame must follow."""
        script = [*(self.load if loaded else []), *bad, Start()]
        number = sum(isinstance(step, Start) for step in script) - 1
        script += self.load if reload or not loaded else []
        results = self.run([*script, Transfer.of(self.image), Start()])
        assert all(r.error == 0 for i, r in enumerate(results) if i != number)
        assert not len(results[number].beats)
        self.check(results[-1])
        return results[number].error

    def check(self, result: Result) -> None:
        classes = self.plan.network.classes
        assert result.error == 0
        assert np.array_equal(parse_logits(result.beats, classes), self.expected)
        assert result.last.tolist() == [False] * (len(result.beats) - 1) + [True]
        assert result.keep.tolist() == [0xFF] * (classes // 2) + [0x0F] * (classes % 2)


@pytest.fixture(scope="module")
def bench(build: Build) -> Bench:
    return Bench(RESIDENT, build)


def altered(packet: Packet, word: int, mask: int) -> Transfer:
    words = packet.words.copy()
    words[word] ^= np.uint64(mask)
    return Transfer(words=words)


def test_bad_magic(bench: Bench) -> None:
    assert bench.refused(altered(bench.image, 0, 1)) == 1


@pytest.mark.parametrize("kind", [0, 4, 255])
def test_unknown_type(bench: Bench, kind: int) -> None:
    assert bench.refused(altered(bench.image, 0, (1 ^ kind) << 8)) == 2


def test_wrong_length(bench: Bench) -> None:
    for packet, reload in ((bench.image, False), (bench.weights, True), (bench.program, True)):
        longer = np.append(packet.words, np.uint64(0))
        longer[0] += np.uint64(1 << 40)
        transfer = Transfer(words=longer)
        # one more word may still be whole weights: then their checksum is wrong
        assert bench.refused(transfer, reload=reload) in ((3,) if packet is not bench.weights else (3, 6))
    assert bench.refused(altered(bench.weights, 0, (len(bench.weights.words) - 1) << 40), reload=True) == 3
    assert bench.refused(altered(bench.weights, 0, 1 << 62), reload=True) == 3


def test_wrong_identity(bench: Bench) -> None:
    for packet in (bench.image, bench.weights, bench.program):
        assert bench.refused(altered(packet, 0, 1 << 16)) == 4


def reprogrammed(bench: Bench, change: Callable[[np.ndarray], None]) -> Transfer:
    """The program with some words changed and its checksum put right."""
    payload = np.frombuffer(bench.plan.program_bin[:-8], "<u8").copy()
    change(payload)
    body = payload.tobytes()
    return Transfer.of(program_packet(body + zlib.crc32(body).to_bytes(8, "little"), bench.plan.engine))


def field(record: object, name: str) -> tuple[int, int]:
    found = next(f for f in record.fields if f.name == name)  # type: ignore[attr-defined]
    return found.word, found.low


def test_program_for_another_engine(bench: Bench) -> None:
    word, low = field(HEADER, "engine")

    def change(words: np.ndarray) -> None:
        words[word] ^= np.uint64(1 << low)

    assert bench.refused(reprogrammed(bench, change), reload=True) == 4


@pytest.mark.parametrize("name", ["version", "layers", "buffers", "instructions", "params", "kernel", "tables"])
def test_program_that_exceeds_the_engine(bench: Bench, name: str) -> None:
    word, low = field(HEADER, name)

    def change(words: np.ndarray) -> None:
        words[word] |= np.uint64((0xC000 if name in ("version", "instructions", "params") else 0xC0) << low)

    assert bench.refused(reprogrammed(bench, change), reload=True) == 9


def test_residual_operands_are_refused(bench: Bench) -> None:
    word, low = field(LAYER, "residual")

    def change(words: np.ndarray) -> None:
        words[HEADER.words + LAYER.words + word] ^= np.uint64(1 << low)

    assert bench.refused(reprogrammed(bench, change), reload=True) == 9


@pytest.mark.parametrize(("name", "mask"), [("top_a", 0xFF), ("top_a", 0x1FF), ("top_a", 0x8000), ("top_b", 0xFF)])
def test_largest_outputs_beyond_their_type_are_refused(bench: Bench, name: str, mask: int) -> None:
    layer = next(i for i, layer in enumerate(bench.plan.program.layers) if layer.b.present)
    assert bench.plan.program.layers[layer].a.top == bench.plan.program.layers[layer].b.top == 255
    word, low = field(LAYER, name)

    def change(words: np.ndarray) -> None:
        words[HEADER.words + layer * LAYER.words + word] ^= np.uint64(mask << low)

    assert bench.refused(reprogrammed(bench, change), reload=True) == 9


def test_checksums(bench: Bench) -> None:
    for word in (HEADER.words + 3, len(bench.program.words) - 2, len(bench.program.words) - 1):
        assert bench.refused(altered(bench.program, word, 1 << 5), reload=True) == 5
    for word in (1, len(bench.weights.words) - 2, len(bench.weights.words) - 1):
        assert bench.refused(altered(bench.weights, word, 1 << 7), reload=True) == 6


def test_image_without_program_or_weights(bench: Bench) -> None:
    image = Transfer.of(bench.image)
    assert bench.refused(image, loaded=False) == 7
    results = bench.run([Transfer.of(bench.program), Start(), image, Start()])
    assert [r.error for r in results] == [0, 8]


def test_image_with_the_weights_of_another_network(bench: Bench, build: Build) -> None:
    other = Bench(RESIDENT, build, seed=4)
    script = [*bench.load, Transfer.of(other.weights), Start(), Transfer.of(bench.image), Start()]
    script += [Transfer.of(other.program), Start(), Transfer.of(other.image), Start()]
    results = bench.run(script)
    assert [r.error for r in results] == [0, 0, 0, 8, 0, 0]
    other.check(results[-1])


@pytest.mark.parametrize("where", [0, 1, 7, -2])
def test_early_last(bench: Bench, where: int) -> None:
    for packet, reload in ((bench.image, False), (bench.weights, True), (bench.program, True)):
        count = len(packet.words) + where if where < 0 else where + 1
        cut = Transfer(words=packet.words[:count])
        assert bench.refused(cut, reload=reload) == 10


def test_late_last(bench: Bench) -> None:
    for packet, reload in ((bench.image, False), (bench.weights, True), (bench.program, True)):
        long = Transfer(words=np.append(packet.words, np.zeros(9, np.uint64)))
        assert bench.refused(long, reload=reload) == 11


def test_bad_packets_that_are_fetched_ahead(bench: Bench) -> None:
    image = Transfer.of(bench.image)
    bad = {
        1: altered(bench.image, 0, 1),
        2: altered(bench.image, 0, 7 << 8),
        3: altered(bench.image, 0, 1 << 40),
        4: altered(bench.image, 0, 1 << 20),
        10: Transfer(words=bench.image.words[:-3]),
        11: Transfer(words=np.append(bench.image.words, np.zeros(3, np.uint64))),
        6: altered(bench.weights, 1, 1),
    }
    for code, transfer in bad.items():
        again = [Transfer.of(bench.weights)] if code == 6 else []
        script: Script = [*bench.load, image, transfer, *again, image, image, *[Start()] * (4 + len(again))]
        results = bench.run(script)
        expected = [0, 0, 0, code, *[0] * (len(results) - 4)]
        assert [r.error for r in results] == expected, code
        for result in (results[2], *results[-2:]):
            bench.check(result)


def test_streamed_weights(build: Build) -> None:
    bench = Bench(STREAMED, build)
    stream = stream_packet(bench.plan.stream_bin, bench.plan.program_bin)
    image, good = Transfer.of(bench.image), Transfer.of(stream, weights=True)
    count = len(stream.words)

    def weights(words: np.ndarray) -> Transfer:
        return Transfer(words=words, weights=True)

    for bad in (
        weights(altered(stream, 0, 1).words),
        weights(altered(stream, 0, 1 << 16).words),
        weights(altered(stream, 0, 1 << 40).words),
        weights(altered(stream, 0, 3 << 8).words),
        weights(stream.words[:1]),
        weights(stream.words[: count // 2]),
        weights(stream.words[:-1]),
        weights(np.append(stream.words, np.zeros(3, np.uint64))),
    ):
        results = bench.run([Transfer.of(bench.program), Start(), bad, image, Start(), good, image, Start()])
        assert [r.error for r in results] == [0, 12, 0]
        bench.check(results[-1])
    # an image that is cut off: what was streamed for it is discarded too
    cut = Transfer(words=bench.image.words[:20])
    results = bench.run([Transfer.of(bench.program), Start(), good, cut, Start(), good, image, Start()])
    assert [r.error for r in results] == [0, 10, 0]
    bench.check(results[-1])
    # an engine without a weight store takes no weights packets
    results = bench.run([Transfer.of(bench.program), Start(), Transfer.of(bench.weights), Start()])
    assert [r.error for r in results] == [0, 2]
