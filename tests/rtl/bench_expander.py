"""cocotb bench of the expander with program memory, record memory and weight store, against plan/weights.py.

Random programs of tiles of all kinds run over several frames, with random releases, streams with gaps and fetches
at the other port.  Every tile must be written whole and once, only while its buffer is free, and be announced once.
"""

from __future__ import annotations

import random
from types import SimpleNamespace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from squeeze_hls.engine import entropy, fields
from squeeze_hls.engine.entropy import Class, Table, make_table
from squeeze_hls.engine.program import Program, pack_program
from squeeze_hls.engine.records import LayerRecord
from squeeze_hls.engine.store import WORD_BYTES
from squeeze_hls.plan.entropy_fit import fit_tables
from squeeze_hls.plan.weights import encode_tile, whole_words
from tests.rtl.common import parameters
from tests.rtl.records import blank

PARAMETERS = parameters()
CIN, COUT, TILE_WORDS = (PARAMETERS[name] for name in ("CIN", "COUT", "TILE_WORDS"))
TABLES = PARAMETERS["TABLES"]
STREAMED = PARAMETERS["STORE_WORDS"] == 0
SEED = cocotb.RANDOM_SEED
CASES = 40 if TABLES else 8
CHUNK = min(8, CIN)
PATIENCE = 20_000  # cycles without a tile that count as a hang


def random_tables(rng: np.random.Generator) -> list[Table]:
    """Tables that code every weight, no chunk longer than a word; the first makes the longest items, or none."""
    extreme = [make_table([Class(0), Class(1, 4), Class(9, 4), Class(16, 5), Class(32)], [50, 4, 4, 4, 2])]
    scales = 10.0 ** rng.uniform(-0.5, 1, TABLES)
    weights = np.array([w - 64 if w > 31 else w for w in range(64)])
    counts = 1 + 1e5 * np.exp(-np.abs(weights) / scales[:, None])
    limit = entropy.CHUNK_BITS // 8
    fitted = [fit_tables(row[None], 1, {0}, limit)[0][0] for row in counts.astype(np.int64)]
    return (extreme + fitted)[:TABLES]


