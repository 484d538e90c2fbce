"""Draw docs/glossary.svg: stage and band, block and lane, tile and chunk, ring (needs matplotlib).

python scripts/draw_glossary.py [FILE]     any format that matplotlib writes
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "squeeze-hls"  # the same bytes every time
matplotlib.rcParams["font.family"] = "DejaVu Sans"

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import FancyArrowPatch, Rectangle, Wedge  # noqa: E402

TARGET = Path(__file__).resolve().parent.parent / "docs" / "glossary.svg"
INK, FAINT = "#1a202c", "#4a5568"
BLUE, ORANGE, GREEN, GREY = (
    ("#e8f0fb", "#2b6cb0"),
    ("#f6d9a4", "#b7791f"),
    ("#cdebd8", "#2f855a"),
    ("#f7fafc", "#a0aec0"),
)
BANDS = 19  # of fire2's expansion in the default build
COLUMNS = 9  # pixels of a row that are drawn, of 55
WORDS_A, WORDS_B, OUTPUTS = 18, 2, 16


def box(axes: Axes, x: float, y: float, width: float, height: float, kind: tuple[str, str], line: float = 0.8) -> None:
    fill, edge = kind
    axes.add_patch(Rectangle((x, y), width, height, fc=fill, ec=edge, lw=line))


def text(axes: Axes, x: float, y: float, words: str, size: float = 8, color: str = FAINT, **more: str) -> None:
    axes.text(x, y, words, fontsize=size, color=color, **({"ha": "center", "va": "center"} | more))


def title(axes: Axes, x: float, y: float, words: str) -> None:
    text(axes, x, y, words, 10, INK, ha="left", fontweight="bold")


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 10, "color": FAINT, "lw": 1.1}
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, connectionstyle=f"arc3,rad={bend}", **style))


def stage(axes: Axes) -> None:
    """Two thin maps, and the band of the wide one between them."""
    title(axes, 0, 13.6, "A stage works band by band")
    side = 3.8
    for x, name in ((0.0, "thin map\n55 x 55 x 16"), (9.2, "next thin map\n55 x 55 x 16")):
        box(axes, x, 8.2, side, side, BLUE)
        for i in range(1, BANDS):
            height = 8.2 + side * i / BANDS
            axes.plot((x, x + side), (height, height), color=BLUE[1], lw=0.3)
        box(axes, x, 8.2 + side * 11 / BANDS, side, side / BANDS, ORANGE)
        text(axes, x + side / 2, 12.5, name)
    band = 8.2 + side * 11.5 / BANDS
    box(axes, 5.4, band - 0.35, 2.2, 0.7, ORANGE)
    text(axes, 6.5, band + 1.15, "band of the wide map:\n3 of 55 rows x 55 x 128")
    arrow(axes, (3.8, band), (5.4, band))
    arrow(axes, (7.6, band), (9.2, band))
    text(axes, 4.6, band - 0.75, "expand\n1x1 and 3x3", 7)
    text(axes, 8.4, band - 0.75, "squeeze\n1x1", 7)
    text(axes, 6.5, 8.5, "19 bands, one after the other;\nthe wide map is never stored whole", 7.5)


def block(axes: Axes) -> None:
    """The band's pixels, three at a time."""
    title(axes, 15.2, 13.6, "A block of a band: PIX = 3 pixels, one in each lane")
    size = 0.82
    for row in range(3):
        for column in range(COLUMNS):
            number = 55 * row + column
            x, y = 15.4 + column * size, 11.6 - row * size
            box(axes, x, y, size, size, ORANGE if number < 3 else GREY)
            text(axes, x + size / 2, y + size / 2, str(number), 7, INK)
        text(axes, 15.4 + COLUMNS * size + 0.45, 11.6 - row * size + size / 2, "...")
        text(axes, 15.4 + COLUMNS * size + 1.35, 11.6 - row * size + size / 2, str(55 * row + 54), 7, INK)
        text(axes, 15.4 - 0.25, 11.6 - row * size + size / 2, f"row {row}", 7, ha="right")
    for lane in range(3):
        text(axes, 15.4 + (lane + 0.5) * size, 12.75, f"lane {lane}", 6.5, ORANGE[1])
    text(axes, 20.0, 9.35, "165 pixels in raster order are 55 blocks: 0 1 2 | 3 4 5 | ... | 162 163 164", 7.5)
    text(axes, 20.0, 8.5, "In each lane a block has 16 sums of half A and 16 of half B:\ntwo sets of 3 x 16 = 48", 7.5)


