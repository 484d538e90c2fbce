"""Quantizer: ``ir.Graph`` -> ``ir.IntNetwork``, and the way back into ONNX."""

from __future__ import annotations

import numpy as np

from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.quantize.calibrated import Progress, quantize
from squeeze_hls.quantize.carried import from_quantized, is_quantized
from squeeze_hls.quantize.export import to_onnx

__all__ = ["from_quantized", "is_quantized", "quantize", "to_int", "to_onnx"]


def to_int(
    network: Graph | IntNetwork, images: np.ndarray | None = None, *, progress: Progress | None = None, seed: int = 0
) -> IntNetwork:
    """The integers of any network: its own where it came quantized, else found on calibration pictures.

    ``images`` are u8 (N, H, W, 3) RGB of the network's input size; without them the built-in pictures
    calibrate, and a note says so.  An ``IntNetwork`` is returned as it is.
    """
    if isinstance(network, IntNetwork):
        return network
    if is_quantized(network):
        return from_quantized(network, images, seed=seed)
    if images is not None:
        return quantize(network, images, progress=progress, seed=seed)
    return _on_builtin_pictures(network, progress, seed)


def _on_builtin_pictures(graph: Graph, progress: Progress | None, seed: int) -> IntNetwork:
    from dataclasses import replace

    from squeeze_hls.network import pictures

    chosen = pictures.builtin()
    images = pictures.stack(chosen, graph.input_shape, graph.preprocess)
    note = (
        f"{graph.name} is a float model, quantized on the {len(chosen)} built-in pictures; its own classes' "
        "(--calibration) give better accuracy"
    )
    network = quantize(graph, images, progress=progress, seed=seed)
    return replace(network, notes=(*network.notes, note))
