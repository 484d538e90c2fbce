"""`deploy`: what comes onto the board, what stays there, what is refused."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from squeeze_hls.remote import FOLDER, receive
from squeeze_hls.remote.send import command, parse_host
from tests.cli.conftest import Board, Deploy, resign, tree

NOTEBOOK = "notebooks/1_mine.ipynb"


def files_of(build: Path) -> dict[str, bytes]:
    return tree(build / "deploy")


def add_bitstream(build: Path) -> None:
    for name in ("squeeze_engine.bit", "squeeze_engine.hwh"):
        (build / "deploy" / name).write_bytes(b"x" * 1000)


def add_notebook(build: Path, text: str = "{}") -> None:
    (build / "deploy" / NOTEBOOK).parent.mkdir(exist_ok=True)
    (build / "deploy" / NOTEBOOK).write_text(text)


# --- what is copied ---


def test_all_of_it(deploy: Deploy, mine: Path, board: Board) -> None:
    add_bitstream(mine)
    result = deploy()
    assert result.code == 0, result.err
    assert board.files() == files_of(mine)
    assert "squeeze_engine.bit" in board.files()
    assert sorted(path.name for path in board.notebooks.iterdir()) == ["squeeze_hls"]
    assert not any(path.stat().st_mode & 0o111 for path in board.deployed.rglob("*") if path.is_file())
    assert "http://pynq:9090/" in result.out and "no bitstream" not in result.err
    (call,) = board.calls()
    assert call[call.index("-l") + 1] == "xilinx" and call[call.index("--") + 1] == "pynq"
    assert "StrictHostKeyChecking=ask" in call


def test_json(deploy: Deploy, mine: Path, board: Board) -> None:
    result = deploy("--json", host="me@192.168.2.99")
    assert result.code == 0, result.err
    shown = result.json
    assert (shown["user"], shown["host"]) == ("me", "192.168.2.99")
    assert {entry["path"] for entry in shown["files"]} == set(files_of(mine)) == set(shown["copied"])
    assert shown["bytes"] == sum(len(content) for content in files_of(mine).values())
    assert shown["bitstream"] is False and shown["dry_run"] is False and shown["to"] == str(board.deployed)


def test_without_a_bitstream_it_says_so(deploy: Deploy, mine: Path) -> None:
    result = deploy()
    assert result.code == 0 and "squeeze-hls bitstream mine" in result.err.replace(str(mine), "mine")
    assert "9090" not in result.out


def test_a_dry_run_connects_to_nothing(deploy: Deploy, mine: Path, board: Board) -> None:
    result = deploy("--dry-run")
    assert result.code == 0 and "model.sqz" in result.out and "would go to xilinx@pynq" in result.out
    assert deploy("--dry-run", "--json").json["dry_run"] is True
    assert board.calls() == [] and not board.deployed.exists()


@pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$(touch owned)", "`touch owned`", "; touch owned", "-rf"])
def test_folders_that_a_shell_would_read_otherwise(deploy: Deploy, mine: Path, board: Board, name: str) -> None:
    assert deploy(to=f"jupyter_notebooks/{name}").code == 0
    assert {path.name for path in board.notebooks.iterdir()} == {name}
    assert set(files_of(mine)) < set(tree(board.notebooks / name))
    assert not list(board.folder.rglob("owned"))


def test_the_command_line_does_not_depend_on_the_folder(deploy: Deploy, board: Board) -> None:
    deploy()
    deploy(to="jupyter_notebooks/other")
    first, second = board.calls()
    assert first == second


def test_login_scripts_may_talk(deploy: Deploy, mine: Path, board: Board) -> None:
    board.fails("talkative")
    assert deploy().code == 0
    assert board.files() == files_of(mine)


def test_hidden_and_compiled_files_stay_here(deploy: Deploy, mine: Path, board: Board) -> None:
    expected = files_of(mine)
    for path in (".secret", ".ipynb_checkpoints/x.ipynb", "squeeze_driver/__pycache__/x.pyc"):
        (mine / "deploy" / path).parent.mkdir(exist_ok=True)
        (mine / "deploy" / path).write_text("x")
    assert deploy().code == 0
    assert board.files() == expected


def test_foreign_code_is_named(deploy: Deploy, mine: Path) -> None:
    (mine / "deploy" / "selftest.py").write_text("print('hello')")
    resign(mine, "deploy/selftest.py")
    result = deploy()
    assert result.code == 0 and "or somebody else" in result.err and "selftest.py" in result.err
    assert "accelerator.py" not in result.err


# --- the second time ---


def test_again_copies_nothing(deploy: Deploy, board: Board) -> None:
    deploy()
    before = {path: path.stat().st_mtime_ns for path in board.deployed.rglob("*") if path.name != receive.RECORD}
    shown = deploy("--json").json
    assert shown["copied"] == [] and shown["same"] == len(shown["files"])
    after = {path: path.stat().st_mtime_ns for path in before if path.is_file()}
    assert all(before[path] == after[path] for path in after)


def test_what_is_the_users_own_stays(deploy: Deploy, mine: Path, board: Board) -> None:
    deploy()
    for path in ("cat.jpg", "pictures/dog.jpg", "models/other.sqz"):
        (board.deployed / path).parent.mkdir(exist_ok=True)
        (board.deployed / path).write_text("mine")
    deploy()
    files = board.files()
    assert all(files[path] == b"mine" for path in ("cat.jpg", "pictures/dog.jpg", "models/other.sqz"))


def test_a_changed_notebook_stays_until_there_is_a_newer_one(deploy: Deploy, mine: Path, board: Board) -> None:
    add_notebook(mine)
    deploy()
    (board.deployed / NOTEBOOK).write_text("{1}")
    result = deploy()
    assert board.files()[NOTEBOOK] == b"{1}" and NOTEBOOK in result.err
    add_notebook(mine, "{2}")
    result = deploy()
    kept = NOTEBOOK.replace(".ipynb", ".kept-1.ipynb")
    assert (board.files()[NOTEBOOK], board.files()[kept]) == (b"{2}", b"{1}") and kept in result.err
    (board.deployed / NOTEBOOK).write_text("{3}")
    add_notebook(mine, "{4}")
    assert deploy("--json").json["kept"] == [{"path": NOTEBOOK, "as": kept.replace("1.ip", "2.ip")}]
    assert board.files()[kept] == b"{1}"


def test_any_other_changed_file_is_kept_beside(deploy: Deploy, mine: Path, board: Board) -> None:
    deploy()
    (board.deployed / "model.sqz").write_text("another network")
    shown = deploy("--json").json
    assert shown["kept"] == [{"path": "model.sqz", "as": "model.kept-1.sqz"}] and shown["copied"] == ["model.sqz"]
    assert board.files() == {**files_of(mine), "model.kept-1.sqz": b"another network"}


def test_something_else_in_the_place_of_a_file(deploy: Deploy, mine: Path, board: Board) -> None:
    deploy()
    (board.deployed / "README.txt").unlink()
    (board.deployed / "README.txt").mkdir()
    (board.deployed / "labels.txt").unlink()
    (board.deployed / "labels.txt").symlink_to("/etc/passwd")
    passwd = Path("/etc/passwd").read_bytes()
    assert deploy().code == 0
    assert (board.deployed / "README.kept-1.txt").is_dir() and (board.deployed / "labels.kept-1.txt").is_symlink()
    assert {path: board.files()[path] for path in files_of(mine)} == files_of(mine)
    assert Path("/etc/passwd").read_bytes() == passwd


def test_what_is_no_longer_part_of_the_build(deploy: Deploy, mine: Path, board: Board) -> None:
    (mine / "deploy" / "old.txt").write_text("old")
    (mine / "deploy" / "other.txt").write_text("old")
    deploy()
    (board.deployed / "other.txt").write_text("changed")
    for name in ("old.txt", "other.txt"):
        (mine / "deploy" / name).unlink()
    assert deploy("--json").json["removed"] == ["old.txt"]
    assert "old.txt" not in board.files() and board.files()["other.txt"] == b"changed"


def test_the_boards_bitstream_outlives_a_build_without_one(deploy: Deploy, mine: Path, board: Board) -> None:
    add_bitstream(mine)
    deploy()
    for name in ("squeeze_engine.bit", "squeeze_engine.hwh"):
        (mine / "deploy" / name).unlink()
    for _ in range(2):  # its record outlives too
        result = deploy("--json")
        assert result.json["bitstream"] is True and "earlier deployment" in result.err
    assert board.files()["squeeze_engine.bit"] == b"x" * 1000


def test_a_folder_of_somebody_elses(deploy: Deploy, board: Board) -> None:
    board.deployed.mkdir()
    assert deploy().code == 0
    (board.notebooks / "theirs").mkdir()
    (board.notebooks / "theirs" / "x.txt").write_text("x")
    deploy("-q", to="jupyter_notebooks/theirs").refused(5, "theirs", "not deployed by squeeze-hls", "--to")
    assert set(tree(board.notebooks / "theirs")) == {"x.txt"}
    (board.notebooks / "file").write_text("x")
    deploy("-q", to="jupyter_notebooks/file").refused(5, "is no folder")
    (board.deployed / receive.RECORD).write_text("{")
    deploy("-q").refused(5, receive.RECORD, "damaged")


def test_a_record_that_leads_out(deploy: Deploy, board: Board) -> None:
    deploy()
    victim = board.notebooks / "victim"
    victim.write_text("")
    record = json.loads((board.deployed / receive.RECORD).read_text())
    record["files"]["../victim"] = receive.digest(str(victim))
    record["files"][str(victim)] = receive.digest(str(victim))
    (board.deployed / receive.RECORD).write_text(json.dumps(record))
    assert deploy().code == 0 and victim.exists()


# --- the program on the board ---


def test_it_needs_no_more_than_an_old_python() -> None:
    import ast

    tree = ast.parse(Path(receive.__file__).read_text(), feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


def test_the_default_folder_is_the_documented_one(root: Path) -> None:
    assert FOLDER in (root / "docs" / "board.md").read_text()
    assert FOLDER in (root / "templates" / "deploy" / "README.txt.j2").read_text()


def test_the_command_fits(board: Board) -> None:
    words = command(parse_host("pynq"))
    assert words[-3:-1] == ["--", "pynq"] and len(words[-1]) < 100_000  # Linux takes 131,072 bytes in one word


def test_progress(deploy: Deploy, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than two seconds: a line says what took so long."""
    from squeeze_hls.cli import terminal

    monkeypatch.setattr(terminal, "SLOW", 0.0)
    started = time.monotonic()
    result = deploy()
    assert f"{len(files_of(mine))} of {len(files_of(mine))} files" in result.out and time.monotonic() - started < 60
