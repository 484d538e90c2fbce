"""Draw docs/engine.svg, the block diagram of the engine (needs matplotlib).

python scripts/draw_engine.py [FILE]     any format that matplotlib writes
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
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch  # noqa: E402

TARGET = Path(__file__).resolve().parent.parent / "docs" / "engine.svg"
STREAM, MEMORY, COMPUTE, CONTROL = (
    ("#e8f0fb", "#2b6cb0"),
    ("#fdf3e1", "#b7791f"),
    ("#e6f4ea", "#2f855a"),
    ("#f1ecfb", "#6b46c1"),
)
# x, y of the centre; width, height; name; what it does; kind
BOXES = (
    (1.0, 5, 1.5, 1.3, "receiver", "packets,\nchecksums", STREAM),
    (3.3, 5, 1.7, 1.3, "image loader", "padding,\nrow gather", STREAM),
    (5.8, 5, 1.9, 1.9, "activations", "3 banks of rings\nin block RAM", MEMORY),
    (8.3, 5, 1.7, 1.3, "operands", "rotate banks,\nmask edges", COMPUTE),
    (10.8, 5, 1.9, 1.9, "MAC array", "3 x 8 x 16 = 384\na cycle, 192 DSP", COMPUTE),
    (13.4, 5, 1.9, 1.3, "output stage", "requantize, pool,\naverage", COMPUTE),
    (3.3, 7.6, 1.7, 1.3, "weight store", "6 bit, encoded,\nin block RAM", MEMORY),
    (5.8, 7.6, 1.9, 1.3, "expander", "codes to\nweights", COMPUTE),
    (10.8, 7.6, 1.9, 1.3, "weight tiles", "ping-pong,\nin LUT RAM", MEMORY),
    (3.3, 2.3, 1.7, 1.3, "program", "instructions,\nlayers, scales", MEMORY),
    (8.3, 2.3, 1.7, 1.3, "sequencer", "a step\nevery cycle", CONTROL),
    (13.4, 2.3, 1.9, 1.3, "registers", "AXI4-Lite,\ncycle counters", CONTROL),
)
# corners; label and its place; control signals are dashed
ARROWS = (
    (((-0.6, 5), (0.25, 5)), "", (0, 0), False),
    (((1.75, 5), (2.45, 5)), "", (0, 0), False),
    (((4.15, 5), (4.85, 5)), "rows", (4.5, 5.2), False),
    (((6.75, 5), (7.45, 5)), "", (0, 0), False),
    (((9.15, 5), (9.85, 5)), "", (0, 0), False),
    (((11.75, 5), (12.45, 5)), "sums", (12.1, 5.2), False),
    (((14.35, 5), (15.1, 5)), "", (0, 0), False),
    (((1.0, 5.65), (1.0, 7.6), (2.45, 7.6)), "", (0, 0), False),
    (((1.0, 4.35), (1.0, 2.3), (2.45, 2.3)), "", (0, 0), False),
    (((4.15, 7.6), (4.85, 7.6)), "", (0, 0), False),
    (((6.75, 7.6), (9.85, 7.6)), "tile t + 1, while t is in use", (8.3, 7.8), False),
    (((10.8, 6.95), (10.8, 5.95)), "", (0, 0), False),
    (((13.4, 4.35), (13.4, 3.55), (5.8, 3.55), (5.8, 4.05)), "feature maps", (9.6, 3.68), False),
    (((4.15, 2.3), (7.45, 2.3)), "fetched ahead", (5.8, 2.5), False),
    (((8.3, 2.95), (8.3, 4.35)), "", (0, 0), True),
    (((9.15, 2.3), (10.8, 2.3), (10.8, 4.05)), "", (0, 0), True),
)
PORTS = ((-0.7, 5, "programs,\nweights,\nimages", "right"), (15.2, 5, "logits", "left"))


def draw(axes: Axes) -> None:
    for x, y, width, height, name, what, (fill, edge) in BOXES:
        corner = (x - width / 2, y - height / 2)
        axes.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.12", fc=fill, ec=edge)
        )
        axes.text(x, y + 0.32, name, ha="center", va="center", fontsize=10, fontweight="bold", color="#1a202c")
        axes.text(x, y - 0.22, what, ha="center", va="center", fontsize=8, color="#2d3748")
    for corners, label, (x, y), dashed in ARROWS:
        style = {"color": "#4a5568", "linewidth": 1.2, "linestyle": "--" if dashed else "-"}
        axes.plot(*zip(*corners, strict=True), solid_joinstyle="round", **style)
        axes.add_patch(
            FancyArrowPatch(
                corners[-2], corners[-1], arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0, **style
            )
        )
        axes.text(x, y, label, ha="center", va="bottom", fontsize=8, color="#4a5568")
    for x, y, label, side in PORTS:
        axes.text(x, y, label, ha=side, va="center", fontsize=9, color="#1a202c")


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    figure, axes = pyplot.subplots(figsize=(12.6, 5.4), layout="tight")
    draw(axes)
    axes.set(xlim=(-2.1, 16.1), ylim=(1.4, 8.5))
    axes.set_axis_off()
    metadata = {"Date": None} if target.suffix == ".svg" else None
    figure.savefig(target, facecolor="white", metadata=metadata)


if __name__ == "__main__":
    main()
