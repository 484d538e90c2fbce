"""Two models on the same pictures: accuracy, agreement, size and cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from squeeze_hls.artifacts.build_folder import is_build, open_build
from squeeze_hls.board import Board
from squeeze_hls.errors import InputError
from squeeze_hls.flows.source import Source, read, to_network
from squeeze_hls.network.ir import Graph
from squeeze_hls.network.pictures import PictureSet, prepare
from squeeze_hls.progress import SILENT, Keeper, Listener, Stage, tell
from squeeze_hls.quantize import is_quantized, measure
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize.folding import fold_preprocess
from squeeze_hls.report import accuracy
from squeeze_hls.report.accuracy import Comparison, Result, Side

PICTURES = 8  # at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class SideBySide:
    """Two models on the same pictures."""

    a: Side
    b: Side
    images: int
    agreement: float  # percent of the pictures of which both say the same
    agreement_interval: tuple[float, float]  # 95 %, Wilson
    change: Comparison | None  # of B against A; None where the pictures' classes are not known
    notes: tuple[str, ...]  # of both, each once


def compare(first: Source, second: Source, board: Board, chosen: PictureSet, listener: Listener) -> SideBySide:
    """Run two models on all pictures; sizes and cycles are those planned for ``board``.

    A note of one model alone is told with ``A:`` or ``B:`` before it.
    """
    a, b = (examine(source, board, chosen, listener) for source in (first, second))
    predictions = b.result.predictions, a.result.predictions
    agreement, interval = accuracy.agreement(*predictions)
    notes = tuple(dict.fromkeys((*a.notes, *b.notes)))
    for note in notes:
        whose = "" if note in a.notes and note in b.notes else "A: " if note in a.notes else "B: "
        listener.note(whose + note)
    return SideBySide(
        a=a,
        b=b,
        images=len(chosen),
        agreement=agreement,
        agreement_interval=interval,
        change=None if chosen.labels is None else accuracy.compare(*predictions, chosen.labels),
        notes=notes,
    )


def examine(source: Source, board: Board, chosen: PictureSet, listener: Listener) -> Side:
    """Run a model on all pictures: a float one in floating point, a quantized one or a build in its integers.

    ``source.preprocess`` counts for a model that does not say itself how pictures are prepared.  Notes are not told,
    for there are two models: they stand in ``Side.notes``.
    """
    assert source.model is not None
    name, keeper = Path(source.model).name, Keeper(listener, aloud=False)
    graph = _read(source, keeper)
    if not is_quantized(graph):
        folded, pad_value, notes = fold_preprocess(graph)
        tell(notes, keeper)
        border = np.array(pad_value, np.float32)
        weights = sum(conv.weight.size for conv in graph.convs)
        return Side(
            name=name,
            numbers="float",
            result=_judge(
                f"{name}: {len(chosen)} pictures in floating point",
                lambda some: batch.logits(folded, some, border),
                graph,
                chosen,
                keeper,
            ),
            weights=weights,
            weight_bytes=4 * weights,
            residency=None,
            cycles=None,
            notes=tuple(keeper.notes),
        )
    return _integer(name, graph, board, chosen, keeper)


def _read(source: Source, keeper: Keeper) -> Graph:
    """The network of a model; or of a build, which has a size of its own, with what was said when it was built."""
    if not is_build(str(source.model)):
        return read(replace(source, carried_first=True), keeper)[0]
    build = open_build(Path(str(source.model)))
    tell(build.notes, keeper)
    graph, _ = read(Source(model=str(build.model)), SILENT)
    if source.input_size not in (None, graph.input_shape[:2]):
        height, width, _ = graph.input_shape
        raise InputError(
            f"{source.model}: the build is for {height}x{width}. Leave --input out, or build again with it."
        )
    return graph


def _integer(name: str, graph: Graph, board: Board, chosen: PictureSet, keeper: Keeper) -> Side:
    from squeeze_hls.plan import make_plan

    network, _ = to_network(graph, None, keeper)
    plan = make_plan(network, board)
    return Side(
        name=name,
        numbers="6 bit",
        result=_judge(
            f"{name}: {len(chosen)} pictures in integers",
            lambda some: measure.integer_logits(network, some),
            graph,
            chosen,
            keeper,
        ),
        weights=sum(conv.weight.size for conv in network.convs),
        weight_bytes=len(plan.weights_bin),
        residency=plan.residency,
        cycles=plan.timing.total,
        notes=tuple(keeper.notes),
    )


def _judge(
    outcome: str,
    logits: Callable[[np.ndarray], np.ndarray],
    graph: Graph,
    chosen: PictureSet,
    listener: Listener,
) -> Result:
    """Rank all pictures by ``logits``, which takes some of them, prepared for ``graph``, to (N, classes)."""
    with listener.stage("evaluate") as stage:
        each = chain.from_iterable(map(logits, _batches(graph, chosen, stage)))
        result = accuracy.evaluate(each, chosen.labels)
        stage.outcome = outcome
    return result


def _batches(graph: Graph, chosen: PictureSet, stage: Stage) -> Iterator[np.ndarray]:
    for start in range(0, len(chosen), PICTURES):
        stage.progress(start, len(chosen), chosen.names[start])
        some = chosen[start : start + PICTURES]
        yield np.stack([prepare(picture.pixels, graph.input_shape, graph.preprocess) for picture in some])
