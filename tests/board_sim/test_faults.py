"""What goes wrong on boards goes wrong on the simulated one, in the same way; and it works again afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.engine.packets import image_packet, program_packet, weights_packet
from squeeze_hls.engine.registers import offset
from tests.board_sim.conftest import Host
from tests.board_sim.plans import OTHER, small_plan

pytest.importorskip("pynq")
pytestmark = pytest.mark.board
SENDS, RECEIVES = 0x00, 0x30  # register blocks of a DMA
CONTROL, STATUS, ADDRESS, LENGTH = 0x00, 0x04, 0x18, 0x28


def errors(host: Host, block: int) -> int:
    return host.dma.read(block + STATUS) & 0x4071


# --- DMA ---


def test_registers_after_reset(host: Host) -> None:
    for block in (SENDS, RECEIVES):
        host.dma.write(block + CONTROL, 4)
    for block in (SENDS, RECEIVES):
        assert host.dma.read(block + CONTROL) == 0x1_0002
        assert host.dma.read(block + STATUS) == 1
        host.dma.write(block + LENGTH, 8)  # halted: nothing starts
        assert host.dma.read(block + STATUS) == 1
        host.dma.write(block + CONTROL, 1)
        assert host.dma.read(block + STATUS) == 0  # running, and not idle before the first transfer
    host.check()
    assert host.dma.read(SENDS + STATUS) & 0x1003 == 0x1002
    host.dma.write(SENDS + STATUS, 0x1000)
    assert host.dma.read(SENDS + STATUS) & 0x1003 == 2


@pytest.mark.parametrize(("kind", "bit", "text"), [
    ("DMAIntErr", 0x10, "DMA Internal Error"),
    ("DMASlvErr", 0x20, "DMA Slave Error"),
    ("DMADecErr", 0x40, "DMA Decode Error"),
])  # fmt: skip
@pytest.mark.parametrize("direction", ["MM2S", "S2MM"])
def test_dma_errors(host: Host, kind: str, bit: int, text: str, direction: str) -> None:
    host.device.faults.dma_errors[f"dma/{direction}"] = kind
    channel, block = (
        (host.dma.sendchannel, SENDS) if direction == "MM2S" else (host.dma.recvchannel, RECEIVES)
    )  # fmt: skip
    buffer = host.output()
    channel.transfer(buffer)
    assert errors(host, block) == 0x4001 | bit
    host.dma.write(block + CONTROL, 1)
    assert errors(host, block) == 0x4001 | bit, "only a reset helps"
    with pytest.raises(RuntimeError, match="not started"):
        channel.wait()  # it has halted
    host.restart()
    assert errors(host, block) == 0
    host.check()


def test_an_error_during_a_transfer(host: Host) -> None:
    """PYNQ's wait names it: the receiving buffer is too short for the packet."""
    source, result = host.buffer(image_packet(host.image(1), host.plan.program_bin)), host.output()
    host.dma.recvchannel.transfer(result, nbytes=result.nbytes - 8)
    host.dma.sendchannel.transfer(source)
    host.start()
    with pytest.raises(RuntimeError, match="DMA channel not started|DMA Internal Error"):
        host.dma.sendchannel.wait()
        host.dma.recvchannel.wait()
    assert errors(host, RECEIVES) == 0x4011


def test_length_zero(host: Host) -> None:
    host.dma.write(SENDS + ADDRESS, host.output().physical_address)
    host.dma.write(SENDS + LENGTH, 0)
    assert errors(host, SENDS) == 0x4011
    host.restart()
    host.check()


@pytest.mark.parametrize("block", [SENDS, RECEIVES])
def test_an_address_of_no_buffer(host: Host, block: int) -> None:
    buffer = host.output()
    host.dma.write(block + ADDRESS, buffer.physical_address - 4096)
    host.dma.write(block + LENGTH, 8)
    assert errors(host, block) == 0x4041
    host.restart()
    host.check()


def test_a_packet_that_leaves_its_buffer(host: Host) -> None:
    source = host.buffer(image_packet(host.image(1), host.plan.program_bin))
    source.flush()
    host.dma.write(SENDS + ADDRESS, source.physical_address)
    host.dma.write(SENDS + LENGTH, source.nbytes + 8)
    host.start()
    for _ in range(100):
        host.register("frames")
    assert errors(host, SENDS) == 0x4041


