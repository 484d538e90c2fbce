"""``squeeze-hls bitstream`` with faked tools: how they are called, what becomes of what they make, and failures."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.bitstream.flow import phase
from tests.vendor.conftest import Tools, report_of

RTL = ["synthesis", "implementation", "bitstream"]


def logs(folder: Path) -> set[str]:
    return {path.name for path in (folder / "vendor").iterdir()}


def test_rtl(mine: Path, root: Path, tools: Tools) -> None:
    tools.install("vivado")
    before = report_of(mine)
    done = tools.run(mine, "--json", "--jobs", "3")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report == report_of(mine)
    assert before["notes"] and done.err.splitlines() == [f"note: {note}" for note in before["notes"]]
    jsonschema.validate(report, json.loads((root / "docs" / "report.schema.json").read_text()))
    assert tools.steps == RTL
    for call in tools.calls:
        assert call["arguments"][:2] == ["-mode", "batch"] and call["arguments"][-2:] == ["-source", "vivado/build.tcl"]
        assert call["SQUEEZE_JOBS"] == "3"
        assert Path(call["cwd"]).is_relative_to(mine.parent / "cache")

    # the engine's own figures; the whole design's; what is not the flow's stays
    for name, used in (("lut", 25_770), ("ff", 30_011), ("bram36", 130), ("dsp", 200), ("uram", 0)):
        entry = report["resources"][name]
        assert (entry["used"], entry["source"]) == (used, "implemented")
        assert entry["estimate"] == before["resources"][name]["estimate"]
    assert report["resources"]["bram36"]["parts"] == before["resources"]["bram36"]["parts"]
    implementation = report["implementation"]
    assert implementation["design"] == {"dsp": 200, "bram36": 133, "uram": 0, "lut": 31_605, "ff": 42_269}
    assert (implementation["flow"], implementation["csynth"]) == ("rtl", None)
    assert (implementation["setup_slack_ns"], implementation["hold_slack_ns"]) == (0.412, 0.021)
    assert implementation["worst_path"]["end"] == "system_i/engine/inst/engine/walker/address_reg[7]/D"
    assert implementation["worst_path"]["levels"] == 8
    assert implementation["clock_mhz"] == 100
    assert implementation["tools"] == {"vivado": "2023.2"} and report["tools"]["vivado"] == "2023.2"
    assert report["hardware_verified"] is False
    changed = {key for key in report if report[key] != before[key]}
    assert changed == {"resources", "implementation", "tools", "files"}

    # in the folder that is copied to the board, and listed
    listed = {entry["path"] for entry in report["files"]}
    assert listed - {entry["path"] for entry in before["files"]} == {
        "deploy/squeeze_engine.bit", "deploy/squeeze_engine.hwh",
    }  # fmt: skip
    assert open_build(mine).report == report
    header = (mine / "deploy" / "squeeze_engine.bit").read_bytes()[:100]
    assert f"UserID=0X{report['engine']['id'].upper()}".encode() in header
    assert logs(mine) == {f"{step}.log" for step in RTL}
    assert b"Waiting for synth_1" in (mine / "vendor" / "synthesis.log").read_bytes()


def test_nothing_is_done_twice(mine: Path, tools: Tools) -> None:
    tools.install("vivado")
    assert tools.run(mine, "-q").code == 0
    first = report_of(mine)
    tools.forget()
    done = tools.run(mine)
    assert done.code == 0 and tools.steps == []
    assert report_of(mine) == first
    assert "timing met at 100 MHz: 0.412 ns to spare" in done.out
    # another version of the tool, or a wish: everything again
    tools.fake(VERSION="2024.2")
    assert tools.run(mine, "-q").code == 0 and tools.steps == RTL
    tools.forget()
    assert tools.run(mine, "-q", "--fresh").code == 0 and tools.steps == RTL


@pytest.mark.parametrize("program", ["vitis_hls", "vitis-run"])
def test_hls(mine: Path, root: Path, tools: Tools, program: str) -> None:
    tools.install("vivado", program)
    before = report_of(mine)
    done = tools.run(mine, "--flow", "hls", "-q")
    assert done.code == 0, done.err
    assert tools.steps == ["hls", *RTL]
    call = tools.calls[0]
    wanted = ["-f"] if program == "vitis_hls" else ["--mode", "hls", "--tcl"]
    assert (call["tool"], call["arguments"]) == (program, [*wanted, "run_hls.tcl"])
    assert call["SQUEEZE_HLS_STEPS"] == "csynth export"
    report = report_of(mine)
    jsonschema.validate(report, json.loads((root / "docs" / "report.schema.json").read_text()))
    assert report["resources"] == before["resources"]
    assert report["resources_hls"]["lut"]["used"] == 25_770
    csynth = {"clock_ns": 7.3, "dsp": 203, "bram36": 131, "uram": 0, "lut": 31_002, "ff": 24_001}
    assert report["implementation"]["csynth"] == csynth
    assert report["tools"]["vitis hls"] == "2023.2"


def test_hls_without_a_boundary_around_the_engine(mine: Path, tools: Tools) -> None:
    tools.install("vivado", "vitis_hls")
    tools.fake(FAIL="flattened")
    assert tools.run(mine, "--flow", "hls", "-q").code == 0
    lut = report_of(mine)["resources_hls"]["lut"]
    assert (lut["used"], lut["source"]) == (31_002, "synthesized")


FAILURES = [
    ("licence", "synthesis", ["[Common 17-345]", "xc7z020", "docs/bitstream.md"]),
    ("part", "synthesis", ["[Coretcl 2-106]", "Add Design Tools or Devices"]),
    ("contents", "synthesis", ["[Synth 8-4445]", "squeeze_store15.mem", "--fresh"]),
    ("disk", "synthesis", ["No space left on device", "XDG_CACHE_HOME"]),
    ("syntax", "synthesis", ["[Synth 8-2715]", "report it"]),
    ("child", "synthesis", ["$RDI_PROG", "--jobs 1"]),
    ("killed-synth_1", "synthesis", ["killed by the operating system", "--jobs 1"]),
    ("overfull", "implementation", ["[Place 30-640]", "151", "--weights streamed"]),
    ("rules", "implementation", ["[DRC NSTD-1]"]),
    ("other", "implementation", ["[Power 33-232] something that nobody expected; the whole log"]),
    ("routing", "implementation", ["[Route 35-9]", "--clock"]),
]


@pytest.mark.parametrize(("failure", "step", "words"), FAILURES, ids=[entry[0] for entry in FAILURES])
def test_failures_are_explained(mine: Path, tools: Tools, failure: str, step: str, words: list[str]) -> None:
    tools.install("vivado")
    before = (mine / "report.json").read_bytes()
    tools.fake(FAIL=failure)
    log = str(mine / "vendor" / f"{step}.log")
    tools.run(mine).refused(5, "Vivado 2023.2", step, f"the whole log is {log}", *words)
    assert Path(log).is_file()
    assert (mine / "report.json").read_bytes() == before
    assert not (mine / "deploy" / "squeeze_engine.bit").exists()
    # what was done before is not done again
    tools.fake(FAIL="")
    tools.forget()
    assert tools.run(mine, "-q").code == 0
    assert tools.steps == RTL[RTL.index(step) :]


def test_failures_of_vitis_hls(mine: Path, tools: Tools) -> None:
    tools.install("vivado", "vitis_hls")
    tools.fake(FAIL="hls")
    tools.run(mine, "--flow", "hls").refused(5, "Vitis HLS 2023.2", "[HLS 207-2323]", "hls.log")
    tools.fake(FAIL="part")
    tools.run(mine, "--flow", "hls").refused(5, "[HLS 200-1023]", "Add Design Tools or Devices")


def test_boards_that_are_not_installed(tmp_path: Path, built: Path, tools: Tools) -> None:
    """Of an UltraScale+ board Vivado must have the files: nobody else has its processor's settings."""
    from squeeze_hls import cli
    from tests.vendor.conftest import DIGITS

    options = ["--preprocess", "torchvision", "--verify", "none", "-q", "--calibration", str(DIGITS / "calibration")]
    arguments = [str(DIGITS / "digits.onnx"), "--board", "zcu104", "--out", str(tmp_path / "zcu")]
    assert cli.run(["build", *arguments, *options]) == 0
    tools.install("vivado")
    tools.run(tmp_path / "zcu").refused(5, "xilinx.com:zcu104:part0:1.1 are not installed", "xhub::install")


