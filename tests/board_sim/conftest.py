"""The simulated board under PYNQ; one for all tests, as there is one board to a process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls.driver.overlays import load_overlay
from squeeze_hls.engine.packets import Packet, image_packet, program_packet, stream_packet, weights_packet
from squeeze_hls.engine.registers import offset
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan
from squeeze_hls.sim import board as simulated
from tests.board_sim.plans import notebook_loop, small_plan


@pytest.fixture(scope="session")
def device() -> Any:
    """The simulated board, PYNQ's active device."""
    pytest.importorskip("pynq")
    return simulated.register()


@pytest.fixture
def loop() -> asyncio.AbstractEventLoop:
    return notebook_loop()


class Host:
    """Calls of unmodified PYNQ, as a driver makes them."""

    def __init__(self, device: Any, folder: Path, plan: Plan) -> None:
        import pynq

        self.pynq, self.device, self.plan = pynq, device, plan
        self.path = simulated.make(plan, folder)
        self.overlay = load_overlay(str(self.path), device)
        self.dma, self.engine = self.overlay.dma, self.overlay.engine

    def register(self, name: str) -> int:
        return self.engine.read(offset(name))

    def buffer(self, packet: Packet) -> Any:
        data = np.frombuffer(packet.data, np.uint8)
        buffer = self.pynq.allocate(len(data), "u1")
        buffer[:] = data
        return buffer

    def output(self) -> Any:
        return self.pynq.allocate(self.plan.network.classes, "i4")

    def image(self, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, self.plan.network.input_shape).astype(np.uint8)

    def golden(self, image: np.ndarray) -> np.ndarray:
        return golden.run(self.plan.network, image)[self.plan.network.nodes[-1].output]

    def send(self, packet: Packet) -> int:
        """Send a packet that has no answer; the engine's error code."""
        buffer = self.buffer(packet)
        self.dma.sendchannel.transfer(buffer)
        self.start()
        self.dma.sendchannel.wait()
        self.finish()
        return self.register("error")

    def load(self, plan: Plan) -> None:
        """Load a plan's program and weights."""
        self.plan = plan
        assert self.send(program_packet(plan.program_bin, plan.engine)) == 0
        if not plan.engine.streamed:
            assert self.send(weights_packet(plan.weights_bin, plan.engine)) == 0

    def start(self) -> None:
        self.engine.write(offset("ap_ctrl"), 1)

    def finish(self, limit: int = 1000) -> None:
        for _ in range(limit):
            if self.register("ap_ctrl") & 2:
                return
        raise AssertionError("the engine is not done")

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Logits of an image; raises what PYNQ raises."""
        source, result = self.buffer(image_packet(image, self.plan.program_bin)), self.output()
        self.dma.recvchannel.transfer(result)
        self.dma.sendchannel.transfer(source)
        if self.plan.engine.streamed:
            weights = self.buffer(stream_packet(self.plan.stream_bin, self.plan.program_bin))
            self.overlay.dma_weights.sendchannel.transfer(weights)
        self.start()
        self.dma.sendchannel.wait()
        self.dma.recvchannel.wait()
        self.finish()
        assert self.dma.recvchannel.transferred == result.nbytes
        return np.array(result)

    def check(self, seed: int = 1) -> None:
        """The board works: logits of an image are the golden model's."""
        image = self.image(seed)
        np.testing.assert_array_equal(self.infer(image), self.golden(image))
        assert self.register("error") == 0

    def restart(self) -> None:
        """What a driver does after a DMA error."""
        self.dma.write(0x00, 4)  # of both channels
        self.dma.sendchannel.start()
        self.dma.recvchannel.start()


@pytest.fixture
def host(device: Any, loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[Host]:
    """A freshly configured board with program and weights."""
    device.faults.clear()
    yield Host(device, tmp_path, small_plan())
    device.faults.clear()
