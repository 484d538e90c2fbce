"""The judges: ONNX Runtime, and QONNX's own executor for models with its nodes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from unittest import mock

import numpy as np
import onnx
import onnxruntime

from tests.differential.case import Case

onnxruntime.set_default_logger_severity(4)


class CannotRun(Exception):
    """The judge cannot run the model: in one line, why."""


def tensors(case: Case, x: np.ndarray, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """The model's output and the ``wanted`` tensors for a preprocessed picture, float32 (1, 3, H, W).

    Where the model declares a batch, or float16, it gets what it declares.  Raises CannotRun.
    """
    x = np.concatenate([np.roll(x, i, axis=3) for i in range(case.batch)])
    x = x.transpose(0, 2, 3, 1) if case.layout == "NHWC" else x
    kind = onnx.helper.tensor_dtype_to_np_dtype(case.model.graph.input[0].type.tensor_type.elem_type)
    names = {case.model.graph.output[0].name, *wanted}
    custom = any(n.domain.startswith("qonnx") for n in case.model.graph.node)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that differ from the declared ones
            found = (_qonnx if custom else _onnxruntime)(case.model, x.astype(kind), names)
    except Exception as error:  # both raise whatever they like
        raise CannotRun(" ".join(str(error).split())[:300] or type(error).__name__) from error
    if not all(np.isfinite(v).all() for v in found.values()):
        raise CannotRun("what it computes is not finite")
    return found


def _onnxruntime(model: onnx.ModelProto, x: np.ndarray, names: set[str]) -> dict[str, np.ndarray]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    written = {o for n in model.graph.node for o in n.output}
    for name in sorted(names & written - {o.name for o in model.graph.output}):
        copy.graph.output.add().name = name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # as written: optimizations would fuse quantizers, with roundings of their own
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fetched = sorted(names & written)
    return dict(zip(fetched, session.run(fetched, {session.get_inputs()[0].name: x}), strict=True))


def _qonnx(model: onnx.ModelProto, x: np.ndarray, names: set[str]) -> dict[str, np.ndarray]:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for dim, size in zip(copy.graph.input[0].type.tensor_type.shape.dim, x.shape, strict=True):
        dim.dim_value = size
    wrapper = ModelWrapper(copy).transform(InferShapes())
    # QONNX runs node by node in models of the newest IR version, which ONNX Runtime may not know yet
    with mock.patch.object(onnx, "IR_VERSION", model.ir_version):
        found = execute_onnx(wrapper, {copy.graph.input[0].name: x}, return_full_exec_context=True)
    return {name: found[name] for name in names if name in found}
