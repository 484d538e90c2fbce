"""docs/driver.md: its examples run, one after the other as in a notebook, and its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from squeeze_hls import driver
from tests.driver.on_board import ROOT, folder_of, needs_pynq, run_script

TEXT = (ROOT / "docs" / "driver.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)

RUNNER = """
import ast, asyncio, inspect

loop, names = asyncio.new_event_loop(), {"__name__": "__main__"}
for number, example in enumerate(EXAMPLES):
    asyncio.set_event_loop(loop)
    code = compile(example, f"example {number + 1}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.iscoroutine(result):
        loop.run_until_complete(result)
    print("done", number + 1)
names["accelerator"].close()
"""


@pytest.mark.board
def test_every_example_runs(tmp_path: Path) -> None:
    needs_pynq()
    folder = folder_of(tmp_path / "deploy")
    (folder / "script.py").write_text(f"EXAMPLES = {EXAMPLES!r}\n{RUNNER}")
    done = run_script(folder, "script.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"done {len(EXAMPLES)}\n" in done.stdout
    assert len(EXAMPLES) >= 8


def test_every_exception_is_explained() -> None:
    section = TEXT.split("## What goes wrong")[1].split("\n## ")[0]
    rows = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    exceptions = {
        name
        for name in driver.__all__
        if isinstance(getattr(driver, name), type) and issubclass(getattr(driver, name), Exception)
    }
    assert rows == exceptions


def test_time_outs_are_named_as_the_driver_names_them() -> None:
    code = " ".join(path.read_text() for path in Path(driver.__file__).parent.glob("*.py"))
    section = TEXT.split("## Time-outs")[1].split("\n## ")[0]
    for phrase in ("to be sent (", "to be taken (", "the engine to come to rest", "the engine has all that it needs"):
        assert phrase in code
        assert phrase in section
