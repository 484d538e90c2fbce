"""The driver's folder stands alone: its syntax, what it imports, and an old Python that takes it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from squeeze_hls import driver

SOURCES = sorted(Path(driver.__file__).parent.glob("*.py"))
ALLOWED = {"numpy", "PIL", "pynq"} | set(sys.stdlib_module_names) - {"importlib", "runpy", "imp"}
SINCE_3_9 = {
    "removeprefix",
    "removesuffix",
    "bit_count",
    "pairwise",
    "cache",
    "to_thread",
    "TaskGroup",
    "is_relative_to",
}

# A numpy and a Pillow of which everything can be asked for, where the old Python has none.
STAND_INS = """
import sys, types

class Anything(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name)

for name in ("numpy", "PIL", "PIL.Image", "PIL.ImageOps"):
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = Anything(name)

import squeeze_driver, squeeze_driver.selftest
assert not {"squeeze_hls", "pynq"} & set(sys.modules)
print(squeeze_driver.Accelerator.__module__, sys.version_info[:2])
"""


def copied(folder: Path) -> Path:
    """The package under its name on the board."""
    (folder / "squeeze_driver").mkdir()
    for path in SOURCES:
        (folder / "squeeze_driver" / path.name).write_bytes(path.read_bytes())
    return folder


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYENV_VERSION": "3.8"}  # where python3.8 is a shim of pyenv
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_syntax_and_imports(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    first = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    if path.name not in ("__init__.py", "_generated.py"):
        assert "__future__" in first, "annotations of today would be evaluated"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert all(name.name.split(".")[0] in ALLOWED for name in node.names), ast.unparse(node)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1 if node.level else str(node.module).split(".")[0] in ALLOWED, ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert node.attr not in SINCE_3_9, node.attr
        if isinstance(node, ast.Name):
            assert node.id not in ("__import__", "exec", "eval"), node.id
        if isinstance(node, ast.Call):
            assert not {"strict", "kw_only", "slots"} & {k.arg for k in node.keywords}, ast.unparse(node)


def test_it_imports_alone(tmp_path: Path) -> None:
    """Without this package and without PYNQ."""
    said = run(copied(tmp_path), sys.executable, "-c", STAND_INS)
    assert said == f"squeeze_driver.accelerator {sys.version_info[:2]}\n"


def test_python_3_8_takes_it(tmp_path: Path) -> None:
    """Really compiled, and executed as far as importing goes."""
    python = shutil.which("python3.8")
    if python is None:
        pytest.skip("there is no python3.8 here")
    folder = copied(tmp_path)
    run(folder, python, "-m", "compileall", "-q", "-f", "squeeze_driver")
    assert len(list((folder / "squeeze_driver" / "__pycache__").glob("*.cpython-38.pyc"))) == len(SOURCES)
    assert run(folder, python, "-c", STAND_INS) == "squeeze_driver.accelerator (3, 8)\n"
