"""PYNQ as it is on the simulated board: overlay, memory, DMA, registers, interrupts."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls import tools
from squeeze_hls.driver import AcceleratorError
from squeeze_hls.driver.overlays import load_overlay
from squeeze_hls.emit.block_design.hwh import handoff
from squeeze_hls.engine.packets import image_packet
from squeeze_hls.engine.registers import offset
from squeeze_hls.sim import board as simulated
from squeeze_hls.sim.board import bitfile
from squeeze_hls.sim.board.compiled import compiled
from tests.board_sim.conftest import Host
from tests.board_sim.plans import OTHER, small_plan

pytest.importorskip("pynq")
pytestmark = pytest.mark.board
GP0 = {"engine": 0x43C0_0000, "dma": 0x4040_0000, "dma_weights": 0x4041_0000, "intc": 0x4180_0000}
FPD = {"engine": 0xA000_0000, "dma": 0xA001_0000, "dma_weights": 0xA002_0000, "intc": 0xA003_0000}
PINS = ("engine/interrupt", "dma/mm2s_introut", "dma/s2mm_introut", "dma_weights/mm2s_introut")


@pytest.mark.parametrize(("board", "irq", "addresses"), [("pynq-z2", 61, GP0), ("kv260", 121, FPD)])
@pytest.mark.parametrize("streamed", [False, True])
def test_parsed_by_pynq(tmp_path: Path, board: str, irq: int, addresses: dict[str, int], streamed: bool) -> None:
    """With PYNQ's own parser, as on a board."""
    from pynq.lib.dma import DMA
    from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
    from pynqmetadata.frontends import Metadata

    path = simulated.make(small_plan(streamed=streamed, board=board), tmp_path)
    parsed = RuntimeMetadataParser(Metadata(input=str(path.with_suffix(".hwh"))))
    cells = {name: cell for name, cell in parsed.ip_dict.items() if name != parsed.ps_name}
    expected = {name: place for name, place in addresses.items() if streamed or name != "dma_weights"}
    assert {name: cell["phys_addr"] for name, cell in cells.items()} == expected
    assert all(cell["addr_range"] == 0x1_0000 for cell in cells.values())
    assert parsed.interrupt_controllers == {"intc": {"parent": "", "index": 0, "raw_irq": irq}}
    for index, pin in enumerate(PINS[: 3 + streamed]):
        assert parsed.interrupt_pins[pin] == {"controller": "intc", "index": index, "fullpath": pin}
    assert [cells[name]["type"] for name in cells if name.startswith("dma")] == DMA.bindto * (1 + streamed)
    assert cells["engine"]["registers"]["engine_id"]["address_offset"] == 0x50
    assert parsed.clock_dict[0]["enable"] == 1


def test_overlay(host: Host) -> None:
    from pynq.lib.dma import DMA

    assert type(host.overlay.dma) is DMA
    assert host.overlay.is_loaded()
    assert host.dma.buffer_max_size == 2**26 - 1
    assert host.pynq.Clocks.fclk0_mhz == 100.0
    assert host.pynq.Device.active_device is host.device


@pytest.mark.parametrize("board", ["pynq-z2", "kv260"])
def test_the_clock_is_that_of_the_design(device: Any, loop: Any, tmp_path: Path, board: str) -> None:
    """PYNQ 4.0.0 cannot load an overlay of a Zynq-7000 by itself: it does not find the clock's frequency."""
    import pynq

    design = replace(bitfile._of_plan(small_plan(board=board)), clock_mhz=50.0)
    path = tmp_path / "squeeze_engine.bit"
    path.write_bytes(bitfile.pack(design))
    path.with_suffix(".hwh").write_bytes(handoff(design.design))
    if board == "kv260":
        assert pynq.Overlay(str(path)).is_loaded()
    elif pynq.__version__ == "4.0.0":
        with pytest.raises(TypeError, match="NoneType"):
            pynq.Overlay(str(path))
    pynq.Clocks.fclk0_mhz = 200
    load_overlay(str(path), device)
    assert pynq.Clocks.fclk0_mhz == pytest.approx(50.0, abs=0.01)


def test_a_handoff_file_without_a_frequency(device: Any, loop: Any, tmp_path: Path) -> None:
    path = simulated.make(small_plan(), tmp_path)
    text = path.with_suffix(".hwh").read_text()
    path.with_suffix(".hwh").write_text(text.replace("PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ", "OTHER"))
    with pytest.raises(AcceleratorError, match="no frequency of clock 0"):
        load_overlay(str(path), device)