def random_tile(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights with few or many zeros; or Laplacian, of one value, or of the largest magnitudes."""
    kind = rng.choice(["dense", "sparse", "sparse", "laplace", "one", "large"])
    if kind == "laplace":
        return np.clip(np.rint(rng.laplace(0, 10.0 ** rng.uniform(-0.5, 1), shape)), -32, 31).astype(np.int8)
    if kind == "one":
        return np.full(shape, rng.integers(-32, 32), np.int8)
    if kind == "large":
        return (rng.integers(16, 32, shape) * rng.choice([-1, 1], shape)).astype(np.int8)
    density = 1.0 if kind == "dense" else rng.choice([0.0, 0.05, 0.4, 0.8, 0.95])
    return np.where(rng.random(shape) < density, rng.integers(-32, 32, shape), 0).astype(np.int8)


def encode_layer(groups: list[dict[str, np.ndarray]], layer: LayerRecord, tables: list[Table]) -> bytes:
    """All tiles of an entropy-coded layer."""
    own = {half.name: half.table for half in layer.halves}
    parts = [(tile.reshape(-1, CHUNK), own[half]) for tiles in groups for half, tile in tiles.items()]
    choice = np.repeat([table for _, table in parts], [len(chunks) for chunks, _ in parts])
    bits = entropy.encode(np.concatenate([chunks for chunks, _ in parts]), choice, tables)
    assert bits is not None
    return whole_words(bits)


def random_case(rng: random.Random) -> SimpleNamespace:
    """A program, its store words and the tiles of a frame: (halves, records, shifts, is first of its instruction)."""
    np_rng = np.random.default_rng(rng.randrange(1 << 32))
    layers, blobs, store, params = [], [], b"", []
    tables = random_tables(np_rng) if TABLES else []
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(["pair", "single", "gather"])
        columns = 1 if kind == "gather" else rng.choice([1, 3])
        rows0 = rng.randint(1, 4) if kind == "gather" else columns
        rows1 = rng.randint(0, 3) if kind == "gather" else 0
        taps = (rows0 + rows1) * columns
        words = rng.randint(1, max(1, min(6, TILE_WORDS // (taps + 1))))
        groups_a, groups_b = rng.randint(1, 3), rng.randint(1, 3) if kind == "pair" else 0
        layer = blank(
            fields.LAYER,
            rng,
            half_a=1,
            half_b=int(kind == "pair"),
            rows0=rows0,
            rows1=rows1,
            columns=columns,
            words=words,
            groups_a=groups_a,
            groups_b=groups_b,
            weights=len(store) // WORD_BYTES,
            params_a=len(params),
            params_b=len(params) + groups_a * COUT,
            residual=0,
            entropy=int(TABLES > 0 and rng.random() < 0.7),
            table_a=rng.randrange(TABLES or 8),
            table_b=rng.randrange(TABLES or 8),
        )
        params += [
            (rng.randrange(-(1 << 23), 1 << 23), rng.randrange(1 << 16, 1 << 17), rng.randrange(16))
            for _ in range((groups_a + groups_b) * COUT)
        ]
        tiles = []
        for group in range(max(groups_a, groups_b)):
            halves = {}
            for half in layer.halves_of(group):
                halves[half.name] = random_tile(np_rng, (layer.depth(half), COUT, CIN))
            tiles.append((halves, encode_tile(list(halves.values()), CHUNK)))
        coded = encode_layer([halves for halves, _ in tiles], layer, tables) if layer.entropy else None
        store += b"".join(blob for _, blob in tiles) if coded is None else coded
        layers.append(layer)
        blobs.append(tiles)
    assert STREAMED or len(store) <= WORD_BYTES * PARAMETERS["STORE_WORDS"], "the store is too small for this bench"
    order = [rng.randrange(len(layers)) for _ in range(rng.randint(1, 6))]
    buffers = tuple(blank(fields.BUFFER, rng) for _ in range(32))
    instructions = tuple(
        blank(fields.INSTRUCTION, rng, layer=index, last=int(i == len(order) - 1)) for i, index in enumerate(order)
    )
    program = Program(
        header=blank(
            fields.HEADER,
            rng,
            layers=len(layers),
            buffers=32,
            instructions=len(order),
            params=len(params),
            tables=TABLES,
        ),
        layers=tuple(layers),
        buffers=buffers,
        instructions=instructions,
        params=np.array(params, np.int64),
        tables=tuple(tables),
    )
    frame = []
    for index in order:
        layer = layers[index]
        for group, (halves, blob) in enumerate(blobs[index]):
            records = {}
            for half in layer.halves_of(group):
                first = half.params + group * COUT
                records[half.name] = (params[first : first + COUT], half.shift)
            frame.append(
                SimpleNamespace(halves=halves, records=records, first=group == 0, blob=blob, coded=layer.entropy)
            )
    return SimpleNamespace(program=program, store=store, frame=frame)


def store_words(store: bytes) -> list[int]:
    return [int.from_bytes(store[i : i + WORD_BYTES], "little") for i in range(0, len(store), WORD_BYTES)]


class Bench:
    def __init__(self, dut: object, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.cycle = 0

    async def reset(self) -> None:
        dut = self.dut
        for name in ("start", "restart", "pw_valid", "sw_valid", "ws_valid", "mac_req", "tile_release"):
            getattr(dut, name).value = 0
        for name in ("slot", "half", "word", "stream_words"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0

    async def load(self, case: SimpleNamespace) -> None:
        """Write tables, records and store as the receiver does."""
        dut = self.dut
        payload = np.frombuffer(pack_program(case.program)[:-8], "<u8").tolist()
        position = fields.HEADER.words
        header = case.program.header
        sections = zip(
            (fields.LAYER, fields.BUFFER, fields.INSTRUCTION, fields.PARAM, fields.ENTRY),
            (header.layers, header.buffers, header.instructions, header.params, header.tables * entropy.STATES),
            strict=True,
        )
        for section, (record, count) in enumerate(sections):
            for index in range(count):
                for word in range(record.words):
                    dut.pw_valid.value = 1
                    dut.pw_section.value, dut.pw_index.value, dut.pw_word.value = section, index, word
                    dut.pw_data.value = payload[position]
                    position += 1
                    await RisingEdge(dut.clk)
        dut.pw_valid.value = 0
        assert position == len(payload)
        if not STREAMED:
            for address, word in enumerate(store_words(case.store)):
                dut.sw_valid.value, dut.sw_addr.value, dut.sw_data.value = 1, address, word
                await RisingEdge(dut.clk)
            dut.sw_valid.value = 0

    async def stream(self, case: SimpleNamespace, gaps: float) -> None:
        """Endless frames of the weight stream, with gaps."""
        dut = self.dut
        while True:
            for tile in case.frame:
                for word in store_words(tile.blob):
                    while self.rng.random() < gaps:
                        dut.ws_valid.value = 0
                        await RisingEdge(dut.clk)
                    dut.ws_valid.value, dut.ws_data.value = 1, word
                    while True:
                        await ReadOnly()
                        taken = int(dut.ws_ready.value)
                        await RisingEdge(dut.clk)
                        if taken:
                            break
            dut.ws_valid.value = 0

    async def fetch(self, case: SimpleNamespace) -> None:
        """Random fetches at the other port."""
        dut, program = self.dut, case.program
        req, index = dut.mac_req, dut.mac_index
        while True:
            if self.rng.random() < 0.7:  # else another request at once
                req.value = 0
                for _ in range(self.rng.randint(1, 30)):
                    await RisingEdge(dut.clk)
            wanted = self.rng.randrange(len(program.instructions))
            instruction = program.instructions[wanted]
            req.value, index.value = 1, wanted
            for _ in range(400):
                await ReadOnly()
                if int(dut.f_done.value) & 1:
                    break
                await RisingEdge(dut.clk)
            else:
                raise AssertionError("port 0: no answer within 400 cycles")
            for record, row, signal in (
                (fields.INSTRUCTION, instruction, dut.f_instruction),
                (fields.LAYER, program.layers[instruction.layer], dut.f_layer),
                (fields.BUFFER, program.buffers[instruction.source], dut.f_source),
                (fields.BUFFER, program.buffers[instruction.target], dut.f_target),
            ):
                want = sum(w << 64 * k for k, w in enumerate(row.pack()))
                assert int(signal.value) == want, f"port 0, instruction {wanted}: {record.name}"
            await RisingEdge(dut.clk)

    async def tiles(self, frames: list, slow: float, release: bool = True) -> list[tuple]:
        """Watch `frames` come; per tile the cycles of its first and last chunk, its chunks, and the tile."""
        dut, rng = self.dut, self.rng
        written: list[dict] = [{}, {}]
        times: list[list[int]] = [[], []]
        done, released, quiet = 0, 0, 0
        figures = []
        while done < len(frames):
            await ReadOnly()
            if int(dut.tw_valid.value):
                buffer = int(dut.tw_buffer.value)
                number = done if buffer == done % 2 else done + 1
                assert number < released + 2, f"tile {number} is written before tile {number - 2} is released"
                place = (int(dut.tw_word.value), int(dut.tw_output.value), int(dut.tw_half.value))
                assert place not in written[buffer], f"tile {number}: {place} is written twice"
                written[buffer][place] = int(dut.tw_data.value)
                times[buffer].append(self.cycle)
            ready = int(dut.tile_ready.value)
            await RisingEdge(dut.clk)
            self.cycle += 1
            quiet += 1
            dut.tile_release.value = 0
            if ready:
                self.check_tile(done, frames[done], written[done % 2])
                await self.check_records(done, frames[done])
                mine = times[done % 2]
                figures.append((mine[0], mine[-1], len(mine), frames[done]))
                written[done % 2], times[done % 2] = {}, []
                done, quiet = done + 1, 0
            if release and released < done and rng.random() >= slow:
                dut.tile_release.value = 1
                released += 1
            assert quiet < PATIENCE, f"no tile after {done} of {len(frames)}"
        return figures

    def check_tile(self, number: int, tile: SimpleNamespace, written: dict) -> None:
        want = np.concatenate(list(tile.halves.values()))
        got = np.full(want.shape, 99, np.int64)
        for (word, output, upper), bits in written.items():
            values = np.array([bits >> 6 * i & 63 for i in range(CHUNK)])
            assert word < len(want), f"tile {number}: word {word} of {len(want)} is written"
            got[word, output, upper * 8 : upper * 8 + CHUNK] = np.where(values > 31, values - 64, values)
        wrong = np.argwhere(got != want)
        if len(wrong):
            k = tuple(wrong[0])
            raise AssertionError(
                f"tile {number}: {len(wrong)} wrong, first at {k}: {got[k]}, not {want[k]} (seed {SEED})"
            )

    async def check_records(self, number: int, tile: SimpleNamespace) -> None:
        """Read the records between two clock edges: the port is asynchronous."""
        dut = self.dut
        for name, (records, shift) in tile.records.items():
            for word in range(COUT // CIN):
                dut.slot.value, dut.half.value, dut.word.value = number % 4, int(name == "b"), word
                await Timer(10, "ps")
                for i in range(CIN):
                    got = (
                        int(dut.bias.value) >> 24 * i & 0xFFFFFF,
                        (int(dut.multiplier.value) >> 16 * i & 0xFFFF) + (1 << 16),
                        int(dut.offset.value) >> 4 * i & 15,
                    )
                    bias, multiplier, offset = records[word * CIN + i]
                    want = (bias & 0xFFFFFF, multiplier, offset)
                    assert got == want, f"tile {number}, half {name}, output {word * CIN + i}: {got}, not {want}"
                assert int(dut.shift.value) == shift, f"tile {number}, half {name}: shift"


async def run(dut: object, rng: random.Random, frames: int, slow: float, gaps: float, fetches: bool) -> list:
    bench = Bench(dut, rng)
    case = random_case(rng)
    await bench.reset()
    await bench.load(case)
    dut.stream_words.value = sum(len(tile.blob) // WORD_BYTES for tile in case.frame)
    tasks = [cocotb.start_soon(bench.fetch(case))] if fetches else []
    if STREAMED:
        tasks.append(cocotb.start_soon(bench.stream(case, gaps)))
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0
    figures = await bench.tiles(case.frame * frames, slow)
    if rng.random() < 0.5:  # in the middle of anything, forget all
        for _ in range(rng.randrange(200)):
            await RisingEdge(dut.clk)
        for task in tasks:
            task.cancel()
        tasks = []
        dut.tile_release.value = 0
        dut.mac_req.value = dut.ws_valid.value = 0
        dut.restart.value = 1
        await RisingEdge(dut.clk)
        dut.restart.value = 0
        if STREAMED:
            tasks.append(cocotb.start_soon(bench.stream(case, gaps)))
        await bench.tiles(case.frame, slow)
    for task in tasks:
        task.cancel()
    await RisingEdge(dut.clk)
    return figures


@cocotb.test()
async def random_programs(dut: object) -> None:
    """Every tile of random programs, with random releases, stream gaps and fetches at the other port."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    coded = 0
    for case in range(CASES):
        rng = random.Random(SEED * 1000 + case)
        slow = rng.choice([0.0, 0.5, 0.99])
        figures = await run(dut, rng, rng.randint(1, 3), slow, rng.choice([0.0, 0.3, 0.9]), True)
        coded += sum(len(tile.halves) for tile in {id(tile): tile for *_, tile in figures}.values() if tile.coded)
    assert coded >= (200 if TABLES else 0), f"only {coded} patterns of entropy-coded weights"


@cocotb.test()
async def throughput(dut: object) -> None:
    """A chunk a cycle, and the gap between tiles that the planner reckons with."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    gaps: dict[tuple, set[int]] = {}  # by whether a tile is entropy-coded, and the first of its instruction
    for case in range(max(2, CASES // 2)):
        rng = random.Random(SEED * 1000 + 500 + case)
        figures = await run(dut, rng, 3, 0.0, 0.0, False)
        for first, last, chunks, tile in figures:
            between = (3 if tile.coded else 1) * (len(tile.halves) - 1)
            assert last - first + 1 - chunks == between, f"{chunks} chunks took {last - first + 1} cycles"
        for (_, last, _, _), (first, _, chunks, tile) in zip(figures[1:], figures[2:], strict=False):
            if chunks > 2 * COUT + 8:  # else the records, or the release, are what it waits for
                gaps.setdefault((tile.coded, tile.first), set()).add(first - last - 1)
    assert gaps.get((0, False), {2}) == {2} and gaps.get((1, False), {4}) == {4}
    assert STREAMED or min(gaps.get((0, True), {6})) == 6
    assert min(gaps.get((1, True), {13})) == 13
    dut._log.info("cycles between tiles, by (coded, first of an instruction): %s", gaps)
