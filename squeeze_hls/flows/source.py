"""From a file or a name to an integer network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.progress import Keeper, Listener, tell

if TYPE_CHECKING:
    from squeeze_hls.board import Board
    from squeeze_hls.engine.config import EngineConfig
    from squeeze_hls.network.pictures import Given, PictureSet

MAX_CALIBRATION = 1_000  # pictures


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model and how to read it; ``model`` None is the embedded default."""

    model: str | None = None
    preprocess: str | None = None
    carried_first: bool = False  # what the model itself says of preprocessing wins over ``preprocess``
    input_size: tuple[int, int] | None = None  # height, width at which it is compiled
    labels: Path | None = None
    calibration: Given | None = None  # pictures; None: the built-in ones


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A model as it was read and as integers."""

    graph: Graph
    network: IntNetwork
    sha256: str  # of that file
    quantized: bool  # by us, on the way
    notes: tuple[str, ...]  # all that was said of it: by the front end, then by the quantizer


def load(source: Source, listener: Listener, check: Callable[[Graph], None] | None = None) -> Loaded:
    """Read a model and, where it is a float one, quantize it.

    ``check`` sees what was read before that, which takes long, and raises what stands against it.
    """
    keeper = Keeper(listener)
    calibration = calibration_set(source.calibration, keeper)
    with listener.stage("load") as stage:
        graph, sha256 = read(source, keeper)
        height, width, _ = graph.input_shape
        stage.outcome = f"{graph.name}, {height} x {width}, {len(graph.convs)} convolutions"
    if check is not None:
        check(graph)
    network, quantized = to_network(graph, calibration, keeper)
    return Loaded(graph=graph, network=network, sha256=sha256, quantized=quantized, notes=tuple(keeper.notes))


def integers(graph: Graph, calibration: Given | None, listener: Listener) -> IntNetwork:
    """The integer network of a graph, quantized on ``calibration`` where it came as a float one."""
    return to_network(graph, calibration_set(calibration, listener), listener)[0]


def plannable(board: Board, engine: EngineConfig | None = None) -> Callable[[Graph], None]:
    """The check whether a network can be planned for a board, or for a frozen engine, whatever its weights."""
    from squeeze_hls.plan.ahead import check_shapes
    from squeeze_hls.quantize.integers import hollow

    return lambda graph: check_shapes(hollow(graph), board, engine)


def read(source: Source, listener: Listener) -> tuple[Graph, str]:
    """Graph, and SHA-256 of the file that it was read from."""
    from squeeze_hls import frontend
    from squeeze_hls.frontend import zoo

    model = source.model or zoo.DEFAULT
    found = frontend.resolve(model)
    if isinstance(found, zoo.Entry):
        zoo.fetch(found, listener.remark)
    graph = frontend.load_graph(
        model,
        preprocess=source.preprocess,
        labels=source.labels,
        input_size=source.input_size,
        carried_first=source.carried_first,
        notify=listener.note,
    )
    return graph, frontend.model_sha256(model)


def to_network(graph: Graph, calibration: PictureSet | None, listener: Listener) -> tuple[IntNetwork, bool]:
    """Integers of a graph, and whether they had to be found by quantizing a float model.

    The listener is told every note of the network: what a command says of a model, all say.
    """
    from squeeze_hls.network.pictures import stack
    from squeeze_hls.quantize import is_quantized, to_int

    images = stack(calibration, graph.input_shape, graph.preprocess) if calibration else None
    if is_quantized(graph):
        network = to_int(graph, images)
        tell(network.notes, listener)
        return network, False
    with listener.stage("quantize") as stage:
        network = to_int(graph, images, progress=lambda detail, done, total: stage.progress(done, total, detail))
        on = "the built-in pictures" if images is None else f"{len(images)} pictures"
        stage.outcome = f"6-bit weights, 8-bit activations, on {on}"
    tell(network.notes, listener)
    return network, True


def calibration_set(given: Given | None, listener: Listener, most: int = MAX_CALIBRATION) -> PictureSet | None:
    """The pictures to calibrate on, at most so many; None where none are given."""
    from squeeze_hls.network.pictures import gather

    if given is None:
        return None
    chosen = gather(given)
    if len(chosen) > most:
        listener.note(f"{len(chosen)} calibration pictures: the first {most} are used")
        chosen = chosen[:most]
    return chosen
