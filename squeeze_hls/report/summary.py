"""A report as one screen of text: layers, tiling, memory map, cycles, what limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

MARKS = {"passed": ("passed", "green"), "failed": ("FAILED", "bold red"), "skipped": ("skipped", "yellow")}


def summary(report: dict[str, Any]) -> Iterator[Table | Text]:
    """Renderables, top to bottom; about 45 lines for a SqueezeNet."""
    yield Text()
    yield _layers(report)
    yield Text()
    yield _resources(report)
    yield Text()
    yield from _lines(report)


def _layers(report: dict[str, Any]) -> Table:
    numbers = ("Mmac", "rows", "bands", "tiles", "dense", "bytes", "kcycles")
    table = make_table("layer", *numbers, "output", right=numbers)
    for layer in report["layers"]:
        table.add_row(
            short_name(layer["name"]),
            f"{layer['macs'] / 1e6:.1f}",
            str(layer["band_rows"]),
            str(layer["bands"]),
            str(layer["tiles"]),
            f"{100 * layer['density']:.0f} %",
            f"{layer['bytes']:,}",
            f"{layer['cycles'] / 1e3:.1f}",
            " x ".join(map(str, layer["output_shape"])),
        )
    return table


def short_name(name: str) -> Text:
    """``fire2/expand1x1+fire2/expand3x3`` as ``fire2/expand1x1+3x3``; any other pair as it is, cut."""
    first, _, second = name.partition("+")
    common = 0
    while common < min(len(first), len(second)) and first[common] == second[common]:
        common += 1
    shown = f"{first}+{second[common:]}" if second and common else name
    return Text(shown if len(shown) <= 28 else shown[:25] + "...")


def _resources(report: dict[str, Any]) -> Table:
    table = make_table("resource", "used", "available", "", "", right=("used", "available"))
    for name, entry in report["resources"].items():
        if not entry["available"] and not entry["used"]:
            continue
        parts = ", ".join(f"{part} {count}" for part, count in entry.get("parts", {}).items())
        share = f"{100 * entry['used'] / max(1, entry['available']):.0f} % ({entry['source']})"
        table.add_row(name.upper(), f"{entry['used']:,}", f"{entry['available']:,}", share, parts)
    return table


def _lines(report: dict[str, Any]) -> Iterator[Text]:
    weights, memory, engine = report["weights"], report["memory"], report["engine"]
    where = f"resident, {weights['encoded_bytes']:,} bytes on chip"
    if weights["residency"] == "streamed":
        where = f"streamed, {weights['streamed_bytes_per_frame']:,} bytes for every picture"
    yield Text(f"weights   {where} (dense 6 bit {weights['dense_bytes']:,}, density {100 * weights['density']:.1f} %)")
    rings = len(memory["rings"])
    yield Text(
        f"memory    activations {memory['activation_bytes']:,} bytes, {rings} buffers in {engine['pix']} banks; "
        f"program {memory['instructions']} instructions"
    )
    cycles, fps = report["cycles"], report["fps"]
    yield Text(
        f"speed     {cycles['predicted']:,} cycles ({_source(cycles)}), ideal {cycles['ideal']:,}: "
        f"utilization {100 * cycles['utilization']:.1f} %"
    )
    yield Text(f"          {fps['value']:.1f} pictures a second at {fps['clock_mhz']:g} MHz ({fps['source']})")
    yield Text(f"limits    {limit(report)}")
    for check in report["checks"]:
        mark, style = MARKS[check["status"]]
        yield Text.assemble("check     ", f"{check['name']:<9}", (mark, style), f"  {check['detail']}")
    seen = "no board has run this" if report["synthesis"] else "no synthesis and no board has run this"
    yield Text(f"hardware  not verified: {seen}")


def _source(cycles: dict[str, Any]) -> str:
    return "estimate" if cycles["simulated"] is None else "simulated"


def limit(report: dict[str, Any]) -> str:
    """What keeps this build from being faster or the model from being larger."""
    cycles, bram = report["cycles"], report["resources"]["bram36"]
    lost = cycles["predicted"] - cycles["ideal"]
    stalls = cycles["stalls"]
    reasons = {
        "expanding weights": stalls["weights"],
        "receiving the picture": stalls["input"],
        "requantizing and writing": stalls["output"],
        "lanes that stay empty": lost - sum(stalls.values()),
    }
    worst = max(reasons, key=lambda reason: reasons[reason])
    speed = f"the MAC array; most of the {lost:,} cycles beyond ideal go to {worst}"
    if cycles["utilization"] < 0.5:
        speed = f"{worst} ({reasons[worst]:,} cycles)"
    return f"{speed}; {bram['available'] - bram['used']} BRAM36 are left"


def make_table(*columns: str, right: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True, overflow="ellipsis")
    return table
