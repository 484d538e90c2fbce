"""cocotb bench of the loader: beats of images in, gathered words out, against docs/program.md.

The order of all writes is compared, over several frames, with random gaps, back-pressure and credits.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from types import SimpleNamespace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from squeeze_hls.engine.addresses import gathered_cells
from squeeze_hls.engine.fields import HEADER
from tests.rtl.common import parameters

PIX = parameters()["PIX"]
CIN = parameters()["CIN"]
KERNEL_MAX = parameters()["KERNEL_MAX"]
SEED = cocotb.RANDOM_SEED
CASES = int(os.environ.get("CASES", "25"))
PATIENCE = 2000  # cycles without any event that count as a hang


@dataclass(frozen=True)
class Geometry:
    """A program as far as the loader knows it."""

    header: SimpleNamespace
    base: int
    depth: int

    def __str__(self) -> str:
        shown = {k: v for k, v in vars(self.header).items() if v}
        return f"base {self.base}, depth {self.depth}, {shown}"


def geometry(**values: int) -> Geometry:
    base, depth = values.pop("base"), values.pop("depth")
    header = {field.name: 0 for field in HEADER.fields} | values
    header["gather_words"] = -(-3 * header["kernel"] // CIN)
    return Geometry(header=SimpleNamespace(**header), base=base, depth=depth)


def random_geometry(rng: random.Random) -> Geometry:
    kernel, stride = rng.randint(2, KERNEL_MAX), rng.randint(1, 2)
    pads = [rng.randrange(kernel) if rng.random() < 0.6 else 0 for _ in range(4)]  # top, left, bottom, right
    height = rng.randint(max(1, kernel - pads[0] - pads[2]), kernel + 9)
    width = rng.randint(max(1, kernel - pads[1] - pads[3]), kernel + 30)
    output_rows = (pads[0] + height + pads[2] - kernel) // stride + 1
    output_columns = (pads[1] + width + pads[3] - kernel) // stride + 1
    if rng.random() < 0.2:  # outputs that nothing needs
        output_rows, output_columns = rng.randint(1, output_rows), rng.randint(1, output_columns)
    pitch = stride * -(-3 * kernel // CIN)
    rows = (output_rows - 1) * stride + kernel
    return geometry(
        height=height,
        width=width,
        rows=max(rows, pads[0]),
        columns=output_columns,
        pad_top=pads[0],
        pad_left=pads[1],
        kernel=kernel,
        stride=stride,
        credit=rng.randint(0, rows),
        pad_red=rng.randrange(256),
        pad_green=rng.randrange(256),
        pad_blue=rng.randrange(256),
        base=rng.randrange(1 << 16),
        depth=rng.choice((pitch, rng.randint(pitch, 4 * pitch), rng.randint(pitch, 5120), (1 << 16) - 1)),
    )


@dataclass(frozen=True)
class Write:
    """One word, and which of its frame it is."""

    row: int
    column: int
    word: int
    bank: int
    address: int
    data: int

    def __str__(self) -> str:
        place = f"bank {self.bank}, address {self.address}"
        return f"row {self.row}, column {self.column}, word {self.word}: {self.data:0{2 * CIN}x} at {place}"


def expected_writes(g: Geometry, image: np.ndarray) -> list[Write]:
    """All writes of a frame in order."""
    h = g.header
    padded = np.empty((h.rows, (h.columns - 1) * h.stride + h.kernel, 3), np.uint8)
    padded[:] = h.pad_red, h.pad_green, h.pad_blue
    inside = image[: max(0, h.rows - h.pad_top), : max(0, padded.shape[1] - h.pad_left)]
    padded[h.pad_top : h.pad_top + len(inside), h.pad_left : h.pad_left + inside.shape[1]] = inside
    ring = SimpleNamespace(base=g.base, depth=g.depth)
    program = SimpleNamespace(header=h, buffers={h.gather_buffer: ring})
    writes = []
    for y in range(h.rows):
        bank, address = gathered_cells(program, y, PIX)
        for x in range(h.columns):
            window = padded[y, x * h.stride : x * h.stride + h.kernel].tobytes().ljust(h.gather_words * CIN, b"\0")
            for w in range(h.gather_words):
                data = int.from_bytes(window[w * CIN : (w + 1) * CIN], "little")
                writes.append(Write(y, x, w, int(bank[x]), int(address[x, w]), data))
    return writes


def beats(image: np.ndarray, rng: random.Random) -> list[int]:
    """The image's 64-bit words; the bytes that fill up the last one are random."""
    data = image.tobytes()
    data += rng.randbytes(-len(data) % 8)
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]