def test_the_bitstream_has_its_initial_contents(host: Host) -> None:
    assert host.register("engine_id") == host.plan.engine.identity
    assert host.register("weights_id") == host.plan.program.header.weights_crc
    assert host.register("loaded_flags") == 3
    assert host.register("frames") == host.register("error") == host.register("gie") == 0
    assert host.register("ap_ctrl") == 4
    assert host.engine.register_map.loaded_flags[1:0] == 3


def test_two_images(host: Host) -> None:
    assert (host.golden(host.image(1)) != host.golden(host.image(2))).any()
    for seed in (1, 2):
        host.check(seed)
    assert host.register("frames") == 2
    assert host.register("cycles") == pytest.approx(host.plan.timing.total, rel=0.02)


def test_load_another_network_and_back(host: Host) -> None:
    first, second = host.plan, small_plan(OTHER)
    for plan in (second, first):
        host.load(plan)
        assert host.register("weights_id") == plan.program.header.weights_crc
        host.check()


def test_the_next_image_is_received_while_one_is_computed(host: Host) -> None:
    """With auto-restart, two images in one go: the DMA is free long before the logits are there."""
    images = [host.image(1), host.image(2)]
    sources = [host.buffer(image_packet(image, host.plan.program_bin)) for image in images]
    results = [host.output(), host.output()]
    host.engine.write(offset("ap_ctrl"), 0x81)
    for source, result, image in zip(sources, results, images, strict=True):
        host.dma.recvchannel.transfer(result)
        host.dma.sendchannel.transfer(source)
        host.dma.sendchannel.wait()
        host.dma.recvchannel.wait()
        np.testing.assert_array_equal(result, host.golden(image))


