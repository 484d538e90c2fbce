"""Models that once gave wrong answers without a word (only where the shared folder is at hand)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import load_graph
from squeeze_hls.network import golden, ir, pictures
from squeeze_hls.quantize import is_quantized, to_int
from tests.frontend.compare import onnxruntime_logits, qonnx_logits

# Largest difference of logits, in shares of the largest one: a float network is quantized to 6 bits on the way.
FLOAT, QUANTIZED = 0.035, 0.01
RIGHT = (
    "clip_last_below_quantizer",
    "dq_cast_conv",
    "features_only",
    "input_quant_4bit",
    "input_quant_8bit_clip1",
    "pool_before_average",
    "qdq_bypass_2_20",
    "quant_reshape_conv",
    "sum3",
    "tf_dq_transpose_6bit",
)
REFUSED = {
    "fp8_weights": "numbers of type float8_e4m3fn, not integers",
    "reshape_in_the_middle": "reshaped from",
    "weights_zero_point_half": "not whole steps of their scale, but up to 0.5 of a step away",
}


def seen(picture: np.ndarray, how: ir.Preprocess) -> np.ndarray:
    """What a network sees of u8 (H, W, 3) RGB, float32 (1, 3, H, W)."""
    ordered = picture if how.channels == "RGB" else picture[:, :, ::-1]
    x = (ordered.astype(np.float32) - np.array(how.mean, np.float32)) * np.array(how.scale, np.float32)
    return x.transpose(2, 0, 1)[None]


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str, shared: Path) -> None:
    path = shared / "cases" / "silent" / f"{name}.onnx"
    graph = load_graph(path, preprocess="torchvision")
    chosen = pictures.builtin()
    images = pictures.stack(chosen, graph.input_shape, graph.preprocess)
    network = to_int(graph, images)
    last = network.nodes[-1].output
    model = onnx.load(path)
    judge = qonnx_logits if any("qonnx" in o.domain for o in model.opset_import) else onnxruntime_logits
    plain = ir.Preprocess(**{**vars(ir.TORCHVISION), "resize": graph.preprocess.resize})
    for picture, image in list(zip(chosen, images, strict=True))[:4]:
        pixels = pictures.prepare(picture.pixels, graph.input_shape, plain)
        expected = judge(model, seen(pixels, ir.TORCHVISION))
        own = golden.run(network, image)[last] * network.scale[last]
        bound = QUANTIZED if is_quantized(graph) else FLOAT
        assert np.abs(own - expected).max() < bound * np.abs(expected).max()
        assert own.argmax() == expected.argmax()


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, shared: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_graph(shared / "cases" / "silent" / f"{name}.onnx", preprocess="torchvision")
    assert REFUSED[name] in str(caught.value) and "\n" not in str(caught.value)


def test_every_case_has_a_test(shared: Path) -> None:
    elsewhere = {"partial_preprocess", "partial_preprocess_metadata", "partial_preprocess_reference"}
    names = {path.stem for path in (shared / "cases" / "silent").glob("*.onnx")}
    assert names == {*RIGHT, *REFUSED, *elsewhere}


def test_partial_preprocessing(shared: Path, tmp_path: Path) -> None:
    """Only the size is given: everything else is the metadata's, or else what is assumed, with a notice."""
    (tmp_path / "size.json").write_text('{"input": [32, 32]}')
    folder = shared / "cases" / "silent"
    for how in ({"preprocess": str(tmp_path / "size.json")}, {"input_size": (32, 32)}):
        notices: list[str] = []
        partial = load_graph(folder / "partial_preprocess.onnx", notify=notices.append, **how)  # type: ignore[arg-type]
        reference = load_graph(folder / "partial_preprocess_reference.onnx")
        assert (
            partial.preprocess == reference.preprocess
            and str(partial).split("\n")[1:] == str(reference).split("\n")[1:]
        )
        assert any("torchvision's" in n and "assumed" in n for n in notices)
        carried = load_graph(folder / "partial_preprocess_metadata.onnx", **how)  # type: ignore[arg-type]
        assert carried.preprocess.mean == (123.675, 116.28, 103.53) and carried.preprocess.resize == (36, 36)


def test_the_foreign_exception(shared: Path) -> None:
    with pytest.raises(InputError, match="it averages the picture itself"):
        load_graph(shared / "cases" / "internal" / "foreign_exception.onnx", preprocess="torchvision")
