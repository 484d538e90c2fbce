"""``squeeze_engine.bit`` of the simulated board: the header of a Xilinx bitstream, then what a real one fixes.

That is the engine's parameters, the clock, and the initial contents of its memories (program and weights).  The file
is complete in itself, so that a copied folder still works; ``squeeze_engine.hwh`` belongs beside it, as on a board.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from squeeze_hls.artifacts.build_folder import Build, open_build, parse_engine
from squeeze_hls.artifacts.bundle import write_file
from squeeze_hls.emit.block_design.design import PROCESSORS, BlockDesign, describe
from squeeze_hls.emit.block_design.hwh import handoff
from squeeze_hls.emit.rtl import TOP
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import InputError
from squeeze_hls.plan.planner import Plan

NAME = "squeeze_engine"
MAGIC = b"squeeze-hls simulated board 1\0\0\0"
MAX_BYTES = 64 * 2**20
_PREAMBLE = bytes([0x00, 0x09, *[0x0F, 0xF0] * 4, 0x00, 0x00, 0x01])
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Bitfile:
    """What the file holds."""

    engine: EngineConfig
    family: str
    part: str
    clock_mhz: float
    cycles: int  # that a frame is predicted to take
    program: bytes
    weights: bytes

    @property
    def design(self) -> BlockDesign:
        return describe(self.family, self.part, self.clock_mhz, streamed=self.engine.streamed, rtl_top=TOP)


def make(source: Path | str | Build | Plan, folder: Path | str) -> Path:
    """Write ``squeeze_engine.bit`` and ``.hwh`` of a build folder or a plan into ``folder``; the path of the former.

    Raises InputError where the build folder is none, or the disk does not take the files.
    """
    if isinstance(source, Plan):
        bitfile = _of_plan(source)
    else:
        bitfile = _of_build(source if isinstance(source, Build) else open_build(Path(source)))
    path = Path(folder) / f"{NAME}.bit"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be made: {error.strerror}") from error
    write_file(handoff(bitfile.design), path.with_suffix(".hwh"))
    write_file(pack(bitfile), path)
    return path


def _of_plan(plan: Plan) -> Bitfile:
    return Bitfile(
        engine=plan.engine,
        family=plan.board.family,
        part=plan.board.part,
        clock_mhz=plan.clock_mhz,
        cycles=plan.timing.total,
        program=plan.program_bin,
        weights=plan.weights_bin,
    )


def _of_build(build: Build) -> Bitfile:
    try:
        part = str(build.report["board"]["part"])
        return Bitfile(
            engine=build.engine,
            family="zynq-7000" if part.startswith("xc7z") else "zynq-ultrascale+",
            part=part,
            clock_mhz=float(build.report["engine"]["clock_mhz"]),
            cycles=int(build.report["cycles"]["predicted"]),
            program=build.program,
            weights=build.store,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{build.folder}: the report lacks the board, its clock or cycles; build again") from error


def pack(bitfile: Bitfile) -> bytes:
    """The file's bytes; the same contents always give the same bytes."""
    table = {
        "engine": asdict(bitfile.engine),
        "family": bitfile.family,
        "part": bitfile.part,
        "clock_mhz": bitfile.clock_mhz,
        "cycles": bitfile.cycles,
        "program_bytes": len(bitfile.program),
        "weights_bytes": len(bitfile.weights),
    }
    text = json.dumps(table, sort_keys=True).encode()
    body = MAGIC + _LENGTH.pack(len(text)) + text + bitfile.program + bitfile.weights
    body += bytes(-len(body) % 4)  # PYNQ swaps words
    body += hashlib.sha256(body).digest()
    fields = (NAME + ";Simulated=TRUE;Version=0", bitfile.part, "2000/01/01", "00:00:00")
    header = _PREAMBLE
    for key, field in zip(b"abcd", fields, strict=True):
        value = field.encode("ascii") + b"\0"
        header += bytes([key]) + struct.pack(">H", len(value)) + value
    return header + b"e" + struct.pack(">I", len(body)) + body


def read(path: Path) -> Bitfile:
    """The inverse of ``pack``; raises InputError for a real bitstream, and for what is none or altered."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: too large for a bitstream of the simulated board")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    start = data.find(MAGIC)
    if start < 0:
        raise InputError(f"{path}: not a bitstream of the simulated board; write one with squeeze_hls.sim.board.make")
    body, digest = data[start:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise InputError(f"{path}: the checksum differs: the file is cut off or altered; write it again")
    try:
        return _parse(body[len(MAGIC) :])
    except (KeyError, TypeError, ValueError, RecursionError, struct.error) as error:
        raise InputError(f"{path}: malformed ({error}); write it again") from error


def _parse(body: bytes) -> Bitfile:
    (length,) = _LENGTH.unpack_from(body)
    table: dict[str, Any] = json.loads(body[_LENGTH.size : _LENGTH.size + length])
    payload = body[_LENGTH.size + length :]
    program, weights = int(table["program_bytes"]), int(table["weights_bytes"])
    if table["family"] not in PROCESSORS or min(program, weights) < 0 or program + weights > len(payload):
        raise ValueError("unknown family, or wrong lengths")
    clock, cycles = float(table["clock_mhz"]), int(table["cycles"])
    if not (1 <= clock <= 1000 and 0 < cycles < 1 << 40):
        raise ValueError("absurd clock or cycles")
    return Bitfile(
        engine=parse_engine(table["engine"]),
        family=table["family"],
        part=str(table["part"]),
        clock_mhz=clock,
        cycles=cycles,
        program=payload[:program],
        weights=payload[program : program + weights],
    )
