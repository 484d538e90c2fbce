"""Plan -> the Vitis HLS project: engine sources, constants, memory contents, test bench, Tcl."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from squeeze_hls.artifacts.bundle import Bundle
from squeeze_hls.emit.block_design.vivado import block_design
from squeeze_hls.emit.hls_memories import headers, memories, piece_names, record_bytes
from squeeze_hls.emit.render import render
from squeeze_hls.engine.fields import ENTRY, PARAM
from squeeze_hls.engine.packets import image_packet, program_packet, stream_packet, weights_packet
from squeeze_hls.engine.program import program_crc, sections
from squeeze_hls.engine.registers import STATUS
from squeeze_hls.engine.store import WORD_BYTES
from squeeze_hls.network import golden
from squeeze_hls.paths import HLS_SOURCES
from squeeze_hls.plan.planner import Plan

_A_LINE = 6


def emit(plan: Plan, *, image: np.ndarray | None = None, logits: np.ndarray | None = None) -> Bundle:
    """The folder ``hls/`` of a build.

    ``image`` is the test bench's picture, u8 (H, W, 3), ``logits`` what the golden model says to it; without
    them a fixed pattern is taken and the golden model asked.
    """
    if image is None:
        image = _pattern(plan.network.input_shape)
    if logits is None:
        logits = golden.run(plan.network, image)[plan.network.nodes[-1].output]
    contents = _initial_contents(plan)
    data = _test_data(plan, image, logits)
    values = {
        "engine": plan.engine,
        "status": STATUS,
        "memories": memories(plan.engine),
        "program_crc": program_crc(plan.program_bin),
        "weights_crc": plan.program.header.weights_crc,
        "classes": plan.network.classes,
        "part": plan.board.part,
        "period_ns": 1000 / plan.clock_mhz,
        "data_files": sorted(data),
    }
    bundle = Bundle({f"src/{path.name}": path.read_bytes() for path in HLS_SOURCES.glob("*.hpp")})
    for name, text in headers(plan.engine, [name.removesuffix(".inc") for name in contents]).items():
        bundle.add(f"src/{name}", text)
    for name in ("squeeze_engine.hpp", "squeeze_engine.cpp"):
        bundle.add(f"src/{name}", render(f"hls/{name}.j2", **values))
    bundle.merge(contents, "src")
    bundle.add("tb/testbench.cpp", render("hls/testbench.cpp.j2", **values))
    bundle.merge(data, "tb")
    bundle.add("run_hls.tcl", render("hls/run_hls.tcl.j2", **values))
    streamed = plan.engine.streamed
    script = block_design(plan.board, plan.clock_mhz, streamed=streamed, engine_id=plan.engine.id)
    bundle.add("vivado/build.tcl", script)
    return bundle


def _pattern(shape: tuple[int, int, int]) -> np.ndarray:
    """A picture of any size in which every pixel and colour differs from its neighbours."""
    height, width, _ = shape
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((7 * x + 13 * y + 85 * c + x * y // 8) % 256).astype(np.uint8)


def _test_data(plan: Plan, image: np.ndarray, logits: np.ndarray) -> dict[str, bytes]:
    """Packets as files of 64-bit words, and the expected logits as s32."""
    data = {
        "image.pkt": image_packet(image, plan.program_bin).data,
        "program.pkt": program_packet(plan.program_bin, plan.engine).data,
        "logits.bin": logits.astype("<i4").tobytes(),
    }
    if plan.engine.streamed:
        data["stream.pkt"] = stream_packet(plan.stream_bin, plan.program_bin).data
    else:
        data["weights.pkt"] = weights_packet(plan.weights_bin, plan.engine).data
    return data


def _initial_contents(plan: Plan) -> dict[str, bytes]:
    """Lists of constants that the engine begins with, by file name."""
    words, cin = sections(plan.program_bin), plan.engine.cin
    files = {"header.inc": _constants(words["header"])}
    files |= {f"{name}_memory.inc": _constants(words[f"{name}s"]) for name in ("layer", "buffer", "instruction")}
    records = np.array(words["params"], "<u8").view(np.uint8).reshape(-1, 8)[:, : record_bytes(PARAM)]
    files["param_memory.inc"] = _words(records.reshape(-1, cin * record_bytes(PARAM)))
    if plan.engine.tables:
        entries = np.array(words["tables"], "<u8").view(np.uint8).reshape(-1, 8)[:, : record_bytes(ENTRY)]
        copies = b"".join([b"{\n", _words(entries), b"},\n"]) * plan.engine.chunk
        files["code_memory.inc"] = copies
    if plan.engine.store_loaded:
        files |= _store_contents(plan)
    return files


def _store_contents(plan: Plan) -> dict[str, bytes]:
    """One file for each piece of the weight store."""
    rows = np.frombuffer(plan.weights_bin, np.uint8).reshape(-1, WORD_BYTES)
    files, first = {}, 0
    for name, size in zip(piece_names(plan.engine)["store"], plan.engine.store_pieces, strict=True):
        files[f"{name}.inc"] = _words(rows[first : first + size])
        first += size
    return files


def _constants(words: Iterable[int]) -> bytes:
    """C initializers of 64-bit words."""
    return _lines(f"0x{word:x}ULL" for word in words)


def _words(rows: np.ndarray) -> bytes:
    """C initializers of words that are arrays of bytes: uint8 (words, bytes)."""
    return _lines(["{" + ",".join(map(str, row)) + "}" for row in rows.tolist()] or ["{0}"])


def _lines(items: Iterable[str]) -> bytes:
    """C initializers, a few a line."""
    chosen = list(items)
    rows = (", ".join(chosen[i : i + _A_LINE]) for i in range(0, len(chosen), _A_LINE))
    return (",\n".join(rows) + ",\n").encode()
