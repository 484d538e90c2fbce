"""``quantize`` and ``unpack``: from a float model to integers, and integers out of a build."""

from __future__ import annotations

from pathlib import Path

import click

from squeeze_hls.cli.options import (
    Existing,
    calibration_option,
    format_option,
    global_options,
    json_option,
    pass_terminal,
    reading_options,
)
from squeeze_hls.cli.terminal import Terminal


@click.command()
@click.argument("model", metavar="FLOAT")
@click.option("-o", "--output", metavar="Q.onnx", type=Existing, required=True, help="File to write.")
@format_option
@reading_options
@calibration_option
@json_option
@global_options
@pass_terminal
def quantize(
    terminal: Terminal,
    model: str,
    output: Path,
    dialect: str,
    preprocess: str | None,
    input_size: tuple[int, int] | None,
    labels: Path | None,
    calibration: Path | None,
) -> None:
    """Quantize the float model FLOAT to 6-bit weights and 8-bit activations."""
    from squeeze_hls.artifacts.bundle import check_output_file, write_file
    from squeeze_hls.flows.source import Source, load
    from squeeze_hls.quantize import export

    terminal.every_stage = True
    check_output_file(output)
    source = Source(model=model, preprocess=preprocess, input_size=input_size, labels=labels, calibration=calibration)
    loaded = load(source, terminal)
    content = export.to_onnx(loaded.network, dialect)
    write_file(content, output)
    terminal.print(f"{output}: {len(content):,} bytes, {dialect}")
    terminal.result({"file": str(output), "format": dialect, "bytes": len(content), "notes": terminal.notes})


@click.command()
@click.argument("build_dir", metavar="BUILD_DIR", type=Existing)
@click.option("-o", "--output", metavar="W.npz", type=Existing, required=True, help="File to write.")
@json_option
@global_options
@pass_terminal
def unpack(terminal: Terminal, build_dir: Path, output: Path) -> None:
    """Decode the weight store of a build back to integer weights, int8 (O, kh, kw, I) by layer."""
    import io

    import numpy as np

    from squeeze_hls.artifacts.build_folder import open_build
    from squeeze_hls.artifacts.bundle import check_output_file, write_file
    from squeeze_hls.progress import tell

    check_output_file(output)
    build = open_build(build_dir)
    tell(build.notes, terminal)
    weights = build.weights()
    buffer = io.BytesIO()
    np.savez(buffer, **weights)  # type: ignore[arg-type]
    write_file(buffer.getvalue(), output)
    count = sum(w.size for w in weights.values())
    terminal.print(f"{output}: {count:,} weights of {len(weights)} layers")
    terminal.result({"file": str(output), "layers": len(weights), "weights": count, "notes": terminal.notes})
