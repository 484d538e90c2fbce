"""What goes wrong on the simulated board: the named exception, and right results afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls import driver
from squeeze_hls.driver.channels import Channel
from squeeze_hls.driver.hardware import Hardware
from tests.driver.conftest import deployed, expected, random_images
from tests.driver.on_board import check, folder_of, needs_pynq, opened, plan_of

needs_pynq()
pytestmark = pytest.mark.board


@pytest.fixture
def folder(device: Any, tmp_path: Path, streamed: bool) -> Path:
    return folder_of(tmp_path / "deploy", streamed)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bitstreams that are loaded."""
    found: list[str] = []
    load = Hardware.load

    def counted(hardware: Hardware) -> None:
        found.append("load")
        load(hardware)

    monkeypatch.setattr(Hardware, "load", counted)
    return found


# --- time-outs ---


@pytest.mark.parametrize(
    "stream, named",
    [
        ("s_axis_in", "image 1 of 3 to be sent (dma.sendchannel, s_axis_in)"),
        ("s_axis_weights", "the weights of image 1 of 3 to be sent (dma_weights.sendchannel, s_axis_weights)"),
        ("m_axis_out", "the logits of image 1 of 3 to be taken (dma.recvchannel, m_axis_out)"),
    ],
)
def test_what_hangs_is_named(device: Any, folder: Path, streamed: bool, stream: str, named: str) -> None:
    if stream == "s_axis_weights" and not streamed:
        pytest.skip("there is no such stream")
    with opened(folder, timeout=0.2) as accelerator:
        device.faults.hang.add(stream)
        with pytest.raises(driver.AcceleratorTimeout, match="waited 0.2 s for .*engine: ap_ctrl") as caught:
            check(accelerator, plan_of(streamed))
        assert caught.value.what.startswith(named)
        assert stream == "s_axis_in" or "dma.sendchannel" not in caught.value.what
        with pytest.raises(driver.AcceleratorTimeout):  # and still hangs, after the bitstream was loaded anew
            check(accelerator, plan_of(streamed))
        device.faults.hang.clear()
        check(accelerator, plan_of(streamed))


def test_loading_that_hangs(device: Any, folder: Path, streamed: bool) -> None:
    with opened(folder, timeout=0.2) as accelerator:
        device.faults.hang.add("s_axis_in")
        with pytest.raises(driver.AcceleratorTimeout, match=r"the program to be sent \(dma.sendchannel, s_axis_in\)"):
            accelerator.load_model(folder / "other.sqz")
        device.faults.hang.clear()
        check(accelerator, plan_of(streamed))


# --- DMA ---


@pytest.mark.parametrize(
    "channel, error",
    [
        ("dma/MM2S", "DMAIntErr"),
        ("dma/MM2S", "DMASlvErr"),
        ("dma/MM2S", "DMADecErr"),
        ("dma/S2MM", "DMAIntErr"),
        ("dma_weights/MM2S", "DMASlvErr"),
    ],
)
def test_dma_errors(device: Any, folder: Path, streamed: bool, loads: list[str], channel: str, error: str) -> None:
    if channel.startswith("dma_weights") and not streamed:
        pytest.skip("there is no such DMA")
    names = {"dma/MM2S": "dma.sendchannel", "dma/S2MM": "dma.recvchannel"}
    with opened(folder) as accelerator:
        device.faults.dma_errors[channel] = error
        with pytest.raises(driver.DmaError) as caught:
            check(accelerator, plan_of(streamed))
        assert caught.value.channel == names.get(channel, "dma_weights.sendchannel")
        check(accelerator, plan_of(streamed))
    assert loads == ["load"], "the bitstream was loaded anew"


# --- engine ---


