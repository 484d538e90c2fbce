"""Make the embedded default model, SqueezeNet v1.1 compressed until its weights are resident on the PYNQ-Z2.

    python scripts/make_default_model.py --calibration pictures.npz --labels synset_words.txt

The float weights come from the model zoo (`squeezenet1.1`: downloaded once, hash checked).  The calibration
pictures, without their classes, only choose scales and roundings; none of them gets into the model.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from squeeze_hls import quantize
from squeeze_hls.board import load_board
from squeeze_hls.cli.terminal import Terminal
from squeeze_hls.flows import compress as fitting
from squeeze_hls.frontend import load_graph, read_labels
from squeeze_hls.network import pictures
from squeeze_hls.paths import MODELS

NAME = "squeezenet1.1-w6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, required=True, help="folder or .npz set of pictures")
    parser.add_argument("--labels", type=Path, required=True, help="class names, one a line; the first synonym is kept")
    parser.add_argument("--fit", default="pynq-z2", help="board whose memory the weights may fill")
    parser.add_argument("--output", type=Path, default=MODELS / f"{NAME}.onnx")
    arguments = parser.parse_args()

    labels = tuple(name.split(",")[0] for name in read_labels(arguments.labels))
    graph = replace(load_graph("squeezenet1.1"), name=NAME, labels=labels)
    chosen = pictures.load(arguments.calibration)
    terminal = Terminal()
    terminal.every_stage = True
    board = load_board(arguments.fit)
    done = fitting.fit(graph, chosen, fitting.room_bits(graph, board), board, listener=terminal)
    arguments.output.write_bytes(quantize.to_onnx(done.network, "qdq"))
    print(arguments.output, arguments.output.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
