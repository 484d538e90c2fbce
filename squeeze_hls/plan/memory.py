"""The memory map: rings for stored maps, bands between two layers, and gathered image rows.

All sizes are bank words: the same address range in each of the `pix` banks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.plan.schedule import (
    Choice,
    Stage,
    bank_words,
    conv_rows,
    gather_ring_words,
    image_rows,
    source_rows,
    split_rows,
)


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A buffer, the stages during which it is in use, and which part of it in each of them."""

    name: str
    first: int
    last: int
    depth: int
    base: int = 0
    opening: int = 0  # in stage `first` only the last `opening` words are in use; 0: all

    def extent(self, stage: int) -> tuple[int, int] | None:
        """Addresses [low, high) in use in a stage, or None."""
        if not self.first <= stage <= self.last:
            return None
        low = self.depth - self.opening if self.opening and stage == self.first else 0
        return self.base + low, self.base + self.depth

    def collides(self, other: Ring) -> bool:
        for stage in range(max(self.first, other.first), min(self.last, other.last) + 1):
            mine, theirs = self.extent(stage), other.extent(stage)
            if mine and theirs and mine[0] < theirs[1] and theirs[0] < mine[1]:
                return True
        return False


@dataclass(frozen=True)
class Place:
    """Where a feature map lies: from which offset of which ring on, or how each of its bands does."""

    ring: int  # index of the ring
    start: int = 0  # offset of the map's first pixel
    banded: bool = False  # only a band of rows is held at a time, its first pixel at `start`


@dataclass(frozen=True, kw_only=True)
class MemoryMap:
    """Buffers in the order of the program's buffer table, and where every map lies in them, by tensor.

    The network's input has its place, too: that of the gathered rows.
    """

    rings: tuple[Ring, ...]
    places: dict[str, Place]

    def ring(self, tensor: str) -> Ring:
        """The ring that holds a map."""
        return self.rings[self.places[tensor].ring]

    def point(self, place: Place, pixel: int, words: int, pix: int) -> tuple[int, int]:
        """(pointer, bank) of a map's pixel of so many words; it may be negative, for taps above the map."""
        return (place.start + pixel // pix * words) % self.rings[place.ring].depth, pixel % pix


@dataclass(frozen=True)
class Lifetime:
    """The stages in which a map is written and, for the last time, read."""

    first: int
    last: int


def lifetimes(stages: Sequence[Stage]) -> dict[str, Lifetime]:
    """Of every map that stages leave to each other, by tensor; one that nothing reads lives while it is written."""
    found: dict[str, Lifetime] = {}
    for s, stage in enumerate(stages):
        for tensor in stage.sources:
            if tensor in found:
                found[tensor] = replace(found[tensor], last=s)
        if not stage.layers[-1].average:
            found[stage.target] = Lifetime(s, s)
    return found


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """The stage whose buffers could not all be placed, and the bank words that they take together."""

    stage: int
    words: int


def map_words(stage: Stage, engine: EngineConfig) -> int:
    """Bank words of the whole map that a stage reads."""
    height, width, _ = stage.main.source_shape
    return bank_words(height * width, stage.main.source_layout.words, engine.pix)


def written_words(stage: Stage, engine: EngineConfig) -> int:
    """Bank words of the whole map that a stage leaves behind."""
    last = stage.layers[-1]
    height, width, _ = last.target_shape
    return bank_words(height * width, last.target_layout.words, engine.pix)


def handed_on(stages: Sequence[Stage], s: int) -> bool:
    """Whether what stage `s` reads is written by the stage before it, and read by no other."""
    readers = sum(stages[s].main.source in stage.sources for stage in stages)
    return s > 0 and stages[s - 1].target == stages[s].main.source and readers == 1


def ring_minimum(stage: Stage, engine: EngineConfig) -> int:
    """Least depth of a ring for the map that a stage reads: all of it, and a tap step never wraps twice."""
    steps = (stage.main.source_shape[1] + 1) // engine.pix + 2
    return max(map_words(stage, engine), steps * stage.main.source_layout.words)


def chained_growth(stages: Sequence[Stage], chosen: Sequence[Choice], s: int, engine: EngineConfig) -> int:
    """Depth that stage `s` needs of a ring in which its output grows after its input."""
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
) -> MemoryMap | Shortage:
    """Place all buffers, or say in which stage they do not fit.

    ``chained[s]`` says that the map which stage s reads and the one it writes share a ring.  The gathered rows
    start at address 0 and everything else is placed from the top, so that the low addresses are the ones that
    late stages leave to the next frame's rows.
    """
    wanted, places = _chains(stages, chosen, chained, engine)
    for s, (stage, choice) in enumerate(zip(stages, chosen, strict=True)):
        if stage.tail is not None:
            places[stage.main.target] = Place(len(wanted), banded=True)
            wanted.append(Ring(name=f"band{s}", first=s, last=s, depth=choice.band_words))
    placed: dict[int, Ring] = {}
    for index in sorted(range(len(wanted)), key=lambda i: -wanted[i].depth):
        ring = _place_from_top(wanted[index], list(placed.values()), engine.act_depth)
        if ring is None:
            return _shortage(wanted, wanted[index])
        placed[index] = ring
    floor = min((extent[0] for r in placed.values() if (extent := r.extent(0))), default=engine.act_depth)
    if floor < chosen[0].gather_words:
        return Shortage(stage=0, words=engine.act_depth - floor + chosen[0].gather_words)
    gather = Ring(name="gathered", first=0, last=0, depth=min(floor, _whole_image(stages[0], engine)))
    places[stages[0].main.source] = Place(len(wanted))
    return MemoryMap(rings=(*(placed[i] for i in range(len(wanted))), gather), places=places)


