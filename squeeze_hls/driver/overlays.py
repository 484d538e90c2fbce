"""PYNQ's overlay and interrupts, with what PYNQ 3.0 and 4.0 leave to those who use them.

Clocks: PYNQ 4.0.0 looks for a clock's frequency by the name that it has on Zynq UltraScale+ alone, and on Zynq-7000
cannot load any overlay without help.

Event loops: PYNQ reads the processor's interrupt in the event loop that was there when it first met one, and each of
its interrupts belongs to the loop in which it was first waited for.  A notebook has one loop, but every
``asyncio.run`` has its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .errors import AcceleratorError


def load_overlay(bitfile: str, device: Any) -> Any:
    """Load a bitstream with the handoff file (``.hwh``) beside it: a ``pynq.Overlay``.  Raises what PYNQ raises, and
    AcceleratorError where the handoff file lacks a clock's frequency."""
    from pynq import Overlay

    _require_event_loop()
    _forget_waiters()
    overlay = Overlay(bitfile, download=False, device=device)
    _complete_clocks(overlay)
    overlay.download()
    return overlay


def _complete_clocks(overlay: Any) -> None:
    """Give every clock that is used the frequency for which the design was timed, where PYNQ has not found it."""
    for number, clock in overlay.clock_dict.items():
        if not clock.get("enable") or clock.get("frequency", 0) is not None:
            continue  # PYNQ 3.0 has no such key; it sets the divisors
        name = f"PCW_ACT_FPGA{number}_PERIPHERAL_FREQMHZ"
        found = [cell["parameters"][name] for cell in overlay.ip_dict.values() if name in cell.get("parameters", {})]
        if not found:
            raise AcceleratorError(f"the .hwh has no frequency of clock {number} ({name}); make it with the bitstream")
        clock["frequency"] = float(found[0])


def clock_mhz() -> float | None:
    """The frequency of the design's clock, as the processor's registers say; None where PYNQ cannot tell."""
    try:
        from pynq import Clocks

        return float(Clocks.fclk0_mhz)
    except (ImportError, RuntimeError, ValueError, OSError):
        return None


def interrupt_here(pin: str) -> Any:
    """The interrupt of a pin (``cell/pin``), to be waited for in the running event loop."""
    from pynq import Interrupt

    interrupt = Interrupt(pin)  # one that no other loop has waited for
    controller = interrupt.parent()
    while controller is not None and not hasattr(controller, "uio"):
        controller = controller.parent
    if controller is not None:
        # Where this is the loop that reads it anyway, nothing changes; a loop that ends forgets it.
        asyncio.get_running_loop().add_reader(controller.uio, controller._uio_callback)
    return interrupt


def _require_event_loop() -> None:
    """PYNQ makes its interrupts in the thread's event loop, which after ``asyncio.run`` does not exist any more."""
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())


def _forget_waiters() -> None:
    """PYNQ keeps what waited in vain for an interrupt of the overlay before; woken late, it would take ours away."""
    from pynq import interrupt

    controllers = getattr(interrupt, "_InterruptController", None)
    for controller in getattr(controllers, "_uio_devices", {}).values():
        controller.wait_events = []