@pytest.mark.parametrize(
    "which, bit, code",
    [(0, 0, 1), (1, 0, 1), (0, 15, 2), (0, 16, 4), (0, 40, 3)],
    ids=["magic", "magic of the second", "type", "identity", "length"],
)
def test_error_codes_of_the_engine(
    device: Any,
    folder: Path,
    streamed: bool,
    loads: list[str],
    bit: int,
    code: int,
    which: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bit of an image's header is flipped on its way."""
    transfer, left = Channel.transfer, [which]

    def flip(channel: Channel, buffer: Any, nbytes: int) -> None:
        if channel.name == "dma.sendchannel":
            left[0] -= 1
            if left[0] == -1:
                device.faults.flipped["dma/MM2S"] = bit
        transfer(channel, buffer, nbytes)

    with opened(folder) as accelerator:
        monkeypatch.setattr(Channel, "transfer", flip)
        with pytest.raises(driver.EngineError, match=f"image {which + 1} of 3") as caught:
            check(accelerator, plan_of(streamed))
        assert caught.value.code == code
        check(accelerator, plan_of(streamed))
    assert loads == ["load"], "the bitstream was loaded anew"


@pytest.mark.parametrize("bit", [3, 20], ids=["magic", "identity"])
def test_damaged_headers_of_streamed_weights(device: Any, tmp_path: Path, loads: list[str], bit: int) -> None:
    with opened(folder_of(tmp_path / "deploy", True)) as accelerator:
        device.faults.flipped["dma_weights/MM2S"] = bit
        with pytest.raises(driver.EngineError, match="streamed weights") as caught:
            check(accelerator, plan_of(True))
        assert caught.value.code == 12
        check(accelerator, plan_of(True))
    assert loads == ["load"], "the bitstream was loaded anew"


def test_packets_of_weights_that_are_owed(device: Any, tmp_path: Path, loads: list[str]) -> None:
    """Every image that is cut off behind its header owes a packet of weights, which the engine would discard."""
    with opened(folder_of(tmp_path / "deploy", True)) as accelerator:
        hardware = accelerator._open()
        for _ in range(20):
            hardware.start()
            hardware.send.transfer(accelerator._images[0], 64)
            while not (hardware.send.finished() and hardware.idle()):
                pass
            with pytest.raises(driver.EngineError, match="TLAST before the end"):
                hardware.check_engine("half an image")
        hardware.resynchronize(owed=True)
        check(accelerator, plan_of(True))
    assert loads == ["load"], "the bitstream was loaded anew"


def test_weights_that_are_out_of_step(
    device: Any, tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where single words do not bring the weights back in step, the bitstream does."""
    with opened(folder_of(tmp_path / "deploy", True)) as accelerator:
        transfer, left = Channel.transfer, [20, 20]  # the second one in the image that checks the way back

        def flip(channel: Channel, buffer: Any, nbytes: int) -> None:
            if channel.name == "dma_weights.sendchannel" and nbytes > 8 and left:
                device.faults.flipped["dma_weights/MM2S"] = left.pop()
            transfer(channel, buffer, nbytes)

        monkeypatch.setattr(Channel, "transfer", flip)
        with pytest.raises(driver.EngineError):
            check(accelerator, plan_of(True))
        assert not left and len(loads) == 2
        check(accelerator, plan_of(True))


def test_weights_that_arrive_damaged(device: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "deploy")
    with opened(folder) as accelerator:
        device.faults.flipped["dma/MM2S"] = 64 * 40
        with pytest.raises(driver.EngineError) as caught:
            accelerator.load_model(folder / "other.sqz")
        assert caught.value.code == 5
        check(accelerator, plan_of(False))
        accelerator.load_model(folder / "other.sqz")
        check(accelerator, plan_of(False, 1))


# --- models ---


def test_wrong_and_truncated_models(folder: Path, streamed: bool) -> None:
    whole = deployed(plan_of(streamed))
    (folder / "wrong.sqz").write_bytes(deployed(plan_of(not streamed)))
    (folder / "cut.sqz").write_bytes(whole[: len(whole) // 2])  # in the middle of the weights
    with opened(folder) as accelerator:
        for name, error in (("wrong", driver.WrongModel), ("cut", driver.BadModel), ("absent", driver.BadModel)):
            with pytest.raises(error):
                accelerator.load_model(folder / f"{name}.sqz")
            check(accelerator, plan_of(streamed))


# --- whatever else ---


@pytest.mark.parametrize("accesses", [5, 17, 30])
def test_an_interrupted_cell(
    device: Any, folder: Path, streamed: bool, loads: list[str], accesses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as accelerator:
        read = type(device).read_registers
        left = iter(range(accesses))

        def interrupted(board: Any, address: int, length: int) -> bytes:
            if next(left, None) is None:
                monkeypatch.setattr(type(device), "read_registers", read)
                raise KeyboardInterrupt
            return read(board, address, length)

        monkeypatch.setattr(type(device), "read_registers", interrupted)
        with pytest.raises(KeyboardInterrupt):
            accelerator.run(random_images(plan_of(streamed), 50))
        check(accelerator, plan_of(streamed))
    assert loads == ["load"], "the bitstream was loaded anew"


def test_a_stale_cache_line_changes_the_logits(device: Any, tmp_path: Path) -> None:
    plan = plan_of(False)
    images = random_images(plan, 2)
    with opened(folder_of(tmp_path / "deploy")) as accelerator:
        accelerator.run(images[:1])
        device.faults.stale_line = 200
        wrong = accelerator.run(images[1:])
        assert (wrong != expected(plan, images[1:])).any()
        check(accelerator, plan)


def test_buffers_that_are_freed_twice(device: Any, folder: Path, streamed: bool) -> None:
    with opened(folder) as accelerator:
        buffer = accelerator._open().allocate(64)
        before = device.memory.allocated
        for _ in range(2):
            accelerator._open().free(buffer)
        buffer.freebuffer()
        assert device.memory.allocated == before - 1
        check(accelerator, plan_of(streamed))
    accelerator.close()
    assert not device.memory.allocated


def test_two_accelerators(folder: Path, streamed: bool) -> None:
    with opened(folder) as accelerator:
        with pytest.raises(driver.InUse, match="close"):
            opened(folder)
        check(accelerator, plan_of(streamed))
    with pytest.raises(driver.Closed):
        check(accelerator, plan_of(streamed))
    with opened(folder) as accelerator:
        check(accelerator, plan_of(streamed))
        np.testing.assert_equal(accelerator.counters()["frames"], 3)
