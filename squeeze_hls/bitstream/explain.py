"""The vendor's error messages: the one that matters, and what to do about it.

The numbers in brackets are AMD's message identifiers, as users of Vivado and Vitis HLS reported them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAX_LOG = 8 * 2**20  # bytes read of a log, from its end
EXCERPT = 240  # characters of a message that are repeated
KILLED = (-9, 137)


@dataclass(frozen=True)
class Rule:
    """A kind of failure: how its message begins, and the way out."""

    name: str
    pattern: str
    advice: str


# In the order in which they are looked for: what comes first explains what comes later.
RULES = (
    Rule(
        "disk",
        r"No space left on device|not enough (?:disk )?space|Disk quota exceeded",
        "the disk is full: a project takes a few GB; free some space or set XDG_CACHE_HOME to a larger disk, then run "
        "the command again: it goes on after the last step that was done",
    ),
    Rule(
        "memory",
        r'Killed\s+"\$RDI_PROG"|std::bad_alloc|[Oo]ut of memory|[Cc]annot allocate memory|Parent process \(pid',
        "the machine ran out of memory: close other programs, run with --jobs 1, or take a machine with more",
    ),
    Rule(
        "licence",
        r"\[Common 17-34[58]\]|valid license was not found|[Nn]o valid license|[Ll]icense check-?out failed",
        "the licence does not cover this part, or none was found: docs/bitstream.md says which edition covers which "
        "board; the Vivado License Manager (vlm) shows what is installed",
    ),
    Rule(
        "board files",
        r"\[Board 49-71\]|the board files \S+ are not installed",
        "install the board's files: in Vivado, Tools > Vivado Store > Boards, or `xhub::install [xhub::get_xitems "
        "*NAME*]` in its Tcl console",
    ),
    Rule(
        "part",
        r"\[Coretcl 2-106\]|\[Device 21-436\]|\[HLS 200-1023\]|\[Common 17-69\].*Part '[^']*' not found",
        "this installation lacks the device: add its family (Zynq-7000, or Zynq UltraScale+ MPSoC and Kria) with "
        "Help > Add Design Tools or Devices",
    ),
    Rule(
        "version",
        r"\[BD 5-216\]|\[BD 5-390\]|\[IP_Flow 19-2162\]|VLNV \S+ is not supported",
        "this version of Vivado does not offer an IP core as the script wants it: 2023.2 is what the script was "
        "written for",
    ),
    Rule(
        "contents",
        r"\[Synth 8-4445\]",
        "a file with memory contents was not found, and the engine would begin empty: run again with --fresh",
    ),
    Rule(
        "overfull",
        r"\[Place 30-640\]|\[DRC UTLZ-\d+\]",
        "the design does not fit the part: compare the report's resources with the planner's; build with --weights "
        "streamed, or for a larger board",
    ),
    Rule(
        "routing",
        r"\[Route 35-\d+\]",
        "the router gave up: build with a slower --clock",
    ),
    Rule("rules", r"\[DRC [^\]]+\]|\[Vivado_Tcl 4-23\]", "a design rule is violated; please report it with the log"),
    Rule("synthesis", r"\[(?:Synth|HLS|SYNCHK|SIM|COSIM) [\d-]+\]", "please report it with the log"),
)


def explain(logs: Iterable[Path], code: int) -> tuple[str, str]:
    """The message that matters and the way out; either may be empty.

    ``logs`` are looked through in this order, ``code`` is the exit code.  Vivado's first error is the one that matters:
    those after it say that a command or a run failed because of it.
    """
    lines = [line for log in logs for line in _lines(log)]
    errors = [line for line in lines if re.match(r"(?:CRITICAL )?(?:ERROR|FATAL)|error:", line, re.IGNORECASE)]
    for rule in RULES:
        # What warns of an empty memory is an error in itself; the others count only where they are one.
        for line in lines if rule.name in ("disk", "memory", "contents") else errors:
            if re.search(rule.pattern, line):
                return shorten(line), rule.advice
    if code in KILLED:
        return "killed by the operating system", next(rule.advice for rule in RULES if rule.name == "memory")
    return shorten(errors[0] if errors else lines[-1] if lines else ""), ""


def shorten(text: str) -> str:
    """One line of reasonable length."""
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 3]}..."


def _lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - MAX_LOG))
            text = stream.read(MAX_LOG).decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]
