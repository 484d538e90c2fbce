"""The Python interface: what the command line does, as functions of values (docs/api.md).

Every function returns what it found, prints nothing, and raises an error of ``squeeze_hls.errors``.  Those that take
long accept a ``listener`` (``squeeze_hls.progress.Listener``), which is told stages, progress and notes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from squeeze_hls.artifacts import build_folder
from squeeze_hls.artifacts.build_folder import Build as Build
from squeeze_hls.board import Board as Board
from squeeze_hls.board import as_board, board_names, load_board
from squeeze_hls.driver.guesses import Guess as Guess
from squeeze_hls.errors import DoesNotFitError as DoesNotFitError
from squeeze_hls.errors import InputError as InputError
from squeeze_hls.errors import MismatchError as MismatchError
from squeeze_hls.errors import MissingToolError as MissingToolError
from squeeze_hls.errors import SqueezeError as SqueezeError
from squeeze_hls.errors import ToolFailedError as ToolFailedError
from squeeze_hls.flows import source
from squeeze_hls.flows.build import Built
from squeeze_hls.flows.compare import SideBySide
from squeeze_hls.flows.simulate import Simulation
from squeeze_hls.frontend import zoo
from squeeze_hls.network.ir import Graph as Graph
from squeeze_hls.network.ir import IntNetwork as IntNetwork
from squeeze_hls.network.pictures import DEFAULT_PICTURE, Given, One, gather
from squeeze_hls.plan.planner import Plan as Plan
from squeeze_hls.progress import SILENT, Listener
from squeeze_hls.quantize.compression import Compressed as Compressed
from squeeze_hls.report.accuracy import Result
from squeeze_hls.report.build_report import Check

if TYPE_CHECKING:
    from squeeze_hls.flows.classify import Classifier, Results

StrPath: TypeAlias = str | os.PathLike[str]
Network: TypeAlias = StrPath | Graph | IntNetwork  # what can be planned; a path may be a name that ``models`` lists
Model: TypeAlias = Network | Plan | Build  # what can compute; a path may be a build folder
On = Literal["golden", "executor", "csim", "rtl", "onnxruntime"]
PYNQ_Z2 = "pynq-z2"
WAVES = (0, 50_000)  # cycles


def load(
    model: StrPath | None = None,
    *,
    preprocess: str | None = None,
    input_size: tuple[int, int] | None = None,
    labels: StrPath | None = None,
    listener: Listener = SILENT,
) -> Graph:
    """Read an ``.onnx`` or ``.net`` file, or a model that ``models`` lists; without one the embedded SqueezeNet v1.1.

    ``preprocess`` is ``"caffe"``, ``"torchvision"`` or a JSON file, ``input_size`` height and width, ``labels`` a file
    with a class name on each line.  Raises InputError for what is no such model, DoesNotFitError for an operator that
    no network here may have.
    """
    return source.read(_source(model, preprocess, input_size, labels), listener)[0]


def quantize(model: StrPath | Graph, pictures: Given | None = None, *, listener: Listener = SILENT) -> IntNetwork:
    """6-bit weights and 8-bit activations, calibrated on ``pictures``, of which the first 1,000 count.

    Without pictures the built-in ones calibrate, for lower accuracy.  A model that came quantized keeps its own
    integers.  What one should know of the result stands in ``notes``.
    """
    return source.integers(_graph(model, listener), pictures, listener)


def compress(
    model: StrPath | Graph,
    pictures: Given,
    *,
    fit: str | Board | None = None,
    room: int | None = None,
    seed: int = 0,
    finetune: int = 0,
    listener: Listener = SILENT,
) -> Compressed:
    """Integers whose entropy-coded weights are resident on the board ``fit``, or take at most ``room`` bytes.

    ``pictures`` are a hundred or more, at most 300, without labels.  ``finetune`` batches of training need PyTorch.
    Raises InputError unless one of ``fit`` and ``room`` is given, DoesNotFitError where too little room is left.
    """
    from squeeze_hls.flows import compress as flow

    if (fit is None) == (room is None):
        raise InputError("give either fit, a board, or room, in bytes")
    graph, chosen = _graph(model, listener), source.calibration_set(pictures, listener, flow.MAX_PICTURES)
    assert chosen is not None
    board = as_board(fit) if fit is not None else None
    bits = flow.room_bits(graph, board) if board else 8 * (room or 0)
    return flow.fit(graph, chosen, bits, board, seed=seed, batches=finetune, listener=listener)


def save(network: IntNetwork, path: StrPath, *, format: Literal["qdq", "qonnx"] = "qdq") -> None:
    """Write a network as ONNX, ``"qdq"`` for ONNX Runtime or ``"qonnx"``; ``load`` reads the same integers back."""
    from squeeze_hls.artifacts.bundle import check_output_file, write_file
    from squeeze_hls.quantize.export import to_onnx

    if format not in ("qdq", "qonnx"):
        raise InputError(f"format: '{format}' is neither qdq nor qonnx")
    check_output_file(Path(path))
    write_file(to_onnx(network, format), Path(path))


def plan(
    network: Network,
    board: str | Board = PYNQ_Z2,
    *,
    weights: Literal["auto", "resident", "streamed"] = "auto",
    clock_mhz: float | None = None,
    engine: Build | Plan | None = None,
    listener: Listener = SILENT,
) -> Plan:
    """Put a network onto a board: by name, TOML file or value.  ``print`` shows the plan layer by layer.

    ``weights`` are ``"resident"``, ``"streamed"`` or, ``"auto"``, resident where they fit; the clock is the board's.
    With ``engine`` the plan is for the engine of an earlier one, whose memories have their sizes.  A float model is
    quantized on the built-in pictures.  Raises DoesNotFitError, which says what is short and what would fit.
    """
    from squeeze_hls.flows.build import BuildOptions, plan_network

    target, frozen = as_board(board), engine.engine if engine is not None else None
    options = BuildOptions(source=source.Source(), weights=weights, clock_mhz=clock_mhz)
    return plan_network(_network(network, listener, target), target, options, frozen, listener)


# --- computing ---


def run(
    model: Model,
    pictures: Given,
    *,
    on: On = "golden",
    board: str | Board = PYNQ_Z2,
    listener: Listener = SILENT,
) -> np.ndarray:
    """Logits of pictures, int32 (N, classes); float32 on ONNX Runtime.

    ``on`` is ``"golden"``, ``"executor"``, ``"csim"``, ``"rtl"`` or, for files and build folders, ``"onnxruntime"``.
    ``board`` counts for a model that has no plan yet and needs one.  Pictures of another size are resized and cropped
    as the network's ``preprocess`` says.  Raises MissingToolError without the compiler or simulator.
    """
    return _results(model, pictures, on, board, 1, listener).logits


def classify(
    model: Model,
    pictures: Given,
    *,
    on: On = "golden",
    top: int = 5,
    board: str | Board = PYNQ_Z2,
    listener: Listener = SILENT,
) -> tuple[tuple[Guess, ...], ...]:
    """The ``top`` most likely classes of each picture: ``(index, name, probability)``; the rest as in ``run``."""
    return _results(model, pictures, on, board, top, listener).guesses


def evaluate(
    model: Model,
    pictures: Given,
    labels: np.ndarray | Sequence[int] | None = None,
    *,
    on: On = "golden",
    board: str | Board = PYNQ_Z2,
    listener: Listener = SILENT,
) -> Result:
    """Top-1 and top-5 in percent, and predictions int64 (N,); the rest as in ``run``.

    ``labels`` are class indices (N,); without them those of the folder or set count, and without any there is no
    accuracy.
    """
    from squeeze_hls.flows import classify as flow

    return flow.evaluate(_classifier(model, on, board, listener), gather(pictures, labels), listener)


def verify(
    plan: Plan,
    picture: One = DEFAULT_PICTURE,
    *,
    on: Literal["executor", "csim", "rtl"] = "executor",
    listener: Listener = SILENT,
) -> tuple[Check, ...]:
    """Compare every tensor with the golden model's, bit for bit: on the executor, then on ``"csim"`` or ``"rtl"``.

    Raises MismatchError at the first difference, MissingToolError without the compiler or simulator.
    """
    from squeeze_hls.flows import build as flow
    from squeeze_hls.network.pictures import prepare, single

    if on not in ("executor", "csim", "rtl"):
        raise InputError(f"'{on}' is none of executor, csim, rtl")
    image = prepare(single(picture), plan.network.input_shape, plan.network.preprocess)
    checks = flow.verify(plan, image, flow.verification_level(on, listener), listener).checks
    return tuple(check for check in checks if check.status != "skipped")


def compare(
    a: StrPath,
    b: StrPath,
    pictures: Given,
    labels: np.ndarray | Sequence[int] | None = None,
    *,
    board: str | Board = PYNQ_Z2,
    listener: Listener = SILENT,
) -> SideBySide:
    """Two model files or build folders on the same pictures: accuracy, agreement, bytes and cycles."""
    from squeeze_hls.flows import compare as flow

    return flow.compare(_source(a), _source(b), as_board(board), gather(pictures, labels), listener)


def simulate(
    model: Plan | Build | StrPath,
    picture: One = DEFAULT_PICTURE,
    *,
    waves: StrPath | None = None,
    cycles: tuple[int, int] = WAVES,
    listener: Listener = SILENT,
) -> Simulation:
    """The RTL of a plan or a build folder, clock by clock: cycles of each instruction, every tensor checked.

    A waveform of ``cycles``, first and end, goes to ``waves`` (``.vcd`` or ``.fst``).  The figures go into the report
    of a build folder.  Raises MismatchError where a tensor differs, MissingToolError without Verilator.
    """
    from squeeze_hls.flows import simulate as flow

    wanted = flow.Waves(path=Path(waves), first=cycles[0], last=cycles[1]) if waves is not None else None
    if isinstance(model, Plan):
        return flow.simulate_plan(model, picture, wanted, listener)
    return flow.simulate(_folder(model), picture, wanted, listener)


# --- building ---


def build(
    model: Network | Plan | None = None,
    out: StrPath | None = None,
    *,
    board: str | Board = PYNQ_Z2,
    flow: Literal["hls", "rtl", "both"] = "both",
    check: Literal["none", "executor", "csim", "rtl"] | None = None,
    picture: One = DEFAULT_PICTURE,
    weights: Literal["auto", "resident", "streamed"] = "auto",
    clock_mhz: float | None = None,
    listener: Listener = SILENT,
) -> Built:
    """Plan where that is still to be done, verify, and write a build folder; ``report`` and ``where`` tell of it.

    ``out`` is a new folder or that of an earlier build, by default ``build/MODEL-BOARD``.  ``flow`` is ``"hls"``,
    ``"rtl"`` or ``"both"``; ``check`` is ``"none"``, ``"executor"``, ``"csim"`` or ``"rtl"``, by default csim where
    there is a compiler.  Of a plan, board, weights and clock are its own.  Nothing is written where a stage fails.
    """
    from squeeze_hls.flows import build as flows

    options = flows.BuildOptions(
        source=_source(model if isinstance(model, (str, os.PathLike)) else None),
        board=as_board(board),
        out=Path(out) if out is not None else None,
        flow=flow,
        verify=check,
        weights=weights,
        clock_mhz=clock_mhz,
        image=picture,
    )
    if model is None or isinstance(model, (str, os.PathLike)):
        return flows.build(options, listener)
    if not isinstance(model, Plan):
        model = plan(model, board, weights=weights, clock_mhz=clock_mhz, listener=listener)
    return flows.build_plan(model, options, listener)


def open_build(folder: StrPath) -> Build:
    """A build folder, checked against its report; ``weights()`` decodes its weight store."""
    return build_folder.open_build(Path(folder))


def synthesize(build: Build | StrPath, *, listener: Listener = SILENT) -> dict[str, Any]:
    """The report of a build, with DSP, BRAM, LUT and FF counted in a netlist by Yosys."""
    from squeeze_hls.flows.synth import synthesize_build

    return synthesize_build(_folder(build), listener)


def boards() -> tuple[Board, ...]:
    """The boards that come with the package."""
    return tuple(load_board(name) for name in board_names())


def models() -> tuple[zoo.Entry, ...]:
    """The models that can be named instead of a file."""
    return zoo.entries()


# --- what may be given in several forms ---


def _source(
    model: StrPath | None,
    preprocess: str | None = None,
    input_size: tuple[int, int] | None = None,
    labels: StrPath | None = None,
) -> source.Source:
    return source.Source(
        model=None if model is None else os.fspath(model),
        preprocess=preprocess,
        input_size=input_size,
        labels=None if labels is None else Path(labels),
    )


def _graph(model: StrPath | Graph, listener: Listener) -> Graph:
    return model if isinstance(model, Graph) else load(model, listener=listener)


def _network(model: Network, listener: Listener, board: Board | None) -> IntNetwork:
    """The integers of a model; what cannot be planned for ``board`` is refused before it is quantized."""
    if isinstance(model, IntNetwork):
        return model
    graph = _graph(model, listener)
    if board is not None:
        source.plannable(board)(graph)
    return source.integers(graph, None, listener)


def _folder(build: Build | StrPath) -> Path:
    return build.folder if isinstance(build, Build) else Path(build)


def _results(model: Model, pictures: Given, on: str, board: str | Board, top: int, listener: Listener) -> Results:
    from squeeze_hls.flows import classify as flow

    return flow.run(_classifier(model, on, board, listener), gather(pictures), top, listener)


def _classifier(model: Model, on: str, board: str | Board, listener: Listener) -> Classifier:
    from squeeze_hls.flows import classify as flow

    if isinstance(model, (str, os.PathLike)):
        return flow.classifier(_source(model), on, as_board(board), listener)
    if isinstance(model, Build):
        return flow.of_build(model, on, listener)
    if isinstance(model, Plan):
        return flow.of_plan(model, on, listener)
    target = as_board(board)
    network = _network(model, listener, None if on == "golden" else target)
    return flow.of_network(network, on, target, listener)
