"""``notebook``: the working folder, what is missing, and Jupyter, faked at the process boundary."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from squeeze_hls import tools
from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.emit import board_folder as deploy
from squeeze_hls.emit import notebooks
from squeeze_hls.errors import InputError
from squeeze_hls.flows import notebook
from squeeze_hls.sim import verilate
from tests.cli.conftest import Run, change_report, report_of, resign, tree

# Notes how it was called, says that it listens, and goes on as its environment says.
FAKE = """
import json, os, pathlib, subprocess, sys, time
home = pathlib.Path.cwd()
config = json.loads((home / "jupyter_server_config.json").read_text())
kernel = next(pathlib.Path(os.environ["JUPYTER_PATH"].split(os.pathsep)[0]).glob("kernels/*/kernel.json"))
seen = {
    "arguments": sys.argv[1:], "config": config, "kernel": json.loads(kernel.read_text()), "name": kernel.parent.name,
    "mode": home.stat().st_mode & 0o777, "environment": {k: v for k, v in os.environ.items() if "JUPYTER" in k},
    "home": str(home), "pids": [os.getpid()],
}
if "FAKE_SECONDS" in os.environ:  # a kernel, in a group of its own
    kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    seen["pids"].append(kernel.pid)
pathlib.Path(os.environ["FAKE_JUPYTER"]).write_text(json.dumps(seen))
if "FAKE_FAILS" in os.environ:
    sys.exit(os.environ["FAKE_FAILS"] or 0)