def _chains(
    stages: Sequence[Stage], chosen: Sequence[Choice], chained: Sequence[bool], engine: EngineConfig
) -> tuple[list[Ring], dict[str, Place]]:
    """Rings of the stored maps, without their places: one for each, or for a chain of maps that grow in one ring."""
    rings: list[Ring] = []
    places: dict[str, Place] = {}
    alive = lifetimes(stages)
    for s in range(1, len(stages)):
        source = stages[s].main.source
        if source in places:
            continue  # an earlier stage reads it, too, or it is in a chain
        end = s
        while end + 1 < len(stages) and chained[end] and handed_on(stages, end) and handed_on(stages, end + 1):
            end += 1
        depth = max(ring_minimum(stages[m], engine) for m in range(s, end + 1))
        for m in range(s, end):
            depth = max(depth, chained_growth(stages, chosen, m, engine))
        opening = map_words(stages[s], engine)  # the first map stands at the end, so that the ring's start is free
        offset = depth - opening
        for m in range(s, end + 1):
            places[stages[m].main.source] = Place(len(rings), offset)
            offset = (offset + map_words(stages[m], engine)) % depth
        name = f"map{s}" if s == end else f"map{s}-{end}"
        life = Lifetime(alive[source].first, alive[stages[end].main.source].last)
        rings.append(Ring(name=name, first=life.first, last=life.last, depth=depth, opening=opening))
    for tensor, life in alive.items():
        if tensor in places:
            continue
        stage = life.first  # nothing reads it
        places[tensor] = Place(len(rings))
        words = written_words(stages[stage], engine)
        rings.append(Ring(name=f"unread{stage}", first=stage, last=stage, depth=words))
    return rings, places


def _place_from_top(ring: Ring, placed: list[Ring], depth: int) -> Ring | None:
    """The highest free place for a ring, or None."""
    bases = {depth - ring.depth}
    for other in placed:
        for stage in range(max(ring.first, other.first), min(ring.last, other.last) + 1):
            mine, theirs = ring.extent(stage), other.extent(stage)
            if mine and theirs:
                bases.add(theirs[0] - mine[1])  # mine[1] is relative to base 0: the ring has no place yet
    for base in sorted((b for b in bases if b >= 0), reverse=True):
        candidate = replace(ring, base=base)
        if not any(candidate.collides(other) for other in placed):
            return candidate
    return None


def _whole_image(stage: Stage, engine: EngineConfig) -> int:
    """More than this a gathered rows' ring never needs."""
    return gather_ring_words(stage.main, image_rows(stage.main, 0, stage.main.conv_shape[0])[1], engine)


def _shortage(wanted: list[Ring], failed: Ring) -> Shortage:
    """Of the stages of the failed ring the one in which most memory is asked for."""
    stages = range(failed.first, failed.last + 1)
    use = {s: sum(e[1] - e[0] for r in wanted if (e := r.extent(s))) for s in stages}
    worst = max(use, key=lambda s: use[s])
    return Shortage(stage=worst, words=use[worst])
