"""Which of the vendor's programs are there, and of which version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from squeeze_hls import tools
from squeeze_hls.errors import MissingToolError

OLDEST = (2023, 2)
HLS = ("vitis_hls", "vitis-run")  # the former up to 2024.1, the latter since 2023.2
VIVADO = "vivado"
SECONDS = 120  # until one has told its version


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program on PATH."""

    name: str
    path: Path
    version: str  # such as 2023.2; "unknown" where it does not tell

    @property
    def title(self) -> str:
        return f"{'Vivado' if self.name == VIVADO else 'Vitis HLS'} {self.version}"


def find_vivado() -> Program:
    """Vivado; MissingToolError where there is none, or one too old."""
    return _find((VIVADO,))


def find_hls() -> Program:
    """Vitis HLS under either name; MissingToolError where there is none, or one too old."""
    return _find(HLS)


def version_of(name: str) -> str | None:
    """Version of a program on PATH, "unknown" where it does not tell; None where it is missing."""
    path = tools.find_program(name)
    if path is None:
        return None
    option = "--version" if name == "vitis-run" else "-version"
    return tools.version([str(path), option], timeout=SECONDS, pattern=r"\d{4}\.\d+(\.\d+)?") or "unknown"


def command(program: Program, script: str) -> list[str]:
    """What runs a Tcl script, whose path is relative to the working directory."""
    options = {
        VIVADO: ["-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source", script],
        "vitis_hls": ["-f", script],
        "vitis-run": ["--mode", "hls", "--tcl", script],
    }
    return [str(program.path), *options[program.name]]


def _find(names: tuple[str, ...]) -> Program:
    refused = ""
    for name in names:
        version = version_of(name)
        if version is None:
            continue
        numbers = tuple(int(part) for part in version.split(".")[:2]) if version != "unknown" else OLDEST
        if numbers >= OLDEST:
            return Program(name=name, path=tools.find_program(name) or Path(name), version=version)
        refused = f"{name} {version} is too old, {'.'.join(map(str, OLDEST))} or later is needed"
    raise MissingToolError(refused or f"{' or '.join(names)} is not on PATH")
