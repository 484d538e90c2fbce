"""Jinja as the emitters use it: an undefined name is an error, blocks leave no blank lines."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from squeeze_hls.engine import entropy, fields
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.paths import TEMPLATES


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: object) -> str:
    """Text of ``templates/<template>``."""
    return _environment().get_template(template).render(**values)


def config_header(engine: EngineConfig) -> str:
    """``config.hpp``: the engine's parameters and the bit layouts."""
    return render(
        "hls/config.hpp.j2",
        engine=engine,
        records=fields.RECORDS,
        state_sets=entropy.SETS,
        coded_chunk_bits=entropy.CHUNK_BITS,
        format_version=fields.FORMAT_VERSION,
        packet_magic=fields.PACKET_MAGIC,
        packet_types={"image": fields.IMAGE, "weights": fields.WEIGHTS, "program": fields.PROGRAM},
    )
