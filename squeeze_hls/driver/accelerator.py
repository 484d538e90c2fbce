"""The accelerator: pictures in, named classes out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from . import model as models
from .errors import AcceleratorError, Closed, DmaError, InUse, NotAnImage, WrongModel
from .exclusive import Claim
from .guesses import Guess, top_k
from .hardware import Hardware, default_bitfile
from .packets import BEAT_BYTES, image_packet, parse_logits, program_packet, stream_packet, weights_packet
from .picture import prepare
from .waiting import POLL_SECONDS, Wait, finish, finish_async

COUNTERS = ("frames", "cycles", "busy", "stall_weights", "stall_input", "stall_output")
PROGRAM_VALID, WEIGHTS_VALID = 1, 2  # bits of loaded_flags


class Accelerator:
    """A SqueezeNet on the FPGA.

        with Accelerator() as accelerator:
            for guess in accelerator.classify("cat.jpg"):
                print(guess.name, guess.probability)

    ``bitfile`` is the bitstream, with its ``.hwh`` beside it (default: ``squeeze_engine.bit`` beside this package);
    ``model`` a ``model.sqz`` (default: that beside the bitstream).  ``timeout`` limits every single wait, in seconds.

    Raises AcceleratorError where there is no board, no PYNQ or no bitstream, InUse where another accelerator is open on
    the device, BadModel and WrongModel.  Any other method raises Closed after ``close``; after every other
    error of this package the accelerator can be used again.
    """

    def __init__(
        self,
        bitfile: str | os.PathLike[str] | None = None,
        model: str | os.PathLike[str] | None = None,
        timeout: float = 2.0,
    ):
        self._lock = threading.Lock()
        self._awaited = False  # an asynchronous inference holds the lock
        self._lost = False  # the hardware could not be brought back in step after an error
        self._hardware: Hardware | None = None
        self._images: list[Any] = []  # two DMA buffers each: one is filled, or read, while the other is transferred
        self._logits: list[Any] = []
        self._stream: Any = None  # DMA buffer of streamed weights
        path = os.path.abspath(default_bitfile() if bitfile is None else os.fspath(bitfile))
        if not os.path.isfile(path):
            raise AcceleratorError(
                f"{path}: no such bitstream; Vivado makes it once (squeeze-hls bitstream), or use the simulated board"
                " (squeeze-hls notebook)"
            )
        beside = os.path.join(os.path.dirname(path), "model.sqz")
        self.model = models.load_model(beside if model is None else model)
        self._device = active_device()
        self._claim = Claim(self._device)
        try:
            self._hardware = Hardware(path, self._device, timeout)
            self._hardware.resynchronize()  # also brings the registers up to date
            self._bring_in(self.model)
        except BaseException:
            self.close()
            raise

    # --- inference ---

    def classify(self, image: Any, k: int = 5) -> list[Guess]:
        """The ``k`` most likely classes of a picture, most likely first.

        ``image`` is a path, a Pillow image or an array, of any size and mode (see ``picture.to_rgb``); NotAnImage
        is raised for anything else.
        """
        return self.guesses(self.logits([image])[0], k)

    async def classify_async(self, image: Any, k: int = 5) -> list[Guess]:
        """As ``classify``, while others may run until the engine's interrupt comes."""
        return self.guesses((await self.logits_async([image]))[0], k)

    def logits(self, images: Iterable[Any]) -> np.ndarray:
        """Logits of pictures, prepared as the model says: int32 (N, classes)."""
        return self.run(self.prepare(images))

    async def logits_async(self, images: Iterable[Any]) -> np.ndarray:
        """As ``logits``, while others may run."""
        return await self.run_async(self.prepare(images))

    def guesses(self, logits: np.ndarray, k: int = 5) -> list[Guess]:
        """The ``k`` most likely classes by int (classes,) logits."""
        return top_k(logits, self.model.logit_scale, self.model.labels, k)

    def prepare(self, images: Iterable[Any]) -> np.ndarray:
        """Pictures as the engine takes them, u8 (N, H, W, 3): each resized, cropped, and given the model's levels."""
        if isinstance(images, (str, bytes, os.PathLike)):
            raise NotAnImage("several pictures are a list of pictures; for one, write [picture]")
        model = self.model
        prepared = [prepare(image, model.input_shape, model.resize, model.levels) for image in images]
        return np.stack(prepared) if prepared else np.zeros((0, *model.input_shape), np.uint8)

    def run(self, images: np.ndarray) -> np.ndarray:
        """Logits of prepared u8 (N, H, W, 3) pictures: int32 (N, classes).

        Each image is sent while the one before is being computed.
        """
        with self._exclusively() as hardware:
            out = self._room(images)
            try:
                finish(self._frames(hardware, images, out), hardware, hardware.timeout)
            except BaseException:
                self._recover(hardware)
                raise
            return out

    async def run_async(self, images: np.ndarray) -> np.ndarray:
        """As ``run``, while others may run; a second call waits for the first."""
        while not self._lock.acquire(blocking=False):
            await asyncio.sleep(POLL_SECONDS)
        try:
            hardware, out = self._ready(), self._room(images)
            self._awaited = True
            try:
                await finish_async(self._frames(hardware, images, out), hardware, hardware.timeout)
            except BaseException:  # cancellation, too
                if not hardware.closing:
                    self._recover(hardware)
                raise
            finally:
                self._awaited = False
                if hardware.closing:
                    self._close()
            return out
        finally:
            self._lock.release()

    def _room(self, images: np.ndarray) -> np.ndarray:
        shape = self.model.input_shape
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != shape:
            raise NotAnImage(f"the engine takes u8 (N, {shape[0]}, {shape[1]}, 3); use logits() for other pictures")
        return np.zeros((len(images), self.model.classes), np.int32)

    def _frames(self, hardware: Hardware, images: np.ndarray, out: np.ndarray) -> Iterator[Wait]:
        """Send image n + 1 as soon as image n has left, before the logits of n are waited for."""
        count = len(images)
        if not count:
            return
        self._fill(images, 0)
        self._begin(hardware, 0)
        self._send(hardware, 0)
        for n in range(count):
            doing = f"image {n + 1} of {count}"
            ahead = n + 1 < count
            if ahead:
                self._fill(images, n + 1)
                yield Wait(partial(hardware.blocked, doing), hardware.send.finished)
                self._send(hardware, n + 1)
            yield Wait(partial(hardware.blocked, doing, image_sent=ahead), hardware.idle, interrupts=True)
            hardware.check_engine(doing)
            yield Wait(f"the logits of {doing} ({hardware.receive})", hardware.receive.finished)
            received = hardware.receive.received()
            if received != 4 * self.model.classes:
                raise DmaError(hardware.receive.name, f"{received} bytes came of {4 * self.model.classes} for {doing}")
            if hardware.send_weights is not None:
                yield Wait(
                    f"the weights of {doing} to be sent ({hardware.send_weights})", hardware.send_weights.finished
                )
            if ahead:
                self._begin(hardware, n + 1)
            out[n] = parse_logits(self._logits[n % 2], self.model.classes)
        yield Wait(f"the last image to be sent ({hardware.send})", hardware.send.finished)

    def _fill(self, images: np.ndarray, n: int) -> None:
        """Put image n behind the header that its buffer holds."""
        self._images[n % 2][BEAT_BYTES : BEAT_BYTES + images[n].size] = images[n].reshape(-1)

    def _send(self, hardware: Hardware, n: int) -> None:
        buffer = self._images[n % 2]
        hardware.send.transfer(buffer, buffer.nbytes)

    def _begin(self, hardware: Hardware, n: int) -> None:
        """Let the engine take image n."""
        logits = self._logits[n % 2]
        hardware.receive.transfer(logits, logits.nbytes)
        if hardware.send_weights is not None:
            hardware.send_weights.transfer(self._stream, self._stream.nbytes)
        hardware.start()

    # --- models ---

    def load_model(self, path: str | os.PathLike[str]) -> None:
        """Run another network on the same bitstream.

        Raises BadModel or WrongModel, whereupon the present model stays; so it does where loading fails.
        """
        model = models.load_model(path)
        with self._exclusively() as hardware:
            before, self.model = self.model, model
            try:
                self._bring_in(model)
            except BaseException:
                self.model = before
                self._recover(hardware)
                raise

    def _bring_in(self, model: models.Model) -> None:
        """Load program and weights where the engine does not hold them, and make buffers of the right sizes."""
        hardware = self._open()
        engine_id = hardware.register("engine_id")
        if model.engine_id != engine_id:
            raise WrongModel(
                f"the model '{model.name}' was planned for engine {model.engine_id:08x}, the bitstream holds"
                f" {engine_id:08x}; build the model for it with: squeeze-hls build MODEL --engine BUILD_DIR"
            )
        if bool(model.stream) != (hardware.send_weights is not None):
            raise WrongModel("either the model or the bitstream has streamed weights, but not the other")
        for what, packet, loaded in (
            ("program", program_packet(model.program, engine_id), self.holds_program),
            ("weights", weights_packet(model.weights, engine_id), self.holds_weights),
        ):
            if not loaded(model):
                hardware.load_packet(what, packet)
        self._make_buffers(hardware, model)

    def holds_program(self, model: models.Model) -> bool:
        """Whether the engine holds the program of a model."""
        hardware = self._open()
        valid = hardware.register("loaded_flags") & PROGRAM_VALID
        return bool(valid) and hardware.register("program_id") == model.program_crc

    def holds_weights(self, model: models.Model) -> bool:
        """Whether the engine holds the weights of a model, as far as it does at all."""
        if model.stream:
            return True
        hardware = self._open()
        valid = hardware.register("loaded_flags") & WEIGHTS_VALID
        return bool(valid) and hardware.register("weights_id") == model.weights_crc

    def _make_buffers(self, hardware: Hardware, model: models.Model) -> None:
        hardware.free(*self._images, *self._logits, *([] if self._stream is None else [self._stream]))
        self._images, self._logits, self._stream = [], [], None
        packet = image_packet(np.zeros(model.input_shape, np.uint8), model.program_crc)
        self._images = [hardware.allocate(len(packet)) for _ in range(2)]
        for buffer in self._images:
            buffer[:] = packet
        self._logits = [hardware.allocate(-(-4 * model.classes // BEAT_BYTES) * BEAT_BYTES) for _ in range(2)]
        if model.stream:
            packet = stream_packet(model.stream, model.program_crc)
            self._stream = hardware.allocate(len(packet))
            self._stream[:] = packet

    def _recover(self, hardware: Hardware) -> None:
        """Bring the hardware back in step after an error; where that fails, the next use tries again."""
        self._lost = True
        with contextlib.suppress(AcceleratorError):
            self._restore(hardware)

    def _restore(self, hardware: Hardware) -> None:
        """Make the accelerator usable: back in step, or else the bitstream anew, and the model as it was."""
        try:
            hardware.resynchronize(owed=True)
            self._bring_in(self.model)
            self._check_stream(hardware)
        except AcceleratorError:
            hardware.load()
            hardware.resynchronize()
            self._bring_in(self.model)
        self._lost = False

    def _check_stream(self, hardware: Hardware) -> None:
        """Streamed weights are in step where an image finds its own; raises AcceleratorError where it does not."""
        if self.model.stream:
            image = np.zeros((1, *self.model.input_shape), np.uint8)
            finish(self._frames(hardware, image, self._room(image)), hardware, hardware.timeout)

    # --- state ---

    def counters(self) -> dict[str, int]:
        """Images computed since configuration, and cycles of the last one: all, busy, and what was waited for."""
        with self._exclusively() as hardware:
            return {name: hardware.register(name) for name in COUNTERS}

    def identity(self) -> dict[str, int]:
        """What the hardware holds: ``engine_id``, ``program_id``, ``weights_id`` (0: streamed)."""
        with self._exclusively() as hardware:
            return {name: hardware.register(name) for name in ("engine_id", "program_id", "weights_id")}

    @property
    def interrupts_seen(self) -> int:
        """Interrupts that woke asynchronous inferences; where it stays 0, they found their results by polling."""
        return self._open().interrupts_seen

    def close(self) -> None:
        """Stop the hardware and free its buffers; again is harmless.

        An asynchronous inference under way ends with Closed, and only then the device can be used by another.
        """
        if self._awaited:
            self._open().closing = True
            return
        with self._lock:
            self._close()

    def _close(self) -> None:
        hardware, self._hardware = self._hardware, None
        if hardware is not None:
            hardware.close()
        self._images, self._logits, self._stream = [], [], None
        self._claim.release()

    def __enter__(self) -> Accelerator:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Hardware:
        if self._hardware is None:
            raise Closed("the accelerator has been closed; make a new one")
        return self._hardware

    def _ready(self) -> Hardware:
        """The hardware in step; raises what keeps it from being so."""
        hardware = self._open()
        if self._lost:
            self._restore(hardware)
        return hardware

    def _exclusively(self) -> _Exclusive:
        if self._awaited:
            raise InUse("an asynchronous inference is under way: await it first")
        return _Exclusive(self)


class _Exclusive:
    """The hardware, for one thread at a time."""

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator

    def __enter__(self) -> Hardware:
        self._accelerator._lock.acquire()
        try:
            return self._accelerator._ready()
        except BaseException:
            self._accelerator._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._accelerator._lock.release()


def active_device() -> Any:
    """PYNQ's device; raises AcceleratorError where there is none."""
    try:
        from pynq import Device
    except ImportError as error:
        raise AcceleratorError("PYNQ is not installed: run this on a PYNQ board, or on the simulated one") from error
    try:
        return Device.active_device
    except RuntimeError as error:
        raise AcceleratorError(
            f"no board was found ({error}); run this on a PYNQ board as root, or on the simulated one"
        ) from error
