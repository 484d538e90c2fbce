"""Synthesize one module of hw/rtl with Yosys and print what it takes, as JSON.

    python scripts/synth_module.py mac_array PIX=3 CIN=8 COUT=16 [--family xcup]

``bram18`` counts halves of a BRAM36.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from squeeze_hls.synth.run import synthesize


def main() -> None:
    parser = argparse.ArgumentParser(description="Synthesize one module of hw/rtl with Yosys.")
    parser.add_argument("module")
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--family", default="xc7", choices=("xc7", "xcup"))
    options = parser.parse_args()
    parameters = dict(entry.split("=", 1) for entry in options.parameters)
    with tempfile.TemporaryDirectory() as folder:
        done = synthesize(options.module, parameters, options.family, Path(folder) / "yosys.log")
    result = {"module": options.module, **asdict(done.count), "deepest": asdict(done.deepest), "cells": done.cells}
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
