"""Front end: a model file or a name of the zoo -> ``ir.Graph``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import zoo
from squeeze_hls.frontend.context import Grid
from squeeze_hls.frontend.deep_compression import MAX_NET_BYTES, read_deep_compression
from squeeze_hls.frontend.input_limits import MAX_MODEL_BYTES
from squeeze_hls.frontend.levels import in_levels
from squeeze_hls.frontend.onnx_file import OnnxFile, read_bytes, read_onnx_file
from squeeze_hls.frontend.onnx_reader import read_graph
from squeeze_hls.frontend.preprocess import (
    LABELS_KEY,
    PREPROCESS_KEY,
    Size,
    Stated,
    labels_from_json,
    labels_to_json,
    preprocess_from_json,
    preprocess_to_json,
    read_labels,
    read_preprocess,
    stated,
)
from squeeze_hls.frontend.settled import merged, narrow_view, settle
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.network.ir import Graph
from squeeze_hls.paths import MODELS

__all__ = [
    "LABELS_KEY",
    "PREPROCESS_KEY",
    "labels_from_json",
    "labels_to_json",
    "load_graph",
    "model_sha256",
    "narrow_view",
    "preprocess_from_json",
    "preprocess_to_json",
    "read_labels",
    "resolve",
    "safe_name",
]


def _silent(message: str) -> None:
    """Notices go nowhere unless somebody listens."""


def resolve(model: str | Path) -> Path | zoo.Entry:
    """What MODEL means: a file, or a model of the zoo that is no file yet.

    A name of the zoo, matched exactly, wins over a file of that name; the embedded model is a file.
    Raises InputError where it is neither.
    """
    if isinstance(model, Path) or model.lower().endswith((".onnx", ".net")):
        return Path(model)
    if model not in zoo.MODELS_BY_NAME and os.path.exists(model):
        raise InputError(f"{safe_name(model)}: not a model file. Give an .onnx or a .net file, or a name of the zoo.")
    entry = zoo.find(model)
    return MODELS / entry.filename if entry.embedded else entry


def model_sha256(model: str | Path, notify: Callable[[str], None] = _silent) -> str:
    """SHA-256 of the file that MODEL is read from (for a model of the zoo: of what is downloaded)."""
    found = resolve(model)
    if isinstance(found, zoo.Entry):
        return found.sha256
    return hashlib.sha256(read_bytes(found, MAX_MODEL_BYTES)).hexdigest()


def load_graph(
    model: str | Path,
    *,
    preprocess: str | None = None,
    labels: Path | None = None,
    input_size: Size | None = None,
    carried_first: bool = False,
    notify: Callable[[str], None] = _silent,
) -> Graph:
    """Read a network.

    ``model`` is an ``.onnx`` or ``.net`` file or a name of the zoo.  ``preprocess`` (``caffe``,
    ``torchvision`` or a JSON file) and ``labels`` (a file) win over what the model carries; what neither says is
    torchvision's, and bare indices.  With ``carried_first`` it is what the model carries that wins over
    ``preprocess``.  ``input_size`` (height, width) replaces the size that the model or ``preprocess`` gives.
    ``notify`` receives one-line notices for the user.

    Raises InputError for whatever cannot be read or computed.
    """
    given = read_preprocess(preprocess) if preprocess is not None else None
    found = resolve(model)
    if isinstance(found, Path) and found.suffix.lower() == ".onnx":
        file = read_onnx_file(found)
        sources = _sources(given, _carried(file), carried_first)
        graph, grid = _from_onnx(file, input_size or merged(*sources).input, notify)
    else:
        graph, grid = _load_squeezenet(found, notify), None
        sources = _sources(given, stated(graph.preprocess, graph.input_shape[:2]), carried_first)
        _check_fixed_size(graph, input_size, merged(*sources).input)
    chosen, notices = settle(*sources, graph.input_shape)
    for notice in notices:
        notify(notice)
    names = read_labels(labels) if labels is not None else graph.labels
    _check_labels(graph, names, notify)
    return in_levels(replace(graph, preprocess=chosen, labels=names), grid, notify)


def _sources(given: Stated | None, carried: Stated | None, carried_first: bool) -> tuple[Stated | None, Stated | None]:
    """What the user and the model say of preprocessing; the first one wins."""
    if not carried_first:
        return given, carried
    if given and carried:  # a model that says how it was trained says for which size, too
        given = replace(given, input=None)
    return carried, given


def _carried(file: OnnxFile) -> Stated | None:
    """What a file says of preprocessing; None where it has no such metadata."""
    text = file.metadata.get(PREPROCESS_KEY)
    return preprocess_from_json(text, f"{safe_name(file.path.name)}: {PREPROCESS_KEY}") if text else None


def _from_onnx(file: OnnxFile, size: Size | None, notify: Callable[[str], None]) -> tuple[Graph, Grid | None]:
    """The network of a file, with its own class names, and its quantizer of the picture."""
    graph, grid = read_graph(file, safe_name(file.path.stem), size, notify)
    listed = file.metadata.get(LABELS_KEY)
    where = f"{safe_name(file.path.name)}: {LABELS_KEY}"
    return replace(graph, labels=labels_from_json(listed, where) if listed else ()), grid


def _load_squeezenet(found: Path | zoo.Entry, notify: Callable[[str], None]) -> Graph:
    """A Deep Compression file or a downloaded model: one of the authors' networks for ImageNet."""
    if isinstance(found, zoo.Entry):
        graph = zoo.load(found, notify)
    else:
        graph = read_deep_compression(read_bytes(found, MAX_NET_BYTES), safe_name(found.name))
    embedded = MODELS / zoo.find(zoo.DEFAULT).filename  # has the same classes, with their names
    listed = read_onnx_file(embedded).metadata.get(LABELS_KEY) if embedded.is_file() else None
    return replace(graph, labels=labels_from_json(listed) if listed else ())


def _check_fixed_size(graph: Graph, asked: Size | None, stated_size: Size | None) -> None:
    """The authors' networks are made for one size; another one is refused, whoever asks for it."""
    height, width = graph.input_shape[:2]
    for size, name in ((asked, "--input out"), (stated_size, '"input" out of the --preprocess file')):
        if size is not None and size != (height, width):
            raise InputError(f"{graph.name}: its input size is fixed, {height}x{width}. Leave {name}.")


def _check_labels(graph: Graph, names: tuple[str, ...], notify: Callable[[str], None]) -> None:
    classes = graph.shapes[graph.nodes[-1].output][2]
    if names and len(names) != classes:
        raise InputError(
            f"{graph.name}: {len(names)} class names for {classes} classes. Give --labels a file with one name a line."
        )
    if not names:
        notify("no class names in the model: classes are shown by index (--labels FILE)")
