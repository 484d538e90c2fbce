"""The archive for another machine, what is made of it there, and what is refused of what comes back."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.bitstream import archive
from squeeze_hls.bitstream.result import BIT, HWH, LIMITS, TIMING
from tests.vendor.conftest import Tools, report_of


def unpack(path: Path, folder: Path) -> Path:
    """What `tar xzf` does; the folder inside."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "xzf", str(path)], cwd=folder, check=True, timeout=60)
    return next(folder.iterdir())


def build_elsewhere(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "build.sh")]
    return subprocess.run(command, cwd="/", env={**os.environ, **env}, capture_output=True, text=True, timeout=120)


@pytest.fixture
def returned(mine: Path, tools: Tools, tmp_path: Path) -> Path:
    """What another machine made of the build."""
    packed = tmp_path / "there.tar.gz"
    assert tools.run(mine, "--archive", packed, "-q").code == 0
    tools.install("vivado")
    folder = unpack(packed, tmp_path / "other machine")
    done = build_elsewhere(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(tools.folder)  # not here
    return folder / "result.tar.gz"


def repack(returned: Path, path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with other contents."""
    with tarfile.open(returned) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    files = {Path(name).name: content for name, content in files.items()}
    change(files)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"result/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("flow", ["rtl", "hls"])
def test_there_and_back(mine: Path, tools: Tools, tmp_path: Path, flow: str) -> None:
    packed = tmp_path / "there.tar.gz"
    done = tools.run(mine, "--archive", packed, "--flow", flow, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["archive"] == str(packed) and told["flow"] == flow
    assert "tar xzf there.tar.gz && there/build.sh" in told["next"]
    with tarfile.open(packed) as tar:
        members = tar.getmembers()
    assert all(m.isfile() and m.mtime == 0 and m.uid == 0 and m.name.startswith("there/") for m in members)
    assert [m.name for m in members] == sorted(m.name for m in members)
    first = packed.read_bytes()
    assert first[4:8] == bytes(4)  # no time in the header of gzip either
    assert tools.run(mine, "--archive", packed, "--flow", flow, "-q").code == 0
    assert packed.read_bytes() == first  # the same bytes

    tools.install("vivado", "vitis_hls")
    folder = unpack(packed, tmp_path / "another [machine] $x")
    assert {"build.sh", "README.txt", "identity.json", "vivado"} <= {path.name for path in folder.iterdir()}
    done_there = build_elsewhere(folder)
    assert done_there.returncode == 0, done_there.stdout + done_there.stderr
    shutil.rmtree(tools.folder)
    for source in (folder / "result.tar.gz", folder / "result"):
        result = tools.run(mine, "--import", source, "--json")
        assert result.code == 0, result.err
        report = json.loads(result.out)
        assert report == report_of(mine)
        assert (report["implementation"]["flow"], report["implementation"]["tools"]) == (flow, {})
        assert (report["implementation"]["csynth"] is None) == (flow == "rtl")
        assert report["implementation"]["sources"] == told["sources"]
        assert (mine / "deploy" / BIT).read_bytes() == (folder / "vivado" / BIT).read_bytes()
        assert open_build(mine).report == report


def test_timing_that_is_not_met_elsewhere(mine: Path, tools: Tools, tmp_path: Path) -> None:
    packed = tmp_path / "there.tar.gz"
    assert tools.run(mine, "--archive", packed, "-q").code == 0
    tools.install("vivado")
    folder = unpack(packed, tmp_path / "other")
    done = build_elsewhere(folder, FAKE_WNS="-0.7")
    assert done.returncode != 0 and "timing failed" in done.stdout
    assert not (folder / "result.tar.gz").exists()


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.pop(name) and None  # type: ignore[func-returns-value]


def replaced(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        assert re.search(old, files[name]), files[name][:200]
        files[name] = re.sub(old, new, files[name])

    return change


CHANGES = [
    (without(HWH), 2, "squeeze_engine.hwh is missing"),
    (without("identity.json"), 2, "identity.json is missing"),
    (replaced("identity.json", rb"{", b"["), 2, "none of ours"),
    (replaced("identity.json", rb'"engine": "\w{8}"', b'"engine": "01234567"'), 2, "made for engine 01234567"),
    (replaced("identity.json", rb'"sources": "\w{8}', b'"sources": "00000000'), 2, "made from other sources"),
    (replaced(BIT, rb"UserID=0X\w{8}", b"UserID=0X01234567"), 2, "is of another engine (user ID 01234567"),
    (replaced(BIT, rb"UserID=", b"Usable="), 2, "no user ID"),
    (replaced(BIT, rb"7z020clg400", b"7z010clg400"), 2, "'7z010clg400'"),
    (replaced(BIT, rb"\xaa\x99\x55\x66$", b""), 2, "no whole bitstream"),
    (replaced(BIT, rb"^\x00\x09", b"\xff\xff"), 2, "no whole bitstream"),
    (replaced(HWH, rb"0x4040", b"0x4050"), 2, "dma is not at 0x40400000"),
    (replaced(TIMING, rb"      0\.412", b"     -0.412"), 5, "timing failed"),
    (replaced(TIMING, rb"0\.412 ", b"1e999 "), 5, "no summary"),
    (replaced(TIMING, rb"Design Timing Summary", b"Nothing"), 5, "no summary"),
    (replaced("utilization.rpt", rb"DSPs", b"DSQs"), 5, "no row for dsp"),
    (replaced("utilization.rpt", rb"31605", b"9" * 40), 5, "no plausible figure"),
]


@pytest.mark.parametrize(("change", "code", "words"), CHANGES, ids=range(len(CHANGES)))
def test_what_does_not_belong_here(
    mine: Path, returned: Path, tools: Tools, tmp_path: Path, change: Callable[..., None], code: int, words: str
) -> None:
    before = (mine / "report.json").read_bytes()
    tools.run(mine, "--import", repack(returned, tmp_path / "b.tar.gz", change)).refused(code, words)
    assert (mine / "report.json").read_bytes() == before
    assert not (mine / "deploy" / BIT).exists()


def test_of_the_other_flow(mine: Path, returned: Path, tools: Tools) -> None:
    """The digest is one of the sources: the C++ is not the RTL."""
    tools.run(mine, "--import", returned, "--flow", "hls").refused(2, "made from other sources")
    assert tools.run(mine, "--import", returned, "--flow", "rtl", "-q").code == 0


def test_a_disk_that_fails_in_between(mine: Path, returned: Path, tools: Tools) -> None:
    """The build stays whole: its report speaks of no file that is not the one it means."""
    from squeeze_hls.bitstream import result
    from squeeze_hls.errors import InputError

    assert tools.run(mine, "--import", returned, "-q").code == 0
    write = result.write_file

    def failing(content: bytes, path: Path) -> None:
        if path.name == HWH:
            raise InputError(f"{path}: cannot be written: No space left on device")
        write(content + (b"x" if path.name == BIT else b""), path)

    tools.patch.setattr(result, "write_file", failing)
    tools.run(mine, "--import", returned).refused(2, "No space left")
    assert open_build(mine).report["implementation"] is None
    tools.patch.setattr(result, "write_file", write)
    assert tools.run(mine, "--import", returned, "-q").code == 0
    assert open_build(mine).report["implementation"] is not None


def test_bitstream_of_the_simulated_board(mine: Path, returned: Path, tools: Tools, tmp_path: Path) -> None:
    from squeeze_hls.sim.board.bitfile import make

    simulated = make(mine, tmp_path / "sim").read_bytes()
    changed = repack(returned, tmp_path / "b.tar.gz", lambda files: files.update({BIT: simulated}))
    tools.run(mine, "--import", changed).refused(2, "no user ID")


def hostile(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_hostile_archives(mine: Path, tools: Tools, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("{}")
    outside = tmp_path / "owned"
    before = sorted(tmp_path.rglob("*"))

    def refused(path: Path, *words: str) -> None:
        tools.run(mine, "--import", path).refused(2, *words)
        path.unlink()

    # names that lead elsewhere are only looked at by their last part, links and devices not at all
    refused(
        hostile(tmp_path / "a.tar.gz", (member(f"../../{outside.name}"), b"x"), (member(str(outside)), b"x")),
        "is missing",
    )
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = hostile(tmp_path / "a.tar.gz", (member(f"result/{BIT}", kind, str(secret)), b""))
        refused(path, f"{BIT} is missing")
    refused(hostile(tmp_path / "a.tar.gz", *((member(f"{i}"), b"") for i in range(200))), "more than 100 files")
    refused(hostile(tmp_path / "a.tar.gz", (member("identity.json"), bytes(5000))), "more than 4,096 bytes")
    zeros = bytes(sum(LIMITS.values()) + 10)
    refused(hostile(tmp_path / "a.tar.gz", (member("much"), zeros), (member("more"), b"x")), "too large")
    (tmp_path / "b").write_bytes(b"PK\x03\x04 a zip archive")
    refused(tmp_path / "b", "cannot be read", "unpack it")
    (tmp_path / "c").write_bytes(b"\x1f\x8b" + bytes(100))
    refused(tmp_path / "c", "cannot be read")
    tools.run(mine, "--import", tmp_path / "absent").refused(2, "No such file")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_truncated_archive(mine: Path, returned: Path, tools: Tools, tmp_path: Path) -> None:
    data = returned.read_bytes()
    for length in (10, 100, len(data) // 2, len(data) - 5):
        (tmp_path / "cut").write_bytes(data[:length])
        tools.run(mine, "--import", tmp_path / "cut").refused(2)


def test_damaged_headers(returned: Path) -> None:
    from squeeze_hls.bitstream.result import read_header
    from squeeze_hls.errors import InputError

    files = archive.read_result(returned)
    data = files[BIT]
    assert read_header(data, "x")["b"] == "7z020clg400"
    for length in range(0, 120):
        with pytest.raises(InputError, match="no whole bitstream"):
            read_header(data[:length], "x")
    with pytest.raises(InputError, match="no whole bitstream"):
        read_header(struct.pack(">H", 9) + bytes(9) + b"\0\1a\0\xff" + data[40:], "x")


def test_two_wishes_at_once(mine: Path, tools: Tools) -> None:
    tools.run(mine, "--archive", "a", "--import", "b").refused(2, "exclude each other")
