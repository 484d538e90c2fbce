"""Front end: a model file or a name of the zoo -> ``ir.Graph``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.onnx_file import OnnxFile, read_onnx_file
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

__all__ = [
    "LABELS_KEY",
    "PREPROCESS_KEY",
    "labels_from_json",
    "labels_to_json",
    "load_graph",
    "preprocess_from_json",
    "preprocess_to_json",
    "read_labels",
    "safe_name",
]


def _silent(message: str) -> None:
    """Notices go nowhere unless somebody listens."""


def load_graph(
    model: str | Path,
    *,
    preprocess: str | None = None,
    labels: Path | None = None,
    notify: Callable[[str], None] = _silent,
) -> Graph:
    """Read a network.

    ``model`` is an ``.onnx`` file.  ``preprocess`` (``caffe``, ``torchvision`` or a
    JSON file) and ``labels`` (a file) win over what the model carries; with neither, torchvision and bare
    indices are assumed.  ``notify`` receives one-line notices for the user.  Raises InputError.
    """
    given, size = read_preprocess(preprocess) if preprocess is not None else (None, None)
    file = read_onnx_file(Path(model))
    own, own_size = _carried_preprocess(file)
    graph = read_graph(file, safe_name(file.path.stem), size or own_size, notify)
    chosen = given or own
    if chosen is None:
        notify("no preprocessing in the model: torchvision's is assumed (--preprocess caffe|torchvision|FILE.json)")
    carried = file.metadata.get(LABELS_KEY)
    names = labels_from_json(carried, f"{safe_name(file.path.name)}: {LABELS_KEY}") if carried else ()
    return _with(graph, chosen or TORCHVISION, read_labels(labels) if labels is not None else names, notify)


def _carried_preprocess(file: OnnxFile) -> tuple[Preprocess | None, Size | None]:
    text = file.metadata.get(PREPROCESS_KEY)
    return preprocess_and_size(text, f"{safe_name(file.path.name)}: {PREPROCESS_KEY}") if text else (None, None)


def _with(graph: Graph, preprocess: Preprocess, labels: tuple[str, ...], notify: Callable[[str], None]) -> Graph:
    classes = graph.shapes[graph.nodes[-1].output][2]
    if labels and len(labels) != classes:
        raise InputError(f"{len(labels)} class names for {classes} classes. Give --labels a file with one name a line.")
    if not labels:
        notify("no class names in the model: classes are shown by index (--labels FILE)")
    height, width, _ = graph.input_shape
    if preprocess.resize < max(height, width):
        preprocess = replace(preprocess, resize=max(height, width))
    return replace(graph, preprocess=preprocess, labels=labels)
