"""cocotb bench of the control registers: the ap_ctrl protocol, interrupts, and reads and writes at random addresses."""

from __future__ import annotations

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

SEED = cocotb.RANDOM_SEED
CASES = int(os.environ.get("CASES", "200"))
VALUES, FIRST = 11, 0x40
CTRL, GIE, IER, ISR = 0x00, 0x04, 0x08, 0x0C
START, DONE, IDLE, READY, AUTO, INTERRUPT = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 7, 1 << 9


class Bench:
    def __init__(self, dut) -> None:
        self.dut = dut
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.clk, dut.rst)
        for part in (self.bus.write_if, self.bus.read_if):
            part.log.setLevel("WARNING")
        self.values = [0] * VALUES

    async def reset(self) -> None:
        dut = self.dut
        for signal in (dut.ap_ready, dut.ap_done, dut.values):
            signal.value = 0
        dut.ap_idle.value = 1
        dut.rst.value = 1
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        for _ in range(2):
            await RisingEdge(dut.clk)

    async def read(self, address: int) -> int:
        response = await self.bus.read(address, 4)
        assert response.resp == AxiResp.OKAY, f"read of {address:#x}: {response.resp}"
        return int.from_bytes(response.data, "little")

    async def write(self, address: int, value: int) -> None:
        response = await self.bus.write(address, value.to_bytes(4, "little"))
        assert response.resp == AxiResp.OKAY, f"write to {address:#x}: {response.resp}"

    async def finish(self) -> None:
        """One start is finished: the engine gives ap_ready and ap_done together."""
        self.dut.ap_ready.value = self.dut.ap_done.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.ap_ready.value = self.dut.ap_done.value = 0
        await RisingEdge(self.dut.clk)

    def set_values(self, values: list[int]) -> None:
        self.values = values
        self.dut.values.value = sum(v << 32 * i for i, v in enumerate(values))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def starts(dut) -> None:
    """ap_start, done, ready, idle and auto_restart."""
    bench = Bench(dut)
    await bench.reset()
    assert await bench.read(CTRL) == IDLE
    await bench.write(CTRL, START)
    assert dut.ap_start.value and await bench.read(CTRL) == START, "a start that waits is not idle"
    await bench.write(CTRL, 0)
    assert dut.ap_start.value, "writing 0 does not take a start back"
    dut.ap_idle.value = 0
    await bench.finish()
    dut.ap_idle.value = 1
    assert not dut.ap_start.value
    assert await bench.read(CTRL) == DONE | IDLE | READY
    assert await bench.read(CTRL) == IDLE, "done and ready are cleared by reading"
    await bench.write(CTRL, START | AUTO)
    for _ in range(3):
        await bench.finish()
        assert dut.ap_start.value, "auto_restart"
    assert await bench.read(CTRL) == START | DONE | READY | AUTO
    await bench.write(CTRL, 0)
    await bench.finish()
    assert not dut.ap_start.value
    assert await bench.read(CTRL) & (START | DONE | AUTO) == DONE
    await bench.write(CTRL, START)
    await bench.reset()
    assert not dut.ap_start.value and await bench.read(CTRL) == IDLE, "a reset takes a start back"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def interrupts(dut) -> None:
    """GIE and IER gate, ISR holds and toggles."""
    bench = Bench(dut)
    await bench.reset()
    for gie in (0, 1):
        for ier in range(4):
            await bench.write(GIE, gie)
            await bench.write(IER, ier)
            assert (await bench.read(GIE), await bench.read(IER)) == (gie, ier)
            await bench.finish()
            assert await bench.read(ISR) == ier
            expected = int(gie and ier != 0)
            assert dut.irq.value == expected, f"GIE {gie}, IER {ier}: irq {dut.irq.value}"
            assert bool(await bench.read(CTRL) & INTERRUPT) == bool(expected)
            await bench.write(ISR, ier)
            assert await bench.read(ISR) == 0 and dut.irq.value == 0
            await bench.write(ISR, 3)  # a driver may raise one by hand
            assert await bench.read(ISR) == 3 and dut.irq.value == gie
            await bench.write(ISR, 3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def values(dut) -> None:
    """Every value at its offset; its valid word is set by ap_done and cleared by reading."""
    bench = Bench(dut)
    await bench.reset()
    rng = random.Random(SEED)
    for _ in range(3):
        bench.set_values([rng.getrandbits(32) for _ in range(VALUES)])
        await bench.finish()
        order = rng.sample(range(VALUES), VALUES)
        for i in order:
            got = await bench.read(FIRST + 16 * i)
            assert got == bench.values[i], f"seed {SEED}: value {i} reads {got:08x}, expected {bench.values[i]:08x}"
            assert await bench.read(FIRST + 16 * i + 4) == 1, f"value {i} is new"
            assert await bench.read(FIRST + 16 * i + 4) == 0, f"value {i} was read"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def answers_wait(dut) -> None:
    """Reads that are asked for at once, while answers are taken late: each gets its own."""
    bench = Bench(dut)
    await bench.reset()
    rng = random.Random(SEED)
    bench.set_values([rng.getrandbits(32) for _ in range(VALUES)])
    bench.bus.read_if.r_channel.set_pause_generator(rng.random() < 0.8 for _ in iter(int, 1))
    reads = [cocotb.start_soon(bench.read(FIRST + 16 * i)) for i in range(VALUES)]
    for i, read in enumerate(reads):
        got = await read
        assert got == bench.values[i], f"seed {SEED}: value {i} reads {got:08x}, expected {bench.values[i]:08x}"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def random_accesses(dut) -> None:
    """Reads and writes anywhere, with pauses on all channels: a model of the registers says what is read."""
    bench = Bench(dut)
    await bench.reset()
    rng = random.Random(SEED)
    for channel in (bench.bus.write_if.aw_channel, bench.bus.write_if.w_channel, bench.bus.write_if.b_channel,
                    bench.bus.read_if.ar_channel, bench.bus.read_if.r_channel):  # fmt: skip
        channel.set_pause_generator(rng.random() < 0.3 for _ in iter(int, 1))
    bench.set_values([rng.getrandbits(32) for _ in range(VALUES)])
    model = {CTRL: IDLE, GIE: 0, IER: 0, ISR: 0}
    model |= {FIRST + 16 * i: value for i, value in enumerate(bench.values)}
    for case in range(CASES):
        address = 4 * rng.randrange(64)
        what = f"seed {SEED}, access {case}, address {address:#x}"
        if rng.random() < 0.5:
            value, strobe = rng.getrandbits(32), rng.choice((0, 1, 2, 3))  # which bytes are written
            if address == CTRL:
                value &= ~START
            size = rng.choice((1, 2, 4))
            await bench.bus.write(address + (strobe if size == 1 else 0), value.to_bytes(4, "little")[:size])
            if size > 1 or strobe == 0:
                if address == CTRL:
                    model[CTRL] = model[CTRL] & ~AUTO | value & AUTO
                elif address == GIE:
                    model[GIE] = value & 1
                elif address == IER:
                    model[IER] = value & 3
                elif address == ISR:
                    model[ISR] ^= value & 3
        else:
            expected = model.get(address, 0)
            if address == CTRL and model[GIE] and model[ISR]:
                expected |= INTERRUPT
            got = await bench.read(address)
            assert got == expected, f"{what}: read {got:08x}, expected {expected:08x}"
