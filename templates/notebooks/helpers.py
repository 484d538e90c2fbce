"""What the notebooks share: where they run, plain text out of a model's names, and the drawings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from PIL import Image

SIMULATED = os.environ.get("SQUEEZE_HLS_BOARD") == "sim"
WHERE = "simulated board" if SIMULATED else "this board"
COUNTED = "counted in simulation" if SIMULATED else "measured"

# Okabe and Ito's palette: eight colours that the colour-blind tell apart.
BLUE, ORANGE, SKY, GREEN, VERMILLION, PURPLE, GREY = (
    "#0072B2", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#999999",
)  # fmt: skip
CAUSES = (
    ("busy", "computing", BLUE),
    ("weights", "waiting for weights", ORANGE),
    ("input", "waiting for image rows", PURPLE),
    ("output", "output stage, between instructions", GREY),
)
KINDS = (("image", "rows of the image", GREEN), ("map", "feature map", BLUE), ("band", "band of rows", ORANGE))

plt.rcParams.update(
    {
        "figure.dpi": 96,
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "figure.constrained_layout.use": True,
    }
)


def plain(text: str, longest: int = 28) -> str:
    """A name from a model as one short line that neither a terminal nor Matplotlib reads as anything else."""
    line = "".join(c if c.isprintable() and c != "$" else "?" for c in str(text))
    return line if len(line) <= longest else line[: longest - 3] + "..."


def board_seconds() -> float:
    """A clock of the board.  In simulation it counts the engine's cycles, not the time that simulating them takes."""
    from pynq import Device

    return getattr(Device.active_device, "monotonic", time.monotonic)()


def load_plan(path: str = "../plan.json") -> Any:
    """What the planner predicted for this build."""
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def short(name: str) -> str:
    """``fire2/expand1x1+fire2/expand3x3`` as ``fire2/expand1x1+3x3``."""
    first, _, second = name.partition("+")
    common = os.path.commonprefix([first, second]) if second else ""
    return plain(first + ("+" + second[len(common) :] if second else ""))


# --- pictures and guesses ---


def open_picture(path: str, longest: int = 320) -> Image.Image:
    """A picture for showing, at most ``longest`` pixels wide and high."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((longest, longest))
    return small


def bars(axes: Any, guesses: Sequence[Any], title: str = "") -> None:
    """The guesses as bars, the most likely on top."""
    names = [plain(guess.name) for guess in guesses]
    values = [100 * guess.probability for guess in guesses]
    places = np.arange(len(guesses))
    axes.barh(places, values, color=[BLUE] + [SKY] * (len(guesses) - 1), height=0.7)
    for place, value in zip(places, values):
        axes.text(value + 1.5, place, f"{value:.1f} %", va="center", fontsize=9)
    axes.set_yticks(places)
    axes.set_yticklabels(names)
    axes.invert_yaxis()
    axes.set_xlim(0, 124)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_xlabel("probability (%)")
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(axis="y", length=0)


def show_guesses(rows: Sequence[tuple[Any, Sequence[Any]]]) -> Any:
    """A row for each (picture, guesses): the picture, and bars of its classes."""
    figure, grid = plt.subplots(
        len(rows), 2, figsize=(8.5, 2.3 * len(rows)), squeeze=False, gridspec_kw={"width_ratios": [1, 2.2]}
    )
    for (left, right), (picture, guesses) in zip(grid, rows):
        left.imshow(picture)
        left.axis("off")
        bars(right, guesses)
        if right is not grid[-1][1]:
            right.set_xlabel("")
    return figure


# --- frames of a film, of a camera, of a folder ---


def frames(source: Any) -> Iterator[Image.Image]:
    """Frames of a camera (its number), a video file, an animated GIF or a folder of pictures.

    Cameras and video files need OpenCV; ``None`` is the first camera of a board where there is one, else a walk with
    the camera over a sample picture.
    """
    if isinstance(source, str) and os.path.isdir(source):
        for name in sorted(os.listdir(source)):
            if name.lower().endswith((".jpg", ".jpeg", ".png", ".bmp", ".gif")):
                yield open_picture(os.path.join(source, name))
    elif isinstance(source, str) and source.lower().endswith(".gif"):
        with Image.open(source) as film:
            for number in range(getattr(film, "n_frames", 1)):
                film.seek(number)
                yield film.convert("RGB")
    elif source is not None:
        yield from _captured(source)
    else:
        seen = False
        if not SIMULATED:  # nobody's laptop camera is switched on unasked
            for image in _captured(0, quiet=True):
                seen = True
                yield image
        if not seen:
            yield from pan("../pictures/coffee.jpg")


def _captured(source: Any, quiet: bool = False) -> Iterator[Image.Image]:
    try:
        import cv2
    except ImportError:
        if quiet:
            return
        raise RuntimeError("cameras and video files need OpenCV: pip install opencv-python-headless") from None
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened() and not quiet:
            raise RuntimeError(f"{source}: OpenCV cannot open it")
        while capture.isOpened():
            good, frame = capture.read()
            if not good:
                return
            yield Image.fromarray(frame[:, :, ::-1])  # OpenCV's colours are blue, green, red
    finally:
        capture.release()


def pan(path: str, count: int = 6) -> Iterator[Image.Image]:
    """A square window that moves over a picture from its last corner to its first, as a camera would."""
    with Image.open(path) as image:
        whole = image.convert("RGB")
    side = int(0.6 * min(whole.size))
    for number in reversed(range(count)):
        left, top = ((length - side) * number // max(1, count - 1) for length in whole.size)
        yield whole.crop((left, top, left + side, top + side))


# --- what the hardware does, out of plan.json ---


def milliseconds(plan: Any, cycles: float) -> float:
    """Time of some cycles at the build's clock."""
    return cycles / (plan["clock_mhz"] * 1e3)


