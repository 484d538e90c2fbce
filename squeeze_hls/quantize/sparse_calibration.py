"""Calibration pictures that say too little of a network: of one colour, or such that much of it stays at 0.

Scales are chosen for what is seen.  A channel that never rises above 0 gets one by chance, and saturates or drowns
once a real picture makes it rise.  Trained networks have channels that no picture wakes, so those count that stay at 0
on the calibration pictures and rise on the built-in ones.  Of all channels but the classes' these were at most 1.1 %
for healthy sets, mostly 7 % or more for noise and 17 % or more for one colour (docs/quantization.md).
"""

from __future__ import annotations

import numpy as np

from squeeze_hls.network.ir import Graph
from squeeze_hls.quantize import operators as batch

MISSED = 1 / 20  # of the channels: so many may rise on the built-in pictures only
FLAT = 4  # levels of 256: within these a picture is of one colour, which JPEG blurs
PICTURES = 4  # at a time
WAY_OUT = "use pictures of the model's classes, several of each"


def notes(graph: Graph, images: np.ndarray, border: np.ndarray, reach: dict[str, np.ndarray]) -> tuple[str, ...]:
    """What is wrong with calibration pictures u8 (N, H, W, 3), for the user.

    ``reach`` is the largest value of each channel of each convolution on them.
    """
    found: tuple[str, ...] = ()
    blur = 0 if graph.preprocess.levels else FLAT  # levels may be few
    if all((np.ptp(image, axis=(0, 1)) <= blur).all() for image in images):
        what = "the calibration picture is" if len(images) == 1 else f"all {len(images)} calibration pictures are each"
        found = (f"{what} of one single colour; {WAY_OUT}",)
    return found + _asleep(graph, border, reach)


def _asleep(graph: Graph, border: np.ndarray, reach: dict[str, np.ndarray]) -> tuple[str, ...]:
    convs = [conv for conv in graph.convs if conv.output != graph.averaged]
    asleep = {conv.name: reach[conv.output] <= 0 for conv in convs}
    channels, at_zero = sum(map(len, asleep.values())), sum(int(a.sum()) for a in asleep.values())
    whole = [name for name, channels_of in asleep.items() if channels_of.all()]
    if at_zero <= MISSED * channels and not whole:
        return ()  # without looking at the built-in pictures
    woken = _on_builtin_pictures(graph, border)
    missed = {conv.name: asleep[conv.name] & (woken[conv.output] > 0) for conv in convs}
    count = sum(int(m.sum()) for m in missed.values())
    whole = [name for name in whole if missed[name].any()]
    if count <= MISSED * channels and not whole:
        return ()
    more = f" and of {len(whole) - 1} more layers" if whole[1:] else ""
    among = f", all of '{whole[0]}'{more} among them" if whole else ""
    return (
        f"{at_zero:,} of {channels:,} channels never rise above 0 on the calibration pictures{among}, though {count:,} "
        f"of them do on the built-in ones; {WAY_OUT}",
    )


def _on_builtin_pictures(graph: Graph, border: np.ndarray) -> dict[str, np.ndarray]:
    """The largest value of each channel of each convolution on the built-in pictures."""
    from squeeze_hls.network import pictures

    images = pictures.stack(pictures.builtin(), graph.input_shape, graph.preprocess)
    result: dict[str, np.ndarray] = {}
    for start in range(0, len(images), PICTURES):
        tensors = batch.run(graph, images[start : start + PICTURES], border)
        for conv in graph.convs:
            top = tensors[conv.output].max(axis=(0, 1, 2))
            result[conv.output] = np.maximum(result.get(conv.output, top), top)
    return result