@pytest.mark.parametrize("block", [SENDS, RECEIVES])
def test_unaligned_addresses(host: Host, block: int) -> None:
    buffer = host.pynq.allocate(64, "u1")
    channel = host.dma.sendchannel if block == SENDS else host.dma.recvchannel
    with pytest.raises(RuntimeError, match="unaligned"):
        channel.transfer(buffer, start=4)
    host.dma.write(block + ADDRESS, buffer.physical_address + 4)
    with pytest.raises(RuntimeError, match="no multiple of 8"):
        host.dma.write(block + LENGTH, 8)
    host.check()


def test_a_transfer_during_a_transfer(host: Host) -> None:
    result = host.output()
    host.dma.recvchannel.transfer(result)
    with pytest.raises(RuntimeError, match="during a transfer"):
        host.dma.write(RECEIVES + LENGTH, 8)


def test_sending_lasts_until_the_engine_has_taken_all(host: Host) -> None:
    image = host.image(1)
    source, result = host.buffer(image_packet(image, host.plan.program_bin)), host.output()
    host.dma.recvchannel.transfer(result)
    host.dma.sendchannel.transfer(source)
    for _ in range(20):
        assert not host.dma.sendchannel.idle  # it has not been started
    host.start()
    host.dma.sendchannel.wait()
    host.dma.recvchannel.wait()
    np.testing.assert_array_equal(result, host.golden(image))


def test_nothing_comes_before_a_receiver_is_ready(host: Host) -> None:
    """The logits wait in the engine; the received length is that of the packet."""
    image = host.image(1)
    source, result = host.buffer(image_packet(image, host.plan.program_bin)), host.pynq.allocate(4096, "i4")
    host.dma.sendchannel.transfer(source)
    host.start()
    host.dma.sendchannel.wait()
    for _ in range(50):
        host.register("frames")
    host.dma.recvchannel.transfer(result)
    host.dma.recvchannel.wait()
    classes = host.plan.network.classes
    assert host.dma.recvchannel.transferred == 4 * classes
    np.testing.assert_array_equal(result[:classes], host.golden(image))
    assert set(host.device.memory.view(result.physical_address + 4 * classes, 64).tolist()) == {0xE7}


def test_reading_before_the_dma_is_done(host: Host) -> None:
    image = host.image(1)
    source, result = host.buffer(image_packet(image, host.plan.program_bin)), host.output()
    host.dma.recvchannel.transfer(result)
    host.dma.sendchannel.transfer(source)
    host.start()
    result.invalidate()
    assert set(result.view(np.uint8).tolist()) == {0xE7}
    host.dma.recvchannel.wait()
    np.testing.assert_array_equal(result, host.golden(image))


def test_a_reset_gives_a_transfer_up(host: Host) -> None:
    host.device.faults.hang.add("s_axis_in")
    host.dma.sendchannel.transfer(host.buffer(image_packet(host.image(1), host.plan.program_bin)))
    assert not host.dma.sendchannel.idle
    host.restart()
    assert host.dma.read(SENDS + STATUS) == 0
    host.device.faults.hang.clear()
    host.check()


def test_a_packet_given_up_halfway_leaves_the_engine_inside_it(host: Host, tmp_path: Path) -> None:
    """A reset of the DMA does not help then: the next packet is taken for the rest of this one.  The bitstream does."""
    packet = image_packet(host.image(1), host.plan.program_bin)
    host.start()
    host.dma.sendchannel.transfer(host.buffer(packet), nbytes=64)  # as much as a DMA has sent when it is reset
    host.dma.sendchannel.wait()
    host.restart()
    host.dma.sendchannel.transfer(host.buffer(packet))
    host.finish()
    assert host.register("error") == 10
    Host(host.device, tmp_path / "again", host.plan).check()


# --- caches ---


def test_a_buffer_that_is_not_flushed(host: Host) -> None:
    """Registers by hand, since PYNQ's transfer flushes: the engine gets what memory held before."""
    source = host.buffer(image_packet(host.image(1), host.plan.program_bin))
    host.dma.write(SENDS + ADDRESS, source.physical_address)
    host.dma.write(SENDS + LENGTH, source.nbytes)
    host.start()
    host.finish()
    assert host.register("error") == 1  # bad magic
    host.check()


