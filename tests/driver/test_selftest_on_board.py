"""The self-test on the simulated board: each fault at its stage, and a report that says all that an issue needs."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from squeeze_hls.driver import Accelerator, AcceleratorError, selftest
from squeeze_hls.driver.channels import Channel
from squeeze_hls.driver.stored import load_stored
from tests.driver.on_board import TIMEOUT, folder_of, needs_pynq, plan_of

needs_pynq()
pytestmark = pytest.mark.board

SEND, RECEIVE, WEIGHTS = "dma.sendchannel", "dma.recvchannel", "dma_weights.sendchannel"
WORD = 64  # bits
BOTH = (  # channel and stage at whose transfer the fault begins, fault, stage that is named
    (SEND, "program load", {"flipped": {"dma/MM2S": 40 * WORD}}, "program load"),
    (SEND, "program load", {"dma_errors": {"dma/MM2S": "DMASlvErr"}}, "program load"),
    (SEND, "program load", {"hang": {"s_axis_in"}}, "program load"),
    (SEND, "image in", {"dma_errors": {"dma/MM2S": "DMASlvErr"}}, "image in"),
    (SEND, "image in", {"flipped": {"dma/MM2S": 20 * WORD + 7}}, "image in"),
    (SEND, "image in", {"flipped": {"dma/MM2S": 0}}, "image in"),
    (SEND, "image in", {"stale_line": 200}, "image in"),
    (SEND, "image in", {"hang": {"s_axis_in"}}, "image in"),
    (SEND, "image in", {"hang": {"m_axis_out"}}, "logits out"),
    (RECEIVE, "logits out", {"dma_errors": {"dma/S2MM": "DMAIntErr"}}, "logits out"),
    (SEND, "image in", {"lost_interrupts": {"engine/interrupt"}}, "interrupt"),
    (SEND, "image in", {"lost_interrupts": {"intc/irq"}}, "interrupt"),
)
RESIDENT = (
    (SEND, "weights load", {"flipped": {"dma/MM2S": 40 * WORD}}, "weights load"),
    (SEND, "weights load", {"dma_errors": {"dma/MM2S": "DMADecErr"}}, "weights load"),
    (SEND, "weights load", {"hang": {"s_axis_in"}}, "weights load"),
)
STREAMED = (
    (WEIGHTS, "weights load", {"dma_errors": {"dma_weights/MM2S": "DMASlvErr"}}, "weights load"),
    (WEIGHTS, "weights load", {"flipped": {"dma_weights/MM2S": 20}}, "weights load"),
    (WEIGHTS, "weights load", {"hang": {"s_axis_weights"}}, "weights load"),
)
CASES = [
    *((kind == "streamed", *case) for kind in ("resident", "streamed") for case in BOTH),
    *((False, *case) for case in RESIDENT),
    *((True, *case) for case in STREAMED),
]


def run(folder: Path, **more: Any) -> dict[str, Any]:
    return selftest.SelfTest(load_stored(str(folder)), str(folder / "squeeze_engine.bit"), **more).run()


@pytest.mark.parametrize(
    "streamed, channel, when, fault, stage",
    CASES,
    ids=[f"{'streamed' if case[0] else 'resident'}-{case[2]}-{next(iter(case[3]))}-{case[4]}" for case in CASES],
)
def test_the_stage_that_differs(
    device: Any,
    tmp_path: Path,
    streamed: bool,
    channel: str,
    when: str,
    fault: dict[str, Any],
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = folder_of(tmp_path / "deploy", streamed)
    test = selftest.SelfTest(load_stored(str(folder)), str(folder / "squeeze_engine.bit"), timeout=0.2)
    transfer, pending = Channel.transfer, [deepcopy(fault)]

    def faulty(self: Channel, buffer: Any, nbytes: int) -> None:
        if self.name == channel and test.stage == when and pending:
            for name, value in pending.pop().items():
                setattr(device.faults, name, value)
        transfer(self, buffer, nbytes)

    monkeypatch.setattr(Channel, "transfer", faulty)
    report = test.run()
    assert not pending
    assert report["failed_stage"] == stage, report["stages"]
    assert report["stages"][-1]["status"] == "failed" and report["state"]
    if "hang" in fault:
        device.faults.clear()
        again = run(folder, timeout=TIMEOUT)
        assert again["passed"], again["stages"]


def test_the_report_is_complete(device: Any, tmp_path: Path, streamed: bool) -> None:
    folder = folder_of(tmp_path / "deploy", streamed)
    path = tmp_path / "hardware_report.json"
    assert selftest.main(str(folder), ["--report", str(path)]) == 0
    report = json.loads(path.read_text())
    plan = plan_of(streamed)
    assert report["passed"] is True and report["failed_stage"] is None
    assert [row["stage"] for row in report["stages"]] == list(selftest.STAGES)
    assert report["found"] == report["expected"]
    assert report["expected"]["engine_id"] == plan.engine.id
    assert report["clock_mhz"] == plan.clock_mhz
    assert report["environment"]["device"] == "squeeze-hls simulated board"
    for row in report["images"]:
        assert row["counters"]["cycles"] == pytest.approx(plan.timing.total, rel=0.05)
        assert row["logits_crc32"] == row["expected_crc32"]
    empty = [key for key, value in report.items() if value in (None, "", [], {}) and key != "failed_stage"]
    assert not empty
    assert len(report["bitstream"]["hwh_sha256"]) == len(report["model"]["sha256"]) == 64
    assert str(tmp_path) not in path.read_text(), "a folder's name says who the user is"


def test_a_report_without_hardware(device: Any, tmp_path: Path) -> None:
    """Where nothing works, all keys are there nevertheless."""
    folder = folder_of(tmp_path / "deploy")
    complete = run(folder)
    (folder / "squeeze_engine.hwh").unlink()
    with pytest.raises(AcceleratorError, match=r"cannot be used .*\.hwh"):
        Accelerator(folder / "squeeze_engine.bit")
    report = run(folder)
    assert report["failed_stage"] == "configuration"
    assert set(report) == set(complete)
    assert report["bitstream"]["hwh_sha256"] is None and report["state"] is None
