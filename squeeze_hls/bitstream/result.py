"""What the vendor's tools made: checked against the build it is for, then written into it."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from squeeze_hls.artifacts.build_folder import Build
from squeeze_hls.artifacts.bundle import REPORT, to_json, write_file
from squeeze_hls.bitstream.project import IDENTITY, Project
from squeeze_hls.bitstream.reports import HlsEstimate, Timing, parse_csynth, parse_timing, parse_utilization, parse_xml
from squeeze_hls.emit.block_design.design import BlockDesign
from squeeze_hls.errors import InputError, ToolFailedError
from squeeze_hls.report.build_report import RESOURCES

MIB = 2**20
BIT, HWH = "squeeze_engine.bit", "squeeze_engine.hwh"
TIMING, UTILIZATION, ENGINE, CSYNTH = "timing.rpt", "utilization.rpt", "engine.rpt", "csynth.xml"
LIMITS = {
    BIT: 64 * MIB, HWH: 64 * MIB, TIMING: 64 * MIB, UTILIZATION: 4 * MIB, ENGINE: 4 * MIB, CSYNTH: 16 * MIB,
    IDENTITY: 4096,
}  # fmt: skip
OPTIONAL = {ENGINE, CSYNTH}
_FASTER = 1.005  # how much faster than asked for a clock may be: PLLs do not hit every frequency exactly
# PYNQ's divisors of the processor's clock, and the PLL that they divide: PYNQ leaves that as it is after boot.
_CLOCKS = {
    "processing_system7": ("PCW_FCLK0_PERIPHERAL_DIVISOR{}", "PCW_FCLK0_PERIPHERAL_CLKSRC"),
    "zynq_ultra_ps_e": ("PSU__CRL_APB__PL0_REF_CTRL__DIVISOR{}", "PSU__CRL_APB__PL0_REF_CTRL__SRCSEL"),
}
_PLLS = ("IO PLL", "IOPLL", "")


@dataclass(frozen=True, kw_only=True)
class Result:
    """Files by name (see LIMITS), and what they say."""

    files: Mapping[str, bytes]
    timing: Timing
    design: Mapping[str, int]  # used by everything
    engine: Mapping[str, int] | None  # by the engine alone
    estimate: HlsEstimate | None
    clock_mhz: float  # that PYNQ will set


def check(project: Project, files: Mapping[str, bytes], where: str) -> Result:
    """Read the files and make sure that they belong to ``project``.

    Raises InputError, beginning with ``where``, for those of another build, ToolFailedError for what is no report of
    the tools, and where a signal comes too late.
    """
    for name in LIMITS:
        if name not in files and name not in OPTIONAL:
            raise InputError(f"{where}: {name} is missing; is it the folder or archive that build.sh made?")
    _check_identity(project, files[IDENTITY], where)
    timing = parse_timing(_text(files[TIMING]))
    require_timing(timing, project.design.made_clock_mhz, f"{where}: {TIMING}")
    _check_bit(project, files[BIT], f"{where}: {BIT}")
    return Result(
        files=files,
        timing=timing,
        design=parse_utilization(_text(files[UTILIZATION])),
        engine=parse_utilization(_text(files[ENGINE])) if ENGINE in files else None,
        estimate=parse_csynth(files[CSYNTH]) if CSYNTH in files else None,
        clock_mhz=_check_handoff(project.design, files[HWH], f"{where}: {HWH}"),
    )


def require_timing(timing: Timing, clock_mhz: float, report: str) -> None:
    """Raise ToolFailedError where a signal comes too late: such an engine computes nonsense now and then."""
    if timing.met:
        return
    if timing.setup_ns >= 0:
        what = "hold" if timing.hold_ns < 0 else "pulse width"
        worst = min(timing.hold_ns, timing.pulse_width_ns)
        raise ToolFailedError(
            f"timing failed: worst slack {worst:.3f} ns ({what}), which no slower clock mends; {report}"
        )
    path = timing.path
    where = f", from {path.start} to {path.end}, {path.levels} logic levels, {path.delay_ns} ns" if path else ""
    possible = int(1000 / (1000 / clock_mhz - timing.setup_ns))
    raise ToolFailedError(
        f"timing failed at {clock_mhz:g} MHz: worst slack {timing.setup_ns:.3f} ns on {timing.failing} paths{where}; "
        f"no bitstream was kept; build again with --clock {possible}, or less; {report}"
    )


def _check_identity(project: Project, data: bytes, where: str) -> None:
    try:
        table = json.loads(data)
        found = {key: str(table[key]) for key in ("engine", "sources")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{where}: {IDENTITY} is none of ours") from error
    if found["engine"] != project.engine_id:
        raise InputError(
            f"{where}: was made for engine {found['engine'][:20]}, but this build has engine {project.engine_id}"
        )
    if found["sources"] != project.digest:
        raise InputError(
            f"{where}: was made from other sources than this build's (another program, clock, board, flow or version "
            "of squeeze-hls); make it again"
        )


def _check_bit(project: Project, data: bytes, where: str) -> None:
    """The header: engine's identity and part; and that the file is whole."""
    header = read_header(data, where)
    user = re.search(r"UserID=(?:0[xX])?([0-9a-fA-F]{1,8})(?:;|$)", header["a"])
    if user is None or int(user[1], 16) != int(project.engine_id, 16):
        found = f"user ID {user[1]}" if user else "no user ID"
        raise InputError(f"{where}: is of another engine ({found}, not {project.engine_id})")
    wanted, found = (_plain(text) for text in (project.design.part, header["b"]))
    if len(found) < 6 or not wanted.startswith(found):
        raise InputError(f"{where}: is for part {header['b'][:40]!r}, but this build is for {project.design.part}")


