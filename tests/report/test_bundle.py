"""Bundles go to disk whole or not at all, and never over anything that is not a build."""

import json
import os
from pathlib import Path

import pytest

from squeeze_hls.artifacts import bundle as bundle_module
from squeeze_hls.artifacts.bundle import Bundle, check_path, write_bundle, write_file
from squeeze_hls.errors import InputError
from tests.ssh_board import tree


def a_build(text: str = "one", extra: str | None = None) -> Bundle:
    bundle = Bundle({"hls/engine.cpp": text, "weights.bin": b"\x00\x01"})
    if extra:
        bundle.add(extra, "extra")
    report = {"schema_version": 1, "engine": {"id": "0" * 8}, "files": bundle.digests()}
    bundle.add("report.json", json.dumps(report))
    return bundle


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a b", "a\\b", "C:/x", "-rf", "a/-x", ".hidden",
     "a\nb", "\x1b[31m", "é", "x" * 300, "$HOME", "[exec ls]"],
)  # fmt: skip
def test_unsafe_paths(path: str) -> None:
    with pytest.raises(InputError):
        check_path(path)
    with pytest.raises(InputError):
        Bundle({path: b""})


def test_a_bundle_is_sorted_and_takes_a_path_once() -> None:
    bundle = Bundle({"b": "2", "a": "1"})
    bundle.merge({"z": b"3"}, "hls")
    assert list(bundle) == ["a", "b", "hls/z"]
    with pytest.raises(ValueError, match="already"):
        bundle.add("a", "")
    assert bundle.digests()[0] == {
        "path": "a",
        "sha256": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
    }


def test_written_as_given_with_new_parents(tmp_path: Path) -> None:
    out = tmp_path / "build" / "deep" / "here"
    assert write_bundle(a_build(), out) == []
    assert tree(out) == dict(a_build())
    assert list(out.parent.iterdir()) == [out]  # no temporary folder stays
    assert out.stat().st_mode & 0o777 == 0o777 & ~bundle_module._umask()


def test_an_earlier_build_is_replaced_and_a_users_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_bundle(a_build("one", "hls/gone.cpp"), out)
    (out / "hls" / "project").mkdir()
    (out / "hls" / "project" / "hours.rpt").write_text("of synthesis")
    (out / "link").symlink_to("/etc")
    assert write_bundle(a_build("two"), out) == ["hls/project/hours.rpt", "link"]
    assert (out / "hls" / "engine.cpp").read_text() == "two"
    assert not (out / "hls" / "gone.cpp").exists()
    assert (out / "hls" / "project" / "hours.rpt").read_text() == "of synthesis"
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    write_bundle(a_build(), tmp_path)
    assert tree(tmp_path) == dict(a_build())


@pytest.mark.parametrize("report", [None, "", "[]", "{}", '{"schema_version": 1}', "[" * 100_000])
def test_a_strangers_folder_is_left_alone(tmp_path: Path, report: str | None) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    if report is not None:
        (tmp_path / "report.json").write_text(report)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="is not empty and holds no build"):
        write_bundle(a_build(), tmp_path)
    assert tree(tmp_path) == before


def test_files_and_links_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        write_bundle(a_build(), tmp_path / "file")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(InputError, match="symbolic link"):
        write_bundle(a_build(), tmp_path / "link")


def test_nothing_half_written_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "new" / "out"

    def full(self: Path, content: bytes) -> int:
        if self.name == "weights.bin":
            raise OSError(28, "No space left on device")
        return original(self, content)

    original = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_bundle(a_build(), out)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_the_earlier_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write_bundle(a_build("one"), out)
    before = tree(out)
    original = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if target == out and self.name != "build":  # the new folder, not the old one on its way back
            raise KeyboardInterrupt
        return original(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(a_build("two"), out)
    assert tree(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_single_files_are_written_in_one_step(tmp_path: Path) -> None:
    write_file(b"new", tmp_path / "a.bin")
    assert tree(tmp_path) == {"a.bin": b"new"}
    with pytest.raises(InputError, match="cannot be written"):
        write_file(b"", tmp_path / "no" / "folder.bin")
    (tmp_path / "dir").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_file(b"", tmp_path / "dir")
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "dir"]
