"""``run`` and ``evaluate``: classify pictures on any of the models that must agree."""

from __future__ import annotations

from pathlib import Path

import click

from squeeze_hls.cli.options import (
    Existing,
    board_option,
    global_options,
    json_option,
    model_options,
    on_option,
    pass_terminal,
)
from squeeze_hls.cli.terminal import Terminal, cells, table

MODEL = "MODEL|BUILD_DIR"


@click.command()
@click.argument("model", metavar=MODEL)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=Existing)
@on_option
@click.option(
    "--top", type=click.IntRange(1, 1000), default=5, show_default=True, help="Classes shown for each picture."
)
@click.option("--logits", metavar="F.npy", type=Existing, help="Write all logits, (pictures, classes).")
@board_option
@model_options
@json_option
@global_options
@pass_terminal
def run(
    terminal: Terminal,
    model: str,
    images: tuple[Path, ...],
    on: str,
    top: int,
    logits: Path | None,
    board: str,
    preprocess: str | None,
    input_size: tuple[int, int] | None,
    labels: Path | None,
    calibration: Path | None,
) -> None:
    """Classify pictures: image files, or uint8 (H, W, 3) .npy arrays."""
    from squeeze_hls.artifacts.bundle import check_output_file, write_array
    from squeeze_hls.flows import classify as inference
    from squeeze_hls.flows.source import Source
    from squeeze_hls.network import pictures

    if logits:
        check_output_file(logits)
    pixels = [pictures.read(path) for path in images]  # all of them, before a model is read
    chosen = pictures.PictureSet([str(path) for path in images], pixels.__getitem__)
    source = Source(model=model, preprocess=preprocess, input_size=input_size, labels=labels, calibration=calibration)
    classifier = inference.classifier(source, on, board, terminal)
    results = inference.run(classifier, chosen, top, terminal)
    if logits:
        write_array(results.logits, logits)
    view = table("picture", "", "class", right=("",))
    found = list(zip(results.names, results.guesses, strict=True))
    for file, guesses in found:
        for place, guess in enumerate(guesses):
            name = file if place == 0 else ""
            view.add_row(*cells(name, f"{100 * guess.probability:.2f} %", f"{guess.name} ({guess.index})"))
    terminal.print(view)
    rows = [{"file": file, "top": [guess._asdict() for guess in guesses]} for file, guesses in found]
    terminal.result({"on": on, "results": rows, "notes": terminal.notes})


@click.command()
@click.argument("model", metavar=MODEL)
@click.option("--images", metavar="DIR|FILE.npz", type=Existing, required=True, help="Pictures with their classes.")
@on_option
@click.option("--predictions", metavar="F.npy", type=Existing, help="Write the predicted classes, int64.")
@board_option
@model_options
@json_option
@global_options
@pass_terminal
def evaluate(
    terminal: Terminal,
    model: str,
    images: Path,
    on: str,
    predictions: Path | None,
    board: str,
    preprocess: str | None,
    input_size: tuple[int, int] | None,
    labels: Path | None,
    calibration: Path | None,
) -> None:
    """Measure top-1 and top-5 accuracy over many pictures."""
    from squeeze_hls.artifacts.bundle import check_output_file, write_array
    from squeeze_hls.flows import classify as inference
    from squeeze_hls.flows.source import Source
    from squeeze_hls.network import pictures

    if predictions:
        check_output_file(predictions)
    chosen = pictures.load(images)
    source = Source(model=model, preprocess=preprocess, input_size=input_size, labels=labels, calibration=calibration)
    classifier = inference.classifier(source, on, board, terminal)
    score = inference.evaluate(classifier, chosen, terminal)
    if predictions:
        write_array(score.predictions, predictions)
    if score.top1 is None or score.top5 is None:
        terminal.print(f"{score.images} pictures without classes on {on}: no accuracy")
    else:
        terminal.print(f"top-1 {score.top1:.2f} %, top-5 {score.top5:.2f} %  ({score.images} pictures on {on})")
    terminal.result({"on": on, "top1": score.top1, "top5": score.top5, "images": score.images, "notes": terminal.notes})
