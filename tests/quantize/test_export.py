"""Exported models: read back exactly, executed exactly by ONNX Runtime and qonnx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from squeeze_hls import quantize
from squeeze_hls.errors import InputError
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden
from squeeze_hls.network.ir import TORCHVISION, Conv, IntNetwork, Pads
from tests.networks import random_network
from tests.quantize.compare import assert_same_network
from tests.quantize.graphs import PAD, fire_graph, pictures

FORMATS = ("qdq", "qonnx")


@pytest.fixture(scope="module", params=[Pads(), PAD], ids=["plain", "padded"])
def network(request: pytest.FixtureRequest) -> IntNetwork:
    return quantize.quantize(fire_graph(first_pads=request.param), pictures(40))


def read_back(network: IntNetwork, format: str, folder: Path) -> IntNetwork:
    file = folder / "model.onnx"
    file.write_bytes(quantize.to_onnx(network, format))
    return quantize.from_quantized(load_graph(file))


def network_input(network: IntNetwork, image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) - np.array(network.pad_value, np.float32)).transpose(2, 0, 1)[None]


def in_onnxruntime(network: IntNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of the QDQ model, real values."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (extra onnx-tools)")
    model = onnx.load_from_string(quantize.to_onnx(network, "qdq"))
    names = [node.output for node in network.nodes]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, {network.input: network_input(network, image)}), strict=True))


def in_qonnx(network: IntNetwork, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Every tensor of the QONNX model, real values."""
    pytest.importorskip("qonnx", reason="needs qonnx (extra onnx-tools)")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    make_model = onnx.helper.make_model  # qonnx hands every node to ONNX Runtime with the newest IR version there is
    monkeypatch.setattr(onnx.helper, "make_model", lambda *a, **k: make_model(*a, **({"ir_version": 10} | k)))
    model = ModelWrapper(onnx.load_from_string(quantize.to_onnx(network, "qonnx"))).transform(InferShapes())
    return execute_onnx(model, {network.input: network_input(network, image)}, return_full_exec_context=True)


def largest_deviation(network: IntNetwork, got: dict[str, np.ndarray], image: np.ndarray) -> dict[str, float]:
    """By tensor, in steps."""
    result = {}
    for tensor, expected in golden.run(network, image).items():
        if tensor != network.input:
            steps = got[tensor][0] / network.scale.get(tensor, 1.0)
            whole = expected.reshape(-1, 1, 1) if expected.ndim == 1 else expected.transpose(2, 0, 1)
            result[tensor] = float(np.abs(steps - whole).max())
    return result


@pytest.mark.parametrize("format", FORMATS)
def test_reading_back_gives_the_same_integers(network: IntNetwork, format: str, tmp_path: Path) -> None:
    assert_same_network(read_back(network, format, tmp_path), network)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("seed", range(12))
def test_reading_back_random_networks(seed: int, format: str, tmp_path: Path) -> None:
    network = random_network(seed)
    units = dict.fromkeys(network.shapes, 1.0)
    height, width, _ = network.shapes[network.averaged]
    network = replace(network, scale=units | {"logits": 1 / (height * width)})
    if not any(network.convs[0].pads.__dict__.values()):
        network = replace(network, pad_value=(0, 0, 0))  # is not stored where nothing is padded
    network = replace(network, preprocess=replace(network.preprocess, mean=tuple(map(float, network.pad_value))))
    assert_same_network(read_back(network, format, tmp_path), network)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_network_gives_the_same_bytes(network: IntNetwork, format: str) -> None:
    assert quantize.to_onnx(network, format) == quantize.to_onnx(network, format)


def test_onnx_runtime_computes_the_same_integers(network: IntNetwork) -> None:
    for image in pictures(8, seed=5):
        deviation = largest_deviation(network, in_onnxruntime(network, image), image)
        logits = deviation.pop("logits")
        assert max(deviation.values()) < 0.01 and logits < 1, deviation


