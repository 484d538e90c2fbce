"""`deploy`: failing connections, full disks, hostile hosts and builds."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.remote import receive, send
from squeeze_hls.remote.send import Host, parse_host
from tests.cli.conftest import Board, Deploy, Run, report_of, tree


def files_of(build: Path) -> dict[str, bytes]:
    return tree(build / "deploy")


# --- failures ---


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("denied", ["permission denied"]),
        ("host key", ["host key is not known", "ssh xilinx@pynq once", "fingerprint"]),
        ("changed key", ["is not the one known", "ssh-keygen -R pynq"]),
        ("no such host", ["no such host"]),
        ("time out", ["no answer", "is the board on"]),
        ("refused", ["connection refused"]),
        ("no route", ["no route"]),
        ("no python", ["no python3"]),
        ("odd", ["read: reset by peer"]),
    ],
)
def test_ssh_fails(deploy: Deploy, board: Board, how: str, words: list[str]) -> None:
    board.fails(how)
    deploy("-q").refused(5, "xilinx@pynq", *words)
    assert json.loads(deploy("--json").out)["exit_code"] == 5
    assert not board.deployed.exists()


@pytest.mark.parametrize(("how", "words"), [("cut", ["the connection ended"]), ("damaged", ["damaged", "nothing was"])])
def test_a_broken_connection_changes_nothing(
    deploy: Deploy, mine: Path, board: Board, how: str, words: list[str]
) -> None:
    board.fails(how)
    deploy("-q").refused(5, *words)
    assert list(board.notebooks.iterdir()) == []
    board.fails("")
    deploy()
    before = tree(board.notebooks)
    (mine / "deploy" / "big.bin").write_bytes(os.urandom(2_000_000))
    board.fails(how)
    deploy("-q").refused(5, *words)
    assert tree(board.notebooks) == before
    board.fails("")
    assert deploy().code == 0 and "big.bin" in board.files()


@pytest.mark.parametrize(
    "answer",
    [
        '{"done": {}}',
        '{"done": {"to": 1, "copied": [], "same": 0, "left": [], "lasting": [], "kept": [], "removed": []}}',
        '{"done": {"to": "", "copied": [1], "same": 0, "left": [], "lasting": [], "kept": [], "removed": []}}',
        '{"done": {"to": "", "copied": [], "same": 0, "left": [], "lasting": [], "kept": [[]], "removed": []}}',
        '{"error": "\\u001b[31m' + "x" * 10_000 + '"}',
        "{",
        '{"done": 1}',
    ],
)
def test_boards_that_are_none(deploy: Deploy, board: Board, answer: str) -> None:
    board.fails(answer)
    assert len(deploy("-q").refused(5, "xilinx@pynq").err) < 700


def test_an_interruption_changes_nothing(deploy: Deploy, mine: Path, board: Board) -> None:
    board.fails("slow")
    command = [sys.executable, "-m", "squeeze_hls", "deploy", mine, "pynq"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _until(lambda: (board.notebooks / ".squeeze_hls.deploying" / "new").exists())
        os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C
        assert process.communicate(timeout=30)[1] == b"error: interrupted\n" and process.returncode == 130
    finally:
        process.kill()
    assert not board.deployed.exists()
    board.fails("")
    _until(lambda: deploy("-q").code == 0)  # as soon as the board's end has noticed
    assert [path.name for path in board.notebooks.iterdir()] == ["squeeze_hls"]


def _until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_remains_of_a_deployment_that_was_cut_off(deploy: Deploy, board: Board) -> None:
    (board.notebooks / ".squeeze_hls.deploying" / "new").mkdir(parents=True)
    (board.notebooks / ".squeeze_hls.deploying" / "new" / "x").write_text("x")
    assert deploy().code == 0
    assert [path.name for path in board.notebooks.iterdir()] == ["squeeze_hls"] and "x" not in board.files()


def test_two_at_a_time(deploy: Deploy, board: Board) -> None:
    handle = os.open(board.notebooks, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        deploy("-q").refused(5, "another deployment")
    finally:
        os.close(handle)
    assert deploy().code == 0


def test_a_full_disk(deploy: Deploy, board: Board) -> None:
    """The board's own Python, with a disk of 1 MB."""
    python = board.programs / "python3"
    python.unlink()
    patch = (
        "import os, sys; real = os.statvfs; os.statvfs = lambda path: type('S', (), dict(f_bavail=1, f_frsize=10**6))"
    )
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{patch}; exec(sys.argv[1])" "$2"\n')
    python.chmod(0o755)
    deploy("-q").refused(5, "the disk is full", "1.0 MB are free")
    assert list(board.notebooks.iterdir()) == []


def test_no_such_parent(deploy: Deploy) -> None:
    deploy("-q", to="nowhere/squeeze_hls").refused(5, "there is no folder", "nowhere", "--to")


