"""The register map of ``s_axi_control``, defined once: HLS pragmas, driver and documentation come from here."""

from __future__ import annotations

from dataclasses import dataclass

STEP = 0x10  # between the engine's own registers; an output's valid flag stands 4 bytes after it


@dataclass(frozen=True)
class Register:
    """One 32-bit register; ``writable`` ones belong to the start and interrupt logic."""

    name: str
    offset: int
    doc: str
    writable: bool = False


CONTROL = (
    Register(
        "ap_ctrl", 0x00, "bit 0 start, 1 done (clears on read), 2 idle, 3 ready, 7 auto-restart, 9 interrupt", True
    ),
    Register("gie", 0x04, "bit 0: interrupts enabled", True),
    Register("ier", 0x08, "interrupts on: bit 0 done, bit 1 ready", True),
    Register("isr", 0x0C, "what the interrupt was for; writing a one toggles the bit", True),
)

# What the engine reports, in the order of the top function's arguments.
_STATUS = (
    ("error", "code of the last packet (program.md)"),
    ("engine_id", "identity of the engine"),
    ("program_id", "CRC-32 of the program"),
    ("weights_id", "CRC-32 of the weight store's bytes (streamed: 0)"),
    ("loaded_flags", "bit 0: the program is valid, bit 1: the weights are"),
    ("frames", "images computed since configuration"),
    ("cycles", "cycles of the last image, from its start to its last logit"),
    ("busy", "cycles in which the array multiplied"),
    ("stall_weights", "cycles in which the array waited for a weight tile"),
    ("stall_input", "cycles in which the array waited for image rows"),
    ("stall_output", "cycles in which the array waited for the output stage"),
)
STATUS = tuple(Register(name, 0x40 + STEP * i, doc) for i, (name, doc) in enumerate(_STATUS))
REGISTERS = CONTROL + STATUS


def offset(name: str) -> int:
    """Offset of a register; KeyError for an unknown name."""
    return {register.name: register.offset for register in REGISTERS}[name]


def markdown_table() -> str:
    """The map as docs/registers.md shows it."""
    lines = ["| offset | name | access | contents |", "|---|---|---|---|"]
    for register in REGISTERS:
        access = "read, write" if register.writable else "read"
        lines.append(f"| 0x{register.offset:02X} | `{register.name}` | {access} | {register.doc} |")
    return "\n".join(lines) + "\n"


# What the `error` register says; docs/program.md tells more.
ERRORS = (
    "none",
    "bad magic",
    "unknown packet type",
    "wrong length for the type",
    "identity: planned for another engine, or an image for another program",
    "program checksum",
    "weights checksum",
    "no valid program",
    "no valid weights, or not those of the program",
    "program exceeds the engine",
    "TLAST before the end of the packet",
    "no TLAST at the end of the packet",
    "streamed weights: bad header, or wrong length",
)
