"""How much room weights take in an entropy-coded store."""

from __future__ import annotations

import numpy as np

from squeeze_hls.network.ir import IntNetwork

OVERHEAD = 1.037  # of the store over the entropy of each layer: a practical code, few tables, whole words


def entropy_bits(integers: np.ndarray) -> float:
    """Bits of an ideal code for all of ``integers`` (any shape) that knows how often each value occurs."""
    counts = np.unique(integers, return_counts=True)[1]
    return float((counts * np.log2(counts.sum() / counts)).sum())


def stored_bits(network: IntNetwork) -> int:
    """Bits that the weights of a network take in the store: an estimate from each layer's entropy."""
    return int(np.ceil(OVERHEAD * sum(entropy_bits(conv.weight) for conv in network.convs)))
