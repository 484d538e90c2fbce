"""The driver under PYNQ itself, on the simulated board: the real registers, DMAs, interrupts and RTL."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls import driver
from squeeze_hls.bundle import write_bundle
from squeeze_hls.driver import Accelerator, exclusive, selftest
from squeeze_hls.driver.hardware import Channel
from squeeze_hls.driver.stored import load_stored
from squeeze_hls.emit import deploy
from squeeze_hls.plan import Plan
from tests.board_sim.plans import small_plan
from tests.driver.conftest import deployed, expected, random_images

pytest.importorskip("pynq", reason="PYNQ is not installed in this environment", exc_type=ImportError)
pytestmark = pytest.mark.board

SEEDS = (11, 9)  # two networks whose logits depend on the picture
TIMEOUT = 0.5  # seconds on the board, those of the software among them


def plan_of(streamed: bool, which: int = 0) -> Plan:
    return small_plan(SEEDS[which], streamed=streamed)


@pytest.fixture
def device(loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    from squeeze_hls.sim import board

    device = board.register()
    device.faults.clear()
    yield device
    device.faults.clear()
    left = device.memory.allocated
    if left:  # this test fails, the next ones are not to
        exclusive._in_use.clear()
        device.memory.__init__()
    device.close()
    assert not left, "buffers were not freed"


@pytest.fixture(scope="session")
def loop() -> asyncio.AbstractEventLoop:
    """The loop to which PYNQ ties its interrupts when it first meets them, as in Jupyter."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


