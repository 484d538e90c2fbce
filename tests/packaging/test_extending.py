"""The document on adding an operator names files and tables that exist, and few of them."""

import re
from pathlib import Path

import pytest

MOST = 12  # Python files of the package that a new operator touches


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "extending.md").read_text()


def rows(text: str) -> list[tuple[str, str]]:
    """File and description of each row of the list of files."""
    return re.findall(r"^\| \d \| `(squeeze_hls/\S+\.py)` \| (.*) \|$", text, re.MULTILINE)


def test_few_files(text: str) -> None:
    files = [file for file, _ in rows(text)]
    assert len(files) == len(set(files)) == MOST
    assert "These twelve files" in text


def test_files_exist(root: Path, text: str) -> None:
    named = set(re.findall(r"`((?:squeeze_hls|engine|plan|tests|hw)/[\w/.]+)`", text))
    assert len(named) > 18
    missing = [n for n in sorted(named) if not (root / n).exists() and not (root / "squeeze_hls" / n).exists()]
    assert not missing


def test_tables_are_where_they_are_said_to_be(root: Path, text: str) -> None:
    found = [(file, table) for file, what in rows(text) for table in re.findall(r"`([A-Z]{4,})`", what)]
    assert len(found) >= 10
    absent = [f"{f}: {t}" for f, t in found if not re.search(rf"^{t}\b", (root / f).read_text(), re.MULTILINE)]
    assert not absent
