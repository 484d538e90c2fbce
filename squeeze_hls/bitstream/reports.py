"""Reading what the vendor's tools report: timing, area, and the estimate of Vitis HLS.

The forms are those of AMD UG906 and of reports that users of Vivado 2018 to 2025 published.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from xml.etree import ElementTree

from squeeze_hls.errors import ToolFailedError

MAX_NAME = 500  # characters of a path's end point
_NUMBER = r"-?\d+\.\d+"
# What the rows of `report_utilization` are called, on 7 series and on UltraScale+.
_ROWS = {
    "lut": r"(?:Slice|CLB) LUTs\*?",
    "ff": r"(?:Slice|CLB) Registers\*?",
    "bram36": r"Block RAM Tile",
    "uram": r"URAM",
    "dsp": r"DSPs",
}


@dataclass(frozen=True, kw_only=True)
class TimingPath:
    """One path of the timing report."""

    slack_ns: float
    start: str
    end: str
    levels: int | None  # of logic
    delay_ns: float | None


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The summary of a routed design; slacks below zero are failures."""

    setup_ns: float
    hold_ns: float
    pulse_width_ns: float
    failing: int  # end points that are late
    path: TimingPath | None  # the worst of setup

    @property
    def met(self) -> bool:
        return min(self.setup_ns, self.hold_ns, self.pulse_width_ns) >= 0


def parse_timing(text: str) -> Timing:
    """``report_timing_summary``; raises ToolFailedError for anything else."""
    _, found, rest = text.partition("| Design Timing Summary")
    for line in rest.splitlines():
        fields = line.split()
        if len(fields) == 12 and re.fullmatch(_NUMBER, fields[0]):
            numbers = [_float(field) for field in fields]
            return Timing(
                setup_ns=numbers[0],
                failing=int(numbers[2]),
                hold_ns=numbers[4],
                pulse_width_ns=numbers[8],
                path=_worst_path(rest),
            )
    raise ToolFailedError(
        f"the timing report has no summary{' with figures' if found else ''}: is the design unconstrained?"
    )


def _worst_path(text: str) -> TimingPath | None:
    """Of the paths of setup, which the report lists by clock, the one with the least slack."""
    paths = []
    for part in re.split(r"(?m)^Slack ", text)[1:]:
        if "Path Type:" in part and "Setup" in part.split("Path Type:")[1].split("\n")[0]:
            slack = re.match(rf"\((?:MET|VIOLATED)\) :\s*({_NUMBER})ns", part)
            ends = [re.search(rf"(?m)^\s*{end}:\s*(\S+)", part) for end in ("Source", "Destination")]
            levels = re.search(r"Logic Levels:\s*(\d+)", part)
            delay = re.search(rf"Data Path Delay:\s*({_NUMBER})ns", part)
            if slack and ends[0] and ends[1]:
                paths.append(
                    TimingPath(
                        slack_ns=float(slack[1]),
                        start=ends[0][1][:MAX_NAME],
                        end=ends[1][1][:MAX_NAME],
                        levels=int(levels[1]) if levels else None,
                        delay_ns=float(delay[1]) if delay else None,
                    )
                )
    return min(paths, key=lambda path: path.slack_ns, default=None)


def parse_utilization(text: str) -> dict[str, int]:
    """Used DSP, BRAM36, UltraRAM, LUT and flip-flops of ``report_utilization``; half a BRAM36 counts as one.

    Raises ToolFailedError where one is missing; a part without UltraRAM has no row for it.
    """
    used = {"uram": 0}
    for name, row in _ROWS.items():
        match = re.search(rf"(?m)^\|\s*{row}\s*\|\s*(\d+(?:\.\d+)?)\s*\|", text)
        if match:
            used[name] = math.ceil(_float(match[1]))
    missing = sorted(set(_ROWS) - set(used))
    if missing:
        raise ToolFailedError(f"the utilization report has no row for {', '.join(missing)}")
    return used


@dataclass(frozen=True, kw_only=True)
class HlsEstimate:
    """What Vitis HLS expects."""

    clock_ns: float
    used: dict[str, int]


def parse_csynth(data: bytes) -> HlsEstimate:
    """``squeeze_engine_csynth.xml``; raises ToolFailedError for anything else."""
    root = parse_xml(data, "the report of Vitis HLS")
    names = {"bram36": "BRAM_18K", "dsp": "DSP", "ff": "FF", "lut": "LUT", "uram": "URAM"}
    try:
        used = {}
        for name, tag in names.items():
            text = root.findtext(f"AreaEstimates/Resources/{tag}")
            used[name] = int(text) if text is not None or name != "uram" else 0  # type: ignore[arg-type]
        used["bram36"] = -(-used["bram36"] // 2)
        clock = _float(str(root.findtext("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")))
        if min(used.values()) < 0 or max(used.values()) > 10**9:
            raise ValueError("a count is out of range")
    except (TypeError, ValueError) as error:
        raise ToolFailedError(f"the report of Vitis HLS is not as expected ({error})") from error
    return HlsEstimate(clock_ns=clock, used=used)


def parse_xml(data: bytes, what: str) -> ElementTree.Element:
    """An XML tree without entities of its own; raises ToolFailedError for anything else."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ToolFailedError(f"{what} declares entities, which Vivado's never does")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ToolFailedError(f"{what} is no XML ({error})") from error


def _float(text: str) -> float:
    """A finite number of reasonable size; raises ToolFailedError."""
    try:
        value = float(text)
    except ValueError as error:
        raise ToolFailedError(f"{text[:40]!r} stands where a report has a number") from error
    if not abs(value) <= 1e9:
        raise ToolFailedError(f"{text[:40]!r} is no plausible figure")
    return value
