"""cocotb bench of the receiver: good and malformed packets of every kind, with gaps, back-pressure and prefetch.

A small model of the engine's control gives starts and runs frames.  After every packet its error code, all that was
written and what counts as valid are compared with docs/program.md.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from types import SimpleNamespace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from squeeze_hls.plan import fields
from squeeze_hls.plan.entropy import STATES, Table
from squeeze_hls.plan.program import Program, pack_program
from tests.rtl.common import parameters

PARAMETERS = parameters()
CIN, STORE_WORDS, TABLES = (PARAMETERS[name] for name in ("CIN", "STORE_WORDS", "TABLES"))
ENGINE_ID = PARAMETERS["ENGINE_ID"]
LIMITS = {name: PARAMETERS[f"{name.upper()}_DEPTH"] for name in ("layer", "buffer", "program", "param", "act")}
SEED = cocotb.RANDOM_SEED
PACKETS = 120
PATIENCE = 4000  # cycles without any event that count as a hang


def random_table(rng: random.Random) -> Table:
    return Table(
        **{f.name: np.array([rng.randrange(1 << f.width) for _ in range(STATES)]) for f in fields.ENTRY.fields}
    )


@dataclass
class Packet:
    """Beats (64-bit word, TLAST) of one packet, and what must come of it."""

    kind: str
    beats: list[tuple[int, bool]]
    code: int
    begun: bool = False  # an image whose first beat reaches the loader
    writes: list[tuple[int, ...]] | None = None  # of a program or of weights that succeed
    apply: dict[str, object] = field(default_factory=dict)  # what is valid afterwards


def beats(words: list[int]) -> list[tuple[int, bool]]:
    return [(word, i == len(words) - 1) for i, word in enumerate(words)]


def header(kind: int, identity: int, length: int, magic: int = fields.PACKET_MAGIC) -> int:
    values = {"magic": magic, "type": kind, "identity": identity & 0xFFFFFF, "length": length}
    return fields.PACKET.pack(values)[0]


def to_words(data: bytes) -> list[int]:
    return np.frombuffer(data + bytes(-len(data) % 8), "<u8").tolist()


def row(record: fields.Record, rng: random.Random, **values: int) -> SimpleNamespace:
    return SimpleNamespace(**({f.name: rng.randrange(1 << f.width) for f in record.fields} | values))


class Model:
    """What the engine holds, and packets for it."""

    def __init__(self) -> None:
        self.rng = random.Random(SEED)
        self.program: SimpleNamespace | None = None  # header, crc, length of an image
        self.store_crc: int | None = None
        self.weights = b""  # those that the last program was made for

    # --- packets; each method gives a good one, or a bad one with its code ---

    def make_program(self, **overrides: int) -> tuple[Program, bytes]:
        rng = self.rng
        counts = {
            "layers": rng.randint(1, LIMITS["layer"]),
            "buffers": rng.randint(1, LIMITS["buffer"]),
            "instructions": rng.randint(1, LIMITS["program"]),
            "params": CIN * rng.randint(1, LIMITS["param"] // CIN),
            "tables": rng.randint(0, TABLES),
        }
        residual = overrides.pop("residual", 0)
        missing = overrides.pop("missing", 0)  # 1: a layer lacks the table of half A; 2: of half B
        excess = overrides.pop("excess", 0)
        counts |= {k: v for k, v in overrides.items() if k in counts}
        buffers = []
        for i in range(counts["buffers"]):
            base = rng.randrange(LIMITS["act"])
            buffers.append(row(fields.BUFFER, rng, base=base, depth=LIMITS["act"] - base + (excess if i == 0 else 0)))
        coded = {"entropy": 1, "table_a": 0, "table_b": 0}
        plain = {"entropy": 0}
        layers = [
            row(fields.LAYER, rng, residual=residual, **(coded if counts["tables"] and rng.random() < 0.5 else plain))
            for _ in range(counts["layers"])
        ]
        if counts["tables"]:
            layers[0].table_a = layers[0].table_b = counts["tables"] - 1
        if missing:
            vars(rng.choice(layers)).update(coded | {("table_a", "table_b")[missing - 1]: counts["tables"]})
        head = {
            "version": fields.FORMAT_VERSION,
            "engine": ENGINE_ID,
            "weights_crc": zlib.crc32(self.weights),
            "store_words": min(len(self.weights) // 9, STORE_WORDS),
            "height": rng.randint(1, 12),
            "width": rng.randint(1, 12),
            "kernel": rng.randint(1, 7),
            "gather_words": 1,
        }
        if rng.random() < 0.05:
            head |= {"height": rng.randint(1, 1 << 12), "width": 1}
        program = Program(
            header=row(fields.HEADER, rng, **(head | counts | overrides)),
            layers=tuple(layers),
            buffers=tuple(buffers),
            instructions=tuple(row(fields.INSTRUCTION, rng) for _ in range(counts["instructions"])),
            params=np.array(
                [
                    (rng.randrange(-(1 << 23), 1 << 23), rng.randrange(1 << 16, 1 << 17), rng.randrange(16))
                    for _ in range(counts["params"])
                ]
            ),
            tables=tuple(random_table(rng) for _ in range(counts["tables"])),
        )
        return program, pack_program(program)

    def program_packet(self, fault: str | None = None) -> Packet:
        rng = self.rng
        overrides = {
            "version": {"version": fields.FORMAT_VERSION + rng.choice([-1, 1])},
            "engine": {"engine": ENGINE_ID ^ 1 << rng.randrange(32)},
            "residual": {"residual": 1},
            "excess": {"excess": 1},
            "tables": {"tables": TABLES + 1},
            "missing": {"missing": rng.randint(1, 2)},
            "layers": {"layers": LIMITS["layer"] + 1},
            "buffers": {"buffers": LIMITS["buffer"] + 1},
            "instructions": {"instructions": LIMITS["program"] + 1},
            "params": {"params": LIMITS["param"] + CIN},
            "kernel": {"kernel": 8},
            "store_words": {"store_words": STORE_WORDS + 1},
            "gather": {"gather_words": 99},
        }
        program, data = self.make_program(**overrides.get(fault or "", {}))
        code = 0 if fault is None else 4 if fault == "engine" else 9
        length = len(data) // 8
        if fault == "crc":
            position = rng.randrange(8 * fields.HEADER.words, len(data))
            data = data[:position] + bytes([data[position] ^ 1 << rng.randrange(8)]) + data[position + 1 :]
            code = 5
        words = to_words(data)
        if fault == "size":  # the packet has another length than its tables
            words.insert(-1, 0)
            words[-1] = zlib.crc32(np.array(words[:-1], "<u8").tobytes())
            length, code = length + 1, 3
        packet = Packet("program", beats([header(fields.PROGRAM, ENGINE_ID, length), *words]), code)
        packet.apply = {"program": None}
        if code == 0:
            h = program.header
            packet.apply["program"] = SimpleNamespace(
                header=sum(w << 64 * k for k, w in enumerate(words[:6])),
                crc=int.from_bytes(data[-8:-4], "little"),
                image=-(-3 * h.height * h.width // 8),
                weights_crc=h.weights_crc,
            )
            packet.writes, position = [], 6
            for section, (record, count) in enumerate(
                (
                    (fields.LAYER, h.layers),
                    (fields.BUFFER, h.buffers),
                    (fields.INSTRUCTION, h.instructions),
                    (fields.PARAM, h.params),
                    (fields.ENTRY, h.tables * STATES),
                )
            ):
                for index in range(count):
                    for word in range(record.words):
                        packet.writes.append((section, index, word, words[position]))
                        position += 1
        return packet

    def weights_packet(self, fault: str | None = None) -> Packet:
        rng = self.rng
        count = rng.randint(1, STORE_WORDS) if fault != "long" else STORE_WORDS + rng.randint(1, 20)
        data = self.weights if fault is None and rng.random() < 0.6 and self.weights else rng.randbytes(9 * count)
        if fault is None:
            self.weights = data
        words = to_words(data)
        if len(data) % 8:
            words[-1] |= rng.randrange(1 << 64) << 8 * (len(data) % 8) & (1 << 64) - 1  # padding of any value
        if fault == "odd":
            while len(words) % 9:
                words.pop()
            words = [*words[: 9 * ((STORE_WORDS - 8) // 8)], rng.randrange(1 << 64)]
        crc = zlib.crc32(np.array(words, "<u8").tobytes())
        if fault == "crc":
            crc ^= 1 << rng.randrange(64)
        code = {None: 0, "long": 3, "odd": 3, "crc": 6}[fault]
        packet = Packet("weights", beats([header(fields.WEIGHTS, ENGINE_ID, len(words) + 1), *words, crc]), code)
        packet.apply = {"store_crc": None if code else zlib.crc32(data)}
        if code == 0:
            packet.writes = [(i, int.from_bytes(data[9 * i : 9 * i + 9], "little")) for i in range(len(data) // 9)]
        return packet

    def image_packet(self) -> Packet:
        rng, program = self.rng, self.program
        count = program.image if program else rng.randint(1, 20)
        identity = program.crc if program else 0
        words = [rng.randrange(1 << 64) for _ in range(count)]
        code = 7 if program is None else 8 if self.store_crc != program.weights_crc and STORE_WORDS else 0
        packet = Packet("image", beats([header(fields.IMAGE, identity, count), *words]), code)
        packet.begun = code == 0
        return packet

    def random_packet(self) -> Packet:
        rng = self.rng
        kind = rng.choices(["image", "program", "weights"], [5, 3, 3 if STORE_WORDS else 0])[0]
        if kind == "image":
            packet = self.image_packet()
        elif kind == "program":
            faults = [
                "version",
                "engine",
                "residual",
                "excess",
                "layers",
                "buffers",
                "instructions",
                "params",
                "kernel",
                "gather",
                "tables",
                "missing",
                "crc",
                "size",
            ]
            packet = self.program_packet(
                rng.choice(faults + ["store_words"] * bool(STORE_WORDS)) if rng.random() < 0.5 else None
            )
        else:
            packet = self.weights_packet(rng.choice(["long", "odd", "crc"]) if rng.random() < 0.4 else None)
        return self.damaged(packet) if rng.random() < 0.35 else packet

    def damaged(self, packet: Packet) -> Packet:
        """A header or TLAST that is wrong, in an otherwise good packet."""
        if packet.code not in (0, 7):
            return packet
        rng = self.rng
        word, _ = packet.beats[0]
        fault = rng.choice(["magic", "type", "zero", "length", "identity", "early", "late", "bare"])
        no_program = packet.code == 7
        header_fault = True
        if fault == "magic":
            word, code = word ^ 1 << rng.randrange(8), 1
        elif fault == "type":
            word, code = word & ~0xFF00 | rng.choice([0, 4, 255, *([2] if not STORE_WORDS else [])]) << 8, 2
        elif fault == "zero":
            word, code = word & (1 << 40) - 1, 7 if no_program else 3
        elif fault == "identity":
            word, code = word ^ 1 << rng.randrange(16, 40), 7 if no_program else 4
        elif fault == "length" and packet.kind == "image":
            word, code = word + (1 << 40), 7 if no_program else 3
        elif fault == "bare":
            packet.beats, code = packet.beats[:1], 7 if no_program else 10
        else:
            header_fault = False
            code = packet.code
            if not no_program and fault in ("early", "late"):
                code = 10 if fault == "early" else 11
                if fault == "early" and len(packet.beats) > 2:
                    packet.beats = packet.beats[: rng.randint(2, len(packet.beats) - 1)]
                else:
                    code = 11
                    packet.beats = [*packet.beats, *((rng.randrange(1 << 64), False) for _ in range(rng.randint(1, 5)))]
        packet.beats = [(w, i == len(packet.beats) - 1) for i, (w, _) in enumerate(packet.beats)]
        packet.beats[0] = (word, packet.beats[0][1])
        if code != packet.code or header_fault:
            packet.code, packet.writes = code, None
            packet.begun = packet.begun and not header_fault
            if header_fault:
                packet.apply = {}
            else:
                packet.apply = dict.fromkeys(packet.apply)
        return packet


MODEL = Model()  # one for all tests: what is loaded survives a reset


class Bench:
    """Drives the stream and starts; collects what the receiver does."""

    def __init__(self, dut: object, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.queue: list[tuple[int, bool]] = []
        self.gaps = self.stalls = 0.0
        self.offered: tuple[int, bool] | None = None
        self.clear()
        self.run = self.busy = 0

    def clear(self) -> None:
        self.images: list[tuple[int, int]] = []  # (first, word)
        self.programs: list[tuple[int, ...]] = []
        self.stores: list[tuple[int, int]] = []
        self.events: list[str] = []

    async def reset(self, cycles: int = 3) -> None:
        dut = self.dut
        dut.rst.value = 1
        dut.img_drop.value = 0
        for _ in range(cycles):
            await self.cycle()
        self.run = self.busy = 0
        dut.rst.value = 0
        self.clear()

    async def cycle(self) -> None:
        """One clock cycle: drive, look, and react as the engine's control does."""
        dut, rng = self.dut, self.rng
        if self.offered is None and self.queue and rng.random() >= self.gaps:
            self.offered = self.queue.pop(0)
        dut.s_axis_tvalid.value = int(self.offered is not None)
        word, last = self.offered or (rng.randrange(1 << 64), rng.random() < 0.5)
        dut.s_axis_tdata.value, dut.s_axis_tlast.value = word, int(last)
        ready = int(rng.random() >= self.stalls)
        dut.img_ready.value = ready
        dut.run.value, dut.busy_frame.value = self.run, self.busy
        await ReadOnly()
        if int(dut.s_axis_tready.value):
            self.offered = None
        if int(dut.img_valid.value) and ready:
            self.images.append((int(dut.img_first.value), int(dut.img_data.value)))
        if int(dut.pw_valid.value):
            self.programs.append(tuple(int(s.value) for s in (dut.pw_section, dut.pw_index, dut.pw_word, dut.pw_data)))
        if int(dut.sw_valid.value):
            self.stores.append((int(dut.sw_addr.value), int(dut.sw_data.value)))
        if int(dut.frame_begin.value):
            assert self.run and not self.busy, "frame_begin without a start"
            self.run, self.busy = 0, 1
            self.events.append("begin")
        if int(dut.packet_done.value):
            assert self.run or self.busy, "packet_done without a start"
            self.run = self.busy = 0
            self.events.append(f"error {int(dut.error.value)}" + " abort" * int(dut.frame_abort.value))
        else:
            assert not int(dut.frame_abort.value)
        await RisingEdge(dut.clk)

    async def until(self, count: int, what: str) -> None:
        """Until that many events have been seen."""
        for _ in range(PATIENCE + 40 * len(self.queue)):
            if len(self.events) >= count:
                return
            await self.cycle()
        raise AssertionError(f"hang: {what}: {self.events}, {len(self.queue)} beats left (seed {SEED})")

    async def idle(self, cycles: int) -> None:
        for _ in range(cycles):
            await self.cycle()


