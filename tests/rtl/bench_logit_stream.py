"""cocotb bench of the logit stream: packets of any number of logits, pauses of the sink, abandoned packets, resets."""

from __future__ import annotations

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink

from tests.rtl.common import parameters

COUT = parameters()["COUT"]
SEED = cocotb.RANDOM_SEED
CASES = int(os.environ.get("CASES", "60"))


class Bench:
    def __init__(self, dut) -> None:
        self.dut = dut
        dut.rst.value = 1
        dut.close.value = 0
        dut.logit_valid.value = 0
        dut.logit_data.value = 0
        dut.logit_last.value = 0
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk)
        self.sink.log.setLevel("WARNING")

    async def reset(self) -> None:
        self.dut.rst.value = 1
        await RisingEdge(self.dut.clk)
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    async def send(self, logits: list[int], rng: random.Random, rate: float, groups: bool, last: bool = True) -> None:
        """The logits as the output stage sends them; `groups`: begins a group of COUT only where `space` allows."""
        for i, logit in enumerate(logits):
            if groups and i % COUT == 0:
                while not self.dut.space.value:
                    await RisingEdge(self.dut.clk)
            while rng.random() > rate:
                await RisingEdge(self.dut.clk)
            self.dut.logit_valid.value = 1
            self.dut.logit_data.value = logit
            self.dut.logit_last.value = int(last and i == len(logits) - 1)
            await RisingEdge(self.dut.clk)
            waited = 0
            while not self.dut.logit_ready.value:
                waited += 1
                await RisingEdge(self.dut.clk)
            assert not (groups and waited), f"logit {i}: not taken at once, although space was announced"
            self.dut.logit_valid.value = 0
            self.dut.logit_data.value = rng.getrandbits(32)

    async def receive(self):
        return await with_timeout(self.sink.recv(compact=False), 200, "us")


def random_packet(rng: random.Random) -> list[int]:
    return [rng.getrandbits(32) for _ in range(rng.choice((1, 2, 3, COUT, COUT + 1, rng.randint(1, 8 * COUT))))]


def check_packet(frame, logits: list[int], what: str) -> None:
    keep, data = list(frame.tkeep), bytes(frame.tdata)
    got = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    want = logits + [0] * (len(logits) % 2)
    first = next((i for i, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), None)
    assert first is None, f"{what}: logit {first} of {len(logits)} is {got[first]:08x}, expected {want[first]:08x}"
    assert len(got) == len(want), f"{what}: {len(got)} logits, expected {len(want)}"
    kept = [1] * (4 * len(logits)) + [0] * (4 * (len(logits) % 2))
    assert keep == kept, f"{what}: TKEEP {keep}"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def packets(dut) -> None:
    """Random packets back to back."""
    bench = Bench(dut)
    await bench.reset()
    rng = random.Random(SEED)
    for case in range(CASES):
        seed = SEED * 1000 + case
        rng = random.Random(seed)
        rate, groups, pause = rng.choice((1.0, 0.5, 0.1)), rng.random() < 0.5, rng.choice((0.0, 0.3, 0.9))
        sent = [random_packet(rng) for _ in range(3)]
        bench.sink.set_pause_generator(rng.random() < pause for _ in iter(int, 1))

        async def send_all(sent=sent, rng=rng, rate=rate, groups=groups) -> None:
            for logits in sent:
                await bench.send(logits, rng, rate, groups)

        sender = cocotb.start_soon(send_all())
        for i, logits in enumerate(sent):
            check_packet(await bench.receive(), logits, f"seed {seed}, packet {i}")
        await sender
    bench.sink.clear_pause_generator()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def abandoned_packets(dut) -> None:
    """close, or a reset, at any time: a begun packet ends with TLAST, nothing of it is left, the next one is whole."""
    bench = Bench(dut)
    await bench.reset()
    for case in range(CASES):
        seed = SEED * 1000 + 500 + case
        rng = random.Random(seed)
        bench.sink.set_pause_generator(rng.random() < 0.5 for _ in iter(int, 1))
        logits, reset = random_packet(rng), rng.random() < 0.5
        await bench.send(logits, rng, rng.choice((1.0, 0.3)), groups=True, last=False)
        for _ in range(rng.randrange(6)):
            await RisingEdge(dut.clk)
        if reset:
            await bench.reset()
        else:
            dut.close.value = 1
            await RisingEdge(dut.clk)
            dut.close.value = 0
        following = random_packet(rng)
        await bench.send(following, rng, 1.0, groups=True)
        frame = await bench.receive()
        data = bytes(frame.tdata)
        if len(data) != 8 * ((len(following) + 1) // 2) or data[:4] != following[0].to_bytes(4, "little"):
            got = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
            assert got[-2:] == [0, 0] and got[:-2] == logits[: len(got) - 2], f"seed {seed}: closed packet {got}"
            frame = await bench.receive()
        check_packet(frame, following, f"seed {seed}, {'reset' if reset else 'close'}")
    bench.sink.clear_pause_generator()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_fifo(dut) -> None:
    """With a sink that takes nothing, 4 * COUT logits and one beat fit; `space` goes with half of them."""
    bench = Bench(dut)
    await bench.reset()
    bench.sink.pause = True
    rng = random.Random(SEED)
    logits = [rng.getrandbits(32) for _ in range(6 * COUT)]
    sender = cocotb.start_soon(bench.send(logits, rng, 1.0, groups=False))
    taken = 0
    for _ in range(10 * COUT):
        await RisingEdge(dut.clk)
        if dut.logit_valid.value and dut.logit_ready.value:
            taken += 1
    assert not dut.logit_ready.value and not dut.space.value
    depth = 1 << (2 * COUT - 1).bit_length()
    assert taken == 2 * depth + 2, f"{taken} logits taken by a FIFO of {2 * depth} and one beat"
    bench.sink.pause = False
    check_packet(await bench.receive(), logits, f"seed {SEED}")
    await sender
    for _ in range(3):
        await RisingEdge(dut.clk)
    assert dut.space.value