def tile(axes: Axes) -> None:
    """The weights of one group, cycle by cycle."""
    title(axes, 0, 7.1, "A tile: the weights of one group, one word per cycle")
    size, left, bottom = 0.29, 1.6, 1.3
    for word in range(WORDS_A + WORDS_B):
        kind = BLUE if word < WORDS_A else GREEN
        for output in range(OUTPUTS):
            box(axes, left + word * size, bottom + output * size, size, size, kind, 0.35)
    box(axes, left + 4 * size, bottom, size, OUTPUTS * size, ORANGE, 1.0)
    box(axes, left + 12 * size, bottom + 10 * size, size, size, ("#2d3748", "#2d3748"))
    right, top = left + (WORDS_A + WORDS_B) * size, bottom + OUTPUTS * size
    text(axes, left - 0.2, bottom + OUTPUTS * size / 2, "16 outputs\n= 1 group", 7, ha="right")
    text(axes, left + WORDS_A * size / 2, top + 0.32, "half A: 18 words, 3x3", 7, BLUE[1])
    text(axes, right - WORDS_B * size / 2, top + 0.32, "half B: 2", 7, GREEN[1], ha="left")
    text(axes, left + 4.5 * size, bottom - 0.35, "a tile word:\n8 channels of 16 outputs", 7, ORANGE[1], va="top")
    arrow(axes, (9.0, bottom + 10.5 * size), (left + 13 * size + 0.03, bottom + 10.5 * size))
    text(
        axes,
        9.15,
        bottom + 10.5 * size,
        "a chunk: 8 weights of one\noutput, what the expander\nwrites in a cycle",
        7,
        ha="left",
    )
    text(axes, 9.15, 2.2, "4 groups: the next tile is\nexpanded while this one\nis used by all 55 blocks", 7, ha="left")


def ring(axes: Axes) -> None:
    """A map that is written and read at the same time."""
    title(axes, 15.2, 7.1, "A ring: rows take the place of rows that were read")
    centre, outer, width = (18.2, 3.4), 2.3, 0.85
    for start, end, kind in ((100, 250, ORANGE), (250, 460, GREY)):
        axes.add_patch(Wedge(centre, outer, start, end, width=width, fc=kind[0], ec=kind[1], lw=0.9))
    axes.plot((20.5 - width, 20.5), (3.4, 3.4), color=INK, lw=1.6)
    text(axes, 20.65, 3.4, "base: address 0 of 2056,\nafter the last one", 7, ha="left")
    text(axes, 18.2, 3.4, "addresses rise\nclockwise, in each\nof 3 banks", 7)
    arrow(axes, (18.1, 6.25), (17.15, 5.72), 0.15)
    text(axes, 18.25, 6.3, "the squeeze writes the next map", 7, ha="left")
    arrow(axes, (16.5, 0.65), (17.25, 1.1), 0.0)
    text(axes, 16.4, 0.55, "the expansion reads its map", 7, ha="right", va="center")
    text(axes, 15.55, 3.4, "rows not\nyet read", 7, ORANGE[1], ha="right")
    text(axes, 20.65, 1.35, "rows that were read\nfor the last time: free", 7, ha="left")
    arrow(axes, (20.6, 1.45), (19.75, 2.0), 0.0)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    figure, axes = pyplot.subplots(figsize=(12.6, 7.2), layout="tight")
    for part in (stage, block, tile, ring):
        part(axes)
    axes.set(xlim=(-0.6, 25.4), ylim=(-0.2, 14.2), aspect="equal")
    axes.set_axis_off()
    metadata = {"Date": None} if target.suffix == ".svg" else None
    figure.savefig(target, facecolor="white", metadata=metadata)


if __name__ == "__main__":
    main()
