"""The deploy folder, and its self-test on a double of the board: which stage is named for which fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.artifacts.bundle import write_bundle
from squeeze_hls.driver import BadModel, selftest
from squeeze_hls.driver.stored import load_stored
from squeeze_hls.emit import board_folder as deploy
from squeeze_hls.network import pictures
from squeeze_hls.plan import Plan
from tests.driver.conftest import deployed, expected
from tests.driver.fake_board import FakeBoard


def folder_of(plan: Plan, folder: Path) -> Path:
    write_bundle(deploy.emit(plan, name="a network"), folder)
    (folder / "model.sqz").write_bytes(deployed(plan))
    (folder / "squeeze_engine.bit").touch()
    return folder


def run(folder: Path) -> dict:
    stored = load_stored(str(folder))
    return selftest.SelfTest(stored, str(folder / "squeeze_engine.bit"), timeout=0.05).run()


def test_the_folder(plan: Plan, tmp_path: Path) -> None:
    bundle = deploy.emit(plan, name="n\x1b[31mame")
    assert bundle == deploy.emit(plan, name="n\x1b[31mame"), "not reproducible"
    folder = Path(deploy.DRIVER)
    for path in folder.glob("*.py"):
        assert bundle[f"squeeze_driver/{path.name}"] == path.read_bytes()
    for picture in deploy.PICTURES:
        assert f"`{picture}`" in bundle["pictures/LICENSES.md"].decode()
        assert bundle[f"pictures/{picture}.jpg"] == (pictures.BUILTIN / f"{picture}.jpg").read_bytes()
    readme = bundle["README.txt"].decode()
    assert "\x1b" not in readme and "python3 selftest.py" in readme and "squeeze-hls deploy" in readme
    assert all(len(line) <= 120 for line in readme.splitlines())


def test_golden_values(plan: Plan, tmp_path: Path) -> None:
    stored = load_stored(str(folder_of(plan, tmp_path / "deploy")))
    assert stored.names == [f"{name}.jpg" for name in deploy.TESTED]
    np.testing.assert_array_equal(stored.logits, expected(plan, stored.images))
    for name, image in zip(stored.names, stored.images, strict=True):
        picture = pictures.read(pictures.BUILTIN / name)
        np.testing.assert_array_equal(
            image, pictures.prepare(picture, plan.network.input_shape, plan.network.preprocess)
        )
    assert (stored.logits[0] != stored.logits[1]).mean() > 0.5, "these say little about the engine"
    assert (stored.engine_id, stored.weights_id) == (plan.engine.identity, plan.program.header.weights_crc)


@pytest.mark.parametrize(
    ("which", "planned"), [("board", "plan"), ("streamed_board", "streamed_plan"), ("board", "levelled_plan")]
)
def test_it_passes(which: str, planned: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    board: FakeBoard = request.getfixturevalue(which)
    plan: Plan = request.getfixturevalue(planned)
    report = run(folder_of(plan, tmp_path / "deploy"))
    assert report["passed"] and report["failed_stage"] is None, report["stages"]
    assert {row["stage"] for row in report["stages"]} == set(selftest.STAGES)
    assert [row["logits_crc32"] for row in report["images"]] == [row["expected_crc32"] for row in report["images"]]
    assert {row["status"] for row in report["pictures"]} == {"same"}
    assert not board.memory


def wrong_engine(board: FakeBoard, _: pytest.MonkeyPatch) -> None:
    identity = board.config.identity ^ 1
    configure = board.configure

    def configured() -> None:
        configure()
        board.engine.registers["engine_id"] = identity

    board.configure = configured  # type: ignore[method-assign]


def flipped(kind: int, count: int = 1) -> Callable[[FakeBoard, pytest.MonkeyPatch], None]:
    """A bit of the first packets of a kind is flipped on its way."""

    def fault(board: FakeBoard, monkeypatch: pytest.MonkeyPatch) -> None:
        payload = type(board.engine)._payload
        left = [count]

        def damaged(engine, which: int, words: list[int], code: int) -> None:  # type: ignore[no-untyped-def]
            if which == kind and left[0]:
                left[0] -= 1
                words = [word ^ 0xFFFFFFFF00 for word in words] if kind == 1 else [words[0] ^ 256, *words[1:]]
            payload(engine, which, words, code)

        monkeypatch.setattr(type(board.engine), "_payload", damaged)

    return fault


def fails(*names: str, after: int = 0) -> Callable[[FakeBoard, pytest.MonkeyPatch], None]:
    """Faults of the double, from some image on."""

    def fault(board: FakeBoard, monkeypatch: pytest.MonkeyPatch) -> None:
        append = board.events

        class Events(list):
            def append(self, event: str) -> None:
                if event == "weights":
                    board.faults.update(names)
                super().append(event)

        board.events = Events(append) if after else append
        if not after:
            board.faults.update(names)

    return fault


@pytest.mark.parametrize(
    "fault, stage, text",
    [
        (fails("no dma"), "configuration", "cannot be used"),
        (wrong_engine, "configuration", "engine_id is"),
        (fails("hang"), "configuration", "AcceleratorTimeout"),
        (flipped(3), "program load", "program checksum"),
        (flipped(2), "weights load", "weights checksum"),
        (flipped(1), "image in", "sent once more, the picture gave the right ones"),
        (flipped(1, 2), "compute", "the same wrong ones"),
        (fails("dma decode error", after=1), "image in", "decode error"),
        (fails("receive error", after=1), "logits out", "internal error"),
        (fails("short packet", after=1), "logits out", "bytes came, not"),
        (fails("no invalidate", after=1), "logits out", "never reached memory"),
        (fails("hang", after=1), "image in", "image to be sent"),
        (fails("missing interrupt"), "interrupt", "no interrupt came"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_stage_that_differs(
    board: FakeBoard,
    plan: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[FakeBoard, pytest.MonkeyPatch], None],
    stage: str,
    text: str,
) -> None:
    folder = folder_of(plan, tmp_path / "deploy")
    fault(board, monkeypatch)
    report = run(folder)
    assert not report["passed"]
    assert report["failed_stage"] == stage and text in report["stages"][-1]["detail"], report["stages"]
    assert report["stages"][-1]["status"] == "failed"
    assert not board.memory, "buffers were not freed"


def test_the_command(
    board: FakeBoard, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(plan, tmp_path / "deploy")
    report = tmp_path / "r.json"
    assert selftest.main(str(folder), ["--report", str(report)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"passed; {report} written"
    assert json.loads(report.read_text())["passed"] is True
    board.faults.add("missing interrupt")
    assert selftest.main(str(folder), ["--report", str(report)]) == 1
    assert "FAILED at: interrupt" in capsys.readouterr().out
    assert json.loads(report.read_text())["failed_stage"] == "interrupt"
    assert selftest.main(str(folder), ["--report", str(tmp_path / "no" / "r.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["expected.json", "images.npy", "logits.npy"])
def test_an_altered_folder(plan: Plan, other_plan: Plan, tmp_path: Path, name: str) -> None:
    folder = folder_of(plan, tmp_path / "deploy")
    path = folder / "selftest" / name
    whole = path.read_bytes()
    flipped = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
    for data in (b"", whole[:-9], whole[: len(whole) // 2], flipped, b"{}"):
        path.write_bytes(data)
        with pytest.raises(BadModel, match=r"expected\.json"):
            load_stored(str(folder))
    path.write_bytes(whole)
    (folder / "model.sqz").write_bytes(deployed(other_plan))
    with pytest.raises(BadModel, match="another build"):
        load_stored(str(folder))


def test_a_picture_that_decodes_otherwise_is_noted(board: FakeBoard, plan: Plan, tmp_path: Path) -> None:
    folder = folder_of(plan, tmp_path / "deploy")
    (folder / "pictures" / "coffee.jpg").write_bytes((folder / "pictures" / "hubble.jpg").read_bytes())
    (folder / "pictures" / "rocket.jpg").unlink()
    report = run(folder)
    assert report["passed"]
    assert [row["status"].split(":")[0] for row in report["pictures"]] == ["same", "differs", "cannot be read"]
