"""The driver's packets, constants and guesses against the compiler's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import driver
from squeeze_hls.driver import guesses, hardware, model, packets
from squeeze_hls.emit.block_design.design import describe
from squeeze_hls.emit.driver import constants
from squeeze_hls.engine import packets as reference
from squeeze_hls.engine.registers import ERRORS
from squeeze_hls.network import golden
from squeeze_hls.plan import Plan
from tests.driver.conftest import deployed, random_images

FOLDER = Path(driver.__file__).parent


def test_generated_constants_are_up_to_date() -> None:
    assert (FOLDER / "_generated.py").read_text() == constants()


def test_error_texts_are_those_of_the_document(root: Path) -> None:
    table = (root / "docs" / "program.md").read_text().split("| code | meaning |")[1].split("\n\n")[0]
    meanings = [row.split("|")[2].strip() for row in table.splitlines()[2:]]
    assert len(meanings) == len(ERRORS)
    for text, meaning in zip(ERRORS, meanings, strict=True):
        assert meaning.startswith(text), meaning


@pytest.mark.parametrize("streamed", [False, True])
def test_parts_are_those_of_the_block_design(streamed: bool) -> None:
    design = describe("zynq-7000", "xc7z020clg400-1", 100.0, streamed=streamed, rtl_top="top")
    names = [hardware.ENGINE, hardware.DMA, *([hardware.DMA_WEIGHTS] if streamed else [])]
    assert [slave.cell for slave in design.slaves if slave.cell != "intc"] == names
    assert f"{hardware.ENGINE}/interrupt" in design.interrupts


# --- packets ---


@pytest.mark.parametrize("name", ["plan", "other_plan", "streamed_plan"])
def test_packets_byte_for_byte(name: str, request: pytest.FixtureRequest) -> None:
    plan: Plan = request.getfixturevalue(name)
    loaded = model.parse_model(deployed(plan))
    image = random_images(plan, 1)[0]
    identity = plan.engine.identity
    ours = [
        packets.image_packet(image, loaded.program_crc),
        packets.program_packet(loaded.program, identity),
        packets.weights_packet(loaded.weights, identity),
    ]
    theirs = [
        reference.image_packet(image, plan.program_bin),
        reference.program_packet(plan.program_bin, plan.engine),
        reference.weights_packet(plan.weights_bin, plan.engine),
    ]
    if plan.engine.streamed:
        stream = reference.streamed_words(plan.program, plan.weights_bin)
        ours.append(packets.stream_packet(loaded.stream, loaded.program_crc))
        theirs.append(reference.stream_packet(stream, plan.program_bin))
    else:
        assert loaded.stream == b""
    assert [packet.tobytes() for packet in ours] == [packet.data for packet in theirs]


def test_logits_of_an_odd_number_of_classes() -> None:
    words = np.array([-1, 2**31 - 1, -(2**31), 0], "<i4")
    for classes in (3, 4):
        np.testing.assert_array_equal(
            packets.parse_logits(words.view(np.uint8), classes), reference.parse_logits(words.view("<u8"), classes)
        )


def test_a_packet_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="too long"):
        packets.header(1, 0, packets.MAX_WORDS + 1)


def test_default_bitstream_is_beside_the_folder() -> None:
    assert hardware.default_bitfile() == str(FOLDER.parent / "squeeze_engine.bit")


# --- guesses ---


@pytest.mark.parametrize("seed", range(5))
def test_guesses_as_the_golden_model_gives_them(plan: Plan, seed: int) -> None:
    network = plan.network
    logits = np.random.default_rng(seed).integers(-5000, 5000, network.classes).astype(np.int32)
    logits[: network.classes // 2] = logits[-(network.classes // 2) :]
    scale = network.scale.get(network.nodes[-1].output, 1.0)
    ours = guesses.top_k(logits, scale, network.labels, 3)
    assert [tuple(guess) for guess in ours] == golden.top_k(network, logits, 3)
    assert guesses.top_k(np.array([5, 7]), 1.0, ["a", "b"], 9)[0].name == "b"
