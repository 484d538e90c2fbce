"""What a board needs beside its bitstream: driver, labels, pictures, the self-test with its golden values, README."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from squeeze_hls import golden, pictures
from squeeze_hls.bundle import Bundle
from squeeze_hls.driver.stored import crc
from squeeze_hls.emit.driver import constants
from squeeze_hls.emit.render import render
from squeeze_hls.paths import DRIVER
from squeeze_hls.plan import Plan
from squeeze_hls.plan.program import program_crc

PACKAGE = "squeeze_driver"
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
    """Files below ``deploy/``, without ``model.sqz``; ``name`` is the network's."""
    network = plan.network
    bundle = Bundle(
        {
            "README.txt": render(
                "deploy/README.txt.j2",
                name=printable(name),
                board=plan.board.name,
                clock_mhz=plan.clock_mhz,
                streamed=plan.engine.streamed,
            ),
            "pictures/LICENSES.md": (pictures.BUILTIN / "LICENSES.md").read_bytes(),
        }
    )
    if network.labels:
        bundle.add("labels.txt", "".join(f"{printable(label)}\n" for label in network.labels))
    for picture in PICTURES:
        bundle.add(f"pictures/{picture}.jpg", (pictures.BUILTIN / f"{picture}.jpg").read_bytes())
    bundle.merge(code_files())
    bundle.merge(golden_values(plan), "selftest")
    return bundle


def code_files() -> Bundle:
    """All Python below ``deploy/``: the same for every build."""
    bundle = Bundle({SELFTEST: _SELFTEST})
    bundle.merge(driver_files(), PACKAGE)
    return bundle


def driver_files() -> Bundle:
    """The driver's package, as it is in the repository, with constants from their only source."""
    files = {path.name: path.read_bytes() for path in sorted(Path(DRIVER).glob("*.py"))}
    return Bundle({**files, GENERATED: constants().encode()})


def golden_values(plan: Plan) -> Bundle:
    """What the self-test feeds and expects (see ``squeeze_hls/driver/stored.py``)."""
    network = plan.network
    names = [f"{picture}.jpg" for picture in TESTED]
    images = np.stack(
        [
            pictures.prepare(pictures.read(pictures.BUILTIN / name), network.input_shape, network.preprocess)
            for name in names
        ]
    )
    output = network.nodes[-1].output
    logits = np.stack([golden.run(network, image)[output].reshape(-1) for image in images]).astype(np.int32)
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


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def printable(text: str) -> str:
    """A name or label from a model as one line of plain text."""
    return "".join(c if c.isprintable() else "?" for c in text)
