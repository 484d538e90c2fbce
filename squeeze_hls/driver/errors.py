"""What can go wrong, each with a name of its own.  After any of them the accelerator can be used again."""

from __future__ import annotations


class AcceleratorError(Exception):
    """Base of all errors of this package."""


class EngineError(AcceleratorError):
    """The engine refused a packet: ``code`` is what its error register said, ``text`` what that means."""

    def __init__(self, code: int, text: str, doing: str):
        super().__init__(f"{doing}: the engine reports error {code}: {text}")
        self.code = code
        self.text = text


class DmaError(AcceleratorError):
    """A DMA channel stopped with an error; ``channel`` names it."""

    def __init__(self, channel: str, text: str):
        super().__init__(f"{channel}: {text}")
        self.channel = channel


class AcceleratorTimeout(AcceleratorError):
    """Something did not happen in time; ``what`` names it, the message shows the hardware's state."""

    def __init__(self, what: str, seconds: float, state: str):
        super().__init__(f"waited {seconds:g} s for {what}; {state}")
        self.what = what


class WrongModel(AcceleratorError):
    """The model was planned for another engine than the bitstream holds."""


class BadModel(AcceleratorError):
    """The file is no model, or was cut off or altered."""


class NotAnImage(AcceleratorError):
    """What was given cannot be taken as a picture."""


class InUse(AcceleratorError):
    """Another accelerator uses the device, or this one is in the middle of an asynchronous inference."""


class Closed(AcceleratorError):
    """The accelerator has been closed."""
