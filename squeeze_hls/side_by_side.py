"""Two models on the same pictures: accuracy, agreement, size and cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from squeeze_hls import evaluate
from squeeze_hls.board import Board
from squeeze_hls.builds import is_build, open_build
from squeeze_hls.frontend import carries_preprocess
from squeeze_hls.ir import Conv, Graph
from squeeze_hls.pictures import PictureSet, prepare
from squeeze_hls.progress import SILENT, Keeper, Listener, Stage, tell
from squeeze_hls.quantize import batch, is_quantized, measure
from squeeze_hls.quantize.folding import fold_preprocess
from squeeze_hls.source import Source, read, to_network

PICTURES = 8  # at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the two models."""

    name: str
    numbers: str  # "float" or "6 bit"
    result: evaluate.Result
    weights: int
    weight_bytes: int  # float32, or what the board's store takes
    residency: str | None  # of the plan for the board; None for a float model
    cycles: int | None  # of one picture, predicted; None for a float model
    notes: tuple[str, ...]  # what one should know of the model


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
        weights = sum(node.weight.size for node in graph.nodes if isinstance(node, Conv))
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
    """The network of a model; that of a build, of which is said what was said when it was built."""
    if is_build(str(source.model)):
        build = open_build(Path(str(source.model)))
        tell(build.notes, keeper)
        return read(Source(model=str(build.model)), SILENT)[0]
    if carries_preprocess(str(source.model)):
        source = replace(source, preprocess=None)
    return read(source, keeper)[0]


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
) -> evaluate.Result:
    """Rank all pictures by ``logits``, which takes some of them, u8 (N, H, W, 3), to (N, classes)."""
    with listener.stage("evaluate") as stage:
        each = chain.from_iterable(map(logits, _batches(graph, chosen, stage)))
        result = evaluate.evaluate(each, chosen.labels)
        stage.outcome = outcome
    return result


def _batches(graph: Graph, chosen: PictureSet, stage: Stage) -> Iterator[np.ndarray]:
    for start in range(0, len(chosen), PICTURES):
        stage.progress(start, len(chosen), chosen.names[start])
        some = chosen[start : start + PICTURES]
        yield np.stack([prepare(picture.pixels, graph.input_shape, graph.preprocess) for picture in some])
