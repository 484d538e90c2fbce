"""Reports in the forms of several versions of Vivado and of both families, and what is none."""

from __future__ import annotations

import pytest

from squeeze_hls.bitstream.reports import parse_csynth, parse_timing, parse_utilization
from squeeze_hls.bitstream.result import require_timing
from squeeze_hls.errors import ToolFailedError

SUMMARY = """
| Design Timing Summary
| ---------------------
    WNS(ns)      TNS(ns)  ...
    -------      -------  ...
{figures}
"""
FIGURES = "  {}  -1.0  3  10  {}  0.000  0  10  {}  0.000  0  5"
# Vivado 2018 to 2021 have no column of prohibited sites.
OLD = """
|          Site Type         |  Used | Fixed | Available | Util% |
| Slice LUTs                 | 37302 |     0 |     53200 | 70.12 |
| Slice Registers            | 42269 |     0 |    106400 | 39.73 |
| Block RAM Tile    | 42.5 |     0 |       140 | 30.36 |
| DSPs           |   24 |     0 |       220 | 10.91 |
"""
NEW = """
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
| CLB LUTs*                  |  4321 |     0 |          0 |    230400 |  1.87 |
|   LUT as Logic             |  4300 |     0 |          0 |    230400 |  1.86 |
| CLB Registers              |  2100 |     0 |          0 |    460800 |  0.46 |
| Block RAM Tile    |    7 |     0 |          0 |       312 |  2.24 |
|   URAM            |   13 |     0 |          0 |        96 | 13.54 |
| DSPs      |  528 |     0 |          0 |      1728 | 30.56 |
"""


def timing(setup: str, hold: str = "0.010", pulse: str = "3.750", paths: str = "") -> str:
    return SUMMARY.format(figures=FIGURES.format(setup, hold, pulse)) + paths


def path(slack: str, start: str, kind: str = "Setup (Max at Slow Process Corner)", levels: str = "4") -> str:
    return (
        f"Slack (VIOLATED) :        {slack}ns  (required time - arrival time)\n  Source:                 {start}\n"
        f"                            (rising edge)\n  Destination:            end/D\n"
        f"  Path Type:              {kind}\n"
        f"  Data Path Delay:        5.3ns  (logic 1.0ns route 4.3ns)\n  Logic Levels:           {levels}  (LUT2=4)\n\n"
    )


def test_utilization_of_both_families() -> None:
    assert parse_utilization(OLD) == {"lut": 37_302, "ff": 42_269, "bram36": 43, "dsp": 24, "uram": 0}
    assert parse_utilization(NEW) == {"lut": 4321, "ff": 2100, "bram36": 7, "dsp": 528, "uram": 13}
    with pytest.raises(ToolFailedError, match="no row for bram36, lut"):
        parse_utilization("| CLB Registers | 3 | \n| DSPs | 3 |")


def test_the_worst_path_of_setup() -> None:
    """Not the first one, which is of another clock, nor one of hold."""
    paths = path("0.500", "a/C") + path("-0.250", "b/C", levels="9") + path("-0.900", "c/C", kind="Hold (Min at Fast)")
    found = parse_timing(timing("-0.250", paths=paths))
    assert found.path is not None
    assert (found.path.start, found.path.end, found.path.levels, found.path.delay_ns) == ("b/C", "end/D", 9, 5.3)
    assert (found.setup_ns, found.failing, found.met) == (-0.25, 3, False)
    assert parse_timing(timing("0.1")).path is None


@pytest.mark.parametrize(
    ("figures", "met"),
    [(("0.000",), True), (("-0.001",), False), (("0.1", "-0.001"), False), (("0.1", "0.1", "-0.5"), False)],
)
def test_what_is_met(figures: tuple[str, ...], met: bool) -> None:
    assert parse_timing(timing(*figures)).met == met


def test_the_clock_that_is_proposed() -> None:
    """The path at the next lower whole frequency has some slack."""
    with pytest.raises(ToolFailedError, match="--clock 95, or less"):
        require_timing(parse_timing(timing("-0.500")), 100, "x")
    with pytest.raises(ToolFailedError, match=r"-0.500 ns \(pulse width\)"):
        require_timing(parse_timing(timing("0.1", "0.1", "-0.500")), 100, "x")


@pytest.mark.parametrize("text", ["", "| Design Timing Summary", timing("NA"), timing("9" * 400 + ".0")])
def test_reports_that_are_none(text: str) -> None:
    with pytest.raises(ToolFailedError):
        parse_timing(text)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"<profile/>", b"<profile>", b"\xff\xfe", b'<!DOCTYPE a [<!ENTITY b "c">]><profile/>',
        b"<profile><AreaEstimates><Resources><BRAM_18K>-1</BRAM_18K><DSP>1</DSP><FF>1</FF><LUT>1</LUT></Resources>"
        b"</AreaEstimates></profile>",
    ],
)  # fmt: skip
def test_reports_of_vitis_hls_that_are_none(data: bytes) -> None:
    with pytest.raises(ToolFailedError):
        parse_csynth(data)
