"""Memories, weight tile, operand stage, MAC array and requantizer under cocotb."""

from __future__ import annotations

import pytest

from tests.rtl.runner import run, shapes

SHAPES = shapes([(2, 4, 8), (3, 8, 16)], [(1, 4, 4), (4, 16, 16)])


@pytest.mark.parametrize(("depth", "width"), shapes([(22, 72)], [(2, 8), (5120, 64)]))
def test_split_memory(depth, width):
    run("split_memory", "bench_memory", {"DEPTH": depth, "WIDTH": width}, environment={"READ_LATENCY": "2"})


def test_split_memory_starts_with_its_files(tmp_path):
    """22 words are pieces of 16, 4 and 2: files 04, 02, 01."""
    words = [f"{0x123456789 * (n + 3) & 0xFFFFFFFFF:09x}" for n in range(22)]
    for bit, begin in ((4, 0), (2, 16), (1, 20)):
        (tmp_path / f"w{bit:02}.mem").write_text("\n".join(words[begin : begin + (1 << bit)]) + "\n", encoding="ascii")
    contents = tmp_path / "all.mem"
    contents.write_text("\n".join(words), encoding="ascii")
    run(
        "split_memory",
        "bench_memory",
        {"DEPTH": 22, "WIDTH": 36, "INIT_PREFIX": f'"{tmp_path}/w"'},
        environment={"READ_LATENCY": "2", "CONTENTS": str(contents)},
    )


@pytest.mark.parametrize(("depth", "width"), shapes([(40, 48)], [(2, 8)]))
def test_ram_lut(depth, width):
    run("ram_lut", "bench_memory", {"DEPTH": depth, "WIDTH": width}, environment={"READ_LATENCY": "0"})


@pytest.mark.parametrize(("cin", "cout", "words"), shapes([(8, 16, 80), (16, 16, 20)], [(4, 4, 12), (4, 8, 64)]))
def test_weight_tile(cin, cout, words):
    run("weight_tile", "bench_weight_tile", {"CIN": cin, "COUT": cout, "TILE_WORDS": words})


@pytest.mark.parametrize(("pix", "cin"), shapes([(3, 8)], [(1, 4), (2, 8), (7, 4)]))
def test_operand_stage(pix, cin):
    run("operand_stage", "bench_operand_stage", {"PIX": pix, "CIN": cin})


@pytest.mark.parametrize(("pix", "cin", "cout"), SHAPES)
def test_mac_array(pix, cin, cout):
    run("mac_array", "bench_mac_array", {"PIX": pix, "CIN": cin, "COUT": cout})


@pytest.mark.parametrize("cin", shapes([8], [4, 16]))
def test_requantizer(cin):
    run("requantizer", "bench_requantizer", {"CIN": cin})
