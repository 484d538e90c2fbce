"""Asynchronous inference on a double of PYNQ and the board."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import driver
from squeeze_hls.driver import Accelerator
from squeeze_hls.plan import Plan
from tests.driver.conftest import expected, open_accelerator, random_images
from tests.driver.fake_board import FakeBoard


@pytest.mark.parametrize("fault", ["", "missing interrupt", "no interrupt pin"])
def test_asynchronous_inference(board: FakeBoard, bitfile: Path, plan: Plan, fault: str) -> None:
    """On the interrupt; by polling where there is none, or where it does not come."""
    images = random_images(plan, 3)
    board.faults.add(fault)
    ticks = 0

    async def meanwhile() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def infer(accelerator: Accelerator) -> list[np.ndarray]:
        other = asyncio.ensure_future(meanwhile())
        try:
            return await asyncio.gather(*(accelerator.run_async(images[i:]) for i in range(3)))
        finally:
            other.cancel()

    with open_accelerator(bitfile) as accelerator:
        results = asyncio.run(infer(accelerator))
        assert (accelerator.interrupts_seen > 0) == (fault == "")
        assert accelerator.interrupts_seen <= 6, "an interrupt was not cleared"
        assert ticks > 3
        for i, logits in enumerate(results):
            np.testing.assert_array_equal(logits, expected(plan, images[i:]))
        assert not board.engine.registers["gie"] and not board.engine.registers["isr"]
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


def test_synchronous_calls_during_an_asynchronous_one(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    images = random_images(plan, 1)

    async def both(accelerator: Accelerator) -> np.ndarray:
        task = asyncio.ensure_future(accelerator.run_async(images))
        await asyncio.sleep(0)
        with pytest.raises(driver.InUse, match="await it"):
            accelerator.run(images)
        return await task

    with open_accelerator(bitfile) as accelerator:
        np.testing.assert_array_equal(asyncio.run(both(accelerator)), expected(plan, images))


def test_closing_during_an_asynchronous_inference(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    async def closed(accelerator: Accelerator) -> None:
        task = asyncio.ensure_future(accelerator.run_async(random_images(plan, 3)))
        await asyncio.sleep(0)
        accelerator.close()
        with pytest.raises(driver.Closed, match="during an inference"):
            await task
        accelerator.close()

    asyncio.run(closed(open_accelerator(bitfile)))
    assert not board.memory
    open_accelerator(bitfile).close()


def test_a_cancelled_inference(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    images = random_images(plan, 2)

    async def cancelled(accelerator: Accelerator) -> None:
        task = asyncio.ensure_future(accelerator.run_async(images))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with open_accelerator(bitfile) as accelerator:
        asyncio.run(cancelled(accelerator))
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


def test_an_asynchronous_time_out(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    images = random_images(plan, 1)
    with open_accelerator(bitfile) as accelerator:
        board.faults.add("hang")
        with pytest.raises(driver.AcceleratorTimeout, match="image 1 of 1 to be sent"):
            asyncio.run(accelerator.run_async(images))
        board.faults.clear()
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))