def begin(dut: object) -> None:
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())


async def play(bench: Bench, model: Model, packet: Packet, what: str) -> None:
    """One packet with one start; everything that must come of it."""
    dut, rng = bench.dut, bench.rng
    bench.gaps, bench.stalls = rng.choice([0, 0, 0.5]), rng.choice([0, 0.3, 0.9])
    bench.clear()
    bench.queue += packet.beats
    if rng.random() < 0.5:
        await bench.idle(rng.randrange(20))
        assert not bench.events, f"{what}: taken before the start"
    bench.run = 1
    expected = ["begin"] * packet.begun
    if packet.kind != "image" or packet.code:
        expected.append(f"error {packet.code}" + " abort" * packet.begun)
    await bench.until(len(expected), what)
    for _ in range(PATIENCE + 40 * len(packet.beats)):  # to the end of the packet, also behind an error
        if (
            not bench.queue
            and bench.offered is None
            and (packet.code or packet.kind != "image" or len(bench.images) == len(packet.beats) - 1)
        ):
            break
        await bench.cycle()
    await bench.idle(25)
    bench.busy = 0
    assert bench.events == expected, f"{what}: {bench.events}, not {expected} (seed {SEED})"
    assert not bench.queue and bench.offered is None, f"{what}: {len(bench.queue)} beats were not taken"
    if packet.begun and packet.code == 0:
        want = [(int(i == 0), word) for i, (word, _) in enumerate(packet.beats[1:])]
        assert bench.images == want, f"{what}: beats of the image"
    if not packet.begun:
        assert not bench.images, f"{what}: beats reach the loader"
    if packet.writes is not None:
        got = bench.programs if packet.kind == "program" else bench.stores
        assert got == packet.writes, f"{what}: writes"
    for name, value in packet.apply.items():
        setattr(model, name, value)
    assert int(dut.program_valid.value) == (model.program is not None), f"{what}: program_valid"
    assert not STORE_WORDS or int(dut.store_valid.value) == (model.store_crc is not None), f"{what}: store_valid"
    if model.program is not None:
        assert int(dut.header.value) == model.program.header, f"{what}: header"
        assert int(dut.program_crc.value) == model.program.crc, f"{what}: program_crc"
        assert int(dut.weights_ok.value) == (not STORE_WORDS or model.store_crc == model.program.weights_crc), (
            f"{what}: weights_ok"
        )


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def packets(dut: object) -> None:
    """Random packets, two in five of them malformed; a reset between some of them."""
    begin(dut)
    rng = random.Random(SEED)
    bench, model = Bench(dut, rng), MODEL
    model.rng = rng
    await bench.reset()
    seen: dict[int, int] = {}
    for number in range(PACKETS):
        packet = model.random_packet()
        seen[packet.code] = seen.get(packet.code, 0) + 1
        await play(bench, model, packet, f"packet {number} ({packet.kind}, code {packet.code})")
        if rng.random() < 0.05:
            await bench.reset()
    dut._log.info("packets by code: %s", dict(sorted(seen.items())))


