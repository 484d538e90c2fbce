"""Cases for the bench of the whole engine: what is loaded, sent and expected.

They are made by the tests and reach the simulator's process as a file, whose name is in SQUEEZE_HLS_CASES.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squeeze_hls.engine import addresses
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.packets import image_packet, program_packet, stream_packet, streamed_words, weights_packet
from squeeze_hls.engine.program import Program, parse_program, program_crc
from squeeze_hls.network import golden
from squeeze_hls.network.ir import IntNetwork

WAITS = ("polling", "interrupt", "auto-restart")  # how the bench learns that a start is done


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One network on one engine, and the manner in which its frames are sent."""

    seed: int
    load: tuple[bytes, ...]  # packets of s_axis_in that load program and weights, one start each
    images: tuple[bytes, ...]  # packets of s_axis_in
    stream: bytes  # packet of s_axis_weights, one for each image; empty: resident
    logits: np.ndarray  # expected, int64 (images, classes)
    registers: dict[str, int]  # expected once all is loaded
    steps: int  # cycles in which the array multiplies, of one frame
    wait: str  # of WAITS
    idle: float  # share of the cycles in which no beat is offered
    pressure: float  # share of the cycles in which no logits are taken
    ahead: bool  # all images are in the stream before the first start
    whole: bool = False  # a whole network: streams without gaps, by a source that sleeps while it waits
    exact: bool = True  # the counters count clock cycles (those of an HLS engine count iterations)
    limit: int  # cycles of any start that count as a hang


def make_case(
    network: IntNetwork,
    engine: EngineConfig,
    program: bytes,
    weights: bytes,
    images: Sequence[np.ndarray],
    *,
    seed: int,
    exact: bool = True,
    whole: bool = False,
    wait: str | None = None,
) -> Case:
    """A case of u8 (H, W, 3) images; ``program`` and ``weights`` are ``program.bin`` and ``weights.bin``.

    The seed says how its frames are sent, except for ``wait``; a ``whole`` network's all at once, with an interrupt.
    """
    rng = np.random.default_rng([seed, 7])
    parsed = parse_program(program)
    load = [program_packet(program, engine).data]
    stream = b""
    if engine.streamed:
        stream = stream_packet(streamed_words(parsed, weights), program).data
    else:
        load.append(weights_packet(weights, engine).data)
    output = network.nodes[-1].output
    packets = tuple(image_packet(image, program).data for image in images)
    idle, pressure = (0.0 if whole else float(rng.choice([0, 0.1, 0.5, 0.8])) for _ in range(2))
    steps = frame_steps(parsed, engine.pix)
    how = wait or ("interrupt" if whole else str(rng.choice(WAITS)))
    beats = (sum(map(len, load)) + len(packets[0]) + len(stream)) // 8
    return Case(
        seed=seed,
        load=tuple(load),
        images=packets,
        stream=stream,
        logits=np.stack([golden.run(network, image)[output] for image in images]),
        registers={
            "engine_id": engine.identity,
            "program_id": program_crc(program),
            "weights_id": 0 if engine.streamed else zlib.crc32(weights),
        }
        | ({} if engine.streamed and not exact else {"loaded_flags": 3}),  # of streamed weights HLS says "not loaded"
        steps=steps,
        wait=how,
        idle=idle,
        pressure=pressure,
        ahead=whole or bool(rng.integers(2)),
        whole=whole,
        exact=exact,
        limit=(1 if exact else 10) * int(3 * (steps + beats) / (1 - idle)) + 20_000,
    )


def frame_steps(program: Program, pix: int) -> int:
    """Cycles in which the array multiplies, summed over the instructions of a frame."""
    total = 0
    for instruction in program.instructions:
        layer = program.layers[instruction.layer]
        depth = sum(layer.depth(half) for group in range(layer.groups) for half in layer.halves_of(group))
        total += depth * addresses.blocks(layer, instruction, pix)
    return total


def save(cases: Sequence[Case], path: Path) -> dict[str, str]:
    """Write the cases; returns the environment by which the bench finds them."""
    path.write_bytes(pickle.dumps(list(cases)))
    return {"SQUEEZE_HLS_CASES": str(path)}


def load(path: Path) -> list[Case]:
    """What ``save`` wrote."""
    return pickle.loads(path.read_bytes())
