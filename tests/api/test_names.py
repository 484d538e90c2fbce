"""The names of the package: lazy, typed, and the same whatever was imported first."""

import inspect
import itertools
import subprocess
import sys
import types
from pathlib import Path

import pytest

import squeeze_hls as sq
from squeeze_hls import api

# Ways to come by the package ``plan``, and the function beside it.
IMPORTS = (
    "import squeeze_hls.plan",
    "from squeeze_hls.plan import make_plan",
    "from squeeze_hls import plan",
    "import squeeze_hls.plan.planner",
    "import squeeze_hls; squeeze_hls.plan",
    "import squeeze_hls.quantize.compression, squeeze_hls.api",
)
CALL = """
import squeeze_hls as sq, squeeze_hls.plan as package, squeeze_hls.quantize
from squeeze_hls import plan, quantize
from squeeze_hls.plan import make_plan
assert plan is sq.plan is package and quantize is squeeze_hls.quantize
assert sq.plan.make_plan is make_plan and sq.quantize.to_int
network = quantize(sq.load())
assert sq.plan(network, board="pynq-z2").cycles == make_plan(network, sq.boards()[2]).cycles
"""
USER = """
import squeeze_hls.plan
import squeeze_hls as sq
from squeeze_hls.plan import make_plan

network = sq.quantize(sq.load("model.onnx"), "pictures")
plan = sq.plan(network, board="pynq-z2")
reveal_type(plan)
reveal_type(sq.run(plan, "a.jpg", on="executor"))
reveal_type(make_plan)
sq.plan(network, bord="pynq-z2")
sq.run(plan, "a.jpg", on="excutor")
sq.compile
"""


@pytest.mark.parametrize("first", IMPORTS)
def test_any_order_of_imports(first: str, root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", f"{first}\n{CALL}"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


HELP = "from squeeze_hls.cli import run; assert run(['--help']) == 0"


@pytest.mark.parametrize("code", ["import squeeze_hls; dir(squeeze_hls)", HELP])
def test_nothing_heavy_is_imported_before_it_is_needed(code: str, root: Path) -> None:
    """Both take less than 0.3 s (scripts/bench measures it)."""
    heavy = {"numpy", "onnx", "PIL", "squeeze_hls.api"}
    code = f"{code}\nimport sys; assert not {heavy} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_names_are_those_of_the_interface() -> None:
    for name in sq.__all__:
        value = getattr(sq, name)
        assert inspect.unwrap(value) is getattr(api, name), name
        assert name in dir(sq)
    defined = {n for n, v in vars(api).items() if isinstance(v, types.FunctionType) and v.__module__ == api.__name__}
    assert {n for n in defined if not n.startswith("_")} <= set(sq.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sq.nonsense  # noqa: B018


def test_what_type_checkers_see_is_what_there_is() -> None:
    """Their block of imports, which never runs, and the list."""
    lines = inspect.getsource(sq).splitlines()
    block = itertools.takewhile(bool, lines[lines.index("if TYPE_CHECKING:") + 1 :])
    assert [line.split()[-1] for line in block] == list(sq.__all__)


def test_signatures_and_documentation() -> None:
    for name in ("plan", "quantize"):
        assert inspect.signature(getattr(sq, name)) == inspect.signature(getattr(api, name))
    for name in sq.__all__:
        assert getattr(sq, name).__doc__


def test_mypy_sees_types(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mypy = pytest.importorskip("mypy.api")
    (tmp_path / "user.py").write_text(USER)
    monkeypatch.setenv("MYPYPATH", str(root))
    options = ["--config-file", "", "--ignore-missing-imports", "--follow-imports=silent"]
    cache = ["--cache-dir", str(tmp_path / "cache")]
    out, err, _ = mypy.run([*options, *cache, str(tmp_path / "user.py")])
    found = [line.partition(": ")[2] for line in out.splitlines()]
    assert found[0] == 'note: Revealed type is "squeeze_hls.plan.planner.Plan"', out + err
    assert "numpy.ndarray" in found[1] and found[2].startswith('note: Revealed type is "def (network: ')
    assert found[3].startswith('error: Unexpected keyword argument "bord" for "plan"')
    assert any("\"Literal['excutor']\"" in line for line in found[4:]), out
    assert any('has no attribute "compile"' in line for line in found[4:]), out
