"""Plans, model files and a double of the board for the driver's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.driver import Accelerator
from squeeze_hls.network import golden
from squeeze_hls.network.ir import Preprocess
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from tests.board_sim.plans import notebook_loop
from tests.driver.fake_board import FakeBoard
from tests.networks import random_network

# Tables that replace the values of pictures; no one of them twice is the same as once.
LEVELS = (
    bytes(i // 2 + 9 for i in range(256)),
    bytes(i // 64 for i in range(256)),
    bytes(5 * i % 256 for i in range(256)),
)
TIMEOUT = 0.05  # seconds of the double's clock


def deployed(plan: Plan, name: str = "a network") -> bytes:
    """The plan's ``model.sqz``."""
    from squeeze_hls.emit.update import model_file

    return model_file(plan, name)


def expected(plan: Plan, images: np.ndarray) -> np.ndarray:
    """Logits by the golden model, int32 (N, classes)."""
    output = plan.network.nodes[-1].output
    return np.stack([golden.run(plan.network, image)[output] for image in images]).astype(np.int32)


def random_images(plan: Plan, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *plan.network.input_shape), np.uint8)


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan(random_network(11), load_board("pynq-z2"))


@pytest.fixture(scope="session")
def other_plan(plan: Plan) -> Plan:
    """Another network for the same engine."""
    return make_plan(random_network(9), load_board("pynq-z2"), PlanOptions(engine=plan.engine))


@pytest.fixture(scope="session")
def levelled_plan(plan: Plan) -> Plan:
    """The same network, for pictures that have been through levels."""
    return replace(plan, network=replace(plan.network, preprocess=Preprocess(levels=LEVELS)))


@pytest.fixture(scope="session")
def streamed_plan() -> Plan:
    return make_plan(random_network(11), load_board("pynq-z2"), PlanOptions(weights="streamed"))


def files(plan: Plan, folder: Path) -> Path:
    """A folder with a bitstream, as far as the double looks at it, and its model; returns the bitstream."""
    (folder / "squeeze_engine.bit").touch()
    (folder / "model.sqz").write_bytes(deployed(plan))
    return folder / "squeeze_engine.bit"


@pytest.fixture
def bitfile(plan: Plan, tmp_path: Path) -> Path:
    return files(plan, tmp_path)


def open_accelerator(bitfile: Path, **more: Any) -> Accelerator:
    return Accelerator(bitfile, timeout=TIMEOUT, **more)


@pytest.fixture
def board(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> FakeBoard:
    board = FakeBoard(plan.engine)
    board.install(monkeypatch)
    return board


@pytest.fixture
def streamed_board(streamed_plan: Plan, monkeypatch: pytest.MonkeyPatch) -> FakeBoard:
    board = FakeBoard(streamed_plan.engine, streamed_plan.weights_bin)
    board.install(monkeypatch)
    return board


@pytest.fixture
def loop() -> asyncio.AbstractEventLoop:
    return notebook_loop()


@pytest.fixture
def device(loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """The simulated board without any fault; a test must leave it without buffers."""
    from squeeze_hls.driver import exclusive
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


@pytest.fixture(params=[False, True], ids=["resident", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    """Both kinds of engine."""
    return request.param
