"""Plan -> the RTL project: engine sources, a top with this build's parameters, memory contents, Vivado's script."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from squeeze_hls.artifacts.bundle import Bundle
from squeeze_hls.emit.block_design.vivado import block_design
from squeeze_hls.emit.render import render
from squeeze_hls.engine import fields
from squeeze_hls.engine.config import STORE_WORD_BITS, EngineConfig, power_of_two_pieces
from squeeze_hls.engine.entropy import STATES
from squeeze_hls.engine.latencies import TABLE, Latencies
from squeeze_hls.engine.program import program_crc, sections
from squeeze_hls.engine.store import WORD_BYTES
from squeeze_hls.paths import RTL_SOURCES
from squeeze_hls.plan.planner import Plan

PACKAGE = "squeeze_pkg.sv"
KEYWORDS = frozenset({"type", "wait"})  # field names that SystemVerilog reserves
TOP = "squeeze_engine_top"
INIT_PREFIX = "squeeze_"  # of the files with memory contents
_REQUANTIZE_BITS = 44  # what the memory of requantization records holds of each


def rtl_sources(folder: Path = RTL_SOURCES) -> list[Path]:
    """Every module of the engine, the package first."""
    package = folder / PACKAGE
    return [package, *sorted(path for path in folder.glob("*.sv") if path != package)]


def parameters(engine: EngineConfig) -> dict[str, str]:
    """Parameters of squeeze_engine as SystemVerilog constants."""
    return {
        "PIX": str(engine.pix),
        "CIN": str(engine.cin),
        "COUT": str(engine.cout),
        "ACT_DEPTH": str(engine.act_depth),
        "TILE_WORDS": str(engine.tile_words),
        "STORE_WORDS": str(engine.store_words),
        "STORE_STYLE": '"ultra"' if engine.store_uram else '"block"',
        "PARAM_DEPTH": str(engine.param_depth),
        "PROGRAM_DEPTH": str(engine.program_depth),
        "LAYER_DEPTH": str(engine.layer_depth),
        "BUFFER_DEPTH": str(engine.buffer_depth),
        "CARRY_WORDS": str(engine.carry_words),
        "KERNEL_MAX": str(engine.kernel_max),
        "TABLES": str(engine.tables),
        "ENGINE_ID": f"32'd{engine.identity}",
    }


def loaded(plan: Plan, prefix: str) -> dict[str, str]:
    """Further parameters of an engine that begins with this program, and with its weights where that can be.

    ``prefix`` is what the names of the files of ``contents`` begin with, folder included.
    """
    words = sections(plan.program_bin)
    header = plan.program.header
    buffer = words["buffers"][header.gather_buffer]
    crc = header.weights_crc if plan.engine.store_loaded else 0
    return {
        "PROGRAM_LOADED": "1'b1",
        "STORE_LOADED": "1'b1" if plan.engine.store_loaded else "1'b0",
        "HEADER_INIT": f"384'h{_hex(words['header'], 16)}",
        "GATHER_INIT": f"64'h{buffer:x}",
        "PROGRAM_CRC_INIT": f"32'h{program_crc(plan.program_bin):x}",
        "STORE_CRC_INIT": f"32'h{crc:x}",
        "INIT_PREFIX": f'"{prefix}"',
    }


def contents(plan: Plan) -> dict[str, bytes]:
    """Initial memory contents as $readmemh files, by name without the prefix (see hw/rtl/program_memory.sv and
    split_memory.sv): a line for every word of the memory, as AMD UG901 asks for.
    """
    engine, words = plan.engine, sections(plan.program_bin)
    layers, step = words["layers"], fields.LAYER.words
    files = {f"layer{k}": _lines(layers[k::step], 64, engine.layer_depth) for k in range(step)}
    files["buffers"] = _lines(words["buffers"], _struct(fields.BUFFER).bits, engine.buffer_depth)
    files["instructions"] = _lines(words["instructions"], 64, fields.INSTRUCTION.words * engine.program_depth)
    low = (1 << _REQUANTIZE_BITS) - 1
    params = [word & low for word in words["params"]]
    files |= _split("params", params, power_of_two_pieces(plan.engine.param_depth, 2), _REQUANTIZE_BITS)
    if engine.tables:
        files["tables"] = _lines(words["tables"], _struct(fields.ENTRY).bits, STATES * engine.tables)
    if plan.engine.store_loaded:
        data = plan.weights_bin
        store = [int.from_bytes(data[at : at + WORD_BYTES], "little") for at in range(0, len(data), WORD_BYTES)]
        files |= _split("store", store, plan.engine.store_pieces, STORE_WORD_BITS)
    return {f"{name}.mem": text for name, text in files.items()}


def emit(plan: Plan) -> Bundle:
    """The folder ``rtl/`` of a build."""
    sources = rtl_sources()
    bundle = Bundle({f"src/{path.name}": path.read_bytes() for path in sources})
    top = f"src/{TOP}.v"
    values = parameters(plan.engine) | loaded(plan, INIT_PREFIX)
    bundle.add(top, render("rtl/squeeze_engine_top.v.j2", parameters=values, streamed=plan.engine.streamed))
    memories = {f"contents/{INIT_PREFIX}{name}": text for name, text in sorted(contents(plan).items())}
    bundle.merge(memories, "")
    names = [f"src/{path.name}" for path in sources] + [top]
    bundle.add("sources.f", "\n".join(names) + "\n")
    bundle.add(
        "vivado/build.tcl",
        block_design(
            plan.board,
            plan.clock_mhz,
            streamed=plan.engine.streamed,
            engine_id=plan.engine.id,
            rtl_top=TOP,
            rtl_files=(*names, *memories),
        ),
    )
    return bundle


def _hex(words: Iterable[int], digits: int) -> str:
    """Words as one number, the first one lowest."""
    return "".join(f"{word:0{digits}x}" for word in reversed(list(words)))


def _split(name: str, words: list[int], pieces: Iterable[int], bits: int) -> dict[str, bytes]:
    """One file for each power-of-two piece of a split memory, named by the piece's bit."""
    files, first = {}, 0
    for size in pieces:
        files[f"{name}{size.bit_length() - 1:02}"] = _lines(words[first : first + size], bits, size)
        first += size
    return files


