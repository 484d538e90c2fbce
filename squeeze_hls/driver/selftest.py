"""Does this board compute what it should?  Every stage that can be read is compared with stored golden values.

``python3 selftest.py`` beside this folder names the first stage that differs, and writes ``hardware_report.json``,
which an issue about a board should hold.  The golden values are in the folder ``selftest`` (see ``stored.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np

from .accelerator import COUNTERS, PROGRAM_VALID, WEIGHTS_VALID, active_device
from .errors import AcceleratorError, BadModel, DmaError, EngineError, NotAnImage
from .exclusive import Claim
from .hardware import Hardware
from .overlays import clock_mhz
from .packets import BEAT_BYTES, image_packet, parse_logits, program_packet, stream_packet, weights_packet
from .picture import prepare
from .stored import Stored, crc, environment, load_stored
from .waiting import Wait, finish

STAGES = ("configuration", "program load", "weights load", "image in", "compute", "logits out", "interrupt")
# What the engine's error codes say of an image (docs/program.md): its packet, the program, or the weights.
STAGE_OF_ERROR = {
    **dict.fromkeys((1, 2, 3, 4, 10, 11), "image in"),
    **dict.fromkeys((7, 9), "program load"),
    **dict.fromkeys((8, 12), "weights load"),
}
IDENTITIES = ("engine_id", "program_id", "weights_id")
SCHEMA_VERSION = 1
INTERRUPT_SECONDS = 1.0
PATTERN = 0x5A  # every byte of a logit buffer before the logits come


class Differs(Exception):
    """A stage gave something else than it should."""


class SelfTest:
    """The stages in a row, up to the first that fails; ``report`` is filled meanwhile."""

    def __init__(self, stored: Stored, bitfile: str, timeout: float = 2.0):
        self.stored, self.bitfile, self.timeout = stored, bitfile, timeout
        self.model = stored.model
        self.stage = STAGES[0]
        # What is not reached stays None or empty.
        self.report: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "passed": False,
            "failed_stage": None,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),  # noqa: UP017
            "timeout_seconds": timeout,
            "model": {"name": stored.model.name, "sha256": _sha256(os.path.join(stored.folder, "model.sqz"))},
            "bitstream": {"sha256": _sha256(bitfile), "hwh_sha256": _sha256(os.path.splitext(bitfile)[0] + ".hwh")},
            "expected": {name: f"{getattr(stored, name):08x}" for name in IDENTITIES},
            "found": None,
            "clock_mhz": None,
            "stages": [],
            "images": [],
            "pictures": [],
            "environment": environment(),
            "state": None,
        }

    def run(self) -> dict[str, Any]:
        """Run the stages; returns the report."""
        try:
            self._run()
            self.report["passed"] = True
        except (Differs, AcceleratorError) as error:
            if isinstance(error, DmaError):
                self.stage = self._stage_of(error.channel)
            elif isinstance(error, EngineError) and self.stage == "compute":
                self.stage = STAGE_OF_ERROR.get(error.code, self.stage)
            self._note("failed", str(error) if isinstance(error, Differs) else f"{type(error).__name__}: {error}")
            self.report["failed_stage"] = self.stage
        self.report["pictures"] = [self._picture(index) for index in range(len(self.stored.names))]
        return self.report

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            if not os.path.isfile(self.bitfile):
                raise AcceleratorError(f"{self.bitfile}: no such bitstream")
            device = active_device()
            self.report["environment"]["device"] = str(getattr(device, "name", type(device).__name__))
            stack.callback(Claim(device).release)
            hardware = Hardware(self.bitfile, device, self.timeout)
            stack.callback(hardware.close)
            stack.callback(lambda: self.report.update(self._found(hardware)))
            self._configuration(hardware)
            self._load(hardware, "program")
            self._load(hardware, "weights")
            for index in range(len(self.stored.images)):
                self._image(hardware, index)
            for self.stage in ("image in", "compute", "logits out"):
                self._note("passed", f"{len(self.stored.images)} pictures")
            self._interrupt(hardware)

    def _found(self, hardware: Hardware) -> dict[str, Any]:
        """What the hardware says at the end."""
        return {
            "found": {name: f"{hardware.register(name):08x}" for name in IDENTITIES},
            "clock_mhz": clock_mhz(),
            "state": hardware.state(),
        }

    def _note(self, status: str, detail: str) -> None:
        self.report["stages"].append({"stage": self.stage, "status": status, "detail": detail})

    def _stage_of(self, channel: str) -> str:
        """What a channel of a DMA belongs to."""
        if channel.endswith("recvchannel"):
            return "logits out"
        if channel.startswith("dma_weights"):
            return "weights load"
        return self.stage if self.stage in STAGES[:3] else "image in"

    # --- stages ---

    def _configuration(self, hardware: Hardware) -> None:
        hardware.resynchronize()
        self._equal("engine_id", hardware.register("engine_id"), self.stored.engine_id)
        if not hardware.idle():
            raise Differs("the engine is not idle")
        self._note("passed", f"engine {self.stored.engine_id:08x}")

    def _load(self, hardware: Hardware, what: str) -> None:
        self.stage = f"{what} load"
        engine_id = self.stored.engine_id
        if what == "program":
            packet = program_packet(self.model.program, engine_id)
            register, expected, valid = "program_id", self.stored.program_id, PROGRAM_VALID
        elif self.model.stream:
            self._note("skipped", "the weights are sent with each image")
            return
        else:
            packet = weights_packet(self.model.weights, engine_id)
            register, expected, valid = "weights_id", self.stored.weights_id, WEIGHTS_VALID
        hardware.load_packet(what, packet)
        self._equal(register, hardware.register(register), expected)
        if not hardware.register("loaded_flags") & valid:
            raise Differs(f"loaded_flags does not say that the {what} is valid")
        self._note("passed", f"{register} {expected:08x}, {len(packet)} bytes")

    def _image(self, hardware: Hardware, index: int) -> None:
        """One picture: in, computed, out; its logits against the golden ones."""
        frames, started = hardware.register("frames"), hardware.clock()
        logits = self._infer(hardware, index)
        counters = {name: hardware.register(name) for name in COUNTERS}
        self.report["images"].append(
            {
                "name": self.stored.names[index],
                "seconds": hardware.clock() - started,
                "counters": counters,
                "logits_crc32": f"{crc(logits):08x}",
                "expected_crc32": f"{crc(self.stored.logits[index]):08x}",
            }
        )
        if (logits != self.stored.logits[index]).any():
            self.stage, detail = self._explain(hardware, index, logits)
            raise Differs(detail)
        self.stage = "compute"
        if counters["frames"] != (frames + 1) & 0xFFFFFFFF:
            raise Differs(f"the frame counter went from {frames} to {counters['frames']} with one image")
        if counters["cycles"] != sum(counters[name] for name in COUNTERS[2:]):
            raise Differs(f"the counters do not add up: {counters}")

    def _interrupt(self, hardware: Hardware) -> None:
        """The interrupt of one more picture; it is kept until somebody asks for it."""
        self.stage = "interrupt"
        with contextlib.suppress(RuntimeError):  # which says that there is none
            asyncio.get_running_loop()
            self._note("skipped", "an event loop is running already")
            return
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._interrupt_comes(hardware))
        finally:
            loop.close()
        self._note("passed", "one picture")

    async def _interrupt_comes(self, hardware: Hardware) -> None:
        with hardware.interrupts() as interrupt:
            if interrupt is None:
                raise Differs("PYNQ finds no interrupt of the engine; asynchronous inference polls instead")
            self._infer(hardware, 0)
            self.stage = "interrupt"
            try:
                await asyncio.wait_for(interrupt.wait(), INTERRUPT_SECONDS)
            except asyncio.TimeoutError as error:  # noqa: UP041 - another class before Python 3.11
                raise Differs(
                    "an image was done, but no interrupt came; asynchronous inference polls instead"
                ) from error

    def _equal(self, what: str, got: int, expected: int) -> None:
        if got != expected:
            raise Differs(f"{what} is {got:08x}, not {expected:08x}")

    # --- one inference, step by step ---

    def _infer(self, hardware: Hardware, index: int) -> np.ndarray:
        """The logits that the engine gives for a picture, in new buffers."""
        with self._buffers(hardware, index) as buffers:
            finish(self._steps(hardware, *buffers), hardware, self.timeout)
            return parse_logits(buffers[1], self.model.classes)

    @contextlib.contextmanager
    def _buffers(self, hardware: Hardware, index: int) -> Iterator[tuple[Any, Any, Any]]:
        """New buffers with an image's packet, for its logits, and with streamed weights (or None)."""
        made = []

        def filled(data: np.ndarray) -> Any:
            made.append(hardware.allocate(len(data)))
            made[-1][:] = data
            return made[-1]

        crc_of_program = self.model.program_crc
        size = -(-4 * self.model.classes // BEAT_BYTES) * BEAT_BYTES
        try:
            image = filled(image_packet(self.stored.images[index], crc_of_program))
            logits = filled(np.full(size, PATTERN, np.uint8))
            logits.flush()
            yield image, logits, filled(stream_packet(self.model.stream, crc_of_program)) if self.model.stream else None
        except BaseException:
            with contextlib.suppress(AcceleratorError):
                hardware.reset_channels()  # no transfer from or to memory that is given back
            raise
        finally:
            hardware.free(*made)

    def _steps(self, hardware: Hardware, image: Any, logits: Any, stream: Any) -> Iterator[Wait]:
        self.stage = "logits out"
        hardware.receive.transfer(logits, logits.nbytes)
        self.stage = "weights load"
        if stream is not None and hardware.send_weights is not None:
            hardware.send_weights.transfer(stream, stream.nbytes)
        self.stage = "image in"
        hardware.start()
        hardware.send.transfer(image, image.nbytes)
        yield Wait(partial(hardware.blocked, "the image"), hardware.send.finished)
        self.stage = "compute"
        yield Wait(partial(self._not_ended, hardware), hardware.idle)
        hardware.check_engine("the image")
        self.stage = "logits out"
        yield Wait(f"the logits ({hardware.receive})", hardware.receive.finished)
        if hardware.receive.received() != 4 * self.model.classes:
            raise Differs(f"{hardware.receive.received()} bytes came, not {4 * self.model.classes}")

    def _not_ended(self, hardware: Hardware) -> str:
        """What the engine waits for, which has the image."""
        weights = hardware.send_weights
        self.stage = "logits out" if weights is None or weights.finished() else "weights load"
        return hardware.blocked("the image", image_sent=True)

    def _explain(self, hardware: Hardware, index: int, logits: np.ndarray) -> tuple[str, str]:
        """Where wrong logits come from, as far as that can be told from outside: (stage, what was seen)."""
        right = self.stored.logits[index]
        wrong = np.flatnonzero(logits != right)
        at = int(wrong[0])
        seen = (
            f"{len(wrong)} of {len(logits)} logits of '{self.stored.names[index]}' differ, first number {at}:"
            f" {logits[at]}, not {right[at]}"
        )
        if (logits == int.from_bytes(bytes([PATTERN] * 4), "little")).any():
            return "logits out", f"{seen}; some never reached memory, or the cache still hides them"
        again = self._infer(hardware, index)
        if (again == right).all():
            return "image in", f"{seen}; sent once more, the picture gave the right ones: it was damaged on its way"
        same = "the same wrong ones" if (again == logits).all() else "other wrong ones: look at the timing report"
        return "compute", f"{seen}; sent once more, the picture gave {same}"

    def _picture(self, index: int) -> dict[str, str]:
        """Whether this board's Pillow decodes and resizes a picture as the one that the build was made with."""
        name, model = self.stored.names[index], self.model
        path = os.path.join(self.stored.folder, "pictures", name)
        try:
            pixels = prepare(path, model.input_shape, model.resize, model.levels)
        except NotAnImage as error:
            return {"name": name, "status": f"cannot be read: {error}"}
        same = bool((pixels == self.stored.images[index]).all())
        return {"name": name, "status": "same" if same else "differs: another Pillow; results may differ a little"}


def _sha256(path: str) -> str | None:
    """Of a file; None where there is none."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return None


def main(folder: str, arguments: Sequence[str] | None = None) -> int:
    """The command line of ``selftest.py`` in ``folder``; returns the exit code: 0 passed, 1 failed, 2 not run."""
    parser = argparse.ArgumentParser(description="Compare this board, stage by stage, with stored golden values.")
    parser.add_argument("--bitfile", default=os.path.join(folder, "squeeze_engine.bit"))
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds for every single wait (default 2)")
    parser.add_argument("--report", default="hardware_report.json", help="where the report is written")
    options = parser.parse_args(arguments)
    try:
        test = SelfTest(load_stored(folder), os.path.abspath(options.bitfile), options.timeout)
    except BadModel as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report = test.run()
    try:
        with open(options.report, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=2, sort_keys=True)
            stream.write("\n")
    except OSError as error:
        print(f"error: {options.report}: cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    for row in report["stages"]:
        print(f"{row['stage']:<14} {row['status']:<8} {row['detail']}")
    for row in report["pictures"]:
        if row["status"] != "same":
            print(f"note: {row['name']}: {row['status']}")
    if not report["passed"]:
        print(f"FAILED at: {report['failed_stage']}. Attach {options.report} to an issue.")
        return 1
    print(f"passed; {options.report} written")
    return 0
