"""cocotb bench of the receiver: good and malformed packets of every kind, with gaps, back-pressure and prefetch.

A small model of the engine's control gives starts and runs frames.  After every packet its error code, all that was
written and what counts as valid are compared with docs/program.md.
"""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from tests.rtl.receiver_packets import STORE_WORDS, Model, Packet

SEED = cocotb.RANDOM_SEED
PACKETS = 120
PATIENCE = 4000  # cycles without any event that count as a hang
MODEL = Model(random.Random(SEED))  # one for all tests: what is loaded survives a reset


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


async def begin(dut: object, salt: int) -> tuple[Bench, Model]:
    """The receiver after a reset; random numbers of this test's own."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    MODEL.rng = random.Random(SEED + salt)
    bench = Bench(dut, MODEL.rng)
    await bench.reset()
    return bench, MODEL


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
    bench, model = await begin(dut, 0)
    rng = bench.rng
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
    bench, model = await begin(dut, 1)
    rng = bench.rng
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
    bench, model = await begin(dut, 2)
    rng = bench.rng
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