def _lines(words: Iterable[int], bits: int, depth: int) -> bytes:
    """A $readmemh file for a memory of ``depth`` words, zeros after those given."""
    digits = -(-bits // 4)
    lines = [f"{word:0{digits}x}\n" for word in words]
    return "".join(lines + ["0" * digits + "\n"] * (depth - len(lines))).encode()


# --- the package of bit layouts ---


@dataclass(frozen=True)
class _Member:
    name: str
    width: int
    doc: str = ""


@dataclass(frozen=True)
class _Struct:
    name: str
    words: int
    bits: int
    fields: tuple[_Member, ...]


def render_package(latencies: Latencies = TABLE) -> str:
    """Text of ``squeeze_pkg.sv``: records as packed structs, packet constants, latencies."""
    return render(
        "rtl/squeeze_pkg.sv.j2",
        records=[_struct(record) for record in fields.RECORDS],
        format_version=fields.FORMAT_VERSION,
        latencies=latencies,
        packet_magic=fields.PACKET_MAGIC,
        packet_types={"image": fields.IMAGE, "weights": fields.WEIGHTS, "program": fields.PROGRAM},
    )


def _struct(record: fields.Record) -> _Struct:
    """The record's members from the most significant bit down, gaps filled with reserved bits."""
    members: list[_Member] = []
    end, gaps = 0, 0
    for field in record.fields:
        start = field.word * fields.WORD_BITS + field.low
        if start > end:
            members.append(_Member(f"reserved{gaps}", start - end))
            gaps += 1
        members.append(_Member(_identifier(field.name), field.width, field.doc))
        end = start + field.width
    if record.words * fields.WORD_BITS > end:
        members.append(_Member(f"reserved{gaps}", record.words * fields.WORD_BITS - end))
    return _Struct(record.name, record.words, end, tuple(reversed(members)))


def _identifier(name: str) -> str:
    return f"{name}_" if name in KEYWORDS else name
