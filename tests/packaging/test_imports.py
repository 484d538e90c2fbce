"""Imports go one way: from the command line down to what a network is; no room knows one above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

# From the bottom to the top: a room may import those before it.  What several rooms share lies at the bottom.
ORDER = (
    ("errors", "paths", "progress"),
    ("tools", "board"),
    ("network",),  # what a network is and what it computes: operators, arithmetic, golden model, pictures
    ("frontend",),  # files to networks
    ("quantize",),  # floating point to integers, and back to ONNX
    ("engine",),  # the contract: configuration, fields, program, store, addresses, executor, timing, resources
    ("plan",),  # how a network is put onto an engine
    ("driver",),  # stands alone on the board: imports nothing of this package
    ("artifacts",),  # what is written and read again: bundles, build folders, model files
    ("report",),
    ("emit",),  # C++, SystemVerilog, scripts, what goes onto the board
    ("sim",),
    ("synth", "bitstream", "remote"),
    ("flows",),  # one use of the tool a file
    ("api", "cli"),  # two fronts of the flows: for Python and for the command line
    ("__init__", "__main__"),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def imported(file: Path, module: str) -> Iterator[str]:
    """Modules of this package that a file imports, for types only or inside of functions, too."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def arrows(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Every import across rooms: (room, imported room, file)."""
    package = root / "squeeze_hls"
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        for name in imported(file, ".".join(("squeeze_hls", *parts)).removesuffix(".__init__")):
            target = name.split(".")
            if target[0] == "squeeze_hls" and len(target) > 1 and target[1] in LEVEL and target[1] != parts[0]:
                yield parts[0], target[1], file.relative_to(root)


def test_every_room_has_its_place(root: Path) -> None:
    package = root / "squeeze_hls"
    rooms = {p.stem for p in package.glob("*.py")} | {p.parent.name for p in package.glob("*/__init__.py")}
    assert rooms - {"squeeze_hls"} == set(LEVEL)
    assert len(list(package.glob("*.py"))) <= 8


def test_imports_go_one_way(root: Path) -> None:
    """Downwards only, so there is no circle either; rooms of one level do not know each other."""
    upwards = [f"{file}: {room} -> {target}" for room, target, file in arrows(root) if LEVEL[target] >= LEVEL[room]]
    assert not upwards
    assert len(list(arrows(root))) > 100  # the walk sees them


# Files of one name in several rooms: the same thing each time, and why.
SHARED_NAMES = {
    **dict.fromkeys(
        ("bitstream", "build", "compare", "compress", "notebook", "simulate", "synth"), {"cli", "flows"}
    ),  # a use case: its command and what the command does
    "operators": {"frontend", "network", "quantize"},  # an operator's place in each of these stages
    "rtl": {"emit", "sim"},  # the RTL, written and simulated
    "errors": {"", "driver"},  # the driver has its own: it stands alone on the board,
    "packets": {"driver", "engine"},  # and makes packets of its own
}
ROLES = {"__init__", "__main__"}


def test_a_name_means_one_thing(root: Path) -> None:
    package = root / "squeeze_hls"
    rooms: dict[str, set[str]] = {}
    for file in package.rglob("*.py"):
        if file.stem not in ROLES:
            rooms.setdefault(file.stem, set()).add(file.parent.relative_to(package).as_posix().removeprefix("."))
    several = {
        name: found for name, found in rooms.items() if len(found) > 1 and not found <= SHARED_NAMES.get(name, set())
    }
    assert not several
