"""Counting cells, and the deepest path through them, on netlists written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from squeeze_hls.synth.cells import count
from squeeze_hls.synth.logic_levels import deepest_path

OUTPUTS = {"O", "CO", "Q", "P", "DOA", "DOB", "SPO", "DPO", "DOADO"}


def cell(kind: str, parameters: dict[str, str] | None = None, **pins: int | str | list[int | str]) -> dict[str, Any]:
    """A cell as Yosys' write_json gives it."""
    return {
        "type": kind,
        "hide_name": 1,
        "parameters": parameters or {},
        "port_directions": {pin: "output" if pin in OUTPUTS else "input" for pin in pins},
        "connections": {pin: bits if isinstance(bits, list) else [bits] for pin, bits in pins.items()},
    }


def module(
    *cells: dict[str, Any], names: dict[str, int] | None = None, ports: dict[str, tuple[str, int]] | None = None
):
    return {
        "cells": {f"$auto$cell{n}": entry for n, entry in enumerate(cells)},
        "netnames": {name: {"hide_name": 0, "bits": [bit]} for name, bit in (names or {}).items()},
        "ports": {name: {"direction": way, "bits": [bit]} for name, (way, bit) in (ports or {}).items()},
    }


def register(d: int | str, q: int) -> dict[str, Any]:
    return cell("FDRE", C=1, CE="1", R="0", D=d, Q=q)


# --- counts ---


def test_what_cells_count_as() -> None:
    found = count(
        {
            "LUT6": 3, "LUT1": 1, "INV": 2, "SRL16E": 5, "RAM32M": 2, "RAM64M": 1, "RAM64X1D": 1, "MUXF7": 9,
            "CARRY4": 9, "FDRE": 4, "FDSE": 1, "DSP48E1": 7, "RAMB36E1": 2, "RAMB18E1": 3, "$scopeinfo": 50,
        }
    )  # fmt: skip
    assert (found.lut, found.ff, found.dsp, found.bram18, found.uram) == (11 + 12 + 2, 5, 7, 7, 0)
    assert found.bram36 == 4  # the odd half takes a block


def test_cells_of_ultrascale() -> None:
    found = count({"RAM32M16": 1, "RAM64M8": 2, "DSP48E2": 3, "RAMB36E2": 1, "URAM288": 4, "CARRY8": 5})
    assert (found.lut, found.dsp, found.bram18, found.uram) == (24, 3, 2, 4)


def test_an_unknown_cell_is_no_free_cell() -> None:
    with pytest.raises(ValueError, match="MYSTERY"):
        count({"LUT2": 1, "MYSTERY": 1})


# --- paths ---


def test_gates_between_registers() -> None:
    path = deepest_path(
        module(
            register(9, 2),
            cell("LUT2", I0=2, I1="0", O=4),
            cell("LUT2", I0=4, I1=2, O=5),
            cell("MUXF7", I0=5, I1=2, S=2, O=6),
            register(6, 7),
            register(4, 8),
            names={"a.from": 2, "a.from_alias": 2, "b.to": 7},
        )
    )
    assert (path.levels, path.start, path.end) == (3, "a.from", "b.to D")
    assert path.cells == ("LUT2", "LUT2", "MUXF7")


def test_registers_alone_have_no_levels() -> None:
    assert deepest_path(module(register(2, 3), register(3, 4))).levels == 0


def test_enables_and_ports_end_a_path() -> None:
    gate = cell("LUT1", I0=2, O=4)
    assert deepest_path(module(gate, cell("FDRE", C=1, CE=4, R="0", D=3, Q=5), names={"r": 5})).end == "r CE"
    assert deepest_path(module(gate, ports={"out": ("output", 4)})).end == "out"


def test_a_clock_is_no_path() -> None:
    assert deepest_path(module(cell("LUT1", I0=2, O=4), cell("FDRE", C=4, CE="1", R="0", D=3, Q=5))).levels == 0


def test_carries_run_upwards_only() -> None:
    def chain(bit: int) -> int:
        """Levels to a register behind sum bit ``bit``, where a LUT drives operand bit 2."""
        carry = cell(
            "CARRY4", CI="0", CYINIT="0", DI=["0"] * 4, S=["0", "0", 20, "0"], O=[30, 31, 32, 33], CO=[34, 35, 36, 37]
        )
        return deepest_path(module(register(9, 2), cell("LUT1", I0=2, O=20), carry, register(30 + bit, 8))).levels

    assert [chain(bit) for bit in range(4)] == [0, 0, 2, 2]


def test_distributed_ram_is_read_without_a_clock() -> None:
    ram = cell("RAM64M", WCLK=1, WE=10, ADDRA=[2, "0"], ADDRB=[3], ADDRD=[11], DIA=12, DOA=4, DOB=5)
    seen = deepest_path(module(register(9, 2), ram, register(4, 7), names={"address": 2, "word": 7}))
    assert (seen.levels, seen.start, seen.end, seen.cells) == (1, "address", "word D", ("RAM64M",))
    other = deepest_path(module(register(9, 2), ram, register(5, 7), names={"address": 2, "other": 3}))
    assert other.start == "other"  # port B has an address of its own


def test_constant_addresses_begin_no_path() -> None:
    shift = cell("SRL16E", CLK=1, CE="1", D=2, A0="1", A1="0", A2="0", A3="0", Q=4)
    path = deepest_path(module(shift, cell("LUT1", I0=4, O=5), register(5, 6), names={"late": 4, "to": 6}))
    assert (path.levels, path.start, path.cells) == (1, "late", ("LUT1",))


@pytest.mark.parametrize(
    ("registers", "levels"),
    [
        ({}, 2),
        ({"PREG": "1"}, 1),
        ({"MREG": "1"}, 1),
        ({"AREG": "00000000000000000000000000000001"}, 1),
        ({"BREG": "1"}, 2),
    ],
)
def test_registers_inside_a_dsp_cut_the_path(registers: dict[str, str], levels: int) -> None:
    dsp = cell("DSP48E1", registers, CLK=1, A=[3], B=["0"], P=[4])
    path = deepest_path(module(register(9, 2), cell("LUT1", I0=2, O=3), dsp, register(4, 5)))
    assert path.levels == levels


def test_block_ram_ends_and_begins_paths() -> None:
    ram = cell("RAMB36E1", CLKARDCLK=1, ADDRARDADDR=[3], DOADO=[4])
    path = deepest_path(module(register(9, 2), cell("LUT1", I0=2, O=3), ram, cell("LUT1", I0=4, O=5), register(5, 6)))
    assert path.levels == 1


def test_names_hold_no_paths_of_files() -> None:
    cells = module(register(9, 2), cell("LUT1", I0=2, O=3))
    cells["cells"]["$flatten\\mac_i.\\column[1].$mul$/home/somebody/mac.sv:41$4396"] = cell(
        "DSP48E1", {"AREG": "1"}, A=[3]
    )
    cells["netnames"]["f$func$/home/somebody/x.sv:3$1.result"] = {"hide_name": 0, "bits": [2]}
    path = deepest_path(cells)
    assert (path.start, path.end) == ("FDRE Q", "mac_i.column[1] A")


def test_a_loop_is_refused() -> None:
    with pytest.raises(ValueError, match="loop"):
        deepest_path(module(cell("LUT2", I0=2, I1=3, O=4), cell("LUT1", I0=4, O=2), register(4, 5)))
