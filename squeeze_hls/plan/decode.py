"""From the weight store of a program back to integer weights."""

from __future__ import annotations

import numpy as np

from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.program import parse_program
from squeeze_hls.engine.store import StoreReader
from squeeze_hls.errors import InputError
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.plan.lowering import Half, Layer, lower


def decode_weights(network: IntNetwork, engine: EngineConfig, program: bytes, store: bytes) -> dict[str, np.ndarray]:
    """Weights by the names of ``network``'s convolutions, whose values are not looked at, only their shapes."""
    parsed = parse_program(program)
    layers = lower(network, engine)
    if len(parsed.layers) != len(layers):
        raise InputError(f"the program has {len(parsed.layers)} layers, the model {len(layers)}; build again")
    reader = StoreReader(store, engine.chunk, parsed.tables)
    weights = {}
    for record, layer in zip(parsed.layers, layers, strict=True):
        halves = dict(zip("ab", layer.halves, strict=False))
        groups = range(layer.groups)
        shapes = [{n: half.tiles.shape[1:] for n, half in halves.items() if g < half.groups} for g in groups]
        tiles = reader.layer(record, shapes)
        for name, half in halves.items():
            stacked = np.stack([tile[name] for tile in tiles if name in tile])
            weights[half.conv.name] = _from_tiles(stacked, half, layer)
    return {conv.name: weights[conv.name] for conv in network.convs}


def _from_tiles(tiles: np.ndarray, half: Half, layer: Layer) -> np.ndarray:
    """(groups, K words, COUT, CIN) -> (O, kh, kw, I)."""
    outputs, kh, kw, inputs = half.conv.weight.shape
    rows = tiles.transpose(0, 2, 1, 3).reshape(-1, tiles.shape[1] * tiles.shape[3])[:outputs]
    if not layer.gather:
        return layer.source_layout.collect(rows.reshape(outputs, kh, kw, -1))
    # Gathered rows stand phase by phase, each kernel row padded to whole words.
    phases = [row for phase in range(half.conv.stride) for row in range(phase, kh, half.conv.stride)]
    by_row = rows.reshape(outputs, kh, -1)[:, :, : kw * inputs]
    return by_row[:, np.argsort(phases)].reshape(outputs, kh, kw, inputs)
