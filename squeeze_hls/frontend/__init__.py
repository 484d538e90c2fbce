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
from squeeze_hls.frontend.levels import in_levels
from squeeze_hls.frontend.limits import MAX_MODEL_BYTES
from squeeze_hls.frontend.onnx_file import read_bytes, read_onnx_file
from squeeze_hls.frontend.onnx_reader import read_graph
from squeeze_hls.frontend.preprocess import (
    LABELS_KEY,
    PREPROCESS_KEY,
    Size,
    labels_from_json,
    labels_to_json,
    preprocess_and_size,
    preprocess_from_json,
    preprocess_to_json,
    read_labels,
    read_preprocess,
)
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.ir import TORCHVISION, Graph, Preprocess
from squeeze_hls.paths import MODELS

__all__ = [
    "LABELS_KEY",
    "PREPROCESS_KEY",
    "carries_preprocess",
    "labels_from_json",
    "labels_to_json",
    "load_graph",
    "model_sha256",
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
    notify: Callable[[str], None] = _silent,
) -> Graph:
    """Read a network.

    ``model`` is an ``.onnx`` or ``.net`` file or a name of the zoo.  ``preprocess`` (``caffe``,
    ``torchvision`` or a JSON file) and ``labels`` (a file) win over what the model carries; with neither,
    torchvision and bare indices are assumed.  ``notify`` receives one-line notices for the user.

    Raises InputError for whatever cannot be read or computed.
    """
    given, size = read_preprocess(preprocess) if preprocess is not None else (None, None)
    found = resolve(model)
    if isinstance(found, Path) and found.suffix.lower() == ".onnx":
        graph, grid, assumed = _load_onnx(found, size, notify)
    else:
        graph, grid, assumed = _load_squeezenet(found, notify), None, None
        if size is not None and size != graph.input_shape[:2]:
            raise InputError(f'{graph.name}: its input size is fixed. Leave "input" out of the --preprocess file.')
    if given is None and assumed is not None:
        notify(assumed)
    graph = _finished(graph, given, read_labels(labels) if labels is not None else None, notify)
    return in_levels(graph, grid, notify)


def carries_preprocess(model: str | Path) -> bool:
    """Whether a model says itself how pictures are prepared; those that are no ``.onnx`` file are known."""
    found = resolve(model)
    if not isinstance(found, Path) or found.suffix.lower() != ".onnx":
        return True
    return PREPROCESS_KEY in read_onnx_file(found).metadata


def _load_onnx(path: Path, size: Size | None, notify: Callable[[str], None]) -> tuple[Graph, Grid | None, str | None]:
    """The graph with what the file carries, its quantizer of the picture, and a notice of what had to be assumed."""
    file = read_onnx_file(path)
    name = safe_name(path.name)
    carried = file.metadata.get(PREPROCESS_KEY)
    own, own_size = preprocess_and_size(carried, f"{name}: {PREPROCESS_KEY}") if carried else (None, None)
    graph, grid = read_graph(file, safe_name(path.stem), size or own_size, notify)
    listed = file.metadata.get(LABELS_KEY)
    graph = replace(
        graph,
        preprocess=own or TORCHVISION,
        labels=labels_from_json(listed, f"{name}: {LABELS_KEY}") if listed else (),
    )
    assumed = "no preprocessing in the model: torchvision's is assumed (--preprocess caffe|torchvision|FILE.json)"
    return graph, grid, None if own else assumed


def _load_squeezenet(found: Path | zoo.Entry, notify: Callable[[str], None]) -> Graph:
    """A Deep Compression file or a downloaded model: one of the authors' networks for ImageNet."""
    if isinstance(found, zoo.Entry):
        graph = zoo.load(found, notify)
    else:
        graph = read_deep_compression(read_bytes(found, MAX_NET_BYTES), safe_name(found.name))
    embedded = MODELS / zoo.find(zoo.DEFAULT).filename  # has the same classes, with their names
    listed = read_onnx_file(embedded).metadata.get(LABELS_KEY) if embedded.is_file() else None
    return replace(graph, labels=labels_from_json(listed) if listed else ())


def _finished(
    graph: Graph, preprocess: Preprocess | None, labels: tuple[str, ...] | None, notify: Callable[[str], None]
) -> Graph:
    """The graph with what the user gave in place of what it carried, both checked against the network."""
    names = graph.labels if labels is None else labels
    classes = graph.shapes[graph.nodes[-1].output][2]
    if names and len(names) != classes:
        raise InputError(
            f"{graph.name}: {len(names)} class names for {classes} classes. Give --labels a file with one name a line."
        )
    if not names:
        notify("no class names in the model: classes are shown by index (--labels FILE)")
    chosen = preprocess or graph.preprocess
    side = max(graph.input_shape[:2])
    if chosen.resize < side:  # the crop is taken from the resized picture
        notify(f"pictures are resized to {side}, not {chosen.resize}: the input would not fit")
        chosen = replace(chosen, resize=side)
    return replace(graph, preprocess=chosen, labels=names)
