"""Waiting for the hardware, with a time limit on every wait: by polling, or on the engine's interrupt.

What an inference does is written once, as a generator of ``Wait`` objects; ``finish`` and ``finish_async`` run it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from .errors import AcceleratorTimeout, Closed

if TYPE_CHECKING:
    from .hardware import Hardware

CHECK_EVERY = 16  # polls; an error of a DMA channel shows as something else that never happens
POLL_SECONDS = 0.005  # between polls of what no interrupt tells
MISSING_SECONDS = 0.25  # between polls of what an interrupt tells: where it does not come, they find the result


class Wait(NamedTuple):
    """Something that must become true, in words (or a function that finds them) and as a function of no arguments."""

    what: Union[str, Callable[[], str]]  # noqa: UP007 - evaluated, before Python 3.10
    ready: Callable[[], bool]
    interrupts: bool = False  # the engine's interrupt comes when it is so


class Deadline:
    """A time limit on one wait, on the clock of the device."""

    def __init__(self, wait: Wait, hardware: Hardware, timeout: float):
        self._wait, self._hardware, self._timeout = wait, hardware, timeout
        self._end = hardware.clock() + timeout
        self._polls = 0

    def passed(self) -> bool:
        """Whether the wait is over; raises AcceleratorTimeout, DmaError where a channel stopped, or Closed."""
        if self._hardware.closing:
            raise Closed("the accelerator was closed during an inference")
        late = self._hardware.clock() > self._end
        if self._wait.ready():
            return True
        self._polls += 1
        if late or self._polls % CHECK_EVERY == 0:
            self._hardware.check_channels()
        if late:
            what = self._wait.what
            raise AcceleratorTimeout(what if isinstance(what, str) else what(), self._timeout, self._hardware.state())
        return False


def finish(steps: Iterable[Wait], hardware: Hardware, timeout: float) -> None:
    """Run all steps, polling: the shortest way where nothing else is to be done."""
    for wait in steps:
        deadline = Deadline(wait, hardware, timeout)
        while not deadline.passed():
            pass


async def finish_async(steps: Iterable[Wait], hardware: Hardware, timeout: float) -> None:
    """Run all steps; others may run until the interrupt comes, or the next poll is due."""
    with hardware.interrupts() as interrupt:
        signal = Signal(interrupt, hardware)
        try:
            for wait in steps:
                deadline = Deadline(wait, hardware, timeout)
                while not deadline.passed():
                    await signal.wait(MISSING_SECONDS if wait.interrupts else POLL_SECONDS)
        finally:
            signal.cancel()


class Signal:
    """The engine's interrupt as something to wait for, for a limited time."""

    def __init__(self, interrupt: Any, hardware: Hardware):
        self._interrupt, self._hardware = interrupt, hardware
        self._task: asyncio.Future[None] | None = None

    async def wait(self, seconds: float) -> None:
        """Return when the interrupt has come, or after ``seconds``; sooner where there is no interrupt."""
        if self._interrupt is None:
            await asyncio.sleep(min(seconds, POLL_SECONDS))
            return
        if self._task is None:
            self._task = asyncio.ensure_future(self._interrupt.wait())
        done, _ = await asyncio.wait({self._task}, timeout=seconds)
        if done:
            task, self._task = self._task, None
            if task.exception() is not None:  # made in another event loop, or before the overlay was loaded anew
                self._interrupt = None
            else:
                self._hardware.interrupts_seen += 1
                self._hardware.clear_interrupt()  # before the next poll, so that no later one is lost

    def cancel(self) -> None:
        """Wait no longer."""
        if self._task is not None:
            self._task.cancel()