def test_streamed_weights(device: Any, loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    host = Host(device, tmp_path, small_plan(streamed=True))
    for seed in (1, 2):
        host.check(seed)


# --- interrupts ---


async def infer_async(host: Host, image: np.ndarray) -> np.ndarray:
    source, result = host.buffer(image_packet(image, host.plan.program_bin)), host.output()
    for name in ("gie", "ier"):
        host.engine.write(offset(name), 1)
    host.dma.recvchannel.transfer(result)
    host.dma.sendchannel.transfer(source)
    host.start()
    await host.engine.interrupt.wait()
    assert host.register("isr") == 1
    host.engine.write(offset("isr"), 1)
    await host.dma.sendchannel.wait_async()
    await host.dma.recvchannel.wait_async()
    return np.array(result)


def test_interrupts(host: Host, loop: asyncio.AbstractEventLoop) -> None:
    """Nobody polls; other coroutines go on meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def main() -> None:
        other = asyncio.ensure_future(tick())
        for seed in (1, 2, 3):
            image = host.image(seed)
            got = await asyncio.wait_for(infer_async(host, image), 20)
            np.testing.assert_array_equal(got, host.golden(image))
        other.cancel()

    loop.run_until_complete(main())
    assert ticks
    assert host.register("frames") == 3


def test_interrupt_of_one_channel(host: Host, loop: asyncio.AbstractEventLoop) -> None:
    """Only the S2MM channel's: whichever comes first, each finds its own line."""

    async def main() -> np.ndarray:
        source, result = host.buffer(image_packet(host.image(1), host.plan.program_bin)), host.output()
        host.dma.recvchannel.transfer(result)
        host.dma.sendchannel.transfer(source)
        host.start()
        await asyncio.wait_for(host.dma.recvchannel.wait_async(), 20)
        return np.array(result)

    np.testing.assert_array_equal(loop.run_until_complete(main()), host.golden(host.image(1)))


# --- memory ---


def test_buffers(host: Host) -> None:
    before = host.device.memory.allocated
    with host.pynq.allocate((4, 5), "u2") as buffer:
        assert buffer.shape == (4, 5)
        assert buffer.physical_address % 4096 == 0
        assert not buffer.coherent
        assert buffer[1].physical_address == buffer.physical_address + 10
        assert host.device.memory.allocated == before + 1
        buffer.freebuffer()
        buffer.freebuffer()
    assert host.device.memory.allocated == before


def test_memory_is_limited(host: Host) -> None:
    before = host.device.memory.allocated
    with pytest.raises(RuntimeError, match="allocation failed"):
        host.pynq.allocate(2**28, "u1")
    buffers = [host.pynq.allocate(2**20, "u1") for _ in range(100)]
    places = [buffer.physical_address for buffer in buffers]
    assert all(b - a > 2**20 for a, b in zip(places, places[1:], strict=False))
    del buffers
    assert host.device.memory.allocated == before


def test_flush_and_invalidate_are_needed(host: Host) -> None:
    buffer = host.pynq.allocate(8, "u1")
    buffer[:] = 7
    view = host.device.memory.view(buffer.physical_address, 8)
    assert set(view.tolist()) == {0xE7}
    buffer[2:4].flush()
    assert view.tolist() == [0xE7, 0xE7, 7, 7, 0xE7, 0xE7, 0xE7, 0xE7]
    buffer.flush()
    view[:] = 9
    assert set(buffer.tolist()) == {7}
    buffer.invalidate()
    assert set(buffer.tolist()) == {9}


# --- the device ---


def test_a_second_overlay_replaces_the_first(host: Host, tmp_path: Path) -> None:
    first = host.device.machine
    other = Host(host.device, tmp_path / "other", small_plan(OTHER))
    other.check()
    with pytest.raises(RuntimeError, match="configured anew"):
        first.read(GP0["engine"])
    assert not first.wait_interrupt()
    assert not host.overlay.is_loaded()
    with pytest.raises(RuntimeError, match="not currently loaded"):
        host.overlay.dma  # noqa: B018


def test_compiling_is_announced(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the first overlay with an engine, and not by the second; prepare does it beforehand."""
    with compiled(host.plan.engine) as library:

        def compiler(command: list[str], **_: Any) -> None:
            folder, name = (command[command.index(option) + 1] for option in ("--Mdir", "-o"))
            shutil.copy(library, Path(folder) / name)

        monkeypatch.setattr(tools, "run", compiler)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
        load_overlay(str(host.path), host.device)
        assert "compiling its engine, once" in capsys.readouterr().err
        load_overlay(str(host.path), host.device)
        simulated.prepare(host.path, before=pytest.fail)
        assert capsys.readouterr().err == ""
        told: list[str] = []
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        for _ in range(2):
            simulated.prepare(host.path, before=lambda: told.append("compiling"))
        assert told == ["compiling"]


def test_what_is_no_bitstream(host: Host, tmp_path: Path) -> None:
    from squeeze_hls.errors import InputError

    data = bytearray(host.path.read_bytes())
    (tmp_path / "bad").mkdir()
    bad = tmp_path / "bad" / "squeeze_engine.bit"
    bad.with_suffix(".hwh").write_bytes(host.path.with_suffix(".hwh").read_bytes())
    for content in (b"", bytes(100), bytes(data[:-1]), bytes([*data[:-100], data[-100] ^ 1, *data[-99:]])):
        bad.write_bytes(content)
        with pytest.raises(InputError, match="squeeze_engine.bit: "):
            host.pynq.Overlay(str(bad))
    host.check()


def test_the_header_is_a_bitstreams(host: Host) -> None:
    from pynq.pl_server.embedded_device import bit2bin, parse_bit_header

    fields = parse_bit_header(host.path.read_bytes())
    assert (fields["design"], fields["part"]) == ("squeeze_engine", "xc7z020clg400-1")
    assert len(bit2bin(host.path.read_bytes())) == int(fields["length"])


def test_time(host: Host) -> None:
    """A register access is 10 us of the board's time, and simulating takes none of it."""
    start = host.device.machine.cycle
    for _ in range(10):
        host.register("frames")
    assert host.device.machine.cycle - start >= 10_000
    wall, board = time.monotonic(), host.device.monotonic()
    for _ in range(200):
        host.engine.write(offset("gie"), 0)
    wall, board = time.monotonic() - wall, host.device.monotonic() - board
    assert 200 * 10e-6 <= board < 0.7 * wall


@pytest.mark.parametrize("way", ["variable", "module"])
def test_another_program_runs_on_it(tmp_path: Path, way: str) -> None:
    """A script that knows nothing of the package, started with it, in an interpreter of its own."""
    plan = small_plan(board="kv260")  # whose clock PYNQ finds
    path = simulated.make(plan, tmp_path / "kv260")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, pynq\n"
        "overlay = pynq.Overlay(sys.argv[1])\n"
        "print(hex(overlay.engine.read(0x50)), type(overlay.dma).__name__)\n"
    )
    start = ["-m", "squeeze_hls.sim.board"] if way == "module" else ["-c", "import squeeze_hls.sim.board, runpy, sys; "
             "del sys.argv[0]; runpy.run_path(sys.argv[0])"]  # fmt: skip
    root = str(Path(simulated.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, *start, str(script), str(path)], capture_output=True, text=True, timeout=120, cwd=root,
        env={**os.environ, "SQUEEZE_HLS_BOARD": "sim" if way == "variable" else ""}, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [hex(plan.engine.identity), "DMA"], done.stderr