def test_a_folder_that_is_not_ours_to_write(deploy: Deploy, mine: Path, board: Board) -> None:
    """What root may do, it may do: so the renaming itself is made to fail, halfway."""
    deploy()
    before = tree(board.notebooks)
    (board.deployed / "model.sqz").write_text("changed")
    steps = receive.Steps(str(board.deployed), {}, dict.fromkeys(files_of(mine), "0" * 64), [])
    assert len(steps.wanted) == len(files_of(mine))
    (board.folder / "new").mkdir()
    (board.folder / "old").mkdir()
    for path in sorted(steps.wanted)[:5]:  # the sixth is missing
        (board.folder / "new" / path).parent.mkdir(exist_ok=True, parents=True)
        (board.folder / "new" / path).write_text("new")
    with pytest.raises(OSError, match="No such file"):
        steps.carry_out(str(board.folder / "new"), str(board.folder / "old"))
    model = "squeeze_hls/model.sqz"
    assert tree(board.notebooks) == {**before, model: b"changed"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(deploy: Deploy, board: Board) -> None:
    board.notebooks.chmod(0o555)
    try:
        deploy("-q").refused(5, "Permission denied", "chown")
    finally:
        board.notebooks.chmod(0o755)


def test_no_ssh(deploy: Deploy, board: Board) -> None:
    (board.programs / "ssh").unlink()
    deploy("-q").refused(4, "no ssh", "openssh-client")
    assert deploy("--dry-run").code == 0


def test_no_build(run: Run, board: Board) -> None:
    run("deploy", "nothing", "pynq").refused(2, "no such build folder")
    assert board.calls() == []


def test_an_altered_build(deploy: Deploy, mine: Path, board: Board) -> None:
    (mine / "deploy" / "selftest.py").write_text("print('hello')")
    deploy("-q").refused(2, "selftest.py", "build again")
    assert board.calls() == []


# --- hostile input ---

HOSTS = [
    "-oProxyCommand=touch owned",
    "-x",
    "me@-x",
    "-me@pynq",
    "me@",
    "@pynq",
    "",
    "a b",
    "pynq\n",
    "pynq\x1b[31m",
    "pynq;touch owned",
    "$(touch owned)",
    "`touch owned`",
    "pynq:22",
    "::1%-x",
    "::1%a b",
    "a/b",
    "pynq'",
    "pÿnq",
    "me@you@pynq",
    "ssh://pynq",
    "x" * 300,
]


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_that_are_none(run: Run, mine: Path, board: Board, host: str) -> None:
    run("deploy", mine, "--", host).refused(2)
    assert board.calls() == []


@pytest.mark.parametrize("user", ["-x", "", "a b", "me;", "root@x", "\x1b"])
def test_users_that_are_none(deploy: Deploy, board: Board, user: str) -> None:
    deploy(f"--user={user}").refused(2)
    assert board.calls() == []


def test_hosts() -> None:
    assert parse_host("pynq") == Host(user="xilinx", name="pynq")
    assert (
        parse_host("root@192.168.2.99") == parse_host("192.168.2.99", "root") == Host(user="root", name="192.168.2.99")
    )
    assert parse_host("root@pynq", "root").user == "root"
    assert parse_host("fe80::5:1%eth0").name == "fe80::5:1%eth0"
    with pytest.raises(InputError, match="different users"):
        parse_host("root@pynq", "xilinx")


@pytest.mark.parametrize("to", ["", "a\nb", "a\0b", "a\x1b[31m", "x" * 2000])
def test_folders_that_are_none(deploy: Deploy, board: Board, to: str) -> None:
    deploy(to=to).refused(2, "--to")
    assert board.calls() == []


@pytest.mark.parametrize("kind", ["file", "folder", "deploy", "fifo", "name", "bytes", "simulated"])
def test_hostile_builds(deploy: Deploy, mine: Path, board: Board, here: Path, kind: str) -> None:
    folder, word = mine / "deploy", "symbolic link"
    (here / "secrets").mkdir()
    (here / "secrets" / "key").write_text("secret")
    if kind == "file":
        (folder / "picture.jpg").symlink_to(here / "secrets" / "key")
    elif kind == "folder":
        (folder / "more").symlink_to(here / "secrets")
    elif kind == "deploy":
        for entry in report_of(mine)["files"]:
            if entry["path"].startswith("deploy/"):
                (mine / entry["path"]).unlink()
        files = [entry for entry in report_of(mine)["files"] if not entry["path"].startswith("deploy/")]
        (mine / "report.json").write_text(json.dumps({**report_of(mine), "files": files}))
        folder.rename(here / "gone")
        (here / "nothing").mkdir()
        folder.symlink_to(here / "nothing")
    elif kind == "fifo":
        os.mkfifo(folder / "pipe")
        word = "not a plain file"
    elif kind == "name":
        (folder / "a\x1b[31m\nb").write_text("x")
        word = "cannot be shown"
    elif kind == "bytes":
        Path(os.fsdecode(bytes(folder) + b"/\xff")).write_text("x")
        word = "cannot be shown"
    else:
        from squeeze_hls.sim import board as simulated

        simulated.make(mine, folder)
        word = "simulated board"
    deploy("-q").refused(2, word)
    assert board.calls() == []


def test_a_huge_file(deploy: Deploy, mine: Path, board: Board) -> None:
    with (mine / "deploy" / "huge").open("wb") as stream:
        stream.truncate(10**12)  # sparse
    deploy("-q").refused(2, "huge")


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILE_BYTES", 2_000_000), ("MAX_FILES", 5)])
def test_too_much(
    deploy: Deploy, mine: Path, board: Board, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (mine / "deploy" / name).write_bytes(bytes(1_500_000))
    assert deploy("--dry-run").code == 0
    monkeypatch.setattr(send, limit, value)
    deploy("-q").refused(2, "holds more than")
    assert board.calls() == []


def test_names_that_only_look_bad(deploy: Deploy, mine: Path, board: Board) -> None:
    names = ["-rf", "a b.jpg", "it's.jpg", "$(touch owned).jpg", "[red]x.jpg", "ünï.jpg"]
    for name in names:
        (mine / "deploy" / "pictures" / name).write_text(name)
    assert deploy().code == 0
    assert all(board.files()[f"pictures/{name}"] == name.encode() for name in names)
    assert deploy("--dry-run").code == 0
