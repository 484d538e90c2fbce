"""``compress``: a float model to integers that stay on a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from squeeze_hls.cli.options import (
    Existing,
    format_option,
    global_options,
    json_option,
    pass_terminal,
    reading_options,
)
from squeeze_hls.cli.terminal import Terminal, cells, table

if TYPE_CHECKING:
    from squeeze_hls.quantize.compression import StageLog
    from squeeze_hls.report.compressed import ConvRow, SizeRow


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--fit", "board", metavar="NAME", help="Board on which the weights are to be resident (see `boards`).")
@click.option("--bytes", "limit", metavar="N", type=click.IntRange(min=1), help="Room for the weights instead.")
@click.option(
    "--calibration",
    metavar="DIR|FILE.npz",
    type=Existing,
    required=True,
    help="Pictures as the network will see them, a hundred or more; their classes are not used.",
)
@click.option("-o", "--output", metavar="OUT.onnx", type=Existing, required=True, help="File to write.")
@format_option
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of all random choices.")
@click.option(
    "--finetune",
    "batches",
    metavar="BATCHES",
    type=click.IntRange(0, 100_000),
    default=0,
    show_default=True,
    help="Train on so many batches of 8 crops to repeat the float model's predictions (needs PyTorch).",
)
@reading_options
@json_option
@global_options
@pass_terminal
def compress(
    terminal: Terminal,
    model: str,
    board: str | None,
    limit: int | None,
    calibration: Path,
    output: Path,
    dialect: str,
    seed: int,
    batches: int,
    preprocess: str | None,
    input_size: tuple[int, int] | None,
    labels: Path | None,
) -> None:
    """Compress MODEL, without labels, until its weights fit on a board."""
    from squeeze_hls.artifacts.bundle import check_output_file, write_file
    from squeeze_hls.flows import compress as fitting
    from squeeze_hls.flows.source import Source
    from squeeze_hls.quantize import export
    from squeeze_hls.quantize.finetune import torch_module
    from squeeze_hls.report import compressed

    if (board is None) == (limit is None):
        raise click.UsageError("Give either --fit BOARD or --bytes N.")
    if batches:
        torch_module()
    terminal.every_stage = True
    check_output_file(output)
    source = Source(model=model, preprocess=preprocess, input_size=input_size, labels=labels, calibration=calibration)
    done, room = fitting.compress(source, board, limit, seed, batches, terminal)
    content = export.to_onnx(done.network, dialect)
    write_file(content, output)
    rows = compressed.layers(done.network)
    stored = -(-done.bits // 8)
    sizes = compressed.sizes(rows, stored)
    _show(terminal, rows, sizes, done.stages)
    terminal.print(f"\n{output}: {len(content):,} bytes, {dialect}; weights {stored:,} of {room // 8:,} bytes, coded")
    terminal.result(
        {
            "file": str(output),
            "format": dialect,
            "bytes": len(content),
            "weights": {"parameters": sum(r.before for r in rows), "bytes": stored, "room_bytes": room // 8},
            "stages": [asdict(stage) for stage in done.stages],
            "layers": [asdict(row) for row in rows],
            "notes": terminal.notes,
            "sizes": [asdict(size) | {"reduction": size.reduction} for size in sizes],
        }
    )


def _show(terminal: Terminal, rows: Sequence[ConvRow], sizes: Sequence[SizeRow], stages: Sequence[StageLog]) -> None:
    numbers: tuple[Any, ...] = ("weights", "dense", "width", "bits", "non-zero", "bytes")
    view = table("layer", "filter", *numbers, right=numbers)
    for r in rows:
        shares = (f"{r.before:,}", f"{100 * r.density:.0f} %", r.width, f"{r.bits:.2f}", f"{r.after:,}", f"{r.bytes:,}")
        view.add_row(*cells(r.name, r.filter, *shares))
    terminal.print("", view, "")
    numbers = ("megabytes", "reduction")
    view = table("", "weights", *numbers, right=numbers)
    for size in sizes:
        view.add_row(*cells(size.what, size.bits, f"{size.bytes / 1e6:.2f}", f"{size.reduction:.0f}x"))
    terminal.print(view, "")
    numbers = ("bytes", "divergence, nats", "unchanged")
    view = table("stage", *numbers, right=numbers)
    for stage in stages:
        found = stage.difference
        view.add_row(*cells(stage.name, f"{stage.bytes:,}", f"{found.divergence:.4f}", f"{found.agreement:.1f} %"))
    terminal.print(view, f"on the {stages[0].difference.pictures} calibration pictures themselves")
