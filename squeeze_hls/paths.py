"""Where the templates, hardware sources and boards are, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Folder ``name`` (``templates``, ``hw`` or ``boards``).

    A wheel carries these folders inside the package; a checkout has them beside it.
    """
    inside = _PACKAGE / "_data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


TEMPLATES = data_dir("templates")
HLS_SOURCES = data_dir("hw") / "hls"
RTL_SOURCES = data_dir("hw") / "rtl"
SIM_SOURCES = data_dir("hw") / "sim"
BOARDS = data_dir("boards")
MODELS = _PACKAGE / "models"
CALIBRATION = _PACKAGE / "calibration"
DRIVER = _PACKAGE / "driver"
