"""Packets that are wrong, as scripts for any simulation of the engine, with the codes that docs/program.md gives them.

A script is a list of transfers and starts, good packets for the same engine among them; each start has its expected
code, and those that compute a frame the logits that must come out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from squeeze_hls.board import load_board
from squeeze_hls.engine import fields
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.packets import image_packet, program_packet, stream_packet, weights_packet
from squeeze_hls.network import golden
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.protocol import Start, Transfer

Words = np.ndarray  # uint64 (n,), the beats of a packet
Step = Transfer | Start


class Subject:
    """A network on an engine: the words of its packets, and the logits of a picture."""

    def __init__(self, engine: EngineConfig, network: IntNetwork) -> None:
        plan: Plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
        self.plan, self.engine = plan, engine
        pixels = np.random.default_rng(1).integers(0, 256, plan.network.input_shape).astype(np.uint8)
        self.logits: np.ndarray = golden.run(plan.network, pixels)[plan.network.nodes[-1].output]
        self.program: Words = program_packet(plan.program_bin, engine).words
        self.image: Words = image_packet(pixels, plan.program_bin).words
        self.weights: Words = np.zeros(0, np.uint64)
        self.stream: Words = np.zeros(0, np.uint64)
        if engine.streamed:
            self.stream = stream_packet(plan.stream_bin, plan.program_bin).words
        else:
            self.weights = weights_packet(plan.weights_bin, engine).words

    @property
    def load(self) -> list[Step]:
        """Program and, where they are resident, weights."""
        steps: list[Step] = [Transfer(words=self.program), Start()]
        return steps if self.engine.streamed else [*steps, Transfer(words=self.weights), Start()]

    @property
    def frame(self) -> list[Step]:
        """What a frame needs besides a start."""
        return [Transfer(words=self.image), *self.streamed()]

    def streamed(self, words: Words | None = None) -> list[Step]:
        """A packet of streamed weights, or nothing where weights are resident."""
        words = self.stream if words is None else words
        return [Transfer(words=words, weights=True)] if self.engine.streamed else []


@dataclass(frozen=True)
class Case:
    """Steps, and for each start its code; ``logits`` are those of the starts that compute a frame.  Whether the
    ``late`` ones fail depends on what has come in when the frame before fails: they may compute their frame instead.
    """

    name: str
    steps: list[Step]
    codes: list[int]
    logits: dict[int, np.ndarray] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)

    def agrees(self, codes: Sequence[int]) -> bool:
        pairs = list(zip(codes, self.codes, strict=True))
        return all(got == code or (got == 0 and n in self.late) for n, (got, code) in enumerate(pairs))


class Script:
    """Builds a case step by step."""

    def __init__(self, subject: Subject, name: str) -> None:
        self.subject = subject
        self.case = Case(name, [], [])

    def start(self, code: int = 0, logits: np.ndarray | None = None) -> None:
        if logits is not None:
            self.case.logits[len(self.case.codes)] = logits
        self.case.codes.append(code)
        self.case.steps.append(Start())

    def queue(self, *steps: Step) -> None:
        self.case.steps.extend(steps)

    def load(self, subject: Subject | None = None, *, weights: bool = True) -> None:
        for step in (subject or self.subject).load[: None if weights else 2]:
            self.start() if isinstance(step, Start) else self.queue(step)

    def frame(self, subject: Subject | None = None, code: int = 0) -> None:
        """A good image: its logits, or the code with which it is refused before it begins."""
        subject = subject or self.subject
        if code:
            self.queue(Transfer(words=subject.image))
            self.start(code)
        else:
            self.queue(*subject.frame)
            self.start(0, subject.logits)


# --- packets made wrong ---


def altered(words: Words, word: int, mask: int) -> Words:
    """Bits flipped in one word."""
    changed = words.copy()
    changed[word] ^= np.uint64(mask)
    return changed


def longer(words: Words, more: int, *, announced: bool = False) -> Words:
    """Zeros behind the packet, which its header counts where they are announced."""
    changed = np.append(words, np.zeros(more, np.uint64))
    if announced:
        changed[0] += np.uint64(more << 40)
    return changed


def announced(words: Words, length: int) -> Words:
    """The packet with another length in its header."""
    changed = words.copy()
    changed[0] = np.uint64(int(words[0]) & (1 << 40) - 1 | length << 40)
    return changed


def reprogrammed(subject: Subject, change: Callable[[Words], Words | None]) -> Words:
    """The program with some words changed, its checksum and its length put right."""
    payload = subject.program[1:-1].copy()
    changed = change(payload)
    body = (payload if changed is None else changed).astype("<u8").tobytes()
    return program_packet(body + zlib.crc32(body).to_bytes(8, "little"), subject.engine).words


def with_field(subject: Subject, record: fields.Record, name: str, value: int, offset: int = 0) -> Words:
    """The program with one field changed, of the record that begins at word ``offset`` of the payload."""
    place = next(f for f in record.fields if f.name == name)

    def change(words: Words) -> None:
        mask = (1 << place.width) - 1 << place.low
        word = int(words[offset + place.word]) & ~mask | (value & (1 << place.width) - 1) << place.low
        words[offset + place.word] = np.uint64(word)

    return reprogrammed(subject, change)


def uncoded(subject: Subject, offset: int) -> Words:
    """The program with one layer, whose record begins at word ``offset``, coded by the last table of any engine."""
    places = {f.name: f for f in fields.LAYER.fields}

    def change(words: Words) -> None:
        for name, value in (("entropy", 1), ("table_a", 7)):
            words[offset + places[name].word] |= np.uint64(value << places[name].low)

    return reprogrammed(subject, change)


# --- single packets ---


@dataclass(frozen=True)
class Fault:
    """One bad packet.  ``after`` is the code of a good image that follows, before anything is loaded anew; ``begun``:
    the frame begins, so that its weights are streamed.
    """

    name: str
    words: Words
    code: int
    after: int = 0
    begun: bool = False


def image_faults(s: Subject) -> Iterator[Fault]:
    last = len(s.image) - 1
    yield Fault("image, bad magic", altered(s.image, 0, 0x10), 1)
    for kind in (0, 4, 255):
        yield Fault(f"type {kind}", altered(s.image, 0, (1 ^ kind) << 8), 2)
    yield Fault("image, a word more announced", longer(s.image, 1, announced=True), 3)
    yield Fault("image, a word less announced", announced(s.image, last - 1), 3)
    yield Fault("image, no words announced", announced(s.image, 0), 3)
    yield Fault("image, of another program", altered(s.image, 0, 1 << 17), 4)
    yield Fault("image, header alone", s.image[:1], 10)
    for words in (1, 2, last // 2, last - 1):
        yield Fault(f"image, TLAST on word {words} of {last}", s.image[: words + 1], 10, begun=True)
    for more in (1, 9, 200):
        yield Fault(f"image, TLAST {more} late", longer(s.image, more), 11, begun=True)


def program_faults(s: Subject) -> Iterator[Fault]:
    last, head = len(s.program) - 1, fields.HEADER.words
    layers = s.plan.program.header.layers
    yield Fault("program, for another engine", altered(s.program, 0, 1 << 30), 4)
    yield Fault("program, no words announced", announced(s.program, 0), 3)
    for word in (head + 1, last // 2, last - 1, last):
        yield Fault(f"program, a bit of word {word} wrong", altered(s.program, word, 1 << 9), 5, after=7)
    yield Fault("program, upper half of the CRC word", altered(s.program, last, 1 << 40), 5, after=7)
    yield Fault("program, header alone", s.program[:1], 10)
    for word in (1, head, head + 1, last // 2, last - 1):
        yield Fault(f"program, TLAST on word {word} of {last}", s.program[: word + 1], 10, after=7)
    for more in (1, 300):
        yield Fault(f"program, TLAST {more} late", longer(s.program, more), 11, after=7)
    yield Fault("program, a word more announced", longer(s.program, 1, announced=True), 3, after=7)
    yield Fault("program, 3 words", announced(s.program[:4], 3), 3, after=7)
    yield Fault("program, version", with_field(s, fields.HEADER, "version", 1), 9, after=7)
    yield Fault("program, its engine", with_field(s, fields.HEADER, "engine", s.engine.identity ^ 1 << 31), 4, after=7)
    for name in ("layers", "buffers", "instructions", "params", "kernel", "gather_words", "tables", "store_words"):
        if name == "store_words" and s.engine.streamed:
            continue
        yield Fault(f"program, too many {name}", with_field(s, fields.HEADER, name, (1 << 24) - 1), 9, after=7)
    for name in ("layers", "buffers", "instructions", "params"):
        yield Fault(f"program, no {name}", with_field(s, fields.HEADER, name, 0), 9, after=7)
    yield Fault("program, residual operand", with_field(s, fields.LAYER, "residual", 1, head), 9, after=7)
    yield Fault("program, coded by a table that is not there", uncoded(s, head), 9, after=7)
    for name, value in (("top_a", 0), ("top_a", 256), ("top_a", 0xFFFF)):
        yield Fault(f"program, {name} {value}", with_field(s, fields.LAYER, name, value, head), 9, after=7)
    both = next(number for number, layer in enumerate(s.plan.program.layers) if layer.b.present)
    no_top_b = with_field(s, fields.LAYER, "top_b", 0, head + both * fields.LAYER.words)
    yield Fault("program, top_b 0", no_top_b, 9, after=7)
    beyond = with_field(s, fields.BUFFER, "base", s.engine.act_depth, head + layers * fields.LAYER.words)
    yield Fault("program, buffer beyond the memory", beyond, 9, after=7)


def weights_faults(s: Subject) -> Iterator[Fault]:
    last = len(s.weights) - 1
    yield Fault("weights, for another engine", altered(s.weights, 0, 1 << 16), 4)
    yield Fault("weights, no words announced", announced(s.weights, 0), 3)
    yield Fault("weights, longer than the store", announced(s.weights, (1 << 24) - 1), 3, after=8)
    yield Fault("weights, one word", announced(s.weights[:2], 1), 3, after=8)
    for word in (1, last // 2, last - 1, last):
        yield Fault(f"weights, a bit of word {word} wrong", altered(s.weights, word, 1 << 3), 6, after=8)
    yield Fault("weights, header alone", s.weights[:1], 10)
    for word in (1, 2, last // 2, last - 1):
        yield Fault(f"weights, TLAST on word {word} of {last}", s.weights[: word + 1], 10, after=8)
    for more in (1, 77):
        yield Fault(f"weights, TLAST {more} late", longer(s.weights, more), 11, after=8)
    # A beat that belongs to no word of 9 bytes: 9 n + 1 beats, its CRC put right.
    body = s.weights[1:10].astype("<u8").tobytes() + bytes(8)
    words = np.frombuffer(body + zlib.crc32(body).to_bytes(8, "little"), "<u8").astype(np.uint64)
    yield Fault("weights, part of a word", announced(np.append(s.weights[:1], words), len(words)), 3, after=8)


def faults(s: Subject) -> list[Fault]:
    resident = [] if s.engine.streamed else [*weights_faults(s)]
    return [*image_faults(s), *program_faults(s), *resident]


def after_good(s: Subject, fault: Fault, *, ahead: bool) -> Case:
    """A good frame, a bad packet, a good image, and once more with all loaded anew.  ``ahead``: the bad packet waits in
    the stream while the good frame is computed.
    """
    script = Script(s, f"{fault.name}{', behind an image' if ahead else ''}")
    bad = [Transfer(words=fault.words), *(s.streamed() if fault.begun else [])]
    script.load()
    if ahead:
        script.queue(*s.frame, *bad)
        script.start(0, s.logits)
    else:
        script.frame()
        script.queue(*bad)
    script.start(fault.code)
    script.frame(code=fault.after)
    script.load()
    script.frame()
    return script.case


def single_cases(s: Subject) -> list[Case]:
    return [after_good(s, fault, ahead=ahead) for fault in faults(s) for ahead in (False, True)]


# --- packets in the wrong order, and streamed weights ---


def order_cases(s: Subject, other: Subject) -> list[Case]:
    """``other`` is another network on the same engine."""
    cases = []

    def case(name: str) -> Script:
        script = Script(s, name)
        cases.append(script.case)
        return script

    script = case("image before the program")
    script.frame(code=7)
    script.load()
    script.frame()

    script = case("two programs, images of both")
    script.load()
    script.frame()
    script.load(other)
    script.frame(code=3 if len(s.image) != len(other.image) else 4)
    script.frame(other)
    script.load()
    script.frame()

    if s.engine.streamed:
        script = case("weights packet for a store that is not there")
        script.load()
        resident = weights_packet(s.plan.weights_bin, s.engine).words
        script.queue(Transfer(words=resident))
        script.start(2)
        script.frame()
        return [*cases, *stream_cases(s, other)]

    script = case("image before the weights")
    script.load(weights=False)
    script.frame(code=8)
    script.queue(Transfer(words=s.weights))
    script.start()
    script.frame()

    script = case("weights before the program")
    script.queue(Transfer(words=s.weights))
    script.start()
    script.frame(code=7)
    script.load(weights=False)
    script.frame()

    script = case("program for other weights")
    script.load()
    script.load(other, weights=False)
    script.frame(other, code=8)
    script.load(weights=False)
    script.frame()
    script.queue(Transfer(words=other.weights))
    script.start()
    script.frame(code=8)
    script.load(other)
    script.frame(other)
    return cases


def stream_faults(s: Subject, other: Subject) -> list[tuple[str, Words]]:
    """Packets of streamed weights that are wrong: each fails with code 12."""
    last = len(s.stream) - 1
    bits = (("magic", 1), ("identity", 1 << 16), ("length", 1 << 40), ("type", 3 << 8))
    found = [(f"stream, bad {name}", altered(s.stream, 0, mask)) for name, mask in bits]
    found += [(f"stream, TLAST on word {word} of {last}", s.stream[: word + 1]) for word in (0, 1, last // 2, last - 1)]
    found += [(f"stream, TLAST {more} late", longer(s.stream, more)) for more in (1, 50)]
    return [*found, ("stream of another program", other.stream)]


def stream_cases(s: Subject, other: Subject) -> list[Case]:
    cases = []
    for name, words in stream_faults(s, other):
        script = Script(s, name)
        script.load()
        script.frame()
        script.queue(Transfer(words=s.image), *s.streamed(words))
        script.start(12)
        script.frame()
        script.frame()
        cases.append(script.case)
        script = Script(s, f"{name}, the next image comes in")
        script.load()
        script.queue(Transfer(words=s.image), *s.streamed(words), *s.frame)
        script.start(12)
        script.case.late.add(len(script.case.codes))
        script.start(12, s.logits)
        script.frame()
        cases.append(script.case)
    script = Script(s, "stream before its image, and before the program")
    script.queue(*s.streamed())
    script.load()
    script.queue(Transfer(words=s.image))
    script.start(0, s.logits)
    script.frame()
    cases.append(script.case)
    return cases
