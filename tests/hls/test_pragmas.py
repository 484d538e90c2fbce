"""Every pragma as Vitis HLS reads it, after the preprocessor: its options are those of AMD's UG1399, and it names an
array itself where one of a struct would not do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from squeeze_hls import tools
from squeeze_hls.emit import hls
from squeeze_hls.emit.hls_memories import memories
from squeeze_hls.plan import Plan

from .test_emit import plan_on, write

# Options with what their values look like; True: a word without a value.
NAME, PATH, NUMBER = r"[a-z_]\w*", r"[a-z_]\w*(\.[a-z_]\w*)*", r"\d+"
SYNTAX: dict[str, dict[str, str | bool]] = {
    "PIPELINE": {"II": NUMBER},
    "UNROLL": {},
    "INLINE": {"off": True},
    "EXPRESSION_BALANCE": {"off": True},
    "ARRAY_PARTITION": {"variable": PATH, "type": "complete", "dim": NUMBER},
    "ARRAY_RESHAPE": {"variable": NAME, "type": "complete", "dim": NUMBER},
    "BIND_STORAGE": {"variable": NAME, "type": "ram_s2p", "impl": "bram|uram|lutram"},
    "DEPENDENCE": {
        "variable": NAME, "type": "inter", "direction": "RAW", "distance": NUMBER, "dependent": "true|false",
    },
    "INTERFACE": {"mode": "axis|s_axilite", "port": NAME, "bundle": NAME, "offset": NUMBER},
}  # fmt: skip
Pragma = tuple[str, dict[str, str | bool]]


def parsed(line: str) -> Pragma:
    """Name and options of ``#pragma HLS NAME OPTION KEY = VALUE``."""
    name, *rest = re.sub(r"\s*=\s*", "=", line.removeprefix("#pragma HLS")).split()
    options: dict[str, str | bool] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        assert key not in options, line
        options[key] = value if equals else True
    return name, options


@pytest.fixture(scope="module", params=["resident", "streamed"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return plan_on("pynq-z2", request.param)


@pytest.fixture(scope="module")
def pragmas(plan: Plan, needs_compiler: None, tmp_path_factory: pytest.TempPathFactory) -> list[Pragma]:
    folder = tmp_path_factory.mktemp("pragmas")
    write(hls.emit(plan), folder)
    log = folder / "top.i"
    command = ["g++", "-E", "-std=c++14", "-isystem", str(tools.require_hls_headers()), "-I", str(folder / "src")]
    tools.run([*command, str(folder / "src" / "squeeze_engine.cpp"), "-o", str(log)], log=folder / "log")
    return [
        parsed(line.strip()) for line in Path(log).read_text().splitlines() if line.strip().startswith("#pragma HLS")
    ]


def test_every_pragma_has_the_options_of_the_manual(pragmas: list[Pragma]) -> None:
    assert {name for name, _ in pragmas} == set(SYNTAX)
    for name, options in pragmas:
        for key, value in options.items():
            allowed = SYNTAX[name].get(key, "")
            good = value is allowed if isinstance(allowed, bool) else re.fullmatch(allowed, str(value))
            assert good, f"{name} {key} = {value}"


def test_storage_and_dependences_name_arrays(plan: Plan, pragmas: list[Pragma]) -> None:
    """A dependence of a struct's member is ignored, and so is storage that is bound in an inlined function."""
    listed = memories(plan.engine)
    bound = [options["variable"] for name, options in pragmas if name == "BIND_STORAGE"]
    assert bound == [memory.name for memory in listed]
    independent = [options["variable"] for name, options in pragmas if name == "DEPENDENCE"]
    both = ("bank", "tile", "carry")  # what one loop reads and writes
    assert independent == [memory.name for memory in listed if memory.name.startswith(both)]


def test_the_array_is_instantiated_once(plan: Plan) -> None:
    """Functions that are not inlined are an instance for each context; those with the multipliers have one."""
    sources = [content.decode() for path, content in hls.emit(plan).items() if re.fullmatch(r"src/.*\.[ch]pp", path)]
    for function in ("run_packet", "run_image", "run_frame", "run_tile", "multiply_accumulate", "announce_program"):
        calls = re.findall(rf"(?<!Error )(?<!void )\b{function}\(", "".join(sources))
        assert len(calls) == 1, function
