"""What an engine costs on an FPGA: exact counts of DSP and BRAM, estimates of LUT and FF.

The BRAM counts follow what synthesis does with the power-of-two pieces that both back ends instantiate;
the LUT figures are measured or estimated parts of the PYNQ-Z2 engine, scaled with the array.
"""

from __future__ import annotations

from dataclasses import dataclass

from squeeze_hls.plan.engine import BRAM_WORDS, URAM_WORDS, EngineConfig

BRAM_SHAPES = ((512, 72), (1024, 36), (2048, 18), (4096, 9))
PARAM_BITS = 44
INSTRUCTION_WORDS = 2  # of 64 bits
STREAM_FIFO_BRAM36 = 1


def bram36(depth: int, bits: int) -> int:
    """BRAM36 of one memory of power-of-two depth: the best of the four shapes (AMD UG473, table 1-9)."""
    return min(-(-depth // d) * -(-bits // b) for d, b in BRAM_SHAPES)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Totals of one engine."""

    dsp: int
    bram36: int
    uram: int
    lut: int
    ff: int
    bram36_parts: dict[str, int]


def resources(engine: EngineConfig) -> Resources:
    """Count what the engine takes, without interconnect and DMA."""
    uram = -(-engine.store_words // URAM_WORDS) if engine.store_uram else 0
    store = 0 if engine.store_uram else sum(bram36(p, 72) for p in engine.store_pieces)
    parts = {
        "weights": store if not engine.streamed else STREAM_FIFO_BRAM36,
        "requantization": bram36(engine.param_depth, PARAM_BITS),
        "activations": engine.pix * sum(bram36(p, 8 * engine.cin) for p in engine.act_pieces),
        "program": bram36(engine.program_depth * INSTRUCTION_WORDS, 64),
    }
    return Resources(
        dsp=engine.macs // 2 + engine.cin,
        bram36=sum(parts.values()),
        uram=uram,
        lut=_lut(engine),
        ff=_ff(engine),
        bram36_parts=parts,
    )


def _lut(engine: EngineConfig) -> int:
    lanes = engine.cin / 8
    tile_bits = 2 * engine.tile_words * engine.cin * engine.cout * 6
    return round(
        4900 * tile_bits / (160 * 768)  # weight tile, measured at 160 x 768 bits
        + 50 * engine.pix * engine.cout  # accumulators
        + 2500  # sequencer
        + 2300 * lanes * (0.4 + 0.6 * engine.carry_words / 1024)  # pooling, mostly its carry rows
        + 1800 * lanes  # loader
        + 1500 * engine.chunk / 8  # expander
        + 1300 * lanes * engine.pix / 3  # memory multiplexers
        + 1200 * lanes  # requantizers
        + 1000  # AXI
        + 800 * lanes * engine.pix / 3  # skew and masks
        + 600 * engine.cout / 16  # average
    )


def _ff(engine: EngineConfig) -> int:
    accumulators = 3 * 24 * engine.pix * engine.cout  # in use, and two holding registers
    operands = 3 * (6 * engine.cin * engine.cout + 8 * engine.pix * engine.cin)
    skew = 4 * engine.macs  # activations and weights delayed along the cascades
    return round(accumulators + operands + skew + 8000)


def store_blocks(words: int) -> int:
    """BRAM36 of a weight store of that many 72-bit words."""
    return -(-words // BRAM_WORDS)
