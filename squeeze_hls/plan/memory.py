"""The memory map: rings for stored maps, bands between two layers, and gathered image rows.

All sizes are bank words: the same address range in each of the `pix` banks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squeeze_hls.plan.engine import EngineConfig
from squeeze_hls.plan.schedule import Choice, Stage, bank_words, conv_rows, source_rows, split_rows


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A buffer and the stages during which it is in use."""

    name: str
    first: int
    last: int
    depth: int
    base: int = 0

    def overlaps(self, other: Ring) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, kw_only=True)
class MemoryMap:
    """Buffers in the order of the program's buffer table, and where every map lies in them."""

    rings: tuple[Ring, ...]
    gather: int  # index of the gathered rows' ring
    wide: dict[int, int]  # stage -> index of the ring of its band
    maps: dict[int, tuple[int, int]]  # stage -> (ring index, ring offset) of the map it reads


def map_words(stage: Stage, engine: EngineConfig) -> int:
    """Bank words of the whole map that a stage reads."""
    height, width, _ = stage.main.source_shape
    return bank_words(height * width, stage.main.source_layout.words, engine.pix)


def ring_minimum(stage: Stage, engine: EngineConfig) -> int:
    """Least depth of a ring for the map that a stage reads: all of it, and a tap step never wraps twice."""
    steps = (stage.main.source_shape[1] + 1) // engine.pix + 2
    return max(map_words(stage, engine), steps * stage.main.source_layout.words)


def chained_growth(stages: Sequence[Stage], chosen: Sequence[Choice], s: int, engine: EngineConfig) -> int:
    """Depth that stage `s` needs of a ring in which its output grows behind its input."""
    stage, pix = stages[s], engine.pix
    height, width, _ = stage.main.source_shape
    words = stage.main.source_layout.words
    total = map_words(stage, engine)
    out = stages[s + 1].main
    out_width, out_words = out.source_shape[1], out.source_layout.words
    bands = split_rows(stage.rows, chosen[s].bands)
    worst = total
    for i, (_, end) in enumerate(bands):
        reader = i if stage.tail is None else i + 1  # the first band that still reads while this one is written
        if reader < len(bands):
            first_row = source_rows(stage.main, *conv_rows(stage.main, *bands[reader]))[0]
            freed = first_row * width // pix * words
        else:
            freed = total
        worst = max(worst, total + bank_words(end * out_width, out_words, pix) - freed)
    return worst


def layout(
    stages: Sequence[Stage], chosen: Sequence[Choice], chained: Sequence[bool], engine: EngineConfig
) -> MemoryMap | int:
    """Place all buffers, or return the stage in which they do not fit.

    ``chained[s]`` says that the map which stage s reads and the one it writes share a ring.  The gathered rows
    start at address 0 and everything else is placed from the top, so that the low addresses are the ones that
    late stages leave to the next frame's rows.
    """
    wanted, maps = _chains(stages, chosen, chained, engine)
    wide = {}
    for s, choice in enumerate(chosen):
        if stages[s].tail is not None:
            wide[s] = len(wanted)
            wanted.append(Ring(name=f"band{s}", first=s, last=s, depth=choice.wide_words))
    placed: dict[int, Ring] = {}
    for index in sorted(range(len(wanted)), key=lambda i: -wanted[i].depth):
        ring = _place_from_top(wanted[index], list(placed.values()), engine.act_depth)
        if ring is None:
            return _worst_stage(wanted, wanted[index])
        placed[index] = ring
    floor = min((r.base for r in placed.values() if r.first == 0), default=engine.act_depth)
    if floor < chosen[0].gather_words:
        return 0
    gather = Ring(name="gathered", first=0, last=0, depth=floor)
    rings = tuple(placed[i] for i in range(len(wanted))) + (gather,)
    return MemoryMap(rings=rings, gather=len(wanted), wide=wide, maps=maps)


def _chains(
    stages: Sequence[Stage], chosen: Sequence[Choice], chained: Sequence[bool], engine: EngineConfig
) -> tuple[list[Ring], dict[int, tuple[int, int]]]:
    """Rings of the stored maps, without their places; map s is written in stage s - 1 and read in stage s."""
    rings: list[Ring] = []
    maps: dict[int, tuple[int, int]] = {}
    s = 1
    while s < len(stages):
        end = s
        while end + 1 < len(stages) and chained[end]:
            end += 1
        depth = max(ring_minimum(stages[m], engine) for m in range(s, end + 1))
        for m in range(s, end):
            depth = max(depth, chained_growth(stages, chosen, m, engine))
        offset = 0
        for m in range(s, end + 1):
            maps[m] = (len(rings), offset)
            offset = (offset + map_words(stages[m], engine)) % depth
        rings.append(Ring(name=f"map{s}" if s == end else f"map{s}-{end}", first=s - 1, last=end, depth=depth))
        s = end + 1
    return rings, maps


def _place_from_top(ring: Ring, placed: list[Ring], depth: int) -> Ring | None:
    """The highest free place for a ring, or None."""
    top = depth
    for other in sorted((r for r in placed if r.overlaps(ring)), key=lambda r: -(r.base + r.depth)):
        if other.base + other.depth <= top - ring.depth:
            break
        top = min(top, other.base)
    base = top - ring.depth
    if base < 0:
        return None
    return Ring(name=ring.name, first=ring.first, last=ring.last, depth=ring.depth, base=base)


def _worst_stage(wanted: list[Ring], failed: Ring) -> int:
    """The stage of the failed ring in which most memory is asked for."""
    use = {s: sum(r.depth for r in wanted if r.first <= s <= r.last) for s in range(failed.first, failed.last + 1)}
    return max(use, key=lambda s: use[s])