def test_qonnx_computes_the_same_integers(network: IntNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    for image in pictures(2, seed=5):
        deviation = largest_deviation(network, in_qonnx(network, image, monkeypatch), image)
        logits = deviation.pop("logits")
        assert max(deviation.values()) < 0.01 and logits < 1, deviation


def test_onnx_runtime_on_the_dequantized_network_agrees_with_the_golden_model(network: IntNetwork) -> None:
    """Layer by layer: each convolution of the golden model against a float one on the same inputs."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (extra onnx-tools)")
    image = pictures(1, seed=6)[0]
    tensors = golden.run(network, image)
    for conv in network.convs:
        border = network.pad_value if network.input in conv.inputs else 0
        x = golden.pad(tensors[conv.inputs[0]], conv.pads, border).astype(np.float32).transpose(2, 0, 1)[None]
        factor = conv.multiplier * 2.0 ** -conv.shift.astype(float)
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[conv.stride] * 2)],
            "conv",
            [onnx.helper.make_tensor_value_info("x", 1, x.shape)],
            [onnx.helper.make_tensor_value_info("y", 1, None)],
            [
                onnx.numpy_helper.from_array(
                    np.ascontiguousarray((conv.weight * factor[:, None, None, None]).transpose(0, 3, 1, 2), np.float32),
                    "w",
                ),
                onnx.numpy_helper.from_array((conv.bias * factor).astype(np.float32), "b"),
            ],
        )
        model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)])
        real = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0][0].transpose(1, 2, 0)
        got = tensors[conv.output].astype(float)
        assert np.abs(np.clip(real, 0, conv.top) - got).max() <= 0.5 + 1e-3 * (1 + 100 * conv.wide)


def test_labels_and_preprocessing_travel(network: IntNetwork, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(quantize.to_onnx(network))
    graph = load_graph(file)
    assert graph.labels == network.labels
    assert graph.preprocess.channels == "RGB" and graph.preprocess.mean == tuple(map(float, network.pad_value))


# --- networks that came quantized ---


def carried(tmp_path: Path) -> object:
    file = tmp_path / "model.onnx"
    file.write_bytes(quantize.to_onnx(quantize.quantize(fire_graph(), pictures())))
    return load_graph(file)


def test_a_missing_activation_scale_is_refused_without_pictures_and_found_with(tmp_path: Path) -> None:
    graph = carried(tmp_path)
    scales = {t: s for t, s in graph.activation_scale.items() if t != "fire2/squeeze"}  # type: ignore[attr-defined]
    graph = replace(graph, activation_scale=scales)  # type: ignore[type-var]
    with pytest.raises(InputError, match="no activation scale for 'fire2/squeeze'"):
        quantize.from_quantized(graph)
    network = quantize.from_quantized(graph, pictures())
    assert network.scale["fire2/squeeze"] > 0
    assert network.scale["conv1"] == scales["conv1"]


def test_a_last_convolution_without_a_scale_gets_one_that_cannot_saturate(tmp_path: Path) -> None:
    graph = carried(tmp_path)
    scales = {t: s for t, s in graph.activation_scale.items() if t != "conv10"}  # type: ignore[attr-defined]
    network = quantize.from_quantized(replace(graph, activation_scale=scales))  # type: ignore[type-var]
    last = network.convs[-1]
    reach = (np.abs(last.weight.astype(int)).sum(axis=(1, 2, 3)) * 255 + np.abs(last.bias)) * (
        last.multiplier * 2.0 ** -last.shift.astype(float)
    )
    assert 65000 < reach.max() <= 65536


def test_partly_quantized_weights_are_refused(tmp_path: Path) -> None:
    graph = carried(tmp_path)
    nodes = tuple(
        replace(n, weight_scale=None) if isinstance(n, Conv) and n.name == "fire3/squeeze" else n
        for n in graph.nodes  # type: ignore[attr-defined]
    )
    with pytest.raises(InputError, match="fire3/squeeze: its weights are not quantized, others are"):
        quantize.from_quantized(replace(graph, nodes=nodes))  # type: ignore[type-var]


def test_factors_that_differ_by_colour_are_refused_here(tmp_path: Path) -> None:
    """The front end rounds pixels to common steps before (tests/frontend/test_levels.py)."""
    with pytest.raises(InputError, match="its weights are quantized, and the colours have different factors"):
        quantize.from_quantized(replace(carried(tmp_path), preprocess=TORCHVISION))  # type: ignore[type-var]


def test_to_int_chooses(tmp_path: Path) -> None:
    network = quantize.quantize(fire_graph(), pictures())
    assert_same_network(quantize.to_int(fire_graph(), pictures()), network)
    assert_same_network(quantize.to_int(carried(tmp_path)), network)  # type: ignore[arg-type]
    assert quantize.to_int(network) is network
    assert "built-in pictures" in quantize.to_int(fire_graph()).notes[-1]
