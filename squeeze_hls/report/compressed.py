"""What compression made of a network, in the words of the SqueezeNet paper's tables (Iandola et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.quantize.rate import entropy_bits

ALEXNET_BYTES = 240_000_000  # as in the paper's Table 2
PAPER = (  # Table 2: approach, data type, megabytes
    ("SqueezeNet, not compressed", "32 bit", 4.8),
    ("SqueezeNet, Deep Compression", "8 bit", 0.66),
    ("SqueezeNet, Deep Compression", "6 bit", 0.47),
)


@dataclass(frozen=True, kw_only=True)
class ConvRow:
    """A convolution before and after, as in the paper's Table 1; biases are not counted."""

    name: str
    filter: str  # "3x3"
    before: int  # weights
    density: float  # share of weights that are not zero
    width: int  # bits that hold the largest weight
    bits: float  # entropy, mean over weights
    after: int  # weights that are not zero
    bytes: int  # entropy of all weights


@dataclass(frozen=True, kw_only=True)
class SizeRow:
    """A row of the paper's Table 2."""

    what: str
    bits: str
    bytes: int

    @property
    def reduction(self) -> float:
        """How many times smaller than AlexNet."""
        return ALEXNET_BYTES / self.bytes


def layers(network: IntNetwork) -> tuple[ConvRow, ...]:
    """Every convolution of a network."""
    found = []
    for conv in network.convs:
        weight, kept = conv.weight, int(np.count_nonzero(conv.weight))
        bits = entropy_bits(weight)
        found.append(
            ConvRow(
                name=conv.name,
                filter=f"{conv.kernel[0]}x{conv.kernel[1]}",
                before=weight.size,
                density=kept / weight.size,
                width=_width(int(weight.min()), int(weight.max())),
                bits=bits / weight.size,
                after=kept,
                bytes=-(-int(bits) // 8),
            )
        )
    return tuple(found)


def _width(low: int, high: int) -> int:
    """Bits of two's complement that hold both."""
    return max((-low - 1 if low < 0 else 0).bit_length(), high.bit_length()) + 1


def sizes(rows: Sequence[ConvRow], stored_bytes: int) -> tuple[SizeRow, ...]:
    """The paper's models and this one before and after, largest first."""
    weights = sum(row.before for row in rows)
    own = [
        SizeRow(what="this network, not compressed", bits="32 bit", bytes=4 * weights),
        SizeRow(what="this network, compressed", bits=f"{8 * stored_bytes / weights:.2f} bit", bytes=stored_bytes),
    ]
    paper = [SizeRow(what=what, bits=bits, bytes=round(megabytes * 1e6)) for what, bits, megabytes in PAPER]
    return (SizeRow(what="AlexNet", bits="32 bit", bytes=ALEXNET_BYTES), *sorted(paper + own, key=lambda s: -s.bytes))
