"""What preprocessing counts in the end: the user's, what the model says, and what is assumed where neither says it."""

from __future__ import annotations

from dataclasses import fields, replace

from squeeze_hls.frontend.preprocess import Stated
from squeeze_hls.network.ir import TORCHVISION, Preprocess, Shape, Sides, usual_side

SMALL = 0.6  # of a side: a network that sees less of a picture was hardly meant to
_NOTHING_SAID = "no preprocessing in the model: torchvision's is assumed (--preprocess caffe|torchvision|FILE.json)"


def merged(first: Stated | None, second: Stated | None) -> Stated:
    """``first``, and of ``second`` what it leaves out; None is a source that is not there."""
    first, second = first or Stated(), second or Stated()
    pairs = {field.name: (getattr(first, field.name), getattr(second, field.name)) for field in fields(Stated)}
    return Stated(**{name: other if own is None else own for name, (own, other) in pairs.items()})


def settle(first: Stated | None, second: Stated | None, shape: Shape) -> tuple[Preprocess, list[str]]:
    """The preprocessing of a network with an input of ``shape``, and notices of what the user may not expect.

    ``first`` wins over ``second``; what neither says is torchvision's, and the resize follows from ``shape``.
    """
    found = merged(first, second)
    chosen, missing = _completed(found)
    notices = []
    if first is None and second is None:
        notices.append(_NOTHING_SAID)
    elif missing:
        notices.append(_assumed(chosen, missing))
    if first and second:
        notices += _reordered(first, second)
    sides = chosen.resized(shape)
    if chosen.resize is not None and sides != chosen.resize:
        notices.append(f"pictures are resized to {_text(sides)}, not {_text(chosen.resize)}: the input would not fit")
    chosen = replace(chosen, resize=sides)
    return chosen, notices + narrow_view(chosen, shape)


def _completed(found: Stated) -> tuple[Preprocess, list[str]]:
    """With torchvision's channels, mean and scale, in the model's channel order, and which of them were missing."""
    missing = [name for name in ("channels", "mean", "scale") if getattr(found, name) is None]
    channels = found.channels or TORCHVISION.channels
    mean, scale = TORCHVISION.mean, TORCHVISION.scale
    if channels != TORCHVISION.channels:
        mean, scale = mean[::-1], scale[::-1]
    chosen = Preprocess(
        channels=channels,
        mean=found.mean or mean,
        scale=found.scale or scale,
        resize=found.resize,
        levels=found.levels,
    )
    return chosen, missing


def _assumed(chosen: Preprocess, missing: list[str]) -> str:
    values = {
        "channels": chosen.channels,
        "mean": ", ".join(f"{value:.5g}" for value in chosen.mean),
        "scale": ", ".join(f"{value:.4g}" for value in chosen.scale),
    }
    names = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
    verb = "is" if missing in (["mean"], ["scale"]) else "are"
    shown = "; ".join(f"{name} {values[name]}" for name in missing)
    return f"the preprocessing names no {names}: torchvision's {verb} assumed ({shown})"


def _reordered(first: Stated, second: Stated) -> list[str]:
    """A notice where ``first`` turns the colours around, and ``second`` lists figures in their order."""
    turned = first.channels and second.channels and first.channels != second.channels
    kept = [name for name in ("mean", "scale") if getattr(first, name) is None and _uneven(getattr(second, name))]
    if not turned or not kept:
        return []
    colours = "red" if first.channels == "RGB" else "blue"
    figures = " and ".join(kept) + (" stay as they are listed" if kept[1:] else " stays as it is listed")
    return [f"channels are {first.channels} in place of {second.channels}: {figures}, {colours} first"]


def _uneven(values: tuple[float, ...] | None) -> bool:
    return values is not None and values != values[::-1]


def narrow_view(how: Preprocess, shape: Shape) -> list[str]:
    """A notice where the network sees only the middle of a picture, and a small one."""
    (height, width), (rows, columns) = shape[:2], how.resized(shape)
    if height >= SMALL * rows and width >= SMALL * columns:
        return []
    usual = usual_side(height), usual_side(width)
    seen, others = (100 * height * width / (sides[0] * sides[1]) for sides in ((rows, columns), usual))
    return [
        f"pictures are resized to {rows} x {columns}, of which the network sees the middle {height} x {width}: "
        f"{seen:.2g} % of a picture; for {others:.0f} % write "
        f'"resize": {usual[0] if usual[0] == usual[1] else list(usual)} in a --preprocess FILE.json'
    ]


def _text(sides: Sides) -> str:
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]} x {sides[1]}"