def _layer_axis(axes: Any, plan: Any) -> None:
    names = [short(layer["name"]) for layer in plan["layers"]]
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels(names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)


def _time_axis(axes: Any, plan: Any) -> None:
    axes.set_xlim(0, milliseconds(plan, plan["cycles"]["predicted"]) * 1.005)
    axes.set_xlabel(f"time in the frame (ms at {plan['clock_mhz']:g} MHz, predicted)")


def timeline(plan: Any) -> Any:
    """When each instruction runs, and what the array does in its cycles: predicted."""
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.27 * len(plan["layers"]) + 1.0))
    for entry in plan["instructions"]:
        begin, parts = entry["begin"], {"busy": entry["busy"], **entry["waits"]}
        for cause, _, color in CAUSES:  # how its cycles divide, not their order
            left, width = milliseconds(plan, begin), milliseconds(plan, parts[cause])
            axes.barh(entry["layer"], width, left=left, height=0.72, color=color, linewidth=0, snap=False)
            begin += parts[cause]
    _layer_axis(axes, plan)
    _time_axis(axes, plan)
    handles = [Patch(color=color, label=label) for _, label, color in CAUSES]
    axes.legend(handles=handles, loc="upper right", frameon=False, fontsize=9)
    axes.set_title(f"{len(plan['instructions'])} instructions, by layer", fontsize=10, loc="left")
    return figure


def utilization(plan: Any) -> Any:
    """Useful products of each instruction against what the array could do in its cycles: predicted."""
    engine = plan["engine"]
    products = engine["pix"] * engine["cin"] * engine["cout"]
    figure, axes = plt.subplots(figsize=(9, 2.8))
    edges, heights = [0.0], []
    for entry in plan["instructions"]:
        edges.append(milliseconds(plan, entry["end"]))
        heights.append(100 * entry["macs"] / max(1, products * (entry["end"] - entry["begin"])))
    steps = [*heights, heights[-1]]
    axes.fill_between(edges, steps, step="post", color=SKY, linewidth=0)
    axes.step(edges, steps, where="post", color=BLUE, linewidth=0.8)
    mean = 100 * plan["cycles"]["ideal"] / plan["cycles"]["predicted"]
    axes.axhline(mean, color=VERMILLION, linewidth=1.5)
    axes.text(edges[-1], 106, f"whole frame: {mean:.1f} %", color=VERMILLION, ha="right", va="bottom", fontsize=9)
    axes.set_ylim(0, 120)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_ylabel("useful products (%)")
    axes.set_title(
        f"array of {engine['pix']} x {engine['cin']} x {engine['cout']} multipliers", fontsize=10, loc="left"
    )
    _time_axis(axes, plan)
    return figure


def memory_map(plan: Any) -> Any:
    """Which addresses of the activation memory hold what, and when."""
    memory, entries = plan["memory"], plan["instructions"]
    figure, axes = plt.subplots(figsize=(9, 4.6))
    colors = {kind: color for kind, _, color in KINDS}
    maps = 0
    for tensor in memory["tensors"]:
        color, edge = colors[tensor["kind"]], 0.8
        if tensor["kind"] == "map":  # neighbours differ; their steps have no edges
            color, edge = (BLUE, SKY)[maps % 2], 0
            maps += 1
        areas = []
        for first, last, low, high in tensor["spans"]:
            left = milliseconds(plan, entries[first]["begin"])
            width = milliseconds(plan, entries[last]["end"]) - left
            axes.bar(left, high - low, width, low, align="edge", color=color, linewidth=edge, edgecolor="white")
            areas.append((width * (high - low), left + width / 2, (low + high) / 2))
        _name_in(axes, plan, tensor, areas, "white" if color == BLUE else "black")
    axes.set_ylim(0, memory["bank_words"])
    axes.set_ylabel(f"address (words of {memory['word_bytes']} bytes)")
    _time_axis(axes, plan)
    handles = [Patch(color=color, label=label) for _, label, color in KINDS]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncol=3, frameon=False, fontsize=9)
    total = memory["banks"] * memory["bank_words"] * memory["word_bytes"]
    axes.set_title(f"the same in each of {memory['banks']} banks; {total:,} bytes in all", fontsize=10, loc="left")
    return figure


