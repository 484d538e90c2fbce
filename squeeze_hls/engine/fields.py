"""Bit layouts of everything the engine loads: one table, used by Python, the C++ and the RTL.

A record is a fixed number of 64-bit words.  Fields are packed from bit 0 upwards in the order of the
table and never straddle a word; the emitters render the same table as C++ and SystemVerilog constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WORD_BITS = 64


@dataclass(frozen=True)
class Field:
    """Bits ``[low, low + width)`` of 64-bit word ``word`` of a record."""

    name: str
    word: int
    low: int
    width: int
    doc: str


@dataclass(frozen=True)
class Record:
    """A named record of ``words`` 64-bit words."""

    name: str
    words: int
    fields: tuple[Field, ...]

    def pack(self, values: Mapping[str, int]) -> list[int]:
        """The record's 64-bit words; raises ValueError for a missing, unknown or too large value."""
        unknown = set(values) - {f.name for f in self.fields}
        if unknown:
            raise ValueError(f"{self.name}: unknown fields {sorted(unknown)}")
        words = [0] * self.words
        for f in self.fields:
            value = int(values[f.name])
            if not 0 <= value < 1 << f.width:
                raise ValueError(f"{self.name}.{f.name} = {value} does not fit {f.width} bits")
            words[f.word] |= value << f.low
        return words

    def unpack(self, words: Sequence[int]) -> dict[str, int]:
        """Field values of a record's 64-bit words."""
        return {f.name: (int(words[f.word]) >> f.low) & ((1 << f.width) - 1) for f in self.fields}

    def limit(self, name: str) -> int:
        """Largest value of a field."""
        return next((1 << f.width) - 1 for f in self.fields if f.name == name)


def _record(name: str, table: Sequence[tuple[str, int, str]]) -> Record:
    fields = []
    word, low = 0, 0
    for field_name, width, doc in table:
        if low + width > WORD_BITS:
            word, low = word + 1, 0
        fields.append(Field(field_name, word, low, width, doc))
        low += width
    return Record(name, word + 1, tuple(fields))


# Every transfer on s_axis_in begins with one such word; `length` counts the 64-bit words after it.
PACKET = _record(
    "packet",
    (
        ("magic", 8, "0xA5"),
        ("type", 8, "1 image, 2 weights, 3 program"),
        ("identity", 24, "image: low bits of the program's CRC; weights, program: of the engine identity"),
        ("length", 24, "64-bit words that follow"),
    ),
)
PACKET_MAGIC = 0xA5
IMAGE, WEIGHTS, PROGRAM = 1, 2, 3

# First words of a program: what holds for the whole network.
HEADER = _record(
    "header",
    (
        ("version", 16, "format version"),
        ("layers", 8, "layer records"),
        ("buffers", 8, "buffer records"),
        ("instructions", 16, "instruction records"),
        ("params", 16, "requantization records"),
        ("engine", 32, "identity of the engine the program was planned for"),
        ("weights_crc", 32, "CRC-32 of the weight store's bytes"),
        ("store_words", 24, "72-bit words of the weight store"),
        ("stream_words", 32, "72-bit words streamed for each frame (0: resident)"),
        ("gather_buffer", 8, "buffer of gathered image rows"),
        ("height", 16, "image rows"),
        ("width", 16, "image columns"),
        ("rows", 16, "rows, padding included, that the first convolution reads"),
        ("columns", 16, "gathered pixels a row: output columns of the first convolution"),
        ("pad_top", 8, "padding rows above the image"),
        ("pad_left", 8, "padding columns left of the image"),
        ("kernel", 8, "first convolution's kernel"),
        ("stride", 8, "first convolution's stride, 1 or 2"),
        ("gather_words", 8, "activation words a gathered pixel: ceil(3 * kernel / CIN)"),
        ("credit", 16, "image rows the loader may fetch before the first instruction"),
        ("pad_red", 8, "pixel value outside the image"),
        ("pad_green", 8, "pixel value outside the image"),
        ("pad_blue", 8, "pixel value outside the image"),
        ("classes", 16, "logits"),
        ("tables", 8, "tables of the entropy code"),
    ),
)
FORMAT_VERSION = 3

