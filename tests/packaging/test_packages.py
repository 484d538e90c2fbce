"""Wheel and source distribution hold what they must, and nothing that must not leave the repository."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def packages(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def members(packages: Path) -> set[str]:
    with zipfile.ZipFile(next(packages.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_templates_hardware_boards_and_the_model(packages: Path, root: Path) -> None:
    inside = members(packages)
    for folder in ("templates", "hw", "boards"):
        for path in (root / folder).rglob("*"):
            if path.is_file():
                assert f"squeeze_hls/_data/{path.relative_to(root).as_posix()}" in inside
    assert any(name.startswith("squeeze_hls/models/") and name.endswith(".onnx") for name in inside)
    assert "squeeze_hls/calibration/coffee.jpg" in inside
    assert any(name.endswith("licenses/NOTICE") for name in inside)
    assert not any("tests/" in name or "__pycache__" in name for name in inside)


def test_the_sdist_holds_tests_and_documents(packages: Path) -> None:
    with tarfile.open(next(packages.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "scripts/demo", "docs/report.schema.json"} <= names
    assert not any(name.startswith((".venv", "build", "shared")) or "__pycache__" in name for name in names)


def test_the_wheel_works_without_the_checkout(packages: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(next(packages.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    code = (
        "import squeeze_hls, sys; from squeeze_hls import cli; assert 'site' in squeeze_hls.__file__;"
        "sys.exit(cli.run(['build', '--board', 'pynq-z2', '--verify', 'none', '--out', 'out', '-q']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "hls" / "run_hls.tcl").is_file()


def test_extras(root: Path) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"csim", "onnx-tools", "train", "board", "test", "all"} <= set(extras)
    assert not any("torch" in line or "pynq" in line for line in extras["all"])
