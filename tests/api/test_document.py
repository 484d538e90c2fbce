"""The examples of docs/api.md give what they show."""

import doctest
import re
import shutil
from pathlib import Path

import pytest

import squeeze_hls as sq


@pytest.fixture
def digits(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "digits"
    shutil.copytree(root / "tests" / "fixtures" / "digits", folder)
    monkeypatch.chdir(folder)
    return folder


def test_examples(root: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They print what the document shows, and nothing beside."""
    blocks = re.findall(r"```python\n(.*?)```", (root / "docs" / "api.md").read_text(), re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "api.md", "api.md", 0)
    assert len(examples.examples) > 30
    said: list[str] = []
    failed, _ = doctest.DocTestRunner().run(examples, out=said.append)
    assert not failed, "".join(said)
    assert capsys.readouterr().err == ""


def test_every_name_is_in_the_document(root: Path) -> None:
    text = (root / "docs" / "api.md").read_text()
    assert [name for name in sq.__all__ if not re.search(rf"\b(sq\.{name}\b|`{name}[`(])", text)] == []
