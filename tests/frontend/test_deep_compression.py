"""The Deep Compression file: against the published facts, and everything that can be wrong with it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import load_graph
from squeeze_hls.frontend.deep_compression import MAX_NET_BYTES, NAME, read_deep_compression
from squeeze_hls.frontend.squeezenet import layer_shapes
from squeeze_hls.network import ir
from tests.frontend.build import logits

SHAPES = list(layer_shapes("1.0"))
Layer = dict[str, np.ndarray]


def encode(layers: list[Layer]) -> bytes:
    """A file from counts (their number of entries), codebooks, biases, codes and gaps."""
    parts = [np.array([len(layer["codes"]) for layer in layers], "<u4").tobytes()]
    for layer in layers:
        gaps = np.append(layer["gaps"], 0) if len(layer["gaps"]) % 2 else layer["gaps"]
        pairs = (gaps[0::2] | gaps[1::2] << 4).astype("u1")
        parts += [layer["codebook"].astype("<f4").tobytes(), layer["bias"].astype("<f4").tobytes()]
        parts += [layer["codes"].astype("u1").tobytes(), pairs.tobytes()]
    return b"".join(parts)


def some_layers() -> list[Layer]:
    """Few entries a layer: enough for every rule of the format."""
    rng = np.random.default_rng(3)
    layers = []
    for _, outputs, _, _ in SHAPES:
        count = int(rng.integers(20, 60))
        codebook = rng.normal(0, 1, 256)
        codebook[0] = 0
        gaps, codes = rng.integers(0, 16, count), rng.integers(0, 256, count)
        layers.append({"codebook": codebook, "bias": rng.normal(0, 1, outputs), "codes": codes, "gaps": gaps})
    return layers


def test_decoding() -> None:
    """Gaps count the weights left out, low nibble first; code 0 fills; (O, I, kh, kw) becomes (O, kh, kw, I)."""
    layers = some_layers()
    graph = read_deep_compression(encode(layers), "x.net")
    convs = [n for n in graph.nodes if isinstance(n, ir.Conv)]
    assert [c.name for c in convs] == [name for name, *_ in SHAPES]
    for conv, layer, (_, outputs, kernel, inputs) in zip(convs, layers, SHAPES, strict=True):
        flat = np.zeros(outputs * inputs * kernel * kernel, np.float32)
        position = -1
        for gap, code in zip(layer["gaps"], layer["codes"], strict=True):
            position += int(gap) + 1
            flat[position] = layer["codebook"][code]
        expected = flat.reshape(outputs, inputs, kernel, kernel)
        np.testing.assert_array_equal(conv.weight.transpose(0, 3, 1, 2), expected)
        np.testing.assert_array_equal(conv.bias, layer["bias"].astype(np.float32))


def test_published_file(shared: Path) -> None:
    """Counts of the published network, and its topology: that of the authors' v1.0."""
    graph = load_graph(shared / "models/compressed_SqueezeNet.net")
    convs = [n for n in graph.nodes if isinstance(n, ir.Conv)]
    assert sum(c.weight.size for c in convs) == 1_244_448
    assert sum(int(np.count_nonzero(c.weight)) for c in convs) == 415_921
    assert sum(c.bias.size for c in convs) == 3_976
    how = replace(ir.CAFFE, resize=(256, 256))
    assert (graph.name, graph.preprocess, graph.input_shape) == (NAME, how, (227, 227, 3))
    dense = load_graph(shared / "models/squeezenet1.0.onnx", preprocess="caffe")
    assert str(graph).splitlines()[1:] == str(dense).splitlines()[1:]


def test_published_file_recognises_an_espresso(shared: Path) -> None:
    """The picture for which Caffe's own activations of v1.0 are recorded: the pruned network sees the same."""
    recorded = np.load(shared / "models/caffe_activations_squeezenet1.0.npz", allow_pickle=False)
    graph = load_graph(shared / "models/compressed_SqueezeNet.net")
    got = logits(graph, recorded["data"].reshape(1, 3, 227, 227))
    assert got.argmax() == recorded["prob"].reshape(-1).argmax() == 967
    assert np.exp(got - got.max()).sum() < 1.25, "an espresso, at more than 80 %"


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_deep_compression(data, "x.net")
    message = str(caught.value)
    assert message.startswith("x.net: ") and message.isprintable()
    return message


def test_truncated_everywhere() -> None:
    data = encode(some_layers())
    for length in [*range(0, 200, 7), *range(200, len(data), 997), len(data) - 1]:
        assert "truncated in the " in refusal(data[:length])
    assert "truncated in the gaps of conv10." in refusal(data[:-1])


def too_long(layers: list[Layer]) -> None:
    layers[1]["gaps"] = np.full(1536, 1)
    layers[1]["codes"] = np.full(1536, 1)


def filler(layers: list[Layer]) -> None:
    layers[2]["codebook"][0] = 0.5


def nan(layers: list[Layer]) -> None:
    layers[3]["codebook"][9] = np.nan


def infinite(layers: list[Layer]) -> None:
    layers[25]["bias"][0] = np.inf


def more_entries(layers: list[Layer]) -> None:
    layers[2]["codes"] = layers[2]["gaps"] = np.zeros(1025, int)


def no_entries(layers: list[Layer]) -> None:
    layers[2]["codes"] = layers[2]["gaps"] = np.zeros(0, int)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (too_long, "the gaps of fire2/squeeze1x1 lead beyond its 1,536 weights."),
        (filler, "the codebook or the biases of fire2/expand1x1 are damaged."),
        (nan, "the codebook or the biases of fire2/expand3x3 are damaged."),
        (infinite, "the codebook or the biases of conv10 are damaged."),
        (more_entries, "1,025 entries for the 1,024 weights of fire2/expand1x1."),
        (no_entries, "0 entries for the 1,024 weights of fire2/expand1x1."),
    ],
)
def test_inconsistent(change: Callable[[list[Layer]], None], problem: str) -> None:
    layers = some_layers()
    change(layers)
    way_out = "Download compressed_SqueezeNet.net again; only SqueezeNet v1.0 is read in this format."
    assert refusal(encode(layers)) == f"x.net: {problem} {way_out}"


def test_bytes_too_many() -> None:
    assert refusal(encode(some_layers()) + b"12345").startswith("x.net: 5 bytes too many.")


def test_counts_are_checked_before_memory() -> None:
    assert "4,294,967,295 entries for the 14,112 weights of conv1." in refusal(struct.pack("<26I", *[2**32 - 1] * 26))


def test_file_cap(tmp_path: Path) -> None:
    path = tmp_path / "x.net"
    with path.open("wb") as file:
        file.truncate(MAX_NET_BYTES + 1)
    with pytest.raises(InputError, match="8,388,609 bytes, more than the 8,388,608 that are accepted here"):
        load_graph(path)