def test_timing_that_is_not_met(mine: Path, tools: Tools) -> None:
    tools.install("vivado")
    tools.fake(WNS="-0.512")
    words = [
        "timing failed at 100 MHz", "-0.512 ns", "57 paths", "sequencer/step_reg[3]/C", "walker/address_reg[7]/D",
        "8 logic levels", "--clock 95",
    ]  # fmt: skip
    tools.run(mine).refused(5, *words)
    assert tools.steps == RTL[:2]
    tools.run(mine).refused(5, *words)  # nor at the second call, which finds everything done
    assert tools.steps == RTL[:2]
    assert not list((mine / "deploy").glob("squeeze_engine.*"))
    assert report_of(mine)["implementation"] is None


def test_hold_that_is_not_met(mine: Path, tools: Tools) -> None:
    tools.install("vivado")
    tools.fake(WHS="-0.040")
    tools.run(mine).refused(5, "-0.040 ns (hold)", "no slower clock mends")


def test_without_vivado(mine: Path, tools: Tools) -> None:
    archive = mine.parent / "mine-bitstream.tar.gz"
    words = ["vivado is not on PATH", str(archive), "tar xzf mine-bitstream.tar.gz", "build.sh", f"{mine} --import"]
    result = tools.run(mine, "--json")
    result.refused(4, *words)
    assert json.loads(result.out)["exit_code"] == 4
    assert archive.is_file()
    tools.install("vivado")
    tools.run(mine, "--flow", "hls").refused(4, "vitis_hls or vitis-run is not on PATH")
    tools.fake(VERSION="2022.1")
    tools.run(mine).refused(4, "vivado 2022.1 is too old", "2023.2 or later")