runtime = pathlib.Path(os.environ["JUPYTER_RUNTIME_DIR"])
runtime.mkdir()
(runtime / "jpserver-1.json").write_text(json.dumps({"port": config["ServerApp"]["port"] + 1}))
time.sleep(float(os.environ.get("FAKE_SECONDS", "2")))
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """All that is needed, faked; returns how Jupyter was called."""
    packages = tmp_path / "packages"
    for name in ("jupyterlab", "ipykernel", "matplotlib", "pynq"):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    (packages / "jupyterlab" / "__main__.py").write_text(FAKE)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("FAKE_JUPYTER", str(tmp_path / "seen.json"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "/nowhere")
    monkeypatch.setattr(tools, "require_verilator", lambda: (Path("verilator"), {}))
    monkeypatch.setattr(verilate, "compile_engine", lambda engine, folder: folder / "engine.so")
    return lambda: json.loads((tmp_path / "seen.json").read_text())


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Pages that the browser was asked for, as they were at that time."""
    pages: list[str] = []
    monkeypatch.setattr(tools, "open_browser", lambda url: pages.append(Path(url.removeprefix("file://")).read_text()))
    yield pages


# --- the command ---


def test_start(run: Run, mine: Path, here: Path, installed: Callable[[], Any], shown: list[str]) -> None:
    before = tree(mine)
    result = run("notebook", mine, "--port", "9000")
    assert result.code == 0, result
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines] == ["folder", "verilate", "notebooks", "Ctrl-C"]
    seen = installed()
    token = seen["config"]["IdentityProvider"]["token"]
    url = f"http://127.0.0.1:9001/lab/tree/notebooks/1_classify.ipynb?token={token}"
    assert lines[2].split() == ["notebooks", url]
    assert tree(mine) == before, "the build folder was changed"
    assert len(shown) == 1 and url in shown[0]

    server = seen["config"]["ServerApp"]
    assert server["ip"] == "127.0.0.1" and server["port"] == 9000 and not server["allow_remote_access"]
    assert server["root_dir"] == str(here / "mine-notebook")
    assert len(token) == 48 and token not in json.dumps([seen["arguments"], seen["environment"]])
    assert seen["environment"]["JUPYTER_CONFIG_PATH"] == seen["environment"]["JUPYTER_CONFIG_DIR"] == seen["home"]
    assert stat.S_IMODE(seen["mode"]) == 0o700 and not Path(seen["home"]).exists()
    assert seen["name"] == "python3" and seen["kernel"]["env"] == {"SQUEEZE_HLS_BOARD": "sim"}
    assert seen["kernel"]["argv"][2:] == [
        "-m", "squeeze_hls.sim.board", "-m", "ipykernel_launcher", "-f", "{connection_file}",
    ]  # fmt: skip
    assert not [path for path in tree(here / "mine-notebook") if token.encode() in tree(here / "mine-notebook")[path]]


def test_json_and_no_browser(run: Run, mine: Path, here: Path, installed: Callable[[], Any], shown: list[str]) -> None:
    result = run("notebook", mine, "--json", "--no-browser", "--folder", "elsewhere")
    token = installed()["config"]["IdentityProvider"]["token"]
    assert (result.code, shown) == (0, [])
    assert result.json == {
        "url": f"http://127.0.0.1:8889/lab/tree/notebooks/1_classify.ipynb?token={token}",
        "folder": str(here / "elsewhere"),
    }


def test_every_start_has_its_own_token(run: Run, mine: Path, installed: Callable[[], Any], shown: list[str]) -> None:
    tokens = set()
    for _ in range(2):
        assert run("notebook", mine, "--no-browser").code == 0
        tokens.add(installed()["config"]["IdentityProvider"]["token"])
    assert len(tokens) == 2


@pytest.mark.parametrize("message, words", [("error: no free port", "no free port"), ("", "before it served anything")])
def test_jupyter_fails(
    run: Run,
    mine: Path,
    installed: Callable[[], Any],
    shown: list[str],
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    words: str,
) -> None:
    monkeypatch.setenv("FAKE_FAILS", message)
    run("notebook", mine, "-q").refused(5, words, "jupyter.log")


def test_interrupt(mine: Path, installed: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends Jupyter and its kernels, too."""
    monkeypatch.setenv("FAKE_SECONDS", "60")
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    code = "from squeeze_hls import cli, tools; from squeeze_hls.sim import verilate; from pathlib import Path\n"
    code += "tools.require_verilator = lambda: (Path('v'), {}); verilate.compile_engine = lambda e, f: f\ncli.main()"
    command = [sys.executable, "-c", code, "notebook", str(mine), "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not (tmp_path / "seen.json").exists() and time.monotonic() < end:
            time.sleep(0.1)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]  # the object comes while Jupyter runs
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert set(json.loads("".join(lines))) == {"url", "folder"}
    assert process.returncode == 130 and err == "error: interrupted\n"
    for pid in installed()["pids"]:
        assert not running(pid)


def running(pid: int) -> bool:
    """Whether a process does anything: one that ended may wait for somebody to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


# --- what is refused ---


def test_no_build(run: Run, here: Path, installed: Callable[[], Any]) -> None:
    (here / "empty").mkdir()
    run("notebook", "empty").refused(2, "empty", "report.json")
    run("notebook", "absent").refused(2, "absent")
    assert tree(here) == {}


def test_missing_packages(run: Run, mine: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tools.package_dir
    monkeypatch.setattr(
        tools, "package_dir", lambda name: None if name in ("jupyterlab", "pynq") else found(name) or here
    )
    run("notebook", mine).refused(4, "jupyterlab, pynq:", "pip install 'squeeze-hls[notebook,board,sim]'")
    assert not (here / "mine-notebook").exists()


def test_missing_compiler(run: Run, mine: Path, installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(tools, "package_dir", lambda name: Path("somewhere"))
    monkeypatch.setattr(tools, "find_verilator", lambda: Path("somewhere"))
    monkeypatch.setattr(tools, "find_cxx", lambda: None)
    run("notebook", mine).refused(4, "C++ compiler", "g++")


def test_altered_build(run: Run, mine: Path, installed: Callable[[], Any]) -> None:
    (mine / "deploy" / "plan.json").write_text("{}")
    run("notebook", mine).refused(2, "plan.json", "build again")


def test_folders_that_are_not_ours(run: Run, mine: Path, here: Path, installed: Callable[[], Any]) -> None:
    (here / "mine-notebook").mkdir()
    (here / "mine-notebook" / "thesis.txt").write_text("text")
    run("notebook", mine).refused(2, "mine-notebook", "--folder")
    (here / "hollow").mkdir()
    (here / "link").symlink_to(here / "hollow")
    run("notebook", mine, "--folder", "link").refused(2, "link", "--folder")
    (here / "file").touch()
    run("notebook", mine, "--folder", "file").refused(2, "file")
    run("notebook", mine, "--folder", mine).refused(2, "not from this command")
    assert tree(here / "mine-notebook") == {"thesis.txt": b"text"} and tree(here / "hollow") == {}


# --- the working folder ---


def test_the_folder_holds_what_a_board_holds(mine: Path, here: Path) -> None:
    pytest.importorskip("numpy")
    space = notebook.prepare(open_build(mine), here / "work")
    files = {path: content for path, content in tree(here / "work").items() if path != notebook.MARK}
    made = {path: content for path, content in files.items() if path.startswith("squeeze_engine.")}
    assert set(made) == {"squeeze_engine.bit", "squeeze_engine.hwh"}
    built = tree(mine / "deploy")
    assert {path: content for path, content in files.items() if path not in made} == built
    assert space.kept == ()


def test_edits_survive(mine: Path, here: Path) -> None:
    build = open_build(mine)
    work = notebook.prepare(build, here / "work").folder
    edited, run_only, gone = (work / "notebooks" / f"{name}.ipynb" for name in notebooks.names()[:3])
    for path, change in ((edited, {"source": ["print(1)"]}), (run_only, {"execution_count": 7})):
        content = notebooks.read(path)
        next(cell for cell in content["cells"] if cell["cell_type"] == "code").update(change)
        path.write_text(notebooks.to_json(content))
    texts = edited.read_bytes(), run_only.read_bytes()
    own = work / "notebooks" / "own.ipynb"
    own.write_text("{}")
    gone.unlink()
    (work / "model.sqz").write_bytes(b"spoilt")
    space = notebook.prepare(build, work)
    assert (edited.read_bytes(), run_only.read_bytes()) == texts
    assert space.kept == ("notebooks/1_classify.ipynb",)
    assert own.exists() and gone.exists()
    assert (work / "model.sqz").read_bytes() == (mine / "deploy" / "model.sqz").read_bytes()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": [1]}', '{"cells": 5}', "\ud800"])
def test_notebooks_that_are_none(mine: Path, here: Path, content: str) -> None:
    work = notebook.prepare(open_build(mine), here / "work").folder
    path = work / notebook.FIRST
    path.write_bytes(content.encode(errors="surrogatepass"))
    assert notebook.prepare(open_build(mine), work).kept == (notebook.FIRST,)


def test_code_of_a_build_is_not_taken(mine: Path, here: Path) -> None:
    """A stranger's build may list other code than this version's: it stays where it is."""
    entries = report_of(mine)["files"]
    for path in (
        "deploy/squeeze_driver/accelerator.py",
        "deploy/notebooks/1_classify.ipynb",
        "deploy/notebooks/helpers.py",
    ):
        (mine / path).write_text("import os; os.system('touch owned')")
        resign(mine, path)
    for path in ("deploy/sitecustomize.py", "deploy/jupyter_server_config.py", "deploy/notebooks/numpy.py"):
        (mine / path).write_text("import os; os.system('touch owned')")
        entries = report_of(mine)["files"]
        change_report(mine, files=[*entries, {"path": path, "sha256": "0"}])
        resign(mine, path)
    files = tree(notebook.prepare(open_build(mine), here / "work").folder)
    assert not [path for path, content in files.items() if b"owned" in content]
    assert {path for path in files if path.endswith((".py", ".ipynb"))} == set(deploy.code_files())


def test_links_in_the_folder_are_not_followed(mine: Path, here: Path) -> None:
    work = notebook.prepare(open_build(mine), here / "work").folder
    (here / "home").mkdir()
    for path in sorted((work / "notebooks").iterdir()):
        path.unlink()
    (work / "notebooks").rmdir()
    (work / "notebooks").symlink_to(here / "home")
    with pytest.raises(InputError, match="symbolic link"):
        notebook.prepare(open_build(mine), work)
    assert tree(here / "home") == {}


# --- Jupyter itself ---


@pytest.mark.notebooks
def test_jupyter_answers_only_with_its_token(
    mine: Path, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real server, against a configuration of the user's that opens it to everybody."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed in this environment")
    config = tmp_path / "config"
    config.mkdir()
    everybody = {"ServerApp": {"ip": "0.0.0.0", "allow_remote_access": True}, "IdentityProvider": {"token": ""}}
    (config / "jupyter_server_config.json").write_text(json.dumps(everybody))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(config))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(config))
    work = notebook.prepare(open_build(mine), here / "work").folder
    for name in ("jupyter_server_config", "tornado"):
        (work / f"{name}.py").write_text("raise SystemExit('code from the working folder')")

    class Ended(Exception):
        pass

    def ready(url: str) -> None:
        base, _, token = url.partition("/lab/tree/notebooks/1_classify.ipynb?token=")
        with urllib.request.urlopen(f"{base}/api/kernelspecs?token={token}", timeout=30) as answer:
            specs = json.loads(answer.read())
        assert specs["kernelspecs"]["python3"]["spec"]["display_name"] == "Python 3 on the simulated board"
        for wrong in ("", "?token=", "?token=0", f"?token={token[:-1]}"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{base}/api/contents{wrong}", timeout=30)
            assert caught.value.code == 403
        port = int(base.rpartition(":")[2])
        assert listening(port) == {"127.0.0.1"}
        assert token.encode() not in (work / "jupyter.log").read_bytes()
        raise Ended

    with pytest.raises(Ended):
        notebook.serve(work, port=8890, browser=False, ready=ready)


def listening(port: int) -> set[str]:
    """Addresses on which somebody listens at a port, IPv4 and IPv6."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, _, number = local.partition(":")
            if int(number, 16) == port and state == "0A":
                found.add(".".join(str(byte) for byte in reversed(bytes.fromhex(address))))
    return found
