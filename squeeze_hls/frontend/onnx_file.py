"""Reading an ONNX file that may be hostile: sizes first, external data only from the model's folder."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.input_limits import (
    MAX_EXTERNAL_BYTES,
    MAX_MODEL_BYTES,
    MAX_NODES,
    MAX_TENSOR_ELEMENTS,
    MAX_TEXT_BYTES,
)
from squeeze_hls.frontend.onnx_node import STANDARD_DOMAINS
from squeeze_hls.frontend.text import safe_name

_NOT_NUMBERS = (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED)


def read_bytes(path: Path, limit: int) -> bytes:
    """Contents of a regular file of at most ``limit`` bytes; raises InputError in one line otherwise."""
    name = safe_name(str(path))
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # a pipe or a device would never end
            raise InputError(f"{name}: not a regular file. Give the path of a file.")
        if info.st_size > limit:
            raise InputError(f"{name}: {info.st_size:,} bytes, more than the {limit:,} that are accepted here.")
        with path.open("rb") as file:
            return file.read(info.st_size)  # a read of more would reserve memory for all of it
    except FileNotFoundError:
        raise InputError(f"{name}: no such file. Check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "invalid path"
        raise InputError(f"{name}: cannot be read ({reason}). Check the path and its permissions.") from error


@dataclass(kw_only=True)
class OnnxFile:
    """A parsed model; tensors are decoded one at a time by ``array``."""

    path: Path
    model: onnx.ModelProto
    external_bytes: int = field(default=0)  # read so far

    @property
    def graph(self) -> onnx.GraphProto:
        return self.model.graph

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return max((o.version for o in self.model.opset_import if o.domain in STANDARD_DOMAINS), default=1)

    @property
    def metadata(self) -> dict[str, str]:
        return {p.key: p.value for p in self.model.metadata_props if len(p.value) <= MAX_TEXT_BYTES}

    def array(self, tensor: onnx.TensorProto) -> np.ndarray:
        """Decode a tensor; raises InputError where sizes are beyond the limits or contents do not fit them."""
        where = f"{safe_name(self.path.name)}: tensor '{safe_name(tensor.name)}'"
        if any(d < 0 for d in tensor.dims):
            raise InputError(f"{where} has a negative size. The file is damaged; export the model again.")
        elements = math.prod(tensor.dims)
        if elements > MAX_TENSOR_ELEMENTS:
            raise InputError(f"{where} has {elements:,} elements, more than the {MAX_TENSOR_ELEMENTS:,} accepted.")
        if tensor.data_type in _NOT_NUMBERS:
            raise InputError(f"{where} does not hold numbers. Export the model again.")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            inline = onnx.TensorProto()
            inline.CopyFrom(tensor)
            inline.data_location = onnx.TensorProto.DEFAULT
            inline.raw_data = self._external(tensor, where)
            tensor = inline
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{where} holds less or more data than its shape {list(tensor.dims)[:8]} says. "
                "The file is damaged or truncated; export the model again."
            ) from error

    def _external(self, tensor: onnx.TensorProto, where: str) -> bytes:
        entries = {e.key: e.value for e in tensor.external_data}
        location = entries.get("location", "")
        path = _inside(self.path, location, where)
        try:
            offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
            size = path.stat().st_size
        except ValueError:
            raise InputError(f"{where}: its external data has an invalid offset or length.") from None
        except OSError:
            raise InputError(
                f"{where}: its external data file '{safe_name(location)}' is missing. Put it beside the model."
            ) from None
        length = size - offset if length < 0 else length
        if offset < 0 or offset + length > size:
            raise InputError(f"{where}: its external data file '{safe_name(location)}' is truncated. Copy it again.")
        self.external_bytes += length
        if self.external_bytes > MAX_EXTERNAL_BYTES:
            raise InputError(f"{where}: external data exceeds the {MAX_EXTERNAL_BYTES:,} bytes accepted in all.")
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise InputError(f"{where}: its external data cannot be read ({error.strerror}).") from error


def _inside(model: Path, location: str, where: str) -> Path:
    """The external data file, which must lie in the model's folder even when links are followed."""
    shown = safe_name(location)
    relative = Path(location.replace("\\", "/"))
    if not location or "\0" in location or relative.is_absolute() or ".." in relative.parts or ":" in location:
        raise InputError(f"{where}: external data location '{shown}' is not a path inside the model's folder.")
    folder = Path(os.path.realpath(model.parent))
    path = Path(os.path.realpath(folder / relative))
    if folder not in path.parents:
        raise InputError(
            f"{where}: external data location '{shown}' leads out of the model's folder. Copy the file there."
        )
    if path.exists() and not path.is_file():
        raise InputError(f"{where}: external data location '{shown}' is not a regular file.")
    return path


def read_onnx_file(path: Path) -> OnnxFile:
    """Parse ``path``; raises InputError where it is no ONNX model or beyond the limits."""
    name = safe_name(path.name)
    data = read_bytes(path, MAX_MODEL_BYTES)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise InputError(f"{name}: not an ONNX model, or a truncated one. Export or download it again.") from None
    if not model.graph.node:
        raise InputError(f"{name}: the model has no nodes. Export or download it again.")
    if len(model.graph.node) > MAX_NODES:
        raise InputError(f"{name}: {len(model.graph.node):,} nodes, more than the {MAX_NODES:,} accepted.")
    if model.graph.sparse_initializer:
        raise InputError(f"{name}: sparse initializers are not supported. Store the weights as dense tensors.")
    if not all(isinstance(text, str) for text in _texts(model)):
        raise InputError(f"{name}: a name in it is not UTF-8 text. The file is damaged; export or download it again.")
    return OnnxFile(path=path, model=model)


def _texts(model: onnx.ModelProto) -> Iterator[str | bytes]:
    """Every text that is used; protobuf gives bytes where one is not valid UTF-8."""
    for key in (*model.opset_import, *model.graph.node):
        yield key.domain
    for pair in model.metadata_props:
        yield from (pair.key, pair.value)
    for node in model.graph.node:
        yield from (node.op_type, node.name, *node.input, *node.output, *(a.name for a in node.attribute))
    for value in (*model.graph.input, *model.graph.output):
        yield value.name
    attributes = (a.t for node in model.graph.node for a in node.attribute)
    for tensor in (*model.graph.initializer, *attributes):
        yield tensor.name
        for pair in tensor.external_data:
            yield from (pair.key, pair.value)