def test_an_interruption_ends_everything(mine: Path, tools: Tools) -> None:
    tools.install("vivado")
    tools.fake(FAIL="hang-synth_1")
    code = "import sys; from squeeze_hls import cli; cli.main()"
    command = [sys.executable, "-c", code, "bitstream", str(mine)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    note = None
    for _ in range(600):
        note = next((mine.parent / "cache").rglob("child.pid"), None)
        if note and note.read_text().strip():
            break
        time.sleep(0.1)
    assert note is not None
    child = int(note.read_text())  # it has left the group of its parent
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "error: interrupted\n")
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("a process that Vivado had started lives on")


def test_only_one_at_a_time(mine: Path, tools: Tools) -> None:
    import fcntl

    tools.install("vivado")
    assert tools.run(mine, "-q").code == 0
    work = next((mine.parent / "cache").rglob("lock"))
    with work.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        tools.run(mine).refused(2, "another squeeze-hls")


def test_what_a_stranger_left(mine: Path, tmp_path: Path, tools: Tools) -> None:
    """No script and no project of a build folder is opened; nothing is written through its links."""
    tools.install("vivado")
    for path in ("rtl/vivado/build.tcl", "hls/run_hls.tcl"):
        (mine / path).write_text("exec touch owned\n")
    report = report_of(mine)
    for entry in report["files"]:
        entry["sha256"] = hashlib.sha256((mine / entry["path"]).read_bytes()).hexdigest()
    (mine / "report.json").write_text(json.dumps(report))
    (tmp_path / "theirs").mkdir()
    (mine / "vendor").symlink_to(tmp_path / "theirs")
    tools.run(mine).refused(2, "symbolic link")
    (mine / "vendor").unlink()
    (mine / "vendor").mkdir()
    (tmp_path / "precious").write_text("precious")
    (mine / "vendor" / "synthesis.log").symlink_to(tmp_path / "precious")
    assert tools.run(mine, "-q").code == 0
    assert (tmp_path / "precious").read_text() == "precious"
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"board": {"name": "pynq-z2", "part": "xc7z010clg400-1"}}, ["xc7z010clg400-1"]),
        ({"board": {"name": "mine", "part": "xc7z020clg400-1"}}, ["--board FILE.toml"]),
        ({"board": None}, ["build again"]),
        ({"resources": {"lut": 3}}, ["build again"]),
    ],
)
def test_reports_that_are_none(mine: Path, tools: Tools, change: dict[str, object], words: list[str]) -> None:
    tools.install("vivado")
    (mine / "report.json").write_text(json.dumps(report_of(mine) | change))
    tools.run(mine).refused(2, *words)


