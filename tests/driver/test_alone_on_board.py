"""The deploy folder, copied out of the repository, on the simulated board: scripts that know nothing of the rest.

The board lives in ``squeeze_hls``, so that package must be there for it.  It is hidden from the driver: whatever of it
the driver's modules import fails.  (``test_folder.py`` sees to it that they import by no other means.)
"""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze_hls.network import golden, pictures
from tests.driver.conftest import expected
from tests.driver.on_board import folder_of, needs_pynq, plan_of, run_script

needs_pynq()
pytestmark = pytest.mark.board

SCRIPT = """
import builtins, os, sys

imported, seen = builtins.__import__, set()

def alone(name, globals=None, locals=None, fromlist=(), level=0):
    if (globals or {}).get("__name__", "").startswith("squeeze_driver") and not level:
        seen.add(name.split(".")[0])
        if name.split(".")[0] == "squeeze_hls":
            raise ImportError("the driver reaches for " + name)
    return imported(name, globals, locals, fromlist, level)

builtins.__import__ = alone
import squeeze_driver

assert squeeze_driver.__file__.startswith(os.getcwd())
with squeeze_driver.Accelerator() as accelerator:
    print([guess.index for guess in accelerator.classify("pictures/coffee.jpg")])
assert seen - set(sys.stdlib_module_names) == {"numpy", "PIL", "pynq"}, seen
"""


def test_the_folder_alone_classifies(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "deploy")
    (folder / "script.py").write_text(SCRIPT)
    done = run_script(folder, "script.py")
    assert done.returncode == 0, done.stderr
    network = plan_of(False).network
    picture = pictures.read(pictures.BUILTIN / "coffee.jpg")
    image = pictures.prepare(picture, network.input_shape, network.preprocess)
    top = golden.top_k(network, expected(plan_of(False), image[None])[0], 5)
    assert done.stdout.splitlines()[-1] == str([index for index, _, _ in top])


def test_a_driver_that_reaches_out_is_caught(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "deploy")
    (folder / "script.py").write_text(SCRIPT)
    guesses = folder / "squeeze_driver" / "guesses.py"
    guesses.write_text(guesses.read_text() + "\nfrom squeeze_hls import golden\n")
    done = run_script(folder, "script.py")
    assert "the driver reaches for squeeze_hls" in done.stderr


def test_selftest_as_a_script(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "deploy")
    done = run_script(folder, "selftest.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "passed; hardware_report.json written"
    assert "interrupt      passed" in done.stdout
    assert (folder / "hardware_report.json").is_file()