@pytest.fixture(params=[False, True], ids=["resident", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return request.param


def folder_of(folder: Path, streamed: bool = False) -> Path:
    """A whole deploy folder, with a second network in ``other.sqz``."""
    from squeeze_hls.sim import board

    plan = plan_of(streamed)
    write_bundle(deploy.emit(plan, name="a network"), folder)
    (folder / "model.sqz").write_bytes(deployed(plan))
    (folder / "other.sqz").write_bytes(deployed(plan_of(streamed, 1)))
    board.make(plan, folder)
    return folder


def opened(folder: Path) -> Accelerator:
    return Accelerator(folder / "squeeze_engine.bit", timeout=TIMEOUT)


def check(accelerator: Accelerator, plan: Plan, count: int = 3, seed: int = 5) -> None:
    images = random_images(plan, count, seed)
    np.testing.assert_array_equal(accelerator.run(images), expected(plan, images))


def test_batches(device: Any, tmp_path: Path, streamed: bool) -> None:
    with opened(folder_of(tmp_path / "deploy", streamed)) as accelerator:
        check(accelerator, plan_of(streamed), 5)
        check(accelerator, plan_of(streamed), 1)
        counters = accelerator.counters()
        assert counters["frames"] == 6
        assert counters["cycles"] == sum(counters[name] for name in counters if name not in ("frames", "cycles"))
        assert len(accelerator.classify(tmp_path / "deploy" / "pictures" / "chelsea.jpg")) == 5


def test_models_there_and_back(device: Any, tmp_path: Path, streamed: bool) -> None:
    folder = folder_of(tmp_path / "deploy", streamed)
    with opened(folder) as accelerator:
        for name, which in (("model", 0), ("other", 1), ("model", 0), ("other", 1)):
            accelerator.load_model(folder / f"{name}.sqz")
            check(accelerator, plan_of(streamed, which))
        (folder / "wrong.sqz").write_bytes(deployed(plan_of(not streamed)))
        with pytest.raises(driver.WrongModel):
            accelerator.load_model(folder / "wrong.sqz")
        (folder / "cut.sqz").write_bytes(deployed(plan_of(streamed))[:-9])
        with pytest.raises(driver.BadModel):
            accelerator.load_model(folder / "cut.sqz")
        check(accelerator, plan_of(streamed, 1))


@pytest.mark.parametrize("stream", ["s_axis_in", "m_axis_out", "s_axis_weights"])
def test_what_hangs_is_named(device: Any, tmp_path: Path, streamed: bool, stream: str) -> None:
    if stream == "s_axis_weights" and not streamed:
        pytest.skip("there is no such stream")
    with opened(folder_of(tmp_path / "deploy", streamed)) as accelerator:
        device.faults.hang.add(stream)
        with pytest.raises(driver.AcceleratorTimeout, match="image 1 of 3.*engine: ap_ctrl") as caught:
            check(accelerator, plan_of(streamed))
        assert stream != "s_axis_in" or "dma.sendchannel" in caught.value.what
        device.faults.hang.clear()
        check(accelerator, plan_of(streamed))


@pytest.mark.parametrize("error", ["DMAIntErr", "DMASlvErr", "DMADecErr"])
@pytest.mark.parametrize("channel", ["dma/MM2S", "dma/S2MM", "dma_weights/MM2S"])
def test_dma_errors(device: Any, tmp_path: Path, streamed: bool, channel: str, error: str) -> None:
    if channel.startswith("dma_weights") and not streamed:
        pytest.skip("there is no such DMA")
    names = {"dma/MM2S": "dma.sendchannel", "dma/S2MM": "dma.recvchannel"}
    with opened(folder_of(tmp_path / "deploy", streamed)) as accelerator:
        device.faults.dma_errors[channel] = error
        with pytest.raises(driver.DmaError) as caught:
            check(accelerator, plan_of(streamed))
        assert caught.value.channel == names.get(channel, "dma_weights.sendchannel")
        check(accelerator, plan_of(streamed))


@pytest.mark.parametrize("bit, code", [(0, 1), (15, 2), (16, 4), (40, 3)], ids=["magic", "type", "identity", "length"])
@pytest.mark.parametrize("which", [0, 1])
def test_error_codes_of_the_engine(
    device: Any, tmp_path: Path, streamed: bool, bit: int, code: int, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit of an image's header is flipped on its way."""
    transfer, left = Channel.transfer, [which]

    def flip(channel: Channel, buffer: Any, nbytes: int) -> None:
        if channel.name == "dma.sendchannel":
            left[0] -= 1
            if left[0] < 0:
                monkeypatch.undo()
                device.faults.flipped["dma/MM2S"] = bit
        transfer(channel, buffer, nbytes)

    with opened(folder_of(tmp_path / "deploy", streamed)) as accelerator:
        monkeypatch.setattr(Channel, "transfer", flip)
        with pytest.raises(driver.EngineError, match=f"image {which + 1} of 3") as caught:
            check(accelerator, plan_of(streamed))
        assert caught.value.code == code
        check(accelerator, plan_of(streamed))


def test_weights_that_arrive_damaged(device: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "deploy")
    with opened(folder) as accelerator:
        for name, bit, code in (("other.sqz", 64 * 40, 5),):
            device.faults.flipped["dma/MM2S"] = bit
            with pytest.raises(driver.EngineError) as caught:
                accelerator.load_model(folder / name)
            assert caught.value.code == code
            check(accelerator, plan_of(False))
        accelerator.load_model(folder / "other.sqz")
        check(accelerator, plan_of(False, 1))


@pytest.mark.parametrize("accesses", [5, 12, 17, 22, 30])
def test_an_interrupted_cell(
    device: Any, tmp_path: Path, streamed: bool, accesses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder_of(tmp_path / "deploy", streamed)) as accelerator:
        read = type(device).read_registers
        left = iter(range(accesses))

        def interrupted(board: Any, address: int, length: int) -> bytes:
            if next(left, None) is None:
                monkeypatch.undo()
                raise KeyboardInterrupt
            return read(board, address, length)

        monkeypatch.setattr(type(device), "read_registers", interrupted)
        with pytest.raises(KeyboardInterrupt):
            accelerator.run(random_images(plan_of(streamed), 50))
        check(accelerator, plan_of(streamed))


@pytest.mark.parametrize("lost", ["", "engine/interrupt", "intc/irq"])
def test_asynchronous(device: Any, loop: asyncio.AbstractEventLoop, tmp_path: Path, streamed: bool, lost: str) -> None:
    """On the interrupt, and by polling where it is lost."""
    plan = plan_of(streamed)
    images = random_images(plan, 3)
    device.faults.lost_interrupts |= {lost} - {""}

    async def infer() -> tuple[np.ndarray, int]:
        with opened(folder_of(tmp_path / "deploy", streamed)) as accelerator:
            first, second = await asyncio.gather(accelerator.run_async(images), accelerator.run_async(images[::-1]))
            np.testing.assert_array_equal(first, second[::-1])
            check(accelerator, plan)
            return first, accelerator.interrupts_seen

    logits, seen = loop.run_until_complete(infer())
    np.testing.assert_array_equal(logits, expected(plan, images))
    assert not (lost and seen)


def test_a_stale_cache_line_changes_the_logits(device: Any, tmp_path: Path) -> None:
    plan = plan_of(False)
    images = random_images(plan, 2)
    with opened(folder_of(tmp_path / "deploy")) as accelerator:
        accelerator.run(images[:1])
        device.faults.stale_line = 200
        wrong = accelerator.run(images[1:])
        assert (wrong != expected(plan, images[1:])).any()
        check(accelerator, plan)


def test_two_accelerators_and_closing_twice(device: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "deploy")
    with opened(folder) as accelerator:
        with pytest.raises(driver.InUse):
            opened(folder)
        check(accelerator, plan_of(False))
    accelerator.close()
    with pytest.raises(driver.Closed):
        check(accelerator, plan_of(False))
    with opened(folder) as accelerator:
        check(accelerator, plan_of(False))


# --- the deploy folder ---

SCRIPT = """
import builtins, sys

imported = builtins.__import__

def alone(name, globals=None, locals=None, fromlist=(), level=0):
    if (globals or {}).get("__name__", "").startswith("squeeze_driver") and name.startswith("squeeze_hls"):
        raise ImportError("the driver reaches for " + name)
    return imported(name, globals, locals, fromlist, level)

builtins.__import__ = alone
from squeeze_driver import Accelerator

with Accelerator() as accelerator:
    print([guess.index for guess in accelerator.classify("pictures/coffee.jpg")])
"""


def run_script(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "squeeze_hls.sim.board", script, *arguments]
    root = str(Path(driver.__file__).resolve().parent.parent.parent)
    code = f"import sys; sys.path.append({root!r}); sys.argv = {command[2:]!r}; import runpy;" + (
        "runpy.run_module('squeeze_hls.sim.board', run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_folder_alone_classifies(device: Any, tmp_path: Path, streamed: bool) -> None:
    from squeeze_hls import golden, pictures

    folder = folder_of(tmp_path / "deploy", streamed)
    (folder / "script.py").write_text(SCRIPT)
    done = run_script(folder, "script.py")
    assert done.returncode == 0, done.stderr
    network = plan_of(streamed).network
    image = pictures.prepare(pictures.read(pictures.DEFAULT_PICTURE), network.input_shape, network.preprocess)
    top = golden.top_k(network, expected(plan_of(streamed), image[None])[0], 5)
    assert done.stdout.splitlines()[-1] == str([index for index, _, _ in top])


def test_selftest_as_a_script(device: Any, tmp_path: Path, streamed: bool) -> None:
    folder = folder_of(tmp_path / "deploy", streamed)
    done = run_script(folder, "selftest.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "passed; hardware_report.json written"
    assert "interrupt      passed" in done.stdout
    assert (folder / "hardware_report.json").is_file()


@pytest.mark.parametrize(
    "when, fault, stage",
    [
        ("program", {"flipped": {"dma/MM2S": 64 * 40}}, "program load"),
        ("weights", {"flipped": {"dma/MM2S": 64 * 40}}, "weights load"),
        ("program", {"dma_errors": {"dma/MM2S": "DMASlvErr"}}, "program load"),
        ("weights", {"dma_errors": {"dma/MM2S": "DMASlvErr"}}, "weights load"),
        ("image", {"dma_errors": {"dma/MM2S": "DMASlvErr"}}, "image in"),
        ("image", {"flipped": {"dma/MM2S": 64 * 20 + 7}}, "image in"),
        ("image", {"flipped": {"dma/MM2S": 0}}, "compute"),
        ("image", {"stale_line": 200}, "image in"),
        ("image", {"hang": {"s_axis_in"}}, "image in"),
        ("image", {"hang": {"m_axis_out"}}, "logits out"),
        ("image", {"dma_errors": {"dma/S2MM": "DMAIntErr"}}, "logits out"),
        ("image", {"lost_interrupts": {"engine/interrupt"}}, "interrupt"),
    ],
    ids=str,
)
def test_selftest_names_the_stage(
    device: Any,
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
    when: str,
    fault: dict[str, Any],
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fault is switched on just before a packet of this kind is sent."""
    folder = folder_of(tmp_path / "deploy")
    test = selftest.SelfTest(load_stored(str(folder)), str(folder / "squeeze_engine.bit"), TIMEOUT)
    transfer = Channel.transfer

    def faulty(channel: Channel, buffer: Any, nbytes: int) -> None:
        if channel.name == "dma.sendchannel" and test.stage.split()[0] == when:
            monkeypatch.undo()
            for name, value in fault.items():
                setattr(device.faults, name, value)
        transfer(channel, buffer, nbytes)

    monkeypatch.setattr(Channel, "transfer", faulty)
    report = test.run()
    assert report["failed_stage"] == stage, report["stages"]
    device.faults.clear()
    again = selftest.SelfTest(load_stored(str(folder)), str(folder / "squeeze_engine.bit"), TIMEOUT).run()
    assert again["passed"], again["stages"]