def test_a_stale_cache_line(host: Host) -> None:
    image = host.image(1)
    byte = 8 + image.size // 2
    host.device.faults.stale_line = byte
    got = host.infer(image)
    assert host.register("error") == 0
    assert (got != host.golden(image)).any()
    packet = image_packet(image, host.plan.program_bin)
    seen = np.frombuffer(packet.data[8:], np.uint8)[: image.size].copy()
    seen[byte // 32 * 32 - 8 :][:32] = 0xE7
    np.testing.assert_array_equal(got, host.golden(seen.reshape(image.shape)))
    host.check()


def test_a_result_that_is_not_invalidated(host: Host) -> None:
    image = host.image(1)
    source, result = host.buffer(image_packet(image, host.plan.program_bin)), host.output()
    host.dma.write(RECEIVES + ADDRESS, result.physical_address)
    host.dma.write(RECEIVES + LENGTH, result.nbytes)
    host.dma.sendchannel.transfer(source)
    host.start()
    host.dma.sendchannel.wait()
    host.finish()
    assert not result.any()
    result.invalidate()
    np.testing.assert_array_equal(result, host.golden(image))


# --- engine ---


@pytest.mark.parametrize(("bit", "code"), [(3, 1), (64 + 5, 0), (20 * 8, 0)])
def test_flipped_bits_of_an_image(host: Host, bit: int, code: int) -> None:
    host.device.faults.flipped["dma/MM2S"] = bit
    packet = image_packet(host.image(1), host.plan.program_bin)
    source, result = host.buffer(packet), host.output()
    if not code:
        host.dma.recvchannel.transfer(result)
    host.dma.sendchannel.transfer(source)
    host.start()
    host.finish()
    assert host.register("error") == code
    if not code:
        host.dma.recvchannel.wait()
    assert not host.device.faults.flipped
    host.check()


def test_error_codes_of_broken_loads(host: Host) -> None:
    plan = small_plan(OTHER)
    for packet, code in (
        (program_packet(plan.program_bin, plan.engine), 5),
        (weights_packet(plan.weights_bin, plan.engine), 6),
    ):
        host.device.faults.flipped["dma/MM2S"] = 8 * (len(packet.data) // 2)
        assert host.send(packet) == code
    assert host.register("loaded_flags") == 0
    host.load(plan)
    host.check()


@pytest.mark.parametrize("stream", ["s_axis_in", "m_axis_out"])
def test_a_hanging_stream(host: Host, stream: str) -> None:
    """Polling sees a channel that stays busy, in a moment of real time and much of the board's; nothing is lost."""
    host.device.faults.hang.add(stream)
    image = host.image(1)
    source, result = host.buffer(image_packet(image, host.plan.program_bin)), host.output()
    host.dma.recvchannel.transfer(result)
    host.dma.sendchannel.transfer(source)
    host.start()
    start = host.device.monotonic()
    polls = 0
    while host.device.monotonic() - start < 0.05:
        polls += 1
        assert not host.dma.recvchannel.idle
        assert not host.register("ap_ctrl") & 2
    assert polls > 5
    assert host.dma.sendchannel.idle == (stream == "m_axis_out")
    host.device.faults.hang.clear()
    host.engine.write(offset("ap_ctrl"), 0)
    host.dma.recvchannel.wait()
    np.testing.assert_array_equal(result, host.golden(image))


# --- interrupts ---


@pytest.mark.parametrize("enable", [0, 0x1000])
def test_interrupts_are_enabled_in_the_dma(host: Host, enable: int) -> None:
    for block in (SENDS, RECEIVES):
        host.dma.write(block + CONTROL, enable | 1)
    host.overlay.intc.write(0x1C, 3)
    host.check()
    assert host.overlay.intc.read(0x00) & 0b110 == (0b110 if enable else 0)


@pytest.mark.parametrize("pin", ["", "dma/s2mm_introut", "intc/irq"])
def test_a_missing_interrupt(host: Host, loop: asyncio.AbstractEventLoop, pin: str) -> None:
    """Who waits for it waits in vain; polling still finds the transfer done.  (Without a fault it comes.)"""
    host.device.faults.lost_interrupts |= {pin} - {""}
    image = host.image(1)
    source, result = host.buffer(image_packet(image, host.plan.program_bin)), host.output()

    async def comes(seconds: float) -> bool:
        try:
            await asyncio.wait_for(host.dma.s2mm_introut.wait(), seconds)
        except TimeoutError:
            return False
        return True

    host.dma.recvchannel.transfer(result)
    host.dma.sendchannel.transfer(source)
    host.start()
    assert loop.run_until_complete(comes(0.5 if pin else 10)) == (not pin)
    host.dma.recvchannel.wait()
    np.testing.assert_array_equal(result, host.golden(image))
    host.device.faults.clear()
    if pin:
        host.dma.read(STATUS)
        assert loop.run_until_complete(comes(10)), "the line is still high"


def test_a_bus_error(host: Host) -> None:
    nothing = host.pynq.MMIO(0x5000_0000, 4096)
    with pytest.raises(RuntimeError, match="nothing answers at 0x50000000"):
        nothing.read(0)
    with pytest.raises(RuntimeError, match="nothing answers at 0x50000010"):
        nothing.write(16, 1)
    host.check()
