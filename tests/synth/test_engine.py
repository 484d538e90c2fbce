"""The whole engine synthesized: DSP and block RAM as planned, LUTs near the estimate, memories in pieces."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig, power_of_two_pieces
from squeeze_hls.engine.resources import resources
from squeeze_hls.errors import InputError, ToolFailedError
from squeeze_hls.synth.run import Synthesis, family_of, synthesize, synthesize_engine

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="pyosys is not installed")

SMALL = EngineConfig(
    pix=1, cin=4, cout=4, act_pieces=(2048, 1024), store_pieces=(1024, 512), tile_words=16, param_depth=512,
    program_depth=64, carry_words=64, tables=1,
)  # fmt: skip
# The engine that Deep Compression v1.0 is planned for on a PYNQ-Z2, and that board's for streamed weights.
RESIDENT = EngineConfig(
    pix=3, cin=8, cout=16, act_pieces=(4096, 1024, 512), store_pieces=power_of_two_pieces(45_011, 512), tables=8
)
STREAMED = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(8192, 4096))
ULTRASCALE = EngineConfig(pix=4, cin=16, cout=16, act_pieces=(4096,), store_pieces=(65536,), store_uram=True)


def as_planned(done: Synthesis, engine: EngineConfig) -> None:
    """Synthesis and planner agree: DSP and block RAM exactly, LUTs and flip-flops within 15 %."""
    planned, found = resources(engine), done.count
    assert (found.dsp, found.uram) == (planned.dsp, planned.uram)
    assert found.bram18 == 2 * planned.bram36
    assert found.lut == pytest.approx(planned.lut, rel=0.15)
    assert found.ff == pytest.approx(planned.ff, rel=0.15)


def in_pieces(done: Synthesis, engine: EngineConfig) -> None:
    """Every memory has a power of two of words, and they are those the planner counts."""
    block = sorted(m.depth for m in done.memories if m.style in ("block", "ultra"))
    pieces = [*engine.pix * engine.act_pieces, *engine.store_pieces, engine.param_depth, 2 * engine.program_depth]
    assert block == sorted(pieces)
    for memory in done.memories:
        assert memory.style in ("block", "ultra", "distributed") or memory.depth * memory.width <= 1024, memory
        if memory.style in ("block", "ultra"):
            assert memory.depth & (memory.depth - 1) == 0, memory


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    return synthesize_engine(SMALL, "xc7", tmp_path_factory.mktemp("small") / "yosys.log")


def test_small_engine(small: Synthesis) -> None:
    as_planned(small, SMALL)
    in_pieces(small, SMALL)


def test_deepest_path_of_the_small_engine(small: Synthesis) -> None:
    path = small.deepest
    assert len(path.cells) == path.levels
    assert 5 <= path.levels <= 20
    assert path.start and path.end and "/" not in path.start + path.end
    assert small.tool.startswith("Yosys 0.")


@pytest.mark.parametrize("engine", [RESIDENT, STREAMED, ULTRASCALE], ids=["resident", "streamed", "ultrascale"])
def test_large_engines(engine: EngineConfig, tmp_path: Path, full: bool) -> None:
    if not full:
        pytest.skip("minutes of synthesis; set SQUEEZE_HLS_ALL=1")
    done = synthesize_engine(engine, "xcup" if engine.store_uram else "xc7", tmp_path / "yosys.log")
    print(done.count, done.deepest)
    as_planned(done, engine)
    in_pieces(done, engine)
    assert done.deepest.levels <= 20
    if engine.pix == 3:
        assert done.count.dsp <= 216 and done.count.bram36 <= 136
        assert done.count.lut <= 30_000 and done.count.ff <= 85_000


def test_the_resident_engine_is_the_planned_one() -> None:
    assert resources(RESIDENT).bram36 == 127 < load_board("pynq-z2").available_bram36


# --- parts ---


def test_families() -> None:
    assert family_of(load_board("pynq-z2").part) == "xc7"
    assert {family_of(load_board(name).part) for name in ("kv260", "zcu104")} == {"xcup"}
    with pytest.raises(InputError, match="10CX220"):
        family_of("10CX220")


def test_small_array_takes_half_a_dsp_a_product(tmp_path: Path) -> None:
    done = synthesize("mac_array", {"PIX": "1", "CIN": "4", "COUT": "4"}, "xc7", tmp_path / "log")
    assert done.count.dsp == 8


def test_requantizer_takes_one_dsp_a_lane(tmp_path: Path) -> None:
    done = synthesize("requantizer", {"CIN": "4"}, "xc7", tmp_path / "log")
    assert done.count.dsp == 4
    assert done.count.lut <= 4 * 220 and done.count.ff <= 4 * 120


def test_ultrascale_array(tmp_path: Path) -> None:
    done = synthesize("mac_array", {"PIX": "1", "CIN": "4", "COUT": "4"}, "xcup", tmp_path / "log")
    assert done.count.dsp == 8 and done.cells["DSP48E2"] == 8


def test_memory_in_pieces_is_exact(tmp_path: Path) -> None:
    for width in (72, 64):
        parameters = {"DEPTH": "5120", "WIDTH": str(width)}
        done = synthesize("split_memory", parameters, "xc7", tmp_path / "log")
        assert done.count.bram18 == 20
        assert sorted(m.depth for m in done.memories) == [1024, 4096]


def test_what_the_rtl_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match=r"mac_array: CIN must be 4, 8 or 16.*log"):
        synthesize("mac_array", {"CIN": "3"}, "xc7", tmp_path / "log")
    assert "read_verilog" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("module top(output wire logic q); assign q = missing; endmodule", "missing"),
        ("module top(input wire logic [3:0] a, output wire logic q); assign q = a[7]; endmodule", "out of bounds"),
        ("module top(input wire logic a, output wire logic q); wire logic b; assign q = a & b; endmodule", "no driver"),
    ],
)
def test_what_yosys_would_drop_silently_is_an_error(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "top.sv"
    source.write_text(text)
    monkeypatch.setattr("squeeze_hls.synth.run.rtl_sources", lambda: [source])
    monkeypatch.setattr("squeeze_hls.synth.run.RTL_SOURCES", tmp_path)
    with pytest.raises(ToolFailedError, match=reason):
        synthesize("top", {}, "xc7", tmp_path / "log")
