"""The Deep Compression file of SqueezeNet v1.0 (``compressed_SqueezeNet.net``).

Format, from the decoder that its authors published (Han et al., "Deep Compression", 2016), little-endian:
26 u32 entry counts; then for each convolution in the order of the network a codebook of 256 f32, the
biases (f32), one u8 code per entry, and one 4-bit gap per entry, low nibble first.  An entry stands
``gap + 1`` weights (Caffe order O, I, kh, kw) after the one before; code 0 is a filler where a gap is
too long for 4 bits, and its codebook value is 0.
"""

from __future__ import annotations

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.squeezenet import layer_shapes, squeezenet
from squeeze_hls.network.ir import Graph

NAME = "squeezenet1.0-deep-compression"
MAX_NET_BYTES = 8 << 20  # the dense file would have 5 MB
_CODES = 256
_WAY_OUT = "Download compressed_SqueezeNet.net again; only SqueezeNet v1.0 is read in this format."


class _Stream:
    """Reads arrays one after the other and refuses to read beyond the end."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._where, self._position = data, where, 0

    def take(self, kind: str, count: int, what: str) -> np.ndarray:
        size = np.dtype(kind).itemsize * count
        if size > self.left:
            raise InputError(f"{self._where}: truncated in the {what}. {_WAY_OUT}")
        self._position += size
        return np.frombuffer(self._data, kind, count, self._position - size)

    @property
    def left(self) -> int:
        return len(self._data) - self._position


def read_deep_compression(data: bytes, where: str) -> Graph:
    """Decode the file; raises InputError, beginning with ``where``, for anything but a whole and consistent one."""
    shapes = list(layer_shapes("1.0"))
    stream = _Stream(data, where)
    counts = stream.take("<u4", len(shapes), "table of entry counts").tolist()
    weights = {}
    for (name, outputs, kernel, inputs), count in zip(shapes, counts, strict=True):
        elements = outputs * inputs * kernel * kernel
        if not 0 < count <= elements:
            raise InputError(f"{where}: {count:,} entries for the {elements:,} weights of {name}. {_WAY_OUT}")
        codebook = stream.take("<f4", _CODES, f"codebook of {name}")
        bias = stream.take("<f4", outputs, f"biases of {name}")
        if not (np.isfinite(codebook).all() and np.isfinite(bias).all() and codebook[0] == 0):
            raise InputError(f"{where}: the codebook or the biases of {name} are damaged. {_WAY_OUT}")
        codes = stream.take("u1", count, f"codes of {name}")
        pairs = stream.take("u1", (count + 1) // 2, f"gaps of {name}")
        gaps = np.stack([pairs & 15, pairs >> 4], axis=1).reshape(-1)[:count]
        position = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if position[-1] >= elements:
            raise InputError(f"{where}: the gaps of {name} lead beyond its {elements:,} weights. {_WAY_OUT}")
        flat = np.zeros(elements, np.float32)
        flat[position] = codebook[codes]
        caffe = flat.reshape(outputs, inputs, kernel, kernel)
        weights[name] = (np.ascontiguousarray(caffe.transpose(0, 2, 3, 1)), bias.astype(np.float32))
    if stream.left:
        raise InputError(f"{where}: {stream.left:,} bytes too many. {_WAY_OUT}")
    return squeezenet(NAME, "1.0", 227, weights)