async def prepare(bench: Bench, model: Model) -> None:
    if STORE_WORDS:
        await play(bench, model, model.weights_packet(), "weights")
    await play(bench, model, model.program_packet(), "program")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def images_taken_ahead(dut: object) -> None:
    """While a frame runs, the next image's beats pass, frame_begin waits; a failure is reported at its start."""
    begin(dut)
    rng = random.Random(SEED + 1)
    bench, model = Bench(dut, rng), MODEL
    model.rng = rng
    await bench.reset()
    await prepare(bench, model)
    for case in range(25):
        fault = rng.choice(["none", "early", "late", "identity", "program", "drop", "drop late"])
        first, second = model.image_packet(), model.image_packet()
        if len(second.beats) < 4 and fault in ("early", "drop"):
            fault = "none"
        what = f"case {case}, {fault}"
        if fault == "identity":
            second.beats[0] = (second.beats[0][0] ^ 1 << 20, False)
        elif fault == "early":
            second.beats = [*second.beats[:-2], (second.beats[-2][0], True)]
        elif fault == "late":
            second.beats = [*second.beats[:-1], (second.beats[-1][0], False), (7, False), (8, True)]
        elif fault == "program":
            second = model.program_packet()
        bench.clear()
        bench.gaps, bench.stalls = rng.choice([0, 0.5]), rng.choice([0, 0.5])
        bench.queue += first.beats
        bench.run = 1
        await bench.until(1, what)
        while len(bench.images) < len(first.beats) - 1:
            await bench.cycle()
        bench.queue += second.beats
        if fault == "drop":  # the frame fails for another reason, the next image is on its way
            while len(bench.images) < len(first.beats):
                await bench.cycle()
        else:
            await bench.idle(12 * len(second.beats) + 60)
        assert bench.events == ["begin"], f"{what}: {bench.events} while the first frame runs"
        ahead = fault in ("none", "early", "late", "drop", "drop late")
        if fault == "none":
            assert len(bench.images) == len(first.beats) + len(second.beats) - 2, f"{what}: not taken ahead"
        elif not ahead:
            assert len(bench.images) == len(first.beats) - 1, f"{what}: passed on"
        if fault.startswith("drop"):
            dut.img_drop.value = 1
            await bench.cycle()
            dut.img_drop.value = 0
        bench.busy = 0
        await bench.idle(rng.randrange(1, 5))
        assert bench.events == ["begin"], f"{what}: {bench.events} before the second start"
        bench.run = 1
        code = {"none": None, "early": 10, "late": 11, "identity": 4, "program": 0, "drop": 12, "drop late": 12}[fault]
        want = ["begin"] + ["begin"] * ahead + ([] if code is None else [f"error {code}" + " abort" * ahead])
        await bench.until(len(want), what)
        for _ in range(PATIENCE):
            if not bench.queue and bench.offered is None:
                break
            await bench.cycle()
        await bench.idle(10)
        assert bench.events == want, f"{what}: {bench.events}, not {want} (seed {SEED})"
        bench.busy = bench.run = 0
        for name, value in second.apply.items():
            setattr(model, name, value)
    await play(bench, model, model.image_packet(), "the image after all")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def resets(dut: object) -> None:
    """A reset in the middle of any packet: its rest is discarded without a start, and the next packet is right."""
    begin(dut)
    rng = random.Random(SEED + 2)
    bench, model = Bench(dut, rng), MODEL
    model.rng = rng
    await bench.reset()
    await prepare(bench, model)
    for case in range(30):
        packet = rng.choice(
            [model.image_packet, model.program_packet, *([model.weights_packet] if STORE_WORDS else [])]
        )()
        before = (model.program, model.store_crc)
        bench.clear()
        bench.gaps = bench.stalls = 0
        bench.queue += packet.beats
        bench.run = 1
        for _ in range(rng.randrange(12, 12 + len(packet.beats) + 10)):
            await bench.cycle()
        await bench.reset(rng.randint(1, 4))
        await bench.idle(4 * len(packet.beats) + 20)
        assert not bench.queue and bench.offered is None, f"case {case}: {len(bench.queue)} beats were not discarded"
        assert not bench.events, f"case {case}: {bench.events}"
        if packet.kind == "program" and not int(dut.program_valid.value):
            model.program = None
        elif packet.kind == "weights" and not int(dut.store_valid.value):
            model.store_crc = None
        elif packet.kind == "program":
            model.program = (
                packet.apply["program"] if int(dut.program_crc.value) == packet.apply["program"].crc else before[0]
            )
        elif packet.kind == "weights":
            model.store_crc = packet.apply["store_crc"]
        if model.program is None or model.store_crc != model.program.weights_crc:
            await play(bench, model, model.image_packet(), f"image after case {case}")
            await prepare(bench, model)
        await play(bench, model, model.image_packet(), f"good image after case {case}")
