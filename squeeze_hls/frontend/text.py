"""Names from strangers, made fit to print."""

from __future__ import annotations

from collections.abc import Iterable

NAME_LENGTH = 120


def safe_name(text: str, limit: int = NAME_LENGTH) -> str:
    """``text`` on one line, without anything that a terminal or a markup language would obey.

    Control and formatting characters (escape sequences, line ends, bidirectional overrides), square
    brackets (terminal markup) and backslashes become ``\\x1b``-style escapes; what is longer than
    ``limit`` characters is cut and ends in ``...``.
    """
    if len(text) > limit:
        text = text[: limit - 3] + "..."  # cut first: the rest of a huge name need not be escaped
    escaped = "".join(c if c.isprintable() and c not in "[]\\" else _escape(c) for c in text)
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unique_names(names: Iterable[str]) -> dict[str, str]:
    """Map each name to a safe one, different names to different ones.

    Names that fall together when escaped or cut get ``~2``, ``~3``, ... in order of appearance.
    """
    result: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        if name in result:
            continue
        safe = base = safe_name(name)
        number = 2
        while safe in taken:
            safe, number = f"{base}~{number}", number + 1
        taken.add(safe)
        result[name] = safe
    return result
