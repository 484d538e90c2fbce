"""One accelerator a device: a second one would load its bitstream under the transfers of the first."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from .errors import InUse

_in_use: set[str] = set()  # tags of the devices that this process uses


class Claim:
    """The right to use a device until it is released; raises InUse where another holds it."""

    def __init__(self, device: Any):
        self._tag = str(getattr(device, "tag", device))
        if self._tag in _in_use:
            raise InUse("an Accelerator is open on this device already: close() it first, or use that one")
        # Other kinds of device, a simulated one for instance, belong to their process.
        self._file = _lock(self._tag) if type(device).__name__ == "EmbeddedDevice" else None
        _in_use.add(self._tag)
        self._held = True

    def release(self) -> None:
        """Let others use the device; again is harmless."""
        if self._held:
            self._held = False
            _in_use.discard(self._tag)
            if self._file is not None:
                self._file.close()  # gives the lock back, as the end of the process would


def _lock(tag: str) -> Any:
    """A file that is locked for this process alone, until it is closed."""
    import fcntl

    name = "".join(c if c.isalnum() else "_" for c in tag)
    path = os.path.join(tempfile.gettempdir(), f"squeeze_driver.{name}.lock")
    # Not through a link, since others may write to this folder.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    stream = os.fdopen(handle, "r+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise InUse(
            f"another process has an Accelerator open on this device: shut that notebook down ({path})"
        ) from error
    return stream
