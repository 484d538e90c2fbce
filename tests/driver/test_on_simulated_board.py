"""The driver under PYNQ itself, on the simulated board: the real registers, DMAs, interrupts and RTL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls.driver import Accelerator
from tests.driver.conftest import expected, random_images
from tests.driver.on_board import check, folder_of, long_plan, needs_pynq, opened, plan_of

needs_pynq()
pytestmark = pytest.mark.board


@pytest.fixture
def folder(device: Any, tmp_path: Path, streamed: bool) -> Path:
    return folder_of(tmp_path / "deploy", streamed)


def test_batches(folder: Path, streamed: bool) -> None:
    with opened(folder) as accelerator:
        check(accelerator, plan_of(streamed), 5)
        check(accelerator, plan_of(streamed), 1)
        counters = accelerator.counters()
        assert counters["frames"] == 6
        assert counters["cycles"] == sum(counters[name] for name in counters if name not in ("frames", "cycles"))
        assert len(accelerator.classify(folder / "pictures" / "chelsea.jpg")) == 5


def test_models_there_and_back(folder: Path, streamed: bool) -> None:
    with opened(folder) as accelerator:
        for name, which in (("model", 0), ("other", 1), ("model", 0), ("other", 1)):
            accelerator.load_model(folder / f"{name}.sqz")
            check(accelerator, plan_of(streamed, which))


# --- asynchronous inference, in every kind of event loop ---


def opened_long(folder: Path) -> Accelerator:
    accelerator = opened(folder)
    accelerator.load_model(folder / "long.sqz")
    return accelerator


@pytest.mark.parametrize("lost", ["", "engine/interrupt", "intc/irq"])
def test_asynchronous(device: Any, loop: asyncio.AbstractEventLoop, folder: Path, streamed: bool, lost: str) -> None:
    """In the cells of a notebook, whose one loop runs for ever: on the interrupt, and by polling where it is lost."""
    plan = long_plan(streamed)
    images = random_images(plan, 3)
    device.faults.lost_interrupts |= {lost} - {""}

    async def infer() -> tuple[np.ndarray, int]:
        with opened_long(folder) as accelerator:
            first, second = await asyncio.gather(accelerator.run_async(images), accelerator.run_async(images[::-1]))
            np.testing.assert_array_equal(first, second[::-1])
            check(accelerator, plan)
            assert len(await accelerator.classify_async(folder / "pictures" / "chelsea.jpg", k=2)) == 2
            return first, accelerator.interrupts_seen

    logits, seen = loop.run_until_complete(infer())
    np.testing.assert_array_equal(logits, expected(plan, images))
    assert bool(seen) == (not lost)


@pytest.mark.parametrize("opened_in_a_run", [False, True])
def test_every_run_has_a_loop_of_its_own(device: Any, folder: Path, streamed: bool, opened_in_a_run: bool) -> None:
    """As in a script, which calls asyncio.run where it wants to: each of them finds its interrupts."""
    plan = long_plan(streamed)
    images = random_images(plan, 6)

    async def open_it() -> Accelerator:
        return opened_long(folder)

    with asyncio.run(open_it()) if opened_in_a_run else opened_long(folder) as accelerator:
        for _ in range(2):
            before = accelerator.interrupts_seen
            np.testing.assert_array_equal(asyncio.run(accelerator.run_async(images)), expected(plan, images))
            assert accelerator.interrupts_seen > before, "the interrupt was not seen in this loop"
            check(accelerator, plan)


def test_an_interrupt_comes_after_an_inference_that_was_given_up(device: Any, folder: Path, streamed: bool) -> None:
    """What PYNQ still waits for then, in a loop that has ended, takes no later interrupt away."""
    plan = long_plan(streamed)
    images = random_images(plan, 6)

    async def given_up() -> None:
        task = asyncio.ensure_future(accelerator.run_async(random_images(plan, 100)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with opened_long(folder) as accelerator:
        device.faults.lost_interrupts.add("engine/interrupt")
        asyncio.run(given_up())
        device.faults.lost_interrupts.clear()
        np.testing.assert_array_equal(asyncio.run(accelerator.run_async(images)), expected(plan, images))
        assert accelerator.interrupts_seen
