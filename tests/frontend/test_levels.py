"""Pictures in levels: the model's own quantizer of them, and one step for all colours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.context import Grid
from squeeze_hls.frontend.levels import in_levels
from squeeze_hls.network import golden, ir
from squeeze_hls.quantize import to_int
from tests.frontend.build import Builder, load
from tests.frontend.compare import onnxruntime_logits, qonnx_logits
from tests.frontend.dialects import Qdq, Qonnx, network

QUANT = "qonnx.custom_op.general.Quant"


def levels(graph: ir.Graph, picture: np.ndarray) -> np.ndarray:
    """u8 (H, W, 3) in the graph's levels."""
    assert graph.preprocess.levels is not None
    tables = [np.frombuffer(t, np.uint8) for t in graph.preprocess.levels]
    return np.stack([t[picture[:, :, c]] for c, t in enumerate(tables)], axis=2)


def real(how: ir.Preprocess, picture: np.ndarray) -> np.ndarray:
    """What the model sees of a picture, float32 (1, 3, H, W)."""
    ordered = picture if how.channels == "RGB" else picture[:, :, ::-1]
    x = (ordered.astype(np.float32) - np.array(how.mean, np.float32)) * np.array(how.scale, np.float32)
    return x.transpose(2, 0, 1)[None]


def own_logits(graph: ir.Graph, picture: np.ndarray) -> np.ndarray:
    network = to_int(graph)
    last = network.nodes[-1].output
    return golden.run(network, levels(graph, picture))[last] * network.scale[last]


def pixels(graph: ir.Graph) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, graph.input_shape).astype(np.uint8)


def on_picture(
    bits: int, scale: float, *, signed: int = 1, narrow: int = 0, zero: float = 0.0, mode: str = "ROUND"
) -> onnx.ModelProto:
    """A quantized network with a quantizer of its picture."""
    model = network(Qonnx())
    inputs = {"s": scale, "z": zero, "b": bits}
    for name, value in inputs.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), f"picture_{name}"))
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "x":
                node.input[i] = "x_quantized"
    quant = onnx.helper.make_node(
        "Quant", ["x", *(f"picture_{n}" for n in inputs)], ["x_quantized"], name="picture_quant",
        domain="qonnx.custom_op.general", signed=signed, narrow=narrow, rounding_mode=mode,
    )  # fmt: skip
    model.graph.node.insert(0, quant)
    return model


CASES: dict[str, dict[str, Any]] = {
    "8 bits": {"bits": 8, "scale": 2.64 / 127},
    "8 bits that clip": {"bits": 8, "scale": 1.0 / 127},
    "4 bits": {"bits": 4, "scale": 2.64 / 7},
    "narrow 3 bits": {"bits": 3, "scale": 0.7, "narrow": 1},
    "unsigned": {"bits": 8, "scale": 2.64 / 255, "signed": 0},
    "unsigned with a zero point": {"bits": 8, "scale": 4.8 / 255, "signed": 0, "zero": 114.0},
    "rounded down": {"bits": 4, "scale": 0.3, "mode": "FLOOR"},
}


@pytest.mark.parametrize("name", CASES)
def test_quantizers_of_the_picture_are_exact(name: str, tmp_path: Path) -> None:
    model = on_picture(**CASES[name])
    notices: list[str] = []
    graph = load(model, tmp_path, preprocess="torchvision", notify=notices.append)
    picture = pixels(graph)
    expected = qonnx_logits(model, real(ir.TORCHVISION, picture))
    assert np.ptp(expected) > 1e-2
    # an activation on a tie may fall to either side, and moves logits by a step of a later tensor
    np.testing.assert_allclose(own_logits(graph, picture), expected, atol=0.005)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    quantize = {"ROUND": np.rint, "FLOOR": np.floor}[CASES[name].get("mode", "ROUND")]
    bits, signed, narrow, zero = (
        CASES[name].get(k, d) for k, d in (("bits", 8), ("signed", 1), ("narrow", 0), ("zero", 0))
    )
    low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    steps = quantize(real(ir.TORCHVISION, ramp) / np.float32(CASES[name]["scale"]) + zero)
    wanted = (np.clip(steps, low, high) - zero) * CASES[name]["scale"]
    np.testing.assert_allclose(real(graph.preprocess, levels(graph, ramp)), wanted, rtol=1e-6)
    assert any("the quantizer of the picture is computed as a table of" in n for n in notices)


