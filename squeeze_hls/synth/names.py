"""Names of a netlist's bits and cells as the source has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from squeeze_hls.synth.cells import Bit


def bit_names(module: Mapping[str, Any]) -> dict[Bit, str]:
    """A name for each bit that has one from the source: the shortest."""
    names: dict[Bit, str] = {}
    for name, net in module["netnames"].items():
        if net["hide_name"] or "$" in name:  # Yosys' own, which hold paths of files
            continue
        for index, bit in enumerate(net["bits"]):
            text = f"{name}[{index + net.get('offset', 0)}]" if len(net["bits"]) > 1 else name
            if bit not in names or (len(text), text) < (len(names[bit]), names[bit]):
                names[bit] = text
    return names


def cell_name(name: str, cell: Mapping[str, Any], names: Mapping[Bit, str]) -> str:
    """What a register holds, or where another cell stands; without Yosys' own names, which hold paths of files."""
    for bit in cell["connections"].get("Q", ()):
        if bit in names:
            return names[bit]
    place = re.split(r"\.?\$(?!flatten)", name.replace("$flatten", "").replace("\\", ""), maxsplit=1)[0]
    return place or str(cell["type"])