@dataclass
class Traffic:
    """Probabilities that something happens in a cycle."""

    offer: float = 1.0  # a beat is offered
    take: float = 1.0  # the memory takes a word
    credit: float = 1.0  # credit is granted, where some is due
    early: bool = True  # credit of a whole frame comes at once


class Bench:
    def __init__(self, dut) -> None:
        self.dut = dut
        self.outputs = dut.lw_bank, dut.lw_addr, dut.lw_data
        dut.restart.value = 0
        dut.img_valid.value = 0
        dut.img_first.value = 0
        dut.img_data.value = 0
        dut.credit_valid.value = 0
        dut.credit.value = 0
        dut.lw_ready.value = 0

    async def reset(self) -> None:
        cocotb.start_soon(Clock(self.dut.clk, 10, unit="ns").start())
        self.dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def program(self, g: Geometry) -> None:
        """A new program: header, buffer and the pulse that follows them."""
        words = HEADER.pack(vars(g.header))
        self.dut.header.value = sum(w << 64 * i for i, w in enumerate(words))
        self.dut.gather_base.value = g.base
        self.dut.gather_depth.value = g.depth
        await RisingEdge(self.dut.clk)
        self.dut.restart.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.restart.value = 0
        for _ in range(3):
            await RisingEdge(self.dut.clk)

    async def frames(
        self, g: Geometry, images: list[np.ndarray], traffic: Traffic, rng: random.Random, stop: int | None = None
    ) -> list[int]:
        """Run the images through; returns the cycle of each row_stored.  `stop`: give up after that many cycles."""
        dut, rows = self.dut, g.header.rows
        source = [(word, i == 0) for image in images for i, word in enumerate(beats(image, rng))]
        frame_beats = len(source) // len(images)
        writes = [write for image in images for write in expected_writes(g, image)]
        position = written = finished = quiet = cycle = 0
        granted = 0  # behind those of the header; a frame's are granted when the frame before is stored
        offered = ready = row_ended = False
        stored: list[int] = []
        while finished < len(images) and cycle != stop:
            await RisingEdge(dut.clk)
            cycle, quiet = cycle + 1, quiet + 1
            where = f"cycle {cycle}, frame {len(stored) // rows}"
            # What happened in the cycle that ends here.
            if offered and dut.img_ready.value:
                position, offered, quiet = position + 1, False, 0
            assert int(dut.row_stored.value) == int(row_ended), f"{where}: row_stored is {dut.row_stored.value}"
            if row_ended:
                stored.append(cycle)
            row_ended = False
            if dut.lw_valid.value and ready:
                assert written < len(writes), f"{where}: a word is written behind the last one"
                want = writes[written]
                got = Write(want.row, want.column, want.word, *(int(s.value) for s in self.outputs))
                assert got == want, f"{where}: got {got}, expected {want}"
                begun = len(stored) // rows * rows + want.row
                assert begun < g.header.credit + granted, f"{where}: {want} has no credit"
                row_ended = want.column == g.header.columns - 1 and want.word == g.header.gather_words - 1
                written, quiet = written + 1, 0
            if dut.frame_rows_done.value:
                finished += 1
                assert len(stored) == finished * rows, f"{where}: frame done with {len(stored)} rows stored"
                assert position == finished * frame_beats, f"{where}: frame done with {position} beats taken"
            # The next cycle's inputs.
            due = (min(len(stored) // rows, len(images) - 1) + 1) * rows - granted
            grant = due if traffic.early else min(due, rng.randint(1, 4))
            grant = grant if rng.random() < traffic.credit else 0
            dut.credit_valid.value = int(grant > 0)
            dut.credit.value = grant if grant else rng.randrange(4096)
            granted += grant
            if not offered and position < len(source) and rng.random() < traffic.offer:
                offered = True
                dut.img_data.value, dut.img_first.value = source[position][0], int(source[position][1])
            dut.img_valid.value = int(offered)
            if not offered:
                dut.img_first.value = rng.randrange(2)
            ready = rng.random() < traffic.take
            dut.lw_ready.value = int(ready)
            assert quiet < PATIENCE, f"{where}: nothing happened for {PATIENCE} cycles, {len(stored)} rows stored"
        dut.img_valid.value = 0
        dut.credit_valid.value = 0
        return stored


def random_image(g: Geometry, rng: random.Random) -> np.ndarray:
    shape = (g.header.height, g.header.width, 3)
    return np.frombuffer(rng.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)


def random_traffic(rng: random.Random) -> Traffic:
    return Traffic(
        offer=rng.choice((1.0, 1.0, 0.5, 0.15)),
        take=rng.choice((1.0, 1.0, 0.6, 0.2)),
        credit=rng.choice((1.0, 0.1, 0.01)),
        early=rng.random() < 0.5,
    )


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def random_frames(dut) -> None:
    """Random geometries and traffic, three frames back to back; some runs are given up by `restart` first."""
    bench = Bench(dut)
    await bench.reset()
    for case in range(CASES):
        seed = SEED * 1000 + case
        rng = random.Random(seed)
        g, traffic = random_geometry(rng), random_traffic(rng)
        images = [random_image(g, rng) for _ in range(3)]
        try:
            if rng.random() < 0.3:
                await bench.program(g)
                await bench.frames(g, images, traffic, rng, stop=rng.randint(1, 400))
            await bench.program(g)
            await bench.frames(g, images, traffic, rng)
        except AssertionError as error:
            raise AssertionError(f"seed {seed} ({g}; {traffic}): {error}") from None


def row_time(g: Geometry) -> int:
    """Cycles from row to row at full speed."""
    h = g.header
    read = (h.columns - 1) * h.stride + h.kernel
    unread = max(0, h.pad_left + h.width - read)
    turn = h.kernel - h.gather_words + (unread + 1 if unread else 0)  # from a row's last window to the next row's first
    return max(h.columns * h.gather_words + max(0, turn), read + unread + 1)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def row_cycles(dut) -> None:
    """Cycles between rows at full speed are those that the header comment promises."""
    bench = Bench(dut)
    await bench.reset()
    rng = random.Random(SEED)
    shapes = (
        (7, 2, 0, 227),
        (3, 2, 0, 224),
        (3, 2, 1, 33),
        (3, 1, 1, 20),
        (2, 1, 0, 24),
        (2, 2, 0, 24),
        (2, 2, 0, 27),
        (5, 2, 2, 40),
        (5, 1, 2, 40),
    )
    for kernel, stride, pad, width in shapes:
        if kernel > KERNEL_MAX:
            continue
        columns = (2 * pad + width - kernel) // stride + 1
        g = geometry(height=8, width=width, rows=8, columns=columns, pad_top=0, pad_left=pad, kernel=kernel,
                     stride=stride, credit=8, base=0, depth=5120)  # fmt: skip
        await bench.program(g)
        stored = await bench.frames(g, [random_image(g, rng)], Traffic(), rng)
        steps = np.diff(stored)
        words = g.header.gather_words
        bound = row_time(g)
        dut._log.info(
            f"kernel {kernel}, stride {stride}, pad {pad}, width {width}, {columns} x {words} words: {steps.min()} to "
            f"{steps.max()} cycles a row, expected {bound}, first row after {stored[0]}"
        )
        assert steps.max() == bound, f"kernel {kernel}, stride {stride}: a row takes {steps.max()} cycles, not {bound}"