def _name_in(axes: Any, plan: Any, tensor: Any, areas: Sequence[tuple[float, float, float]], color: str) -> None:
    """Write a tensor's name into its (area, x, y) parts, in the middle of them, where there is room for it."""
    total = sum(area for area, _, _ in areas)
    if not total:
        return
    height = max(span[3] for span in tensor["spans"]) - min(span[2] for span in tensor["spans"])
    width = total / height / milliseconds(plan, plan["cycles"]["predicted"])  # on average, as a share of the frame
    lines = short(tensor["name"]).replace("/", "/\n").split("\n")
    if width > 0.0096 * max(map(len, lines)) and height > 0.045 * len(lines) * plan["memory"]["bank_words"]:
        x, y = (sum(part[0] * part[i] for part in areas) / total for i in (1, 2))
        axes.text(x, y, "\n".join(lines), ha="center", va="center", fontsize=7, color=color, linespacing=1.0)


def weight_store(plan: Any) -> Any:
    """Bytes of each layer's encoded weights, against dense ones of 6 bits."""
    layers, store = plan["layers"], plan["store"]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.24 * len(layers) + 0.9))
    encoded = [layer["store_words"] * store["word_bytes"] / 1024 for layer in layers]
    dense = [layer["dense_bytes"] / 1024 for layer in layers]
    places = np.arange(len(layers))
    axes.barh(places, encoded, height=0.72, color=BLUE, label="encoded")
    axes.plot(dense, places, "|", color=VERMILLION, markersize=11, markeredgewidth=2, label="dense, 6 bits each")
    most = max(encoded + dense)
    for place, layer, right in zip(places, layers, np.maximum(encoded, dense)):
        axes.text(right + 0.015 * most, place, f"{100 * layer['density']:.0f} %", va="center", fontsize=8)
    _layer_axis(axes, plan)
    axes.set_xlim(0, 1.1 * most)
    axes.set_xlabel("weights (KiB); the number is the share that is not zero")
    axes.legend(loc="center right", frameon=False, fontsize=9)
    total = store["words"] * store["word_bytes"]
    kept = "stay on chip" if store["resident"] else "are sent from memory for every picture"
    axes.set_title(f"{total:,} bytes of encoded weights, which {kept}", fontsize=10, loc="left")
    return figure


# --- two networks, two machines ---


def compare(rows: Sequence[tuple[str, Sequence[Any]]]) -> Any:
    """Guesses side by side, each under its title."""
    figure, grid = plt.subplots(1, len(rows), figsize=(4.6 * len(rows), 2.5), squeeze=False)
    for axes, (title, guesses) in zip(grid[0], rows):
        bars(axes, guesses, title)
    return figure


def agreement(mine: np.ndarray, theirs: np.ndarray) -> Any:
    """Logits of the accelerator against those of ONNX Runtime, (N, classes) each, as real values."""
    figure, axes = plt.subplots(figsize=(4.6, 4.4))
    low, high = float(min(mine.min(), theirs.min())), float(max(mine.max(), theirs.max()))
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, zorder=1)
    axes.scatter(theirs, mine, s=4, color=BLUE, alpha=0.5, linewidths=0, rasterized=True, zorder=2)
    axes.set_xlabel("logit, ONNX Runtime")
    axes.set_ylabel(f"logit, {WHERE}")
    axes.set_aspect("equal")
    axes.set_title(f"{mine.size:,} logits of {len(mine)} pictures", fontsize=10, loc="left")
    return figure


def speeds(rows: Sequence[tuple[str, float]]) -> Any:
    """Pictures a second, by machine."""
    figure, axes = plt.subplots(figsize=(8.5, 0.5 * len(rows) + 0.9))
    places = np.arange(len(rows))
    values = [value for _, value in rows]
    axes.barh(places, values, height=0.6, color=[BLUE, ORANGE, GREEN, PURPLE][: len(rows)])
    for place, value in zip(places, values):
        axes.text(value + 0.01 * max(values), place, f"{value:.1f}", va="center")
    axes.set_yticks(places)
    axes.set_yticklabels([label for label, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(values))
    axes.set_xlabel("pictures a second")
    axes.tick_params(axis="y", length=0)
    return figure


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, the first to the left, numbers to the right."""
    lines: list[Sequence[str]] = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) if not i else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
        for line in lines
    )
