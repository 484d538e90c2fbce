"""Board files: ours say what the data sheets say, and bad ones are refused."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from squeeze_hls import paths
from squeeze_hls.board import board_names, load_board, parse_board
from squeeze_hls.errors import InputError

DATA_SHEETS = {  # DS190, DS891, DS987: BRAM36, URAM, DSP, LUT, FF
    "pynq-z1": ("xc7z020clg400-1", 140, 0, 220, 53_200, 106_400),
    "pynq-z2": ("xc7z020clg400-1", 140, 0, 220, 53_200, 106_400),
    "kv260": ("xck26-sfvc784-2LV-c", 144, 64, 1_248, 117_120, 234_240),
    "zcu104": ("xczu7ev-ffvc1156-2-e", 312, 96, 1_728, 230_400, 460_800),
}


def good() -> dict[str, Any]:
    return tomllib.loads((paths.BOARDS / "pynq-z2.toml").read_text())


@pytest.mark.parametrize("name", DATA_SHEETS)
def test_figures_are_those_of_the_data_sheets(name: str) -> None:
    board = load_board(name)
    assert (board.part, board.bram36, board.uram, board.dsp, board.lut, board.ff) == DATA_SHEETS[name]
    assert board.name == name
    assert board.sources


def test_every_board_is_listed_and_checked() -> None:
    assert set(board_names()) == set(DATA_SHEETS)


def test_pynq_z2_keeps_back_what_the_design_needs() -> None:
    board = load_board("pynq-z2")
    assert (board.available_bram36, board.available_lut, board.available_dsp) == (136, 48_200, 220)
    assert board.available_ff == board.ff - board.reserved_ff
    assert board.pix * board.cin * board.cout == 384


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((paths.BOARDS / "kv260.toml").read_text().replace('name = "kv260"', 'name = "mine"'))
    assert load_board(path).name == "mine"
    assert load_board(str(path)).available_uram == 64


@pytest.mark.parametrize("name", ["no-such-board", "PYNQ-Z2", "", "../boards/pynq-z2", "no-such-file.toml"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError):
        load_board(name)


def test_an_unknown_name_gets_the_known_ones() -> None:
    with pytest.raises(InputError, match="known boards: kv260, pynq-z1, pynq-z2, zcu104"):
        load_board("pynq")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("colour", "red", "unknown key 'colour'"),
        ("dsp", None, "'dsp' is missing"),
        ("sources", None, "'sources' is missing"),
        ("dsp", "220", "dsp must be a whole number"),
        ("dsp", 220.0, "dsp must be a whole number"),
        ("dsp", True, "dsp must be a whole number"),
        ("dsp", 0, "dsp must be a whole number"),
        ("lut", 10**12, "lut must be"),
        ("clock_mhz", float("nan"), "clock_mhz must be a number"),
        ("clock_mhz", -100, "clock_mhz must be"),
        ("pix", 0, "pix must be"),
        ("title", "two\nlines", "title must be a line"),
        ("title", "\x1b[31mred", "title must be a line"),
        ("title", "x" * 1000, "title must be a line"),
        ("name", "a/../b", "name must consist"),
        ("part", "xc7z020; exec rm", "part must consist"),
        ("part", "", "part is empty"),
        ("board_part", "[exec rm]", "board_part must consist"),
        ("family", "virtex-7", "family must be one of"),
        ("dsp_type", "DSP48E2", "has DSP48E1"),
        ("reserved_bram36", 141, "more than the part has"),
        ("sources", "one text", "must be a list"),
        ("sources", [1], "must be a line"),
    ],
)
def test_absurd_values(key: str, value: Any, message: str) -> None:
    table = good()
    table.pop(key, None) if value is None else table.update({key: value})
    with pytest.raises(InputError, match=message) as caught:
        parse_board(table, "here.toml")
    assert str(caught.value).startswith("here.toml: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name = ", b"x" * 100_000, b""])
def test_files_that_are_no_board(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="bad.toml"):
        load_board(path)
