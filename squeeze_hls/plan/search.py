"""Chooses bands and memory map: the cheapest division of every stage that fits together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.plan.memory import MemoryMap, Shortage, handed_on, layout, map_words
from squeeze_hls.plan.schedule import Choice, Stage, choices


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A division of all stages, and its memory map."""

    chosen: tuple[Choice, ...]
    memory: MemoryMap

    @property
    def cycles(self) -> int:
        return sum(c.cycles for c in self.chosen)

    @property
    def instructions(self) -> int:
        return sum(c.instructions for c in self.chosen)


def all_choices(stages: Sequence[Stage], engine: EngineConfig) -> list[list[Choice]]:
    """The choices of every stage; they do not depend on the depth of the activation memory."""
    return [choices(stage, engine) for stage in stages]


def search(stages: Sequence[Stage], options: list[list[Choice]], engine: EngineConfig) -> Fit:
    """The cheapest fit found; raises DoesNotFitError naming the stage that is short of memory or program."""
    return min(_fits(stages, options, engine), key=lambda fit: fit.cycles)


def any_fit(stages: Sequence[Stage], options: list[list[Choice]], engine: EngineConfig) -> Fit:
    """The first fit found; raises as ``search`` does where there is none."""
    return next(_fits(stages, options, engine))


def _fits(stages: Sequence[Stage], options: list[list[Choice]], engine: EngineConfig) -> Iterator[Fit]:
    failures: list[DoesNotFitError] = []
    found = False
    for chained in _chain_candidates(stages, options, engine):
        try:
            fit = _fit(stages, options, chained, engine)
        except DoesNotFitError as error:
            failures.append(error)
            continue
        found = True
        yield fit
    if not found:
        raise failures[0]


def _chain_candidates(
    stages: Sequence[Stage], options: list[list[Choice]], engine: EngineConfig
) -> list[tuple[bool, ...]]:
    """Which maps grow in place of their predecessors: where they must, and in any one run of stages besides."""
    count = len(stages)
    words = [0] + [map_words(stage, engine) for stage in stages[1:]]
    smallest = [min(c.band_words for c in o) for o in options]
    inner = range(1, count - 1)
    must = [
        s in inner and handed_on(stages, s) and words[s] + words[s + 1] + smallest[s] > engine.act_depth
        for s in range(count)
    ]
    runs = [(0, 0)] + [(first, last) for first in inner for last in range(first + 1, count)]
    return list(dict.fromkeys(tuple(must[s] or first <= s < last for s in range(count)) for first, last in runs))


def _fit(stages: Sequence[Stage], options: list[list[Choice]], chained: tuple[bool, ...], engine: EngineConfig) -> Fit:
    picked = [0] * len(stages)

    def chosen() -> list[Choice]:
        return [o[i] for o, i in zip(options, picked, strict=True)]

    memory = layout(stages, chosen(), chained, engine)
    while isinstance(memory, Shortage):
        smaller = _next_smaller(options[memory.stage], picked[memory.stage])
        if smaller is None:
            raise DoesNotFitError(_short_of_memory(stages[memory.stage], memory.words, engine))
        picked[memory.stage] = smaller
        memory = layout(stages, chosen(), chained, engine)
    while sum(c.instructions for c in chosen()) > engine.program_depth:
        step = _fewer_instructions(stages, options, picked, chained, engine)
        if step is None:
            raise DoesNotFitError(
                f"the program needs {sum(c.instructions for c in chosen())} instructions, the engine holds "
                f"{engine.program_depth}; a larger activation memory would allow larger bands"
            )
        picked[step[0]] = step[1]
    final = layout(stages, chosen(), chained, engine)
    assert not isinstance(final, Shortage)
    if len(final.rings) > engine.buffer_depth:
        raise DoesNotFitError(
            f"the program needs {len(final.rings)} buffers, the engine has {engine.buffer_depth}. Use a network with "
            "fewer layers."
        )
    return Fit(chosen=tuple(chosen()), memory=final)


def _next_smaller(options: list[Choice], current: int) -> int | None:
    size = options[current].band_words + options[current].gather_words
    for i, option in enumerate(options):
        if i > current and option.band_words + option.gather_words < size:
            return i
    return None


def _fewer_instructions(
    stages: Sequence[Stage],
    options: list[list[Choice]],
    picked: list[int],
    chained: tuple[bool, ...],
    engine: EngineConfig,
) -> tuple[int, int] | None:
    """The (stage, choice) that saves instructions at the least cost for each of them and still fits."""
    candidates = []
    for s, alternatives in enumerate(options):
        now = alternatives[picked[s]]
        for i, other in enumerate(alternatives):
            saved = now.instructions - other.instructions
            if saved > 0:
                candidates.append(((other.cycles - now.cycles) / saved, s, i))
    for _, s, i in sorted(candidates):
        trial = [o[i if t == s else picked[t]] for t, o in enumerate(options)]
        if not isinstance(layout(stages, trial, chained, engine), Shortage):
            return s, i
    return None


def _short_of_memory(stage: Stage, words: int, engine: EngineConfig) -> str:
    need, have = (w * engine.pix * engine.cin for w in (words, engine.act_depth))
    return (
        f"activation memory: '{stage.main.name}' and what must be kept around it take {need:,} bytes at least, the "
        f"engine has {have:,} ({engine.pix} banks of {engine.act_depth} words); use a smaller picture or a bigger board"
    )
