"""Comparisons: printed graphs with snapshots, numbers with ONNX Runtime and QONNX."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import pytest

from squeeze_hls.network.ir import Graph

SNAPSHOTS = Path(__file__).resolve().parent / "snapshots"
FIXTURES = Path(__file__).resolve().parent / "fixtures"


def assert_snapshot(graph: Graph, name: str) -> None:
    """Compare the printed graph and its scales; UPDATE_SNAPSHOTS=1 writes them instead."""
    text = str(graph)
    for tensor, scale in sorted(graph.activation_scale.items()):
        text += f"scale {tensor} = {scale:.6g}\n"
    for tensor, top in sorted(graph.activation_top.items()):
        text += f"top {tensor} = {top}\n"
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def onnxruntime_logits(model: onnx.ModelProto | Path, x: np.ndarray) -> np.ndarray:
    """The model's output for one picture (1, 3, H, W), flat."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx-tools)")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # as written: optimizations would fuse quantizers, with roundings of their own
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0].reshape(-1)


def qonnx_logits(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """The same by QONNX's own executor."""
    wrapper = pytest.importorskip("qonnx.core.modelwrapper", reason="qonnx is not installed (extra onnx-tools)")
    executor = pytest.importorskip("qonnx.core.onnx_exec")
    shapes = pytest.importorskip("qonnx.transformation.infer_shapes")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    prepared = wrapper.ModelWrapper(copy).transform(shapes.InferShapes())
    # QONNX runs node by node in models of the newest IR version, which ONNX Runtime may not know yet
    with mock.patch.object(onnx, "IR_VERSION", model.ir_version):
        found = executor.execute_onnx(prepared, {copy.graph.input[0].name: x})
    return found[copy.graph.output[0].name].reshape(-1)
