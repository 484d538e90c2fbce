"""What a board needs beside its bitstream: models, driver, notebooks, pictures, the self-test with golden values."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeeze_hls.artifacts.bundle import Bundle
from squeeze_hls.driver.stored import crc
from squeeze_hls.emit import notebooks, planned, update
from squeeze_hls.emit.driver import constants
from squeeze_hls.emit.render import render
from squeeze_hls.engine.program import program_crc
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.paths import DRIVER
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.quantize import export

PACKAGE = "squeeze_driver"
NOTEBOOKS = "notebooks"
PICTURES = ("astronaut", "camera", "chelsea", "china", "coffee", "flower", "hubble", "rocket")
TESTED = ("chelsea", "coffee", "rocket")  # what the self-test runs
GENERATED = "_generated.py"
SELFTEST = "selftest.py"
BITFILE, HANDOFF = "squeeze_engine.bit", "squeeze_engine.hwh"  # where Vivado has made them
_SELFTEST = '''"""Compare this board, stage by stage, with stored golden values; see --help."""

import os
import sys

from squeeze_driver.selftest import main

if __name__ == "__main__":
    sys.exit(main(os.path.dirname(os.path.abspath(__file__))))
'''


def emit(plan: Plan, *, name: str) -> Bundle:
    """Files below ``deploy/``; ``name`` is the network's."""
    network = plan.network
    bundle = Bundle(
        {
            "README.txt": render(
                "deploy/README.txt.j2",
                name=printable(name),
                board=plan.board.name,
                clock_mhz=plan.clock_mhz,
                streamed=plan.engine.streamed,
                labels=bool(network.labels),
            ),
            "pictures/LICENSES.md": (pictures.BUILTIN / "LICENSES.md").read_bytes(),
            "model.sqz": update.model_file(plan, name),
            "model.onnx": export.to_onnx(network, "qdq"),
            "plan.json": planned.describe(plan, name),
        }
    )
    if network.labels:
        bundle.add("labels.txt", "".join(f"{printable(label)}\n" for label in network.labels))
    for picture in PICTURES:
        bundle.add(f"pictures/{picture}.jpg", (pictures.BUILTIN / f"{picture}.jpg").read_bytes())
    bundle.merge(second_model(plan), "update")
    bundle.merge(code_files())
    bundle.merge(golden_values(plan), "selftest")
    return bundle


def code_files() -> Bundle:
    """All Python below ``deploy/``: the same for every build."""
    bundle = Bundle({SELFTEST: _SELFTEST})
    bundle.merge(driver_files(), PACKAGE)
    bundle.merge(notebooks.emit(), NOTEBOOKS)
    return bundle


def driver_files() -> Bundle:
    """The driver's package, as it is in the repository, with constants from their only source."""
    files = {path.name: path.read_bytes() for path in sorted(Path(DRIVER).glob("*.py"))}
    return Bundle({**files, GENERATED: constants().encode()})


def second_model(plan: Plan) -> Bundle:
    """The network with fewer classes, and its ``model.sqz`` for the same engine."""
    network = plan.network
    _, logits = _golden(network, [f"{picture}.jpg" for picture in PICTURES])
    smaller = update.keep_classes(network, update.choose_classes(logits))
    planned_anew = make_plan(smaller, plan.board, PlanOptions(clock_mhz=plan.clock_mhz, engine=plan.engine))
    return Bundle(
        {
            f"{update.NAME}.onnx": export.to_onnx(smaller, "qdq"),
            "model.sqz": update.model_file(planned_anew, update.NAME),
        }
    )


def golden_values(plan: Plan) -> Bundle:
    """What the self-test feeds and expects (see ``squeeze_hls/driver/stored.py``)."""
    network = plan.network
    names = [f"{picture}.jpg" for picture in TESTED]
    images, logits = _golden(network, names)
    table = {
        "engine_id": plan.engine.id,
        "program_id": f"{program_crc(plan.program_bin):08x}",
        "weights_id": f"{0 if plan.engine.streamed else plan.program.header.weights_crc:08x}",
        "images": [
            {"name": name, "image_crc32": f"{crc(image):08x}", "logits_crc32": f"{crc(values):08x}"}
            for name, image, values in zip(names, images, logits, strict=True)
        ],
    }
    return Bundle(
        {
            "expected.json": json.dumps(table, indent=2, sort_keys=True) + "\n",
            "images.npy": _npy(images),
            "logits.npy": _npy(logits),
        }
    )


def _golden(network: IntNetwork, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sample pictures as the network takes them, u8 (N, H, W, 3), and their logits, int32 (N, classes)."""
    shape, preprocess, output = network.input_shape, network.preprocess, network.nodes[-1].output
    images = np.stack([pictures.prepare(pictures.read(pictures.BUILTIN / name), shape, preprocess) for name in names])
    logits = np.stack([golden.run(network, image)[output].reshape(-1) for image in images])
    return images, logits.astype(np.int32)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def printable(text: str) -> str:
    """A name or label from a model as one line of plain text."""
    return "".join(c if c.isprintable() else "?" for c in text)
