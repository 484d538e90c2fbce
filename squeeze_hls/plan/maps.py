"""Feature maps rebuilt from what instructions write, to be compared with the golden model."""

from __future__ import annotations

import numpy as np

from squeeze_hls.plan.planner import Plan


class Maps:
    """Collects the writes of one frame; every byte of every map must come exactly once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._spread: dict[str, np.ndarray] = {}
        self._seen: dict[str, np.ndarray] = {}
        for layer in plan.layers:
            if not layer.average:
                height, width, _ = layer.target_shape
                shape = (height * width, layer.target_layout.words, plan.engine.cin)
                self._spread[layer.target] = np.zeros(shape, np.uint8)
                self._seen[layer.target] = np.zeros(shape[0], np.int64)

    def add(self, instruction: int, values: np.ndarray) -> None:
        """`values` is u8 (pixels, words, CIN): the destination pixels of one instruction, in order."""
        band = self._plan.bands[instruction]
        target = self._plan.layers[band.layer].target
        pixels = slice(band.target_first, band.target_first + len(values))
        self._spread[target][pixels] = values
        self._seen[target][pixels] += 1

    def tensors(self) -> dict[str, np.ndarray]:
        """Every map as u8 (H, W, C); raises ValueError where a pixel was written never or twice."""
        out = {}
        for layer in self._plan.layers:
            if layer.average:
                continue
            if (self._seen[layer.target] != 1).any():
                pixel = int(np.flatnonzero(self._seen[layer.target] != 1)[0])
                raise ValueError(
                    f"pixel {pixel} of '{layer.target}' was written {self._seen[layer.target][pixel]} times"
                )
            height, width, _ = layer.target_shape
            flat = self._spread[layer.target].reshape(height, width, -1)
            out[layer.target] = layer.target_layout.collect(flat)
        return out


def logits_name(plan: Plan) -> str:
    """Name of the tensor that the logits are in the golden model's result."""
    return plan.network.nodes[-1].output
