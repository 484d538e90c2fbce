"""The documents' commands run, and their links lead somewhere."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from squeeze_hls import cli

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands(document: Path) -> Iterator[list[str]]:
    """The ``squeeze-hls`` command lines of a document's console blocks."""
    for block in re.findall(r"```console\n(.*?)```", document.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ squeeze-hls "):
                yield shlex.split(line[2:])[1:]


def run_all(document: Path, capfd: pytest.CaptureFixture[str]) -> int:
    count = 0
    for arguments in commands(document):
        code = cli.run(arguments)
        err = capfd.readouterr().err
        assert code == 0, f"squeeze-hls {shlex.join(arguments)}\n{err}"
        count += 1
    return count


@pytest.mark.csim
def test_your_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "tests" / "fixtures" / "digits", tmp_path / "digits")
    monkeypatch.chdir(tmp_path / "digits")
    assert run_all(ROOT / "docs" / "your-own-model.md", capfd) == 6
    assert (tmp_path / "digits" / "build" / "digits" / "hls").is_dir()
    assert [p.name for p in (tmp_path / "digits" / "update").rglob("*") if p.is_file()] == ["model.sqz"]


@pytest.mark.csim
@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_other_documents(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "squeeze_hls" / "calibration" / "coffee.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_all(ROOT / name, capfd) >= 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_machine_paths(document: Path) -> None:
    assert not re.search(r"/work/|/root/|/tmp/pytest", document.read_text())


def test_scripts_exist_and_are_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ("scripts/demo", "scripts/test"):
        assert name in readme and (ROOT / name).stat().st_mode & 0o111
    assert "exec scripts/test" in (ROOT / ".ci" / "run").read_text()


def test_figures_of_the_readme(tmp_path: Path) -> None:
    """What the README shows of the embedded default's build is what a build says."""
    arguments = ["build", "--board", "pynq-z2", "--verify", "none", "--out", str(tmp_path / "out"), "-q"]
    assert cli.run(arguments) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    readme = (ROOT / "README.md").read_text()
    for figure in (
        f"{report['cycles']['predicted']:,} cycles (estimate)",
        f"ideal {report['cycles']['ideal']:,}: utilization {100 * report['cycles']['utilization']:.1f} %",
        f"{report['fps']['value']:.1f} pictures a second",
    ):
        assert figure in readme
