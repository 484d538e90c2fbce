"""The embedded network, planned, built, and its notebooks executed: each once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from squeeze_hls import cli
from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.flows import notebook
from squeeze_hls.progress import SILENT

DIGITS = Path(__file__).resolve().parent.parent / "fixtures" / "digits"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of a small network with 10 classes."""
    folder = tmp_path_factory.mktemp("digits")
    model = folder / "digits.onnx"
    quantize = ["quantize", DIGITS / "digits.onnx", "--calibration", DIGITS / "calibration", "-q", "-o", model]
    assert cli.run([*map(str, quantize), "--labels", str(DIGITS / "labels.txt"), "--preprocess", "torchvision"]) == 0
    build = ["build", model, "--board", "pynq-z2", "--verify", "none", "-q", "--out", folder / "build"]
    assert cli.run([str(word) for word in build]) == 0
    return folder / "build"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the embedded SqueezeNet v1.1."""
    folder = tmp_path_factory.mktemp("whole") / "build"
    assert cli.run(["build", "--board", "pynq-z2", "--verify", "none", "-q", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel that ``squeeze-hls notebook`` uses."""
    for name in ("pynq", "nbclient"):
        pytest.importorskip(name, reason=f"{name} is not installed in this environment", exc_type=ImportError)
    return notebook.write_kernel(tmp_path_factory.mktemp("jupyter"))


@pytest.fixture(scope="session")
def executed(whole: Path, kernels: Path) -> Callable[[str], Any]:
    """A notebook of the whole build, by its name, with its outputs; made ready as the command does."""
    build = open_build(whole)
    folder = notebook.prepare(build, notebook.default_folder(whole)).folder
    notebook.compile_engine(build, SILENT)
    return cache(lambda name: notebook.execute(folder / "notebooks" / f"{name}.ipynb", kernels))
