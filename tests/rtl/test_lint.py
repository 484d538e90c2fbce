"""The engine is clean under Verilator's full lint, at every kind of shape."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from squeeze_hls import tools
from squeeze_hls.emit.rtl import parameters, rtl_sources
from squeeze_hls.engine.config import EngineConfig
from tests.rtl.runner import require

SHAPES = {
    "resident": EngineConfig(pix=3, cin=8, cout=16, act_pieces=(4096, 1024), store_pieces=(32768, 16384, 2048)),
    "coded": EngineConfig(pix=3, cin=8, cout=16, act_pieces=(4096,), store_pieces=(32768, 16384), tables=4),
    "coded, narrow": EngineConfig(pix=2, cin=4, cout=8, act_pieces=(512,), store_pieces=(512,), tables=1),
    "streamed": EngineConfig(pix=3, cin=8, cout=16, act_pieces=(4096, 1024)),
    "ultraram": EngineConfig(pix=4, cin=16, cout=16, act_pieces=(8192,), store_pieces=(65536,), store_uram=True),
    "one pixel": EngineConfig(pix=1, cin=4, cout=4, act_pieces=(512,), store_pieces=(512,), carry_words=256),
    "many pixels": EngineConfig(pix=7, cin=8, cout=32, act_pieces=(512,), tile_words=100, carry_words=4096),
}


def lint(engine: EngineConfig, sources: list[Path], log: Path) -> None:
    program, environment = tools.require_verilator()
    given = [f"-G{name}={value}" for name, value in parameters(engine).items()]
    command = [str(program), "--lint-only", "-Wall", "--top-module", "squeeze_engine", *given, *map(str, sources)]
    tools.run(command, log=log, env=environment, timeout=120)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_warning(shape: str, tmp_path: Path) -> None:
    require()
    lint(SHAPES[shape], rtl_sources(), tmp_path / "lint.log")


def test_a_warning_fails(tmp_path: Path) -> None:
    require()
    strange = tmp_path / "operand_stage.sv"
    sources = [path for path in rtl_sources() if path.name != strange.name]
    text = next(path for path in rtl_sources() if path.name == strange.name).read_text()
    strange.write_text(text.replace("endmodule", "    wire logic [3:0] narrow = 5'd17;\nendmodule"))
    with pytest.raises(tools.ToolFailedError, match="warning"):
        lint(SHAPES["resident"], [*sources, strange], tmp_path / "lint.log")
    assert "%Warning-WIDTHTRUNC" in (tmp_path / "lint.log").read_text()


def test_every_waiver_has_a_reason() -> None:
    """A comment beside it, in the same line or in the one that is waived."""
    for path in rtl_sources():
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if "lint_off" in line:
                assert "//" in line.partition("*/")[2] or "//" in lines[number + 1] or "unused" in lines[number + 1], (
                    f"{path.name}:{number + 1}: a waiver without a reason"
                )


# --- slang: what xvlog and Vivado's synthesis would object to, such as a use before the declaration ---

# Of modules that fit several widths, at the width that makes it needless, or the bit that no address has.
ALLOWED = ("useless-cast", "shift-count-overflow")


def slang(engine: EngineConfig, sources: list[Path], capfd: pytest.CaptureFixture[str]) -> str:
    """What slang prints of the elaborated engine; its last line counts errors and warnings."""
    pyslang = pytest.importorskip("pyslang", reason="pyslang is not installed (extra test)")
    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    values = {name: re.sub("(['\"])", r"\\\1", value) for name, value in parameters(engine).items()}
    given = " ".join(f"-G {name}={value}" for name, value in values.items())
    waived = " ".join(f"-Wno-{name}" for name in ALLOWED)
    files = " ".join(map(str, sources))
    assert driver.parseCommandLine(f"slang --top squeeze_engine -Wextra {waived} {given} {files}")
    assert driver.processOptions() and driver.parseAllSources()
    compilation = driver.createCompilation()
    driver.reportCompilation(compilation, False)
    driver.reportDiagnostics(False)
    return "".join(capfd.readouterr())


@pytest.mark.parametrize("shape", SHAPES)
def test_slang_is_content(shape: str, capfd: pytest.CaptureFixture[str]) -> None:
    said = slang(SHAPES[shape], rtl_sources(), capfd)
    assert said.strip().endswith("Build succeeded: 0 errors, 0 warnings"), said


def test_slang_sees_a_use_before_its_declaration(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    strange = tmp_path / "operand_stage.sv"
    sources = [path for path in rtl_sources() if path.name != strange.name]
    text = next(path for path in rtl_sources() if path.name == strange.name).read_text()
    strange.write_text(text.replace("endmodule", "    wire logic a = b;\n    wire logic b = 1'b0;\nendmodule"))
    assert "'b' used before its declaration" in slang(SHAPES["resident"], [*sources, strange], capfd)
