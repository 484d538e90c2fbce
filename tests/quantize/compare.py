"""Comparing integer networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze_hls.network.ir import IntNetwork, Preprocess


def assert_same_network(got: IntNetwork, expected: IntNetwork) -> None:
    """Every integer, every scale, the preprocessing and the labels; the name may differ."""
    assert _text(got) == _text(expected)
    for one, other in zip(got.convs, expected.convs, strict=True):
        assert one.wide == other.wide
        for field in ("weight", "bias", "multiplier", "shift"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=f"{one.name} {field}")
    assert (got.pad_value, got.labels) == (expected.pad_value, expected.labels)
    assert _resized(got) == _resized(expected)
    assert got.scale == expected.scale


def _resized(network: IntNetwork) -> Preprocess:
    """The preprocessing; networks that did not come from a file leave the resize to their input."""
    return replace(network.preprocess, resize=network.preprocess.resized(network.input_shape))


def _text(network: IntNetwork) -> list[str]:
    """Canonical text without the name; the front end drops a ``ceil`` that changes no size."""
    return str(network).replace(" ceil", "").split("\n")[1:]
