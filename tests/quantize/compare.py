"""Comparing integer networks."""

from __future__ import annotations

import numpy as np

from squeeze_hls.ir import IntNetwork


def assert_same_network(got: IntNetwork, expected: IntNetwork) -> None:
    """Every integer, every scale, the preprocessing and the labels; the name may differ."""
    assert _text(got) == _text(expected)
    for one, other in zip(got.convs, expected.convs, strict=True):
        assert one.wide == other.wide
        for field in ("weight", "bias", "multiplier", "shift"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=f"{one.name} {field}")
    assert (got.pad_value, got.preprocess, got.labels) == (expected.pad_value, expected.preprocess, expected.labels)
    assert got.scale == expected.scale


def _text(network: IntNetwork) -> list[str]:
    """Canonical text without the name; the front end drops a ``ceil`` that changes no size."""
    return str(network).replace(" ceil", "").split("\n")[1:]
