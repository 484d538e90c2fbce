"""What an engine costs on an FPGA: exact counts of DSP and BRAM, estimates of LUT and FF.

The BRAM counts follow what synthesis does with the power-of-two pieces that both back ends instantiate.  LUT and FF
are sums over the modules of hw/rtl: widths and depths from the engine's shape, constants from modules that Yosys
synthesized alone in six shapes, from 1 x 4 x 4 to 4 x 16 x 16 and 3 x 8 x 32 (docs/rtl.md, Synthesis).
"""

from __future__ import annotations

from dataclasses import dataclass

from squeeze_hls.engine.config import BRAM_WORDS, URAM_WORDS, EngineConfig

BRAM_SHAPES = ((512, 72), (1024, 36), (2048, 18), (4096, 9))
PARAM_BITS = 44
INSTRUCTION_WORDS = 2  # of 64 bits


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
        "weights": store,
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
    pix, cin, cout = engine.pix, engine.cin, engine.cout
    accumulators = pix * cout
    parts = {
        # A sum of 24 bits each; activations and weights that wait for the third and later taps of a cascade; pairs.
        "mac_array": 25 * accumulators + (8 * pix + 6 * cout) * (cin - 4) + 4 * cin * cout,
        "weight_tile": _lut_ram(2 * engine.tile_words, 6 * cin * cout) + 100,
        "output_stage": 1095 + 47 * accumulators + 42 * cout + 208 * cin + _lut_ram(engine.carry_words, 8 * cin),
        "param_tile": 4 + 33 * cin,
        "sequencer": 1400 + 110 * pix,
        "operand_stage": 8 * pix * cin * (0 if pix == 1 else 1 if pix <= 3 else 3),
        "activations": pix * (8 * cin + 20 + _piece_mux(engine.act_pieces, 8 * cin)),  # two writers to choose from
        "expander": 770 + 80 * engine.chunk,
        "entropy_decoder": _entropy_lut(engine.tables, engine.chunk),
        "weights": 700 if engine.streamed else 0 if engine.store_uram else _piece_mux(engine.store_pieces, 72),
        "loader": 1100,
        "receiver": 1700,
        "program_memory": 340,
        "logit_stream": 145,
        "registers": 440,
        "top": 450,
    }
    return sum(parts.values())


def _ff(engine: EngineConfig) -> int:
    pix, cin, cout = engine.pix, engine.cin, engine.cout
    accumulators = pix * cout
    parts = {
        "mac_array": 24 * accumulators + 3 * (8 * pix + 6 * cout) + 10,
        "weight_tile": 6 * cin * cout + 65,
        "output_stage": 838 + 52 * accumulators + 68 * cout + 125 * cin,  # two sets wait; sums of the average
        "sequencer": 1410 + 70 * pix,
        "operand_stage": 8 * pix * cin + 3,
        "activations": pix * (8 * cin + 2),
        "expander": 730 + 32 * engine.chunk,
        "entropy_decoder": 98 * engine.chunk if engine.tables else 0,
        "weights": 250 if engine.streamed else 78,
        "loader": 800 + 8 * cin,
        "receiver": 1280,
        "program_memory": 770,
        "logit_stream": 120,
        "registers": 420,
        "top": -902,  # fields of records that one module keeps and no other asks for
    }
    return sum(parts.values())


def _entropy_lut(tables: int, lanes: int) -> int:
    """LUTs of the entropy code's decoder: in each lane the tables, 64 entries of 18 bits each, and the rest of it."""
    return 230 + lanes * (_lut_ram(64 * tables, 18) + 98 + 8 * lanes) if tables else 0


def _lut_ram(depth: int, bits: int) -> int:
    """LUTs of a distributed RAM with one write and one read port, and of the multiplexer after its blocks.

    RAM64M is 64 words of 3 bits, RAM32M 32 of 6 bits, four LUTs each (AMD UG474); a LUT selects one of four.
    """
    full, rest = divmod(depth, 64)
    luts = 4 * full * -(-bits // 3)
    if rest:
        luts += 4 * -(-bits // (6 if rest <= 32 else 3))
    blocks = full + (rest > 0)
    return luts + bits * -(-(blocks - 1) // 3)


def _piece_mux(pieces: tuple[int, ...], bits: int) -> int:
    """LUTs after the blocks of a memory in block RAM: each enables its word, a LUT joins two more."""
    blocks = sum(max(1, piece // BRAM_SHAPES[-1][0]) for piece in pieces)
    return bits * (blocks // 2)


def store_blocks(words: int) -> int:
    """BRAM36 of a weight store of that many 72-bit words."""
    return -(-words // BRAM_WORDS)