def read_header(data: bytes, where: str) -> dict[str, str]:
    """Fields a (design), b (part), c (date) and d (time) of a bitstream file; InputError for anything else."""
    try:
        (length,) = struct.unpack_from(">H", data)
        at = 2 + length + 2
        fields = {}
        for key in "abcd":
            mark, size = struct.unpack_from(">cH", data, at)
            if mark != key.encode() or at + 3 + size > len(data):
                raise ValueError(f"no field {key}")
            fields[key] = data[at + 3 : at + 3 + size].rstrip(b"\0").decode("ascii")
            at += 3 + size
        mark, size = struct.unpack_from(">cI", data, at)
        if mark != b"e" or not 0 < size == len(data) - at - 5:
            raise ValueError("its length is not what its header says")
    except (struct.error, ValueError) as error:
        raise InputError(f"{where}: is no whole bitstream file ({error})") from error
    return fields


def _plain(part: str) -> str:
    """A part's name as header and project have in common: ``7z020clg400`` of ``xc7z020clg400-1``."""
    return part.lower().replace("-", "").removeprefix("xc")


def _check_handoff(design: BlockDesign, data: bytes, where: str) -> float:
    """Registers lie where the driver expects them; returns the clock, in MHz, that PYNQ makes of the file."""
    try:
        root = parse_xml(data, where)
    except ToolFailedError as error:
        raise InputError(str(error)) from error
    kind = design.processor.vlnv.split(":")[2]
    module = next((module for module in root.iter("MODULE") if module.get("MODTYPE") == kind), None)
    if module is None:
        raise InputError(f"{where}: has no {kind}")
    places = {entry.get("INSTANCE"): _integer(entry.get("BASEVALUE", ""), 16) for entry in module.iter("MEMRANGE")}
    for slave in design.slaves:
        if places.get(slave.cell) != slave.address:
            raise InputError(f"{where}: {slave.cell} is not at 0x{slave.address:08X}, where the driver looks for it")
    values = {entry.get("NAME"): entry.get("VALUE", "") for entry in module.iter("PARAMETER")}
    pattern, source = _CLOCKS[kind]
    divisors = [_integer(values.get(pattern.format(i), ""), 10) for i in (0, 1)]
    if min(divisors) < 1 or values.get(source, "") not in _PLLS:
        raise InputError(f"{where}: does not divide the I/O PLL, as PYNQ does, to make the engine's clock")
    clock = design.processor.pll_mhz / (divisors[0] * divisors[1])
    if clock > design.made_clock_mhz * _FASTER:
        raise InputError(
            f"{where}: PYNQ would run the engine at {clock:.1f} MHz, but it was built for {design.made_clock_mhz:.1f} "
            "MHz; are the board's files installed in Vivado, or its crystal set in the board's .toml file?"
        )
    return round(clock, 3)


def _integer(text: str, base: int) -> int:
    try:
        return int(text[:20], base)
    except ValueError:
        return -1


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


# --- into the build ---


def write_result(build: Build, project: Project, result: Result, tools: Mapping[str, str]) -> dict[str, Any]:
    """Put bitstream and handoff file into ``deploy/`` and the figures into the report, which is returned."""
    deploy = build.folder / "deploy"  # no link: files below it were read when the build was opened
    made = {f"deploy/{name}": hashlib.sha256(result.files[name]).hexdigest() for name in (BIT, HWH)}
    others = {str(entry["path"]): str(entry["sha256"]) for entry in build.report["files"]}
    # The folder is whole at every moment: the report first forgets earlier files, then learns of the new ones.
    kept = {path: digest for path, digest in others.items() if path not in made}
    if kept != others:
        _write_report(build.folder, build.report | {"files": _listed(kept), "implementation": None})
    for name in (BIT, HWH):
        write_file(result.files[name], deploy / name)
    report = build.report | {
        **_resources(build, project, result),
        "implementation": _implementation(project, result, tools),
        "tools": dict(sorted({**build.report["tools"], **tools}.items())),
        "hardware_verified": False,
        "files": _listed(kept | made),
    }
    _write_report(build.folder, report)
    return report


def _write_report(folder: Path, report: Mapping[str, Any]) -> None:
    write_file(to_json(report), folder / REPORT)


def _listed(digests: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"path": path, "sha256": digest} for path, digest in sorted(digests.items())]


def _resources(build: Build, project: Project, result: Result) -> dict[str, Any]:
    """The engine's own figures, for the flow that was run."""
    name = "resources_hls" if project.flow == "hls" else "resources"
    figures, source = result.engine, "implemented"
    if figures is None and result.estimate is not None:
        figures, source = result.estimate.used, "synthesized"
    if figures is None:
        return {}
    table = build.report.get(name)
    if not isinstance(table, Mapping) or not all(isinstance(table.get(key), Mapping) for key in RESOURCES):
        raise InputError(f"{build.folder / REPORT}: not as docs/report.md describes it; build again")
    return {name: {key: {**table[key], "used": figures[key], "source": source} for key in RESOURCES}}


def _implementation(project: Project, result: Result, tools: Mapping[str, str]) -> dict[str, Any]:
    timing, estimate = result.timing, result.estimate
    return {
        "flow": project.flow,
        "tools": dict(tools),
        "sources": project.digest,
        "clock_mhz": result.clock_mhz,
        "setup_slack_ns": timing.setup_ns,
        "hold_slack_ns": timing.hold_ns,
        "worst_path": asdict(timing.path) if timing.path else None,
        "design": {name: result.design[name] for name in RESOURCES},
        "csynth": {"clock_ns": estimate.clock_ns, **{name: estimate.used[name] for name in RESOURCES}}
        if estimate
        else None,
    }
