"""The documents' commands run, and their links lead somewhere."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from squeeze_hls import cli
from tests.ssh_board import Board, set_up

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands(document: Path) -> Iterator[list[str]]:
    """The ``squeeze-hls`` command lines of a document's console blocks."""
    for block in re.findall(r"```console\n(.*?)```", document.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ squeeze-hls "):
                yield shlex.split(line[2:])[1:]


# What a document's command may end with other than 0 here, and why.
WITHOUT_VENDOR_TOOLS = {"bitstream": 4}
# What is not run here, and why; its arguments are parsed.
NOT_RUN = {"notebook": "Jupyter does not end; tests of its own run it"}


def run_all(document: Path, capfd: pytest.CaptureFixture[str]) -> int:
    """Run a document's commands, a board being after a faked ssh; returns how many."""
    count = 0
    for arguments in commands(document):
        name, words = arguments[0], arguments[1:]
        if name in NOT_RUN:
            cli.cli.commands[name].make_context(name, words, obj=None)
        else:
            code = cli.run(arguments)
            err = capfd.readouterr().err
            expected = {0, WITHOUT_VENDOR_TOOLS.get(name, 0)}
            assert code in expected, f"squeeze-hls {shlex.join(arguments)}\n{err}"
        count += 1
    return count


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The board of the documents."""
    (tmp_path / "ssh").mkdir()
    result = set_up(tmp_path / "ssh")
    monkeypatch.setenv("PATH", os.pathsep.join([str(result.programs), os.environ["PATH"]]))
    monkeypatch.setenv("FAKE_SSH", str(result.folder))
    return result


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
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], board: Board
) -> None:
    shutil.copy(ROOT / "squeeze_hls" / "calibration" / "coffee.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_all(ROOT / name, capfd) >= 5
    (call,) = board.calls()
    assert call[call.index("--") + 1] == "192.168.2.99"
    assert {"model.sqz", "selftest.py", "notebooks/1_classify.ipynb"} <= set(board.files())


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in cli.cli.commands:
        assert re.search(rf"^\|.*`{name}\b", readme, re.MULTILINE), name


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_workflows_and_issue_forms(path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(path.read_text())
    if path.parent.name == "workflows":
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        assert all("run" in step or "uses" in step for step in steps)
    elif path.name != "config.yml":
        assert {"name", "description", "body"} <= set(content)
        questions = [item for item in content["body"] if item["type"] != "markdown"]
        assert len({item["id"] for item in questions}) == len(questions)
        assert all(item["attributes"]["label"] for item in questions)
    if path.name == "hardware_report.yml":
        assert "hardware_report.json" in path.read_text() and "report" in {item.get("id") for item in content["body"]}


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    others = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([a-z-]+\.md)\)", index)) == others


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_machine_paths(document: Path) -> None:
    assert not re.search(r"/work/|/root/|/tmp/pytest", document.read_text())


def test_commands_of_the_example_workflow() -> None:
    """They are parsed; a workflow's run takes what its env says."""
    text = (ROOT / ".github" / "workflows" / "example-user-model.yml").read_text()
    lines = re.findall(r"run: (squeeze-hls .*)", text)
    assert [shlex.split(line)[1] for line in lines] == ["build", "simulate"]
    for _, name, *words in map(shlex.split, lines):
        cli.cli.commands[name].make_context(name, words, obj=None)


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
