"""Run all notebooks of a build on the simulated board and write them, with outputs, into docs/notebooks.

scripts/setup sim,test,board,notebook .venv-board
.venv-board/bin/python scripts/make_notebooks.py BUILD_DIR [NAME ...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.emit import notebooks
from squeeze_hls.flows import notebook
from squeeze_hls.progress import SILENT

TARGET = Path(__file__).resolve().parent.parent / "docs" / "notebooks"
SCRIPT = "application/javascript"


def main(build_dir: str, *names: str) -> None:
    with tempfile.TemporaryDirectory(prefix="squeeze-hls-notebooks-") as name:
        work = Path(name)
        build = open_build(Path(build_dir))
        folder = notebook.prepare(build, work / "board").folder
        notebook.compile_engine(build, SILENT)
        kernels = notebook.write_kernel(work)
        TARGET.mkdir(exist_ok=True)
        for stem in names or notebooks.names():
            started = time.monotonic()
            done = notebook.execute(folder / "notebooks" / f"{stem}.ipynb", kernels)
            done["metadata"] = notebooks.METADATA  # not the versions of this machine
            for cell in done["cells"]:  # PYNQ sends scripts for an editor that JupyterLab does not have
                if "outputs" in cell:
                    cell["outputs"] = [o for o in cell["outputs"] if SCRIPT not in o.get("data", {})]
            (TARGET / f"{stem}.ipynb").write_text(notebooks.to_json(done), encoding="utf-8")
            print(f"{stem}  {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