def test_blue_first(tmp_path: Path) -> None:
    """Tables are red, green and blue whatever order the model has."""
    grid = Grid(0.5, 0, -8, 7)
    how = ir.Preprocess(channels="BGR", mean=(10.0, 20.0, 30.0), scale=(0.01, 0.02, 0.03))
    graph = load(network(Qonnx()), tmp_path)
    found = in_levels(replace(graph, preprocess=how), grid, lambda _: None).preprocess
    assert found.levels is not None and found.mean == (8.0, 8.0, 8.0) and found.scale == (0.5, 0.5, 0.5)
    # red is the last: (255 - 30) * 0.03 / 0.5 = 13.5, clipped to 7, plus 8; blue (255 - 10) * 0.01 / 0.5 = 4.9
    assert [t[255] for t in found.levels] == [15, 15, 13]
    assert [t[0] for t in found.levels] == [6, 7, 8]  # -1.8, -0.8, -0.2


def test_sixteen_bits_on_the_picture(tmp_path: Path) -> None:
    """Steps finer than a pixel's change nothing; 65,536 levels that clip are more than a table holds."""
    notices: list[str] = []
    fine = load(on_picture(16, 2.0**-12), tmp_path, preprocess="torchvision", notify=notices.append)
    assert "the quantizer of the picture is left out: it changes no pixel by more than 0.007" in notices
    assert any("rounded to common steps" in n for n in notices)  # of the colours, whose factors still differ
    assert fine.preprocess.levels is not None and len(set(fine.preprocess.levels[0])) > 200
    with pytest.raises(InputError, match="its quantizer of the picture has 65,536 levels and changes pixels by up to"):
        load(on_picture(16, 1.0 / 32767), tmp_path, preprocess="torchvision")


@pytest.mark.parametrize("q", [Qonnx(), Qdq()])
def test_factors_by_colour_keep_quantized_weights(q: Qonnx | Qdq, tmp_path: Path) -> None:
    model = network(q)
    notices: list[str] = []
    graph = load(model, tmp_path, preprocess="torchvision", notify=notices.append)
    first = graph.nodes[0]
    assert isinstance(first, ir.Conv) and first.weight_scale is not None
    integers = to_int(graph).convs[0].weight
    np.testing.assert_array_equal(integers, np.rint(first.weight / first.weight_scale[:, None, None, None]))
    assert any("rounded to common steps, by up to 0.55 of 255" in n for n in notices)
    picture = pixels(graph)
    expected = (qonnx_logits if isinstance(q, Qonnx) else onnxruntime_logits)(model, real(ir.TORCHVISION, picture))
    error = np.abs(own_logits(graph, picture) - expected).max() / np.abs(expected).max()
    assert error < 0.01  # rounding the weights again gave 2 to 11 %


def test_float_networks_have_no_levels(tmp_path: Path) -> None:
    b = Builder()
    x = b.node("Relu", b.conv("x", b.weights(7, 3, 3, 3), name="conv1"))
    graph = load(b.model(b.node("GlobalAveragePool", x)), tmp_path, preprocess="torchvision")
    assert graph.preprocess.levels is None and graph.preprocess.mean == ir.TORCHVISION.mean


def test_two_quantizers_of_the_picture(tmp_path: Path) -> None:
    """The same one twice, as QDQ writes it, is one; different ones are refused."""
    model = on_picture(8, 0.02)
    second = onnx.helper.make_node(
        "Quant", ["x_quantized", "other", "picture_z", "picture_b"], ["x_again"], name="second",
        domain="qonnx.custom_op.general", signed=1, narrow=0, rounding_mode="ROUND",
    )  # fmt: skip
    for node in list(model.graph.node)[1:]:
        for i, name in enumerate(node.input):
            if name == "x_quantized":
                node.input[i] = "x_again"
    model.graph.node.insert(1, second)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.03), "other"))
    with pytest.raises(InputError, match="the picture is quantized twice, with different scales"):
        load(model, tmp_path, preprocess="torchvision")
