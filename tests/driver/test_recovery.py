"""What goes wrong on a double of PYNQ and the board, and goes on: named errors, and right results afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import driver
from squeeze_hls.plan import Plan
from tests.driver.conftest import expected, files, open_accelerator, random_images
from tests.driver.fake_board import FakeBoard


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_error_code_of_the_engine(board: FakeBoard, bitfile: Path, plan: Plan, which: int) -> None:
    images = random_images(plan, 3)
    with open_accelerator(bitfile) as accelerator:
        board.refuse = [0] * which + [10]
        with pytest.raises(driver.EngineError, match=f"image {which + 1} of 3.*TLAST before the end") as caught:
            accelerator.run(images)
        assert caught.value.code == 10
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))
        assert board.loads == 1


@pytest.mark.parametrize(
    "fault, channel, text",
    [
        ("dma decode error", "dma.sendchannel", "decode error"),
        ("receive error", "dma.recvchannel", "internal error"),
        ("short packet", "dma.recvchannel", "bytes came of"),
    ],
)
def test_an_error_of_a_dma(board: FakeBoard, bitfile: Path, plan: Plan, fault: str, channel: str, text: str) -> None:
    images = random_images(plan, 3)
    with open_accelerator(bitfile) as accelerator:
        board.faults.add(fault)
        with pytest.raises(driver.DmaError, match=text) as caught:
            accelerator.run(images)
        assert caught.value.channel == channel
        board.faults.clear()
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


def test_an_error_of_the_weights_dma(streamed_board: FakeBoard, streamed_plan: Plan, tmp_path: Path) -> None:
    images = random_images(streamed_plan, 2)
    with open_accelerator(files(streamed_plan, tmp_path)) as accelerator:
        streamed_board.faults.add("dma_weights decode error")
        with pytest.raises(driver.DmaError, match="dma_weights.sendchannel"):
            accelerator.run(images)
        streamed_board.faults.clear()
        assert streamed_board.loads == 2, "packets of weights that are owed cannot be counted"
        np.testing.assert_array_equal(accelerator.run(images), expected(streamed_plan, images))


def test_a_hanging_engine_is_named_and_loaded_anew(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    images = random_images(plan, 2)
    with open_accelerator(bitfile) as accelerator:
        board.faults |= {"hang"}
        with pytest.raises(driver.AcceleratorTimeout) as caught:
            accelerator.run(images)
        assert caught.value.what == "image 1 of 2 to be sent (dma.sendchannel, s_axis_in)"
        for part in ("0.05 s", "engine: ap_ctrl 0x0", "dma.sendchannel busy", "dma.recvchannel busy"):
            assert part in str(caught.value)
        assert board.loads == 2, "what hangs is loaded anew"
        with pytest.raises(driver.AcceleratorTimeout):  # and still hangs
            accelerator.run(images)
        board.faults.clear()
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


def test_logits_that_nobody_takes(board: FakeBoard, bitfile: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(plan, 2)
    with open_accelerator(bitfile) as accelerator:
        with monkeypatch.context() as patch:
            patch.setattr(type(board.dma), "receive", lambda *_: False)
            with pytest.raises(
                driver.AcceleratorTimeout,
                match=r"the logits of image 1 of 2 to be taken \(dma.recvchannel, m_axis_out\)",
            ):
                accelerator.run(images)
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


@pytest.mark.parametrize("beats", [0, 1, 5])
def test_a_packet_that_was_cut_off(board: FakeBoard, bitfile: Path, plan: Plan, beats: int) -> None:
    """As after an interrupted cell: the engine has a part of an image, or a start and nothing else."""
    images = random_images(plan, 2)
    with open_accelerator(bitfile) as accelerator:
        hardware = accelerator._open()
        board.engine.write(0, 1)
        for word in np.frombuffer(bytes(accelerator._images[0]), "<u8")[:beats].tolist():
            assert board.engine.accept(word, False)
        hardware.resynchronize()
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))
        assert board.loads == 1


def test_an_interrupted_cell(board: FakeBoard, bitfile: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(plan, 3)
    with open_accelerator(bitfile) as accelerator:
        for accesses in (20, 30, 45, 60):
            left = iter(range(accesses))
            passing = board.pass_time

            def interrupted() -> None:
                passing()  # noqa: B023
                if next(left, None) is None:  # noqa: B023
                    board.pass_time = passing  # type: ignore[method-assign]  # noqa: B023
                    raise KeyboardInterrupt

            board.pass_time = interrupted  # type: ignore[method-assign]
            with pytest.raises(KeyboardInterrupt):
                for _ in range(100):
                    accelerator.run(images)
            np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


@pytest.mark.parametrize("fault", ["no flush", "no invalidate"])
def test_caches_are_flushed_and_invalidated(board: FakeBoard, bitfile: Path, plan: Plan, fault: str) -> None:
    """Without either the results are wrong, so that the double does notice."""
    images = random_images(plan, 2)
    with open_accelerator(bitfile) as accelerator:
        accelerator.run(images[::-1])
        board.faults.add(fault)
        assert (accelerator.run(images) != expected(plan, images)).any()
        board.faults.clear()
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))
