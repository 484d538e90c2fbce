"""cocotb bench of the whole engine, through its ports alone: networks in, logits and counters out.

The same bench serves RTL that Vitis HLS exported: port names may be in capitals, there may be TSTRB, and without
streamed weights there may be no s_axis_weights.  Ports alone are public, so that whole networks run fast.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, SimTimeoutError, with_timeout
from cocotb.utils import get_sim_steps, get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamMonitor, AxiStreamSink, AxiStreamSource

from squeeze_hls.engine.registers import offset
from squeeze_hls.flows.exact import difference
from tests.rtl.common import failure
from tests.rtl.engine_cases import Case, load

PERIOD = 10  # ns
START, DONE, AUTO_RESTART = 1 << 0, 1 << 1, 1 << 7
CAUSES = ("busy", "stall_weights", "stall_input", "stall_output")
# What the counter does not count of the cycles up to the interrupt: those since the beat of the image's header, or
# since the write that started it was answered.
HEADER_TO_FRAME, WRITE_TO_FRAME = 6, 4
LOGIT_TO_INTERRUPT = 3  # from the last beat of logits, where all else is done


def cycle(time: int | None = None) -> int:
    """The cycle of a simulation time, by default of now."""
    return int(get_sim_time("step") if time is None else time) // get_sim_steps(PERIOD, "ns")


class PatientSource(AxiStreamSource):
    """A source without pauses that sleeps while its beat waits; cocotbext-axi's own looks at tready every cycle."""

    async def _run(self) -> None:
        edge, ready = RisingEdge(self.clock), RisingEdge(self.bus.tready)
        while True:
            if self.queue.empty():
                self.idle_event.set()
                self.active_event.clear()
                await self.active_event.wait()
            beats = np.frombuffer(bytes(self.queue.get_nowait().tdata), "<u8").tolist()
            self.bus.tkeep.value = 0xFF
            for number, beat in enumerate(beats):
                self.bus.tdata.value = beat
                self.bus.tlast.value = int(number == len(beats) - 1)
                self.bus.tvalid.value = 1
                await edge
                while not self.bus.tready.value:
                    await ready
                    await edge
            self.bus.tvalid.value = 0


class Bench:
    """The engine between its masters and its sink; the clock runs and the reset is over once `reset` was awaited."""

    def __init__(self, dut: Any, whole: bool) -> None:
        self.dut = dut
        self.ports = {handle._name.lower(): handle for handle in dut}
        self.clock = self.ports["ap_clk"]
        for name, handle in self.ports.items():
            if name.endswith(("tkeep", "tstrb")) and not name.startswith("m_axis"):
                handle.value = (1 << len(handle)) - 1
        Clock(self.clock, PERIOD, unit="ns").start()
        reset = {"reset": self.ports["ap_rst_n"], "reset_active_level": False}
        self.control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), self.clock, **reset)
        source = PatientSource if whole else AxiStreamSource
        self.input = source(AxiStreamBus.from_prefix(dut, "s_axis_in"), self.clock, **reset)
        self.weights = None
        if "s_axis_weights_tvalid" in self.ports:
            self.weights = source(AxiStreamBus.from_prefix(dut, "s_axis_weights"), self.clock, **reset)
        self.output = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_out"), self.clock, **reset)
        self.taken = AxiStreamMonitor(AxiStreamBus.from_prefix(dut, "s_axis_in"), self.clock, **reset)
        for part in (self.control.write_if, self.control.read_if, self.input, self.weights, self.output, self.taken):
            if part is not None:
                part.log.setLevel("WARNING")

    async def reset(self) -> None:
        self.ports["ap_rst_n"].value = 0
        for _ in range(10):
            await RisingEdge(self.clock)
        self.ports["ap_rst_n"].value = 1
        await RisingEdge(self.clock)

    async def read(self, name: str) -> int:
        return int.from_bytes((await self.control.read(offset(name), 4)).data, "little")

    async def write(self, name: str, value: int) -> None:
        await self.control.write(offset(name), value.to_bytes(4, "little"))


