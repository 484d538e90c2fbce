"""``python -m squeeze_hls.sim.board SCRIPT|-m MODULE [ARGUMENT ...]``: run it on the simulated board."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from squeeze_hls.sim.board import register


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1:] == ["-m"]:
        raise SystemExit(__doc__)
    del sys.argv[0]
    register()
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
