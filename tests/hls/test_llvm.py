"""What a synthesis front end sees: the emitted top function as LLVM IR, compiled by clang.

Vitis HLS is built on clang, and takes what a memory holds from the initializer of its array.  A constructor that
runs before `main` would leave it with a memory of zeros, or with none at all.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from squeeze_hls import tools
from squeeze_hls.artifacts.bundle import Bundle
from squeeze_hls.emit import hls
from squeeze_hls.emit.hls_memories import memories
from squeeze_hls.plan import Plan

from .test_emit import plan_on, write

# The open headers cannot be compiled for synthesis themselves, so the macro is defined after them.
TOP = """\
#include "ap_int.h"
#include "hls_stream.h"
#define __SYNTHESIS__
#include "squeeze_engine.cpp"
"""
AXI = """\
template <int D, int U, int TI, int TD>
struct ap_axiu {
    ap_uint<D> data;
    ap_uint<(D + 7) / 8> keep, strb;
    ap_uint<1> last;
};
"""
# The standard one constructs its streams at the start of every program.
IOSTREAM = """\
#include <istream>
#include <ostream>
namespace std {
extern istream cin;
extern ostream cout, cerr, clog;
}
"""


@dataclass(frozen=True)
class Module:
    """LLVM IR of a top function, and what the engine is to hold."""

    text: str
    layouts: str  # of all structs
    files: Bundle
    plan: Plan

    def initializer(self, name: str) -> str:
        """What a static array of integers begins with."""
        found = re.search(rf"^@_ZL\d+{name} = internal (?:unnamed_addr )?global (.*), align \d+$", self.text, re.M)
        assert found, f"{name} is no array of its own"
        assert "%" not in re.sub(r'c"[^"]*"', "", found[1]), f"{name} is made of structs"
        return "zeroinitializer" if found[1].endswith("] zeroinitializer") else found[1]


def headers_of_the_vendor(folder: Path) -> Path:
    """The open headers, with what the vendor's have: numbers that nobody constructs hold nothing."""
    shutil.copytree(tools.require_hls_headers(), folder)
    private = folder / "etc" / "ap_private.h"
    text, count = re.subn(r"INLINE ap_private\(\) \{[^}]*\}", "INLINE ap_private() {}", private.read_text())
    assert count == 2
    private.write_text(text)
    (folder / "iostream").write_text(IOSTREAM)
    (folder / "ap_axi_sdata.h").write_text(AXI)
    return folder


def compiled(folder: Path) -> tuple[str, str]:
    """LLVM IR of the sources in ``folder/src``, and the layouts of their structs."""
    clang = shutil.which("clang++")
    if clang is None:
        pytest.skip("no clang++; on Debian: apt install clang")
    top = folder / "top.cpp"
    top.write_text(TOP)
    headers = headers_of_the_vendor(folder / "headers")
    flags = ["-std=c++14", "-O2", "-Wno-unknown-pragmas", "-Wno-unused-value"]
    command = [clang, *flags, "-isystem", str(headers), "-I", str(folder / "src"), str(top)]
    tools.run([*command, "-S", "-emit-llvm", "-o", str(folder / "top.ll")], log=folder / "clang.log", timeout=300)
    layouts = folder / "layouts.log"
    tools.run([*command, "-fsyntax-only", "-Xclang", "-fdump-record-layouts"], log=layouts, timeout=300)
    return (folder / "top.ll").read_text(), layouts.read_text()


def arrays_of(structure: str, layouts: str) -> set[str]:
    """Paths of all arrays in a struct, by what clang says of its layout; those of the vendor's numbers aside."""
    dump = layouts[layouts.index(f"| struct {structure}\n") :].partition("[sizeof=")[0]
    paths, found = [""], set()
    for line in dump.splitlines()[1:]:
        matched = re.fullmatch(r"[\s\d:-]*\|(\s+)(.*?) (\w+)", line)
        if matched is None or "(base)" in line:
            continue
        depth = len(matched[1]) // 2
        paths[depth:] = [matched[3]]
        if "[" in matched[2] and matched[3] not in ("pVal", "VAL"):
            found.add(".".join(paths[1:]))
    return found


@pytest.fixture(scope="module", params=[("pynq-z2", "resident"), ("pynq-z2", "streamed"), ("kv260", "resident")])
def module(request: pytest.FixtureRequest, needs_compiler: None, tmp_path_factory: pytest.TempPathFactory) -> Module:
    folder = tmp_path_factory.mktemp("llvm")
    plan = plan_on(*request.param)
    files = hls.emit(plan)
    write(files, folder)
    return Module(*compiled(folder), files, plan)


def test_nothing_is_constructed_before_the_engine_starts(module: Module) -> None:
    constructors = re.findall(r"^@llvm.global_ctors = appending global \[(\d+) x", module.text, re.M)
    assert constructors in ([], ["0"])
    assert "__cxa_guard" not in module.text, "a static of a function that is constructed at its first call"


def test_every_memory_is_an_array_with_its_contents(module: Module) -> None:
    for memory in memories(module.plan.engine):
        holds = module.initializer(memory.name) != "zeroinitializer"
        assert holds == (f"src/{memory.name}.inc" in module.files), memory.name
    assert {f"src/{name}_memory.inc" for name in ("param", "layer", "buffer", "instruction")} <= module.files.keys()
    assert ("src/store_memory_0.inc" in module.files) == module.plan.engine.store_loaded


def test_every_memory_is_bound_to_its_kind(module: Module) -> None:
    """Each pragma names the array itself, in the top function."""
    top = module.files["src/squeeze_engine.cpp"].decode()
    body = top[top.index("void squeeze_engine(") :]
    for memory in memories(module.plan.engine):
        assert f"HLS_MEMORY({memory.name}, {memory.kind})" in body
        for directive, dimension in (("PARTITION", memory.partition), ("RESHAPE", memory.word)):
            assert (f"HLS_{directive}({memory.name}, {dimension})" in body) == bool(dimension)
    kinds = {memory.name.split("_")[0]: memory.kind for memory in memories(module.plan.engine)}
    assert kinds.pop("store", "bram") == ("uram" if module.plan.engine.store_uram else "bram")
    kinds.pop("code", None)
    assert kinds == {
        "bank": "bram", "param": "bram", "tile": "lutram", "carry": "lutram", "layer": "lutram", "buffer": "lutram",
        "instruction": "lutram",
    }  # fmt: skip


def test_every_array_of_registers_is_partitioned(module: Module) -> None:
    """An array among the registers would be a memory with two ports, where the pipeline reads all of it."""
    top = module.files["src/squeeze_engine.cpp"].decode()
    partitioned = re.findall(r"HLS_PARTITION\(state\.([\w.]+), 0\)", top)
    assert sorted(partitioned) == sorted(arrays_of("squeeze::State", module.layouts))