class Run:
    """One case on the bench."""

    def __init__(self, bench: Bench, case: Case) -> None:
        self.bench, self.case = bench, case
        self.rng = np.random.default_rng([case.seed, 8])
        self.frames = 0  # images that the engine computed before those of this case
        self.written = self.ended = self.last_logit = 0  # cycles: of the last start, its end, its last logit

    def fail(self, text: str) -> AssertionError:
        case = self.case
        order = "ahead" if case.ahead else "one by one"
        sent = f"{case.wait}, images {order}, idle {case.idle}, back-pressure {case.pressure}"
        return failure(f"network {case.seed} ({sent}): {text}")

    async def within(self, what: Awaitable[Any], name: str) -> Any:
        """What is awaited, unless it hangs."""
        try:
            return await with_timeout(what, self.case.limit * PERIOD, "ns")
        except SimTimeoutError:
            raise self.fail(f"{name} still runs after {self.case.limit} cycles") from None

    def pause(self, part: Any, share: float) -> None:
        """Let a source or sink pause in that share of the cycles."""
        if part is None:
            return
        part.clear_pause_generator()
        part.pause = False
        if share:
            part.set_pause_generator(bool(pause) for _ in iter(int, 1) for pause in self.rng.random(1000) < share)

    async def all(self) -> None:
        case, bench = self.case, self.bench
        if not case.whole:
            self.pause(bench.input, case.idle)
            self.pause(bench.weights, case.idle)
            self.pause(bench.output, case.pressure)
        await bench.write("gie", int(case.wait == "interrupt"))
        await bench.write("ier", 1)
        for number, packet in enumerate(case.load):
            bench.input.send_nowait(packet)
            await self.start(f"load {number}")
        bench.taken.clear()
        await self.check_registers()
        self.frames = await bench.read("frames")
        await (self.restarting() if case.wait == "auto-restart" else self.one_by_one())
        if not bench.output.empty():
            raise self.fail(f"{bench.output.count()} packets came out that nobody asked for")

    # --- starts ---

    async def one_by_one(self) -> None:
        """A start for each image."""
        if self.case.ahead:
            for packet in self.case.images:
                self.send(packet)
        for number, packet in enumerate(self.case.images):
            if not self.case.ahead:
                self.send(packet)
            await self.start(f"image {number}")
            await self.check_logits(number)
            await self.check_counters(number)

    async def restarting(self) -> None:
        """One start for all images; between two of them nobody looks at the registers."""
        case, bench = self.case, self.bench
        for packet in case.images:
            self.send(packet)
        await bench.write("ap_ctrl", START | AUTO_RESTART)
        for number in range(len(case.images)):
            await self.check_logits(number)
        await self.within(self.frames_counted(self.frames + len(case.images)), "the last image")
        if await bench.read("error"):
            raise self.fail(f"error {await bench.read('error')}")
        await bench.reset()  # takes the start back that waits for a further packet
        bench.taken.clear()

    async def frames_counted(self, count: int) -> None:
        while await self.bench.read("frames") != count:
            pass

    def send(self, image: bytes) -> None:
        self.bench.input.send_nowait(image)
        if self.case.stream:
            if self.bench.weights is None:
                raise self.fail("there is no s_axis_weights, which this network needs")
            self.bench.weights.send_nowait(self.case.stream)

    async def start(self, name: str) -> None:
        """Start, and wait until it is done without error."""
        bench = self.bench
        await bench.write("ap_ctrl", START)
        self.written = cycle()
        if self.case.wait == "interrupt":
            await self.within(RisingEdge(bench.ports["interrupt"]), name)
            self.ended = cycle()
            if await bench.read("isr") != 1:
                raise self.fail(f"{name}: isr is {await bench.read('isr')} at the interrupt, not 1")
            await bench.write("isr", 1)
            if not await bench.read("ap_ctrl") & DONE:
                raise self.fail(f"{name}: not done at the interrupt")
            if bench.ports["interrupt"].value:
                raise self.fail(f"{name}: the interrupt stays")
        else:
            await self.within(self.polled(), name)
            self.ended = cycle()
            await bench.write("isr", 1)
        error = await bench.read("error")
        if error:
            raise self.fail(f"{name} ended with error {error}")

    async def polled(self) -> None:
        while not await self.bench.read("ap_ctrl") & DONE:
            if self.bench.ports["interrupt"].value:
                raise self.fail("an interrupt that was not enabled")

    # --- checks ---

    async def check_registers(self) -> None:
        for name, expected in self.case.registers.items():
            got = await self.bench.read(name)
            if got != expected:
                raise self.fail(f"{name} is {got:08x}, expected {expected:08x}")

    async def check_logits(self, number: int) -> None:
        """The logits of an image, and TKEEP."""
        frame = await self.within(self.bench.output.recv(compact=False), f"logits {number}")
        expected = self.case.logits[number]
        beats = -(-len(expected) // 2)
        if len(frame.tdata) != 8 * beats:
            raise self.fail(f"image {number}: {len(frame.tdata) // 8} beats came out, expected {beats}")
        logits = np.frombuffer(bytes(frame.tdata), "<i4")[: len(expected)]
        wrong = difference(f"logits of image {number}", logits, expected)
        if wrong:
            raise self.fail(wrong)
        keep = [1] * 4 * len(expected) + [0] * (8 * beats - 4 * len(expected))
        if list(frame.tkeep) != keep:
            raise self.fail(f"image {number}: TKEEP ends with {list(frame.tkeep)[-8:]}, expected {keep[-8:]}")
        self.last_logit = cycle(frame.sim_time_end)

    async def check_counters(self, number: int) -> None:
        """The counters of an image against what was seen at the ports, and what the program says."""
        case, bench = self.case, self.bench
        if await bench.read("frames") != self.frames + number + 1:
            raise self.fail(f"frames is {await bench.read('frames')}, expected {self.frames + number + 1}")
        cycles, counts = await bench.read("cycles"), [await bench.read(name) for name in CAUSES]
        text = f"image {number}: cycles {cycles}, {dict(zip(CAUSES, counts, strict=True))}"
        if sum(counts) != cycles:
            raise self.fail(f"{text}: the sum is {sum(counts)}")
        if counts[0] != case.steps:
            raise self.fail(f"{text}: the program has {case.steps} steps")
        header = cycle(bench.taken.recv_nowait().sim_time_start)
        if not case.exact:
            if not counts[0] <= cycles <= self.ended - max(header, self.written):
                raise self.fail(f"{text}: {self.ended - max(header, self.written)} have passed")
            return
        begun = max(header + HEADER_TO_FRAME, self.written + WRITE_TO_FRAME)
        least = self.last_logit + LOGIT_TO_INTERRUPT - begun
        most = self.ended - begun
        if not least <= cycles <= most or (case.wait == "interrupt" and cycles != most):
            raise self.fail(f"{text}: from {least} to {most} were seen")


@cocotb.test()
async def networks(dut: Any) -> None:
    """Every case, one after the other, in one engine."""
    cases = load(Path(os.environ["SQUEEZE_HLS_CASES"]))
    bench = Bench(dut, cases[0].whole)
    await bench.reset()
    for case in cases:
        await Run(bench, case).all()
        cocotb.log.info("network %d: %d images agree", case.seed, len(case.images))
