"""Classifying pictures on the golden model, the program executor, the compiled C++, the RTL or ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from squeeze_hls.driver.guesses import Guess
from squeeze_hls.errors import InputError
from squeeze_hls.flows import ON
from squeeze_hls.flows.source import Source, load, plannable
from squeeze_hls.frontend import narrow_view
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import IntNetwork, Preprocess, Shape
from squeeze_hls.progress import SILENT, Listener, Stage, tell
from squeeze_hls.report import accuracy
from squeeze_hls.report.accuracy import Result

if TYPE_CHECKING:
    from squeeze_hls.artifacts.build_folder import Build
    from squeeze_hls.board import Board
    from squeeze_hls.engine.config import EngineConfig
    from squeeze_hls.plan import Plan

Compute = Callable[[np.ndarray], np.ndarray]
Planned: TypeAlias = "tuple[EngineConfig, bytes, bytes]"  # engine, program, weight store


@dataclass(frozen=True, eq=False)
class Classifier:
    """Something that gives logits for pictures."""

    on: str
    input_shape: Shape
    preprocess: Preprocess
    logits: Compute  # u8 (H, W, 3) as ``pictures.prepare`` gives it -> (classes,), int32 or float32
    top_k: Callable[[np.ndarray, int], list[Guess]]  # the most likely classes first


def classifier(source: Source, on: str, board: Board | str, listener: Listener) -> Classifier:
    """A classifier for a model or a build folder.

    ``board`` is what a model is planned for where a program is needed; a build has its own.
    """
    from squeeze_hls.artifacts.build_folder import is_build, open_build

    if source.model is not None and is_build(source.model):
        build = open_build(Path(source.model))
        _check_build_options(source, listener)
        return of_build(build, on, listener)
    if on == "onnxruntime":
        return _onnxruntime(source, listener)
    from squeeze_hls.board import as_board

    target = as_board(board)
    network = load(source, listener, None if on == "golden" else plannable(target)).network
    return of_network(network, on, target, listener)


def of_build(build: Build, on: str, listener: Listener) -> Classifier:
    """A classifier for a build folder that has been opened."""
    tell(build.notes, listener)
    if on == "onnxruntime":
        return _onnxruntime(Source(model=str(build.model)), SILENT)
    network = build.network()
    for notice in narrow_view(network.preprocess, network.input_shape):
        listener.note(notice)
    if on in ("csim", "rtl"):
        require_own_program(build, network)
    return _integer(network, on, lambda: (build.engine, build.program, build.store), listener)


def of_network(network: IntNetwork, on: str, board: Board, listener: Listener) -> Classifier:
    """A classifier for an integer network, planned for ``board`` where ``on`` needs a program."""

    def planned() -> Planned:
        from squeeze_hls.plan import make_plan

        return _program(make_plan(network, board))

    return _integer(network, on, planned, listener)


def of_plan(plan: Plan, on: str, listener: Listener) -> Classifier:
    """A classifier for a network on the engine that it was planned for."""
    return _integer(plan.network, on, lambda: _program(plan), listener)


def _program(plan: Plan) -> Planned:
    return plan.engine, plan.program_bin, plan.weights_bin


def _check_build_options(source: Source, listener: Listener) -> None:
    """A build has its input size and its preprocessing; what else is asked for must not seem to count."""
    if source.input_size is not None:
        raise InputError(f"{source.model}: a build is for one input size. Leave --input out, or build again with it.")
    if source.preprocess is not None:
        listener.note(
            f"{source.model}: a build keeps the preprocessing that it was built with; --preprocess is ignored"
        )


def require_own_program(build: Build, network: IntNetwork) -> Plan:
    """The plan of a build, whose program must be what this planner writes.

    Compiled C++ trusts its program as hardware does.  Verilated RTL does not (an address beyond a memory is
    ignored, a hang ends at the cycle limit), but here its engine, too, comes from the build: planning bounds its size.
    """
    from squeeze_hls.board import load_board
    from squeeze_hls.plan import PlanOptions, make_plan

    board = load_board(str(build.report["board"]["name"]))
    plan = make_plan(network, board, PlanOptions(engine=build.engine))
    if (plan.program_bin, plan.weights_bin) != (build.program, build.store):
        raise InputError(
            f"{build.folder}: its program is not what this version plans for its model; build again, or --on executor"
        )
    return plan


def _integer(network: IntNetwork, on: str, planned: Callable[[], Planned], listener: Listener) -> Classifier:
    compute: Compute
    if on == "onnxruntime":
        raise InputError(f"{network.name}: ONNX Runtime runs .onnx files; give the file or a build folder")
    if on not in ON:
        raise InputError(f"'{on}' computes nothing; use one of {', '.join(ON)}")
    if on == "golden":
        compute = _golden(network)
    elif on == "executor":
        compute = _executor(*planned())
    elif on == "rtl":
        engine, program, store = planned()
        compute = _rtl(engine, program, store, listener)
    else:
        compute = _csim(*planned())
    return Classifier(
        on,
        network.input_shape,
        network.preprocess,
        lambda image: compute(image).astype(np.int32),
        lambda values, k: [Guess(*guess) for guess in golden.top_k(network, values, k)],
    )


def _golden(network: IntNetwork) -> Compute:
    return lambda image: golden.run(network, image)[network.nodes[-1].output]


def _executor(engine: EngineConfig, program: bytes, store: bytes) -> Compute:
    from squeeze_hls.engine.executor import Executor

    executor = Executor(engine, program, store)

    def compute(image: np.ndarray) -> np.ndarray:
        try:
            return executor.run(image)
        except (IndexError, ValueError) as error:  # a program that nobody planned
            raise InputError(f"the program leaves its memories ({error}); build again") from error

    return compute


def _csim(engine: EngineConfig, program: bytes, store: bytes) -> Compute:
    from squeeze_hls.sim.cache import compiled_folder
    from squeeze_hls.sim.csim import CSim, SimulatedEngine

    def compute(image: np.ndarray) -> np.ndarray:
        with compiled_folder("csim") as folder:
            return SimulatedEngine(engine, program, store, CSim(engine, folder)).logits(image)

    return compute


def _rtl(engine: EngineConfig, program: bytes, store: bytes, listener: Listener) -> Compute:
    """One simulated engine for all pictures: program and weights are loaded once."""
    from squeeze_hls.sim import rtl
    from squeeze_hls.sim.cache import compiled_folder

    with listener.stage("verilate") as stage, compiled_folder("rtl") as folder:
        simulated = rtl.simulated(engine, program, store, folder)
        stage.outcome = f"{engine.pix} x {engine.cin} x {engine.cout} array"
    return simulated.logits


def _onnxruntime(source: Source, listener: Listener) -> Classifier:
    """MODEL as it was given, in ONNX Runtime."""
    from squeeze_hls.flows.onnx_runtime import open_model
    from squeeze_hls.flows.source import read
    from squeeze_hls.frontend import resolve, zoo

    path = resolve(source.model or zoo.DEFAULT)
    if not isinstance(path, Path) or path.suffix.lower() != ".onnx":
        raise InputError(f"{source.model}: ONNX Runtime runs .onnx files only; use --on golden")
    graph, _ = read(source, listener)  # our own checks come first: sizes, operators, external data
    model = open_model(path, graph)
    how = graph.trained_preprocess or graph.preprocess  # levels are the engine's, not the model's
    mean, scale = np.array(how.mean, np.float32), np.array(how.scale, np.float32)

    def logits(image: np.ndarray) -> np.ndarray:
        pixels = image if how.channels == "RGB" else image[:, :, ::-1]
        values = (pixels.astype(np.float32) - mean) * scale
        return model.logits(np.ascontiguousarray(values.transpose(2, 0, 1)))

    def top_k(values: np.ndarray, k: int) -> list[Guess]:
        real = values.astype(np.float64)
        if not (real.min() >= 0 and abs(real.sum() - 1) < 1e-3):  # a model that ends in softmax says so itself
            real = np.exp(real - real.max())
            real /= real.sum()
        order = np.argsort(-real, kind="stable")[:k]
        return [Guess(int(i), graph.labels[i] if graph.labels else str(i), float(real[i])) for i in order]

    return Classifier("onnxruntime", graph.input_shape, how, logits, top_k)


# --- many pictures ---


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """What ``run`` found."""

    names: tuple[str, ...]  # of the pictures
    guesses: tuple[tuple[Guess, ...], ...]  # of each picture, the most likely class first
    logits: np.ndarray  # (N, classes), int32 or float32


def run(classify: Classifier, chosen: pictures.PictureSet, top: int, listener: Listener) -> Results:
    """Classify all pictures of a set, which may have any size."""
    with listener.stage("run") as stage:
        logits = np.stack(list(_logits(classify, chosen, stage)))
        stage.outcome = f"{len(chosen)} pictures on {classify.on}"
    guesses = tuple(tuple(classify.top_k(values, top)) for values in logits)
    return Results(names=chosen.names, guesses=guesses, logits=logits)


def evaluate(classify: Classifier, chosen: pictures.PictureSet, listener: Listener) -> Result:
    """Classify all pictures of a set and count what is right."""
    with listener.stage("evaluate") as stage:
        result = accuracy.evaluate(_logits(classify, chosen, stage), chosen.labels)
        stage.outcome = f"{len(chosen)} pictures on {classify.on}"
    return result


def _logits(classify: Classifier, chosen: pictures.PictureSet, stage: Stage) -> Iterator[np.ndarray]:
    for number, picture in enumerate(chosen):
        stage.progress(number, len(chosen), picture.name)
        yield classify.logits(pictures.prepare(picture.pixels, classify.input_shape, classify.preprocess))
