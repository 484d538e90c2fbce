"""The driver on a double of PYNQ and the board: order of steps, named errors, and work after each of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import driver
from squeeze_hls.driver import Accelerator
from squeeze_hls.plan import Plan
from tests.driver.conftest import LEVELS, deployed, expected, files, open_accelerator, random_images
from tests.driver.fake_board import FakeBoard


def test_batches_equal_the_golden_model(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    images = random_images(plan, 5)
    with open_accelerator(bitfile) as accelerator:
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))
        np.testing.assert_array_equal(accelerator.run(images[:1]), expected(plan, images[:1]))
        assert accelerator.run(images[:0]).shape == (0, plan.network.classes)
        assert accelerator.counters()["frames"] == 6
        assert accelerator.identity()["engine_id"] == plan.engine.identity
    assert not board.memory, "buffers were not freed"


def test_the_next_image_goes_in_while_the_present_one_computes(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    with open_accelerator(bitfile) as accelerator:
        board.events.clear()
        accelerator.run(random_images(plan, 4))
    assert board.events == ["image", "image", "logits", "image", "logits", "image", "logits", "logits"]


def test_classify_prepares_and_names(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    from squeeze_hls.network import golden, pictures

    picture = pictures.read(pictures.DEFAULT_PICTURE)
    prepared = pictures.prepare(picture, plan.network.input_shape, plan.network.preprocess)
    with open_accelerator(bitfile) as accelerator:
        guesses = accelerator.classify(pictures.DEFAULT_PICTURE, k=3)
    assert [tuple(guess) for guess in guesses] == golden.top_k(plan.network, expected(plan, prepared[None])[0], 3)


def test_levels_are_applied_once(board: FakeBoard, levelled_plan: Plan, tmp_path: Path) -> None:
    """To a picture of the right size, too; prepared pictures are taken as they are."""
    image = random_images(levelled_plan, 1)[0]
    after = np.array([[[LEVELS[c][pixel[c]] for c in range(3)] for pixel in row] for row in image], np.uint8)
    with open_accelerator(files(levelled_plan, tmp_path)) as accelerator:
        logits = accelerator.logits([image])
        np.testing.assert_array_equal(logits, expected(levelled_plan, after[None]))
        np.testing.assert_array_equal(accelerator.run(accelerator.prepare([image])), logits)
        np.testing.assert_array_equal(accelerator.run(after[None]), logits)
        assert (accelerator.logits([after]) != logits).any() and (accelerator.run(image[None]) != logits).any()


def test_streamed_weights(streamed_board: FakeBoard, streamed_plan: Plan, tmp_path: Path) -> None:
    images = random_images(streamed_plan, 3)
    with open_accelerator(files(streamed_plan, tmp_path)) as accelerator:
        streamed_board.events.clear()
        np.testing.assert_array_equal(accelerator.run(images), expected(streamed_plan, images))
        words = 1 + -(-9 * streamed_plan.program.header.stream_words // 8)
        assert streamed_board.events.count(f"weights {words}") == 3
    assert not streamed_board.memory


# --- what is loaded ---


def test_what_the_engine_holds_is_not_loaded_again(
    board: FakeBoard, bitfile: Path, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_accelerator(bitfile) as accelerator:
        assert board.events == ["program", "weights"]
        accelerator.load_model(tmp_path / "model.sqz")
        assert board.events == ["program", "weights"]


def test_models_are_exchanged_there_and_back(
    board: FakeBoard, bitfile: Path, plan: Plan, other_plan: Plan, tmp_path: Path
) -> None:
    (tmp_path / "other.sqz").write_bytes(deployed(other_plan))
    with open_accelerator(bitfile) as accelerator:
        for path, present in (("other.sqz", other_plan), ("model.sqz", plan), ("other.sqz", other_plan)):
            accelerator.load_model(tmp_path / path)
            images = random_images(present, 2)
            np.testing.assert_array_equal(accelerator.run(images), expected(present, images))
    assert not board.memory


def test_a_model_for_another_engine_is_refused(
    board: FakeBoard, bitfile: Path, plan: Plan, streamed_plan: Plan, tmp_path: Path
) -> None:
    (tmp_path / "wrong.sqz").write_bytes(deployed(streamed_plan))
    images = random_images(plan, 1)
    with open_accelerator(bitfile) as accelerator:
        with pytest.raises(driver.WrongModel, match=f"{streamed_plan.engine.id}.*{plan.engine.id}.*--engine"):
            accelerator.load_model(tmp_path / "wrong.sqz")
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))
    with pytest.raises(driver.WrongModel):
        open_accelerator(bitfile, model=tmp_path / "wrong.sqz")
    open_accelerator(bitfile).close()


def test_a_damaged_model_leaves_the_present_one(board: FakeBoard, bitfile: Path, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "cut.sqz").write_bytes(deployed(plan)[:-100])
    images = random_images(plan, 1)
    with open_accelerator(bitfile) as accelerator:
        with pytest.raises(driver.BadModel, match="cut.sqz"):
            accelerator.load_model(tmp_path / "cut.sqz")
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


def test_weights_that_arrive_damaged_leave_the_present_model(
    board: FakeBoard, bitfile: Path, plan: Plan, other_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from squeeze_hls.driver import accelerator as module

    (tmp_path / "other.sqz").write_bytes(deployed(other_plan))
    whole = module.weights_packet
    monkeypatch.setattr(module, "weights_packet", lambda weights, identity: damaged(whole(weights, identity), weights))

    def damaged(packet: np.ndarray, weights: bytes) -> np.ndarray:
        packet = packet.copy()
        packet[20] ^= weights == other_plan.weights_bin
        return packet

    images = random_images(plan, 2)
    with open_accelerator(bitfile) as accelerator:
        with pytest.raises(driver.EngineError) as caught:
            accelerator.load_model(tmp_path / "other.sqz")
        assert caught.value.code == 6 and "weights checksum" in str(caught.value)
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


# --- lifetime ---


def test_closing_twice_and_use_after_it(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    accelerator = open_accelerator(bitfile)
    accelerator.close()
    accelerator.close()
    assert not board.memory
    for use in (
        lambda: accelerator.run(random_images(plan, 1)),
        lambda: accelerator.load_model(bitfile.parent / "model.sqz"),
        accelerator.counters,
        accelerator.__enter__,
        lambda: asyncio.run(accelerator.run_async(random_images(plan, 1))),
    ):
        with pytest.raises(driver.Closed, match="make a new one"):
            use()


def test_freeing_twice_is_harmless(board: FakeBoard, bitfile: Path) -> None:
    with open_accelerator(bitfile) as accelerator:
        hardware = accelerator._open()
        buffer = hardware.allocate(64)
        hardware.free(buffer)
        hardware.free(buffer)


def test_two_accelerators_on_one_device(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    images = random_images(plan, 1)
    with open_accelerator(bitfile) as accelerator:
        with pytest.raises(driver.InUse, match="close"):
            open_accelerator(bitfile)
        np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))
    open_accelerator(bitfile).close()


def test_another_process_holds_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from squeeze_hls.driver import exclusive

    class EmbeddedDevice:
        tag = "xlnk/0"

    monkeypatch.setattr(exclusive.tempfile, "gettempdir", lambda: str(tmp_path))
    first = exclusive.Claim(EmbeddedDevice())
    monkeypatch.setattr(exclusive, "_in_use", set())  # as another process sees it
    with pytest.raises(driver.InUse, match="another process"):
        exclusive.Claim(EmbeddedDevice())
    first.release()
    first.release()
    exclusive.Claim(EmbeddedDevice()).release()


def test_no_bitstream_board_or_part(
    board: FakeBoard, bitfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(driver.AcceleratorError, match="no such bitstream"):
        Accelerator(tmp_path / "none.bit")
    board.faults.add("no dma")
    with pytest.raises(driver.AcceleratorError, match="'dma'"):
        open_accelerator(bitfile)
    board.faults.clear()
    open_accelerator(bitfile).close()  # the claim was given back
    monkeypatch.setitem(__import__("sys").modules, "pynq", None)
    with pytest.raises(driver.AcceleratorError, match="PYNQ is not installed"):
        open_accelerator(bitfile)


def test_arrays_that_are_not_prepared(board: FakeBoard, bitfile: Path, plan: Plan) -> None:
    with open_accelerator(bitfile) as accelerator:
        for images in (np.zeros((1, 2, 2, 3), np.uint8), random_images(plan, 1).astype(float), "cat.jpg"):
            with pytest.raises(driver.NotAnImage):
                accelerator.run(images)  # type: ignore[arg-type]
        with pytest.raises(driver.NotAnImage):
            accelerator.logits("cat.jpg")
