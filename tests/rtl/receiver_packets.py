"""Packets for the receiver's bench, good and malformed, and what must come of each."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from squeeze_hls.engine import fields
from squeeze_hls.engine.entropy import STATES, Table
from squeeze_hls.engine.program import Program, pack_program
from squeeze_hls.engine.records import LayerRecord
from tests.rtl.common import parameters
from tests.rtl.records import blank

PARAMETERS = parameters()
CIN, STORE_WORDS, TABLES = (PARAMETERS[name] for name in ("CIN", "STORE_WORDS", "TABLES"))
ENGINE_ID = PARAMETERS["ENGINE_ID"]
LIMITS = {name: PARAMETERS[f"{name.upper()}_DEPTH"] for name in ("layer", "buffer", "program", "param", "act")}


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


def random_table(rng: random.Random) -> Table:
    columns = {f.name: [rng.randrange(1 << f.width) for _ in range(STATES)] for f in fields.ENTRY.fields}
    return Table(**{name: np.array(column) for name, column in columns.items()})


# Largest outputs that are refused.
BAD_TOPS = (
    {"half_a": 1, "top_a": 0},
    {"half_b": 1, "top_b": 0},
    {"half_a": 1, "average": 0, "top_a": 256},
    {"half_a": 1, "average": 0, "top_a": 65535},
    {"half_a": 1, "average": 0, "top_a": 32769},
)


def random_tops(layer: LayerRecord, rng: random.Random) -> dict[str, int]:
    """Largest outputs that a layer may have, the ends of their ranges among them; anything of a half that it lacks."""
    a = rng.choice([1, rng.randint(1, 255), 255, *([256, 0x8000, 65535] if layer.average else [])])
    b = rng.choice([1, rng.randint(1, 255), 255])
    return {
        "top_a": a if layer.a.present else rng.choice([0, 65535]),
        "top_b": b if layer.b.present else rng.choice([0, 255]),
    }


def changed(layer: LayerRecord, values: Mapping[str, int]) -> LayerRecord:
    return LayerRecord.of(layer.fields() | values)


class Model:
    """What the engine holds, and packets for it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
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
        top = overrides.pop("top", 0)  # which of BAD_TOPS a layer has
        counts |= {k: v for k, v in overrides.items() if k in counts}
        buffers = []
        for i in range(counts["buffers"]):
            base = rng.randrange(LIMITS["act"])
            buffers.append(blank(fields.BUFFER, rng, base=base, depth=LIMITS["act"] - base + (excess if i == 0 else 0)))
        coded = {"entropy": 1, "table_a": 0, "table_b": 0}
        plain = {"entropy": 0}
        layers = [
            blank(fields.LAYER, rng, residual=residual, **(coded if counts["tables"] and rng.random() < 0.5 else plain))
            for _ in range(counts["layers"])
        ]
        for number, layer in enumerate(layers):
            layers[number] = changed(layer, random_tops(layer, rng))
        if top:
            number = rng.randrange(len(layers))
            layers[number] = changed(layers[number], BAD_TOPS[top - 1])
        if counts["tables"]:
            layers[0] = changed(layers[0], dict.fromkeys(("table_a", "table_b"), counts["tables"] - 1))
        if missing:
            number = rng.randrange(len(layers))
            wrong = {("table_a", "table_b")[missing - 1]: counts["tables"]}
            layers[number] = changed(layers[number], coded | wrong)
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
            header=blank(fields.HEADER, rng, **(head | counts | overrides)),
            layers=tuple(layers),
            buffers=tuple(buffers),
            instructions=tuple(blank(fields.INSTRUCTION, rng) for _ in range(counts["instructions"])),
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
            "top": {"top": rng.randint(1, len(BAD_TOPS))},
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
                "top",
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
