"""cocotb bench of the program memory: random records, requests of both ports at any time, some withdrawn, resets."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from squeeze_hls.engine.fields import BUFFER, INSTRUCTION, LAYER, Record
from tests.rtl.common import SEED, failure, parameters, start
from tests.rtl.records import blank, packed

DEPTHS = parameters()
SECTIONS: tuple[tuple[Record, int], ...] = (
    (LAYER, DEPTHS["LAYER_DEPTH"]),
    (BUFFER, DEPTHS["BUFFER_DEPTH"]),
    (INSTRUCTION, DEPTHS["PROGRAM_DEPTH"]),
)
PORTS = 2
CYCLES = 5000  # of each program
SERVICE = 6  # cycles from the one that takes a request to the answer


class Server:
    """Which port is served, cycle by cycle."""

    def __init__(self) -> None:
        self.port = self.index = self.cycles = 0

    def answer(self, requests: int) -> int:
        """``f_done`` of this cycle."""
        return 1 << self.port if self.cycles == SERVICE and requests >> self.port & 1 else 0

    def clock(self, requests: int, indices: list[int], reset: bool) -> None:
        if reset or (self.cycles and (not requests >> self.port & 1 or self.cycles == SERVICE)):
            self.cycles = 0
        elif self.cycles:
            self.cycles += 1
        elif requests:
            self.port = 0 if requests & 1 else 1
            self.index, self.cycles = indices[self.port], 1


async def load(dut: Any, rng: random.Random) -> list[list[Any]]:
    """Write random records in any order, with writes of section 3 between them; the rows of each section."""
    tables: list[list[Any]] = []
    writes = [(3, rng.randrange(1 << 16), rng.randrange(8), rng.getrandbits(64)) for _ in range(100)]
    for section, (record, depth) in enumerate(SECTIONS):
        rows = [blank(record, rng) for _ in range(depth)]
        if record is INSTRUCTION:
            for row in rows:
                row.layer = rng.randrange(DEPTHS["LAYER_DEPTH"])
                row.source, row.target = (rng.randrange(DEPTHS["BUFFER_DEPTH"]) for _ in range(2))
        tables.append(rows)
        for index, row in enumerate(rows):
            writes += [(section, index, word, data) for word, data in enumerate(row.pack())]
    rng.shuffle(writes)
    for section, index, word, data in writes:
        dut.pw_valid.value = 1
        dut.pw_section.value, dut.pw_index.value, dut.pw_word.value, dut.pw_data.value = section, index, word, data
        await RisingEdge(dut.clk)
    dut.pw_valid.value = 0
    return tables


def check(dut: Any, tables: list[list[Any]], index: int, what: str) -> None:
    """The records that an instruction refers to."""
    layers, buffers, instructions = tables
    row = instructions[index]
    for name, record, expected in (
        ("instruction", INSTRUCTION, row),
        ("layer", LAYER, layers[row.layer]),
        ("source", BUFFER, buffers[row.source]),
        ("target", BUFFER, buffers[row.target]),
    ):
        got = record.unpack(
            [int(getattr(dut, f"f_{name}").value) >> 64 * n & (1 << 64) - 1 for n in range(record.words)]
        )
        wanted = expected.fields()
        if got != wanted:
            wrong = next(field for field in got if got[field] != wanted[field])
            raise failure(
                f"{what}: instruction {index}, {name}.{wrong} is {got[wrong]:x}, not {wanted[wrong]:x} "
                f"(packed {packed(expected):x})"
            )


@cocotb.test()
async def requests_of_both_ports(dut: Any) -> None:
    names = ("pw_valid", "pw_section", "pw_index", "pw_word", "pw_data", "f_req", "f_index")
    await start(dut, dict.fromkeys(names, 0), 4 * CYCLES)
    rng = random.Random(SEED)
    for program in range(2):
        tables = await load(dut, rng)
        server, indices, wanted, answered = Server(), [0] * PORTS, 0, [0] * PORTS
        last: int | None = None  # the instruction whose records stay
        for cycle in range(CYCLES):
            for port in range(PORTS):
                if not wanted >> port & 1 and rng.random() < (0.05, 0.3)[cycle // 1000 % 2]:
                    wanted |= 1 << port
                    indices[port] = rng.randrange(DEPTHS["PROGRAM_DEPTH"])
                elif wanted >> port & 1 and rng.random() < 0.02:
                    wanted &= ~(1 << port)  # withdrawn
            reset = rng.random() < 0.002
            dut.rst.value, dut.f_req.value = int(reset), wanted
            dut.f_index.value = sum(index << 16 * port for port, index in enumerate(indices))
            await RisingEdge(dut.clk)
            what = f"program {program}, cycle {cycle}"
            done = server.answer(wanted)
            if dut.f_done.value != done:
                raise failure(f"{what}: f_done is {int(dut.f_done.value):b}, expected {done:b}")
            if done:
                check(dut, tables, server.index, what)
                last = server.index
                answered[server.port] += 1
            elif last is not None and server.cycles == 0:
                check(dut, tables, last, f"{what}, behind the answer")
            server.clock(wanted, indices, reset)
            if server.cycles == 1 or reset:
                last = None
            for port in range(PORTS):
                if done >> port & 1:
                    wanted &= ~(1 << port)
        assert min(answered) > 50