# What all bands of one layer share.
LAYER = _record(
    "layer",
    (
        ("gather", 1, "reads gathered image rows: a kernel x 1 convolution over one or two row phases"),
        ("half_a", 1, "has half A: the 3x3 half, or the only convolution"),
        ("half_b", 1, "has half B: the 1x1 half of an expand layer"),
        ("average", 1, "u16 results are summed over the pixels of each channel and sent as logits"),
        ("pool", 2, "0, or the kernel of a stride-2 max pooling"),
        ("ceil", 1, "cut-off last pooling windows count"),
        ("residual", 1, "adds the residual operand after requantization"),
        ("pad", 1, "taps start one row above and one column left of the pixel and are masked at the edges"),
        ("rows0", 4, "tap rows of half A (gathered rows: of phase 0)"),
        ("rows1", 4, "tap rows of half A in phase 1 (gathered rows, stride 2; else 0)"),
        ("columns", 4, "tap columns of half A"),
        ("words", 12, "words read per source pixel and tap"),
        ("pitch", 12, "words from one source pixel to the next of the same bank: words, or stride * words if gathered"),
        ("groups_a", 12, "output groups of COUT channels of half A"),
        ("groups_b", 12, "output groups of half B"),
        ("width", 11, "columns of the convolution's output"),
        ("height", 11, "rows of the convolution's output"),
        ("x_step", 3, "PIX mod width"),
        ("y_step", 4, "PIX div width"),
        ("row_mod", 3, "from the last tap of a row to the first of the next: pixels mod PIX"),
        ("row_ptr", 16, "the same step: (pixels div PIX) * pitch"),
        ("center_mod", 3, "from the first tap of half A to the tap of half B: pixels mod PIX"),
        ("center_ptr", 16, "the same step: (pixels div PIX) * pitch"),
        ("out_words", 12, "words per destination pixel"),
        ("words_a", 12, "words that half A writes per pixel"),
        ("words_b", 12, "words that half B writes per pixel"),
        ("offset_a", 12, "first word of half A in the destination pixel"),
        ("offset_b", 12, "first word of half B in the destination pixel"),
        ("carry", 16, "first word of the layer's pooling carry rows"),
        ("carry_half", 16, "words between the carry rows of half A and of half B"),
        ("weights", 24, "first word in the weight store"),
        ("params_a", 16, "first requantization record of half A"),
        ("params_b", 16, "first requantization record of half B"),
        ("shift_a", 6, "S_layer of half A"),
        ("shift_b", 6, "S_layer of half B"),
        ("top_a", 16, "largest output of half A, at least 1; at most 255 without average"),
        ("top_b", 8, "largest output of half B, at least 1; half B is never averaged"),
        ("border", 16, "border pixels whose value is that of the bias alone"),
        ("entropy", 1, "its weights are entropy-coded"),
        ("table_a", 3, "table of half A"),
        ("table_b", 3, "table of half B"),
    ),
)

BUFFER = _record(
    "buffer",
    (
        ("base", 17, "first address, the same in every bank"),
        ("depth", 17, "addresses; the ring wraps at base + depth"),
    ),
)

# One band of rows of one layer.
INSTRUCTION = _record(
    "instruction",
    (
        ("layer", 6, "layer record"),
        ("pixels", 16, "output pixels of the convolution in this band"),
        ("row", 11, "first output row of the convolution"),
        ("source_ptr", 16, "ring offset of the first tap of the first pixel"),
        ("source_mod", 3, "bank of the first tap of the first pixel"),
        ("wait", 1, "starts only when everything before it has been written"),
        ("last", 1, "last instruction of a frame"),
        ("source", 5, "source buffer"),
        ("target", 5, "destination buffer"),
        ("target_ptr", 16, "ring offset of the first destination pixel"),
        ("target_mod", 3, "bank of the first destination pixel"),
        ("need", 11, "image rows of this frame that must have been loaded"),
        ("credit", 8, "further image rows the loader may fetch once this instruction is reached"),
        ("residual", 5, "buffer of the residual operand"),
        ("residual_ptr", 16, "ring offset of the first residual pixel"),
        ("residual_mod", 3, "bank of the first residual pixel"),
    ),
)

# Requantization of one output channel.
PARAM = _record(
    "param",
    (
        ("bias", 24, "two's complement"),
        ("multiplier", 16, "M - 2**16"),
        ("offset", 4, "S = S_layer - offset"),
    ),
)

# What a table of the entropy code says about one state.
ENTRY = _record(
    "entry",
    (
        ("bits", 3, "bits read for the next state"),
        ("base", 6, "next state, less these bits"),
        ("extra", 3, "bits that complete the weight: sign, then magnitude - value"),
        ("value", 6, "weight, or its least magnitude where there are extra bits"),
    ),
)
RECORDS = (PACKET, HEADER, LAYER, BUFFER, INSTRUCTION, PARAM, ENTRY)
