"""``_generated.py`` of the driver: registers, error texts and bit layouts, which are defined elsewhere, as Python."""

from __future__ import annotations

import json

from squeeze_hls import __version__
from squeeze_hls.engine import fields
from squeeze_hls.engine.registers import ERRORS, REGISTERS

RECORDS = (fields.PACKET, fields.HEADER, fields.LAYER, fields.BUFFER, fields.INSTRUCTION)
_HEAD = '''"""Registers, error codes and bit layouts of the engine; written by squeeze_hls/emit/driver.py."""

'''


def constants() -> str:
    """The module's text; a test compares it with the file in the driver's folder."""
    layouts = {record.name: {f.name: (f.word, f.low, f.width) for f in record.fields} for record in RECORDS}
    values = {
        "PACKET_MAGIC": fields.PACKET_MAGIC,
        "IMAGE": fields.IMAGE,
        "WEIGHTS": fields.WEIGHTS,
        "PROGRAM": fields.PROGRAM,
        "FORMAT_VERSION": fields.FORMAT_VERSION,
    }
    lines = [f'DRIVER_VERSION = "{__version__}"', *(f"{name} = {value}" for name, value in values.items())]
    lines += [
        "",
        "# Offsets in bytes.",
        _assign("REGISTERS", {register.name: register.offset for register in REGISTERS}),
        "",
        "# Meaning of the error register's codes.",
        _assign("ERRORS", ERRORS),
        "",
        "# Records of the packets and the program: 64-bit words of each, and (word, lowest bit, width) of each field.",
        _assign("WORDS", {record.name: record.words for record in RECORDS}),
        _assign("FIELDS", layouts),
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _assign(name: str, value: object) -> str:
    return f"{name} = {_literal(value, '')}"


def _literal(value: object, indent: str) -> str:
    """A tuple or dictionary with one item a line; tuples of numbers, and all else, on one."""
    deeper = indent + "    "
    if isinstance(value, dict):
        rows = [f"{deeper}{json.dumps(key)}: {_literal(item, deeper)},\n" for key, item in value.items()]
        return "{\n" + "".join(rows) + indent + "}"
    if isinstance(value, tuple) and isinstance(value[0], str):
        return "(\n" + "".join(f"{deeper}{json.dumps(item)},\n" for item in value) + indent + ")"
    return repr(value)
