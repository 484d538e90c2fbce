"""`deploy` through OpenSSH itself: an sshd of this test's own, on a high port, for the present user."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from squeeze_hls.remote.receive import RECORD
from tests.cli.conftest import Result, Run, tree

SSHD = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
SSH = shutil.which("ssh")
HOST = "127.0.0.1"

pytestmark = pytest.mark.skipif(not (SSHD and SSH), reason="needs OpenSSH's client and server")


@dataclass(frozen=True)
class Server:
    """Files of the running server and of the client's configuration."""

    folder: Path
    port: int

    @property
    def known(self) -> Path:
        return self.folder / "known_hosts"

    def knows_host(self) -> None:
        """As if the user had said yes to the host key."""
        key = (self.folder / "host.pub").read_text()
        self.known.write_text(f"[{HOST}]:{self.port} {key}")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    folder = tmp_path / "ssh"
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress {HOST}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
    )
    (folder / "ssh_config").write_text(
        f"Port {port}\nIdentityFile {folder}/user\nIdentitiesOnly yes\nBatchMode yes\n"
        f"UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking no\n"
    )
    check = subprocess.run([str(SSHD), "-t", "-f", folder / "sshd_config"], capture_output=True, text=True)
    if check.returncode:
        pytest.skip(f"sshd cannot be run here: {check.stderr.strip()}")
    programs = folder / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {SSH} -F {folder}/ssh_config "$@"\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), os.environ["PATH"]]))
    process = subprocess.Popen([str(SSHD), "-D", "-f", folder / "sshd_config", "-E", folder / "log"])
    try:
        _wait(port)
        yield Server(folder, port)
    finally:
        process.terminate()
        process.wait()


def _wait(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("sshd does not listen")


def deploy(run: Run, mine: Path, to: Path, *more: str) -> Result:
    return run("deploy", mine, HOST, "--user", getpass.getuser(), "--to", to, *more)


def test_through_ssh(run: Run, mine: Path, server: Server, tmp_path: Path) -> None:
    server.knows_host()
    target = tmp_path / 'it\'s a "board"; $(touch owned)'
    result = deploy(run, mine, target)
    assert result.code == 0, result.err
    assert tree(target).keys() - {RECORD} == tree(mine / "deploy").keys()
    (target / "model.sqz").write_text("changed")
    shown = deploy(run, mine, target, "--json").json
    assert shown["copied"] == ["model.sqz"] and shown["kept"] == [{"path": "model.sqz", "as": "model.kept-1.sqz"}]
    assert tree(target)["model.sqz"] == (mine / "deploy" / "model.sqz").read_bytes()
    assert not list(tmp_path.rglob("owned"))


def test_an_unknown_host_key(run: Run, mine: Path, server: Server, tmp_path: Path) -> None:
    """Although the user's configuration says that any key will do."""
    deploy(run, mine, tmp_path / "board", "-q").refused(5, "host key is not known", "once")
    assert not (tmp_path / "board").exists() and not server.known.exists()


def test_another_host_key(run: Run, mine: Path, server: Server, tmp_path: Path) -> None:
    other = (server.folder / "user.pub").read_text()
    server.known.write_text(f"[{HOST}]:{server.port} {other}")
    deploy(run, mine, tmp_path / "board", "-q").refused(5, "is not the one known", "ssh-keygen -R")
    assert not (tmp_path / "board").exists()


def test_no_key_of_ours(run: Run, mine: Path, server: Server, tmp_path: Path) -> None:
    server.knows_host()
    (server.folder / "user.pub").write_text("")
    deploy(run, mine, tmp_path / "board", "-q").refused(5, "permission denied")


def test_what_the_board_refuses(run: Run, mine: Path, server: Server, tmp_path: Path) -> None:
    server.knows_host()
    deploy(run, mine, tmp_path / "nowhere" / "board", "-q").refused(5, "there is no folder", "nowhere")