def test_clocks_that_are_none(mine: Path, tools: Tools) -> None:
    report = report_of(mine)
    for clock in (0, -5, 1e9, "100", True, None):
        report["engine"]["clock_mhz"] = clock
        (mine / "report.json").write_text(json.dumps(report))
        tools.run(mine).refused(2, "clock_mhz is no number from 1 to 1000")


def test_a_program_that_nobody_planned(mine: Path, tools: Tools) -> None:
    """The folder is consistent in itself, but its program is not what its model gives."""
    data = bytearray((mine / "program.bin").read_bytes())
    data[-1] ^= 1
    (mine / "program.bin").write_bytes(data)
    report = report_of(mine)
    for entry in report["files"]:
        if entry["path"] == "program.bin":
            entry["sha256"] = hashlib.sha256(data).hexdigest()
    (mine / "report.json").write_text(json.dumps(report))
    tools.run(mine).refused(2, "its program is not what this version plans")


def test_the_clock_that_the_board_would_make(mine: Path, tools: Tools, handoff_file: Path, tmp_path: Path) -> None:
    """PYNQ takes divisors from the handoff file: a clock faster than the timing was met for is refused."""
    tools.install("vivado")
    for old, new, words in (
        (
            'DIVISOR0" VALUE="',
            'DIVISOR0" VALUE="1" X="',
            ["would run the engine at 500.0 MHz, but it was built for 100.0 MHz"],
        ),
        ("0x43C00000", "0x43D00000", ["engine is not at 0x43C00000"]),
        ("PCW_FCLK0_PERIPHERAL_DIVISOR1", "OTHER", ["does not divide the I/O PLL"]),
        ("IO PLL", "ARM PLL", ["does not divide the I/O PLL"]),
        ('MODTYPE="processing_system7"', 'MODTYPE="processing_system6"', ["has no processing_system7"]),
        ("<EDKSYSTEM", "<!DOCTYPE a><EDKSYSTEM", ["entities"]),
        ("</EDKSYSTEM>", "", ["no XML"]),
    ):
        text = handoff_file.read_text()
        assert old in text
        (tmp_path / "other.hwh").write_text(text.replace(old, new))
        tools.fake(HWH=str(tmp_path / "other.hwh"))
        tools.run(mine, "--fresh").refused(2, "squeeze_engine.hwh", *words)
        assert not list((mine / "deploy").glob("squeeze_engine.*"))


def test_names_of_folders(built: Path, tmp_path: Path, tools: Tools) -> None:
    import shutil

    tools.install("vivado", "vitis_hls")
    for name in ("a b", "[exec touch owned]", '$x "{', "#;'"):
        tools.patch.setenv("XDG_CACHE_HOME", str(tmp_path / name / "cache"))
        folder = Path(shutil.copytree(built, tmp_path / name / "build"))
        for flow in ("rtl", "hls"):
            assert tools.run(folder, "-q", "--flow", flow).code == 0, (name, flow)
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("squeeze-hls: block design", "block design"),
        ("Starting synth_design", "synth_design"),
        ("Start Timing Optimization : Time (s): cpu = 00:00:01", "Timing Optimization"),
        ("Phase 1.2 IO Placement/ Clock Placement/ Build Placer Device | Checksum: 1", None),
        ("INFO: [HLS 200-42] -- Implementing module 'engine' ", "Implementing module 'engine'"),
        ("INFO: [Common 17-206] Exiting Vivado", ""),
        ("# Start of session at: Sat Nov 21", ""),
    ],
)
def test_phases(line: str, shown: str | None) -> None:
    assert phase(line) == (line.split(" |")[0] if shown is None else shown)
