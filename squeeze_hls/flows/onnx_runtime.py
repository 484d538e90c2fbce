"""A model as it was given, in ONNX Runtime: pictures adapt to its type and batch, the model to another size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from squeeze_hls.errors import InputError, MissingToolError
from squeeze_hls.frontend import safe_name
from squeeze_hls.frontend.onnx_file import OnnxFile, read_onnx_file
from squeeze_hls.network.ir import Graph

GOLDEN = "use --on golden"
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
BFLOAT16 = "tensor(bfloat16)"
MAX_BATCH_ELEMENTS = 1 << 28  # of the largest feature map, for all pictures of a batch
REASON = 200  # characters of ONNX Runtime's own words
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : ")


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxModel:
    """A session, and what it takes and gives."""

    name: str  # of its file
    cannot: str  # begins the message where it fails
    session: Any
    batch: int  # pictures that it takes at once
    classes: int

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Float32 (classes,) of a preprocessed picture, float32 (3, H, W).

        Raises InputError where ONNX Runtime fails, or gives something else.
        """
        given = self.session.get_inputs()[0]
        with _one_line(self.cannot):
            results = self.session.run(None, {given.name: _fed(x, self.batch, given.type)})
        if len(results) != 1:
            raise InputError(f"{self.name}: ONNX Runtime gives {len(results)} results, not one; {GOLDEN}")
        return self._first_row(results[0])

    def _first_row(self, values: Any) -> np.ndarray:
        """The logits of the first picture, whatever dimensions of 1 stand around them."""
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
            raise InputError(f"{self.name}: what ONNX Runtime gives are no numbers; {GOLDEN}")
        if values.size != self.batch * self.classes:
            shape = " x ".join(map(str, values.shape)) or "one number"
            wanted = f"{self.classes} logits" + (f" for each of {self.batch} pictures" if self.batch > 1 else "")
            raise InputError(f"{self.name}: ONNX Runtime gives {shape}, not {wanted}; {GOLDEN}")
        logits = values.reshape(self.batch, self.classes)[0].astype(np.float32)
        if not np.isfinite(logits).all():
            raise InputError(f"{self.name}: ONNX Runtime gives NaN or infinity; {GOLDEN}")
        return logits


def _fed(x: np.ndarray, batch: int, kind: str) -> Any:
    """A picture as often as the model wants one, in its type."""
    pictures = np.repeat(x[None], batch, axis=0)
    if kind == BFLOAT16:  # no type of NumPy: the upper half of a float32, rounded to even
        from onnxruntime import OrtValue

        bits = pictures.view(np.uint32)
        upper = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        return OrtValue.ortvalue_from_numpy_with_onnx_type(upper.astype(np.uint16), onnx.TensorProto.BFLOAT16)
    if kind not in TYPES:
        raise InputError(f"its input is {kind}, which pictures are not converted to")
    return pictures.astype(TYPES[kind])


def open_model(path: Path, graph: Graph) -> OnnxModel:
    """The model in a file, for pictures of the size that ``graph``, read from it by the front end, has.

    Raises InputError where ONNX Runtime cannot run that, MissingToolError where there is none.
    """
    file = read_onnx_file(path)
    picture = _picture(file)
    batch, _, *declared = (dim.dim_value for dim in picture.type.tensor_type.shape.dim)  # 0: any
    batch, asked = max(batch, 1), graph.input_shape[:2]
    name = safe_name(path.name)
    cannot = f"{name}: ONNX Runtime cannot run it"
    largest = max(height * width * channels for height, width, channels in graph.shapes.values())
    if batch * largest > MAX_BATCH_ELEMENTS:
        raise InputError(f"{name}: its fixed batch of {batch:,} pictures is too large; {GOLDEN}, or export it with 1")
    source: Path | bytes = path
    if any(own > 0 and own != side for own, side in zip(declared, asked, strict=True)):
        cannot += f" at {asked[0]}x{asked[1]}, which is not its own size"
        source = _resized(file, asked)
    with _one_line(cannot):
        session = onnx_session(source)
    classes = graph.shapes[graph.nodes[-1].output][2]
    return OnnxModel(name=name, cannot=cannot, session=session, batch=batch, classes=classes)


def _picture(file: OnnxFile) -> onnx.ValueInfoProto:
    """The input that is no stored tensor; the front end has seen that there is one, with four dimensions."""
    stored = {tensor.name for tensor in file.graph.initializer}
    return next(value for value in file.graph.input if value.name not in stored)


def _resized(file: OnnxFile, size: tuple[int, int]) -> bytes:
    """The model for pictures of another size, whole: what lay beside its file is inside.

    All shapes but the input's are forgotten; ONNX Runtime infers them.
    """
    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    changed = OnnxFile(path=file.path, model=model)
    dims = _picture(changed).type.tensor_type.shape.dim
    for dim, side in zip(dims[2:], size, strict=True):
        dim.dim_value = side
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    attributes = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    for tensor in (*model.graph.initializer, *attributes):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed.array(tensor), tensor.name))
    return model.SerializeToString()


@contextmanager
def _one_line(cannot: str) -> Iterator[None]:
    """Whatever ONNX Runtime raises, whose exceptions have no common base, as an InputError of one line."""
    try:
        yield
    except MissingToolError:
        raise
    except Exception as error:
        reason = _PREFIX.sub("", (str(error) or type(error).__name__).splitlines()[0])[:REASON]
        raise InputError(f"{cannot} ({reason.rstrip('. ')}); {GOLDEN}") from error


def onnx_session(model: Path | bytes) -> Any:
    """An ONNX Runtime session on the CPU; its own log goes nowhere."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingToolError(
            "ONNX Runtime is not installed: pip install 'squeeze-hls[onnx-tools]', or use --on golden"
        ) from error
    onnxruntime.set_default_logger_severity(4)
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
