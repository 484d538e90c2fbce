"""Compiles the RTL engine with Verilator into a shared library of a few C functions (hw/sim/engine.cpp).

One library serves an engine configuration; programs, weights and images arrive as packets, as on a board.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from squeeze_hls import tools
from squeeze_hls.emit.rtl import parameters, rtl_sources
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.paths import RTL_SOURCES, SIM_SOURCES

TOP = "squeeze_engine"
HARNESS = SIM_SOURCES / "engine.cpp"
OBSERVER = SIM_SOURCES / "observer.hpp"
OBSERVE = SIM_SOURCES / "observe.vlt"
WAVES = SIM_SOURCES / "waves.vlt"
OPTIONS = (
    "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wno-fatal", "-Wno-lint",
    "--output-split-cfuncs", "500",
)  # fmt: skip
CXX_FLAGS = ("-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-DVL_USER_FATAL=1")
COMPILE_SECONDS = 900


def compile_engine(
    engine: EngineConfig,
    build_dir: Path,
    *,
    extra: Mapping[str, str] | None = None,
    sources: Sequence[Path] | None = None,
    waves: str | None = None,
    before: Callable[[], None] | None = None,
    rtl: Path = RTL_SOURCES,
) -> Path:
    """The library of an engine; one of the same inputs is kept in ``build_dir``.

    ``rtl`` is the folder of the modules.

    ``extra`` are further parameters, as -G takes them: ``emit.rtl.loaded(plan, prefix)`` for an engine with
    initial contents.  ``sources`` replace hw/rtl by a netlist: then there are no parameters, and
    nothing inside can be observed.  ``waves`` is "vcd" or "fst" for a library that can
    write a waveform, which is slower.  ``before`` is called where it must be compiled, which takes half a minute.

    Raises MissingToolError without Verilator, ToolFailedError where it fails.
    """
    program, environment = tools.require_verilator()
    chosen = list(sources) if sources is not None else [OBSERVE, *rtl_sources(rtl)]
    given = {} if sources is not None else parameters(engine) | dict(extra or {})
    flags = [*CXX_FLAGS, *(["-DSQUEEZE_OBSERVE"] if sources is None else [])]
    options = [*OPTIONS, *(f"-G{name}={value}" for name, value in given.items())]
    if waves is not None:
        options += [f"--trace-{waves}", "--trace-structs", "--trace-max-width", "160"]
        chosen.insert(0, WAVES)
    digest = hashlib.sha256(repr((str(program), environment["MAKEFLAGS"], options, flags)).encode())
    for path in [*chosen, HARNESS, OBSERVER]:
        digest.update(path.name.encode() + path.read_bytes())
    name = f"engine-{digest.hexdigest()[:16]}"
    library = build_dir / f"{name}.so"
    if library.exists():
        return library
    if before is not None:
        before()
    build_dir.mkdir(parents=True, exist_ok=True)
    # Make refuses folders with a space in their name, and two processes may compile the same: a temporary folder.
    with tempfile.TemporaryDirectory(prefix="squeeze-hls-") as folder:
        command = [
            str(program), "--cc", "--exe", "--build", "-j", str(os.cpu_count() or 1), *options,
            "-CFLAGS", " ".join(flags), "-LDFLAGS", "-shared", "-o", library.name,
            "--top-module", TOP, "--Mdir", folder, *map(str, chosen), str(HARNESS),
        ]  # fmt: skip
        tools.run(command, log=build_dir / f"{name}.log", env=environment, timeout=COMPILE_SECONDS)
        fresh = build_dir / f"{name}.{os.getpid()}"
        shutil.copyfile(Path(folder) / library.name, fresh)
        fresh.replace(library)
    return library


def fst_builds(build_dir: Path) -> bool:
    """Whether the libraries that FST waveforms need are there."""
    headers = [word for name in ("lz4.h", "zlib.h") for word in ("-include", name)]
    command = [str(tools.require_cxx()), "-fsyntax-only", "-x", "c++", *headers, os.devnull]
    log = build_dir / f"fst-{os.getpid()}.log"
    found = tools.run(command, log=log, timeout=60, check=False) == 0
    log.unlink()
    return found
