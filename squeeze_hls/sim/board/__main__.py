"""``python -m squeeze_hls.sim.board SCRIPT [ARGUMENT ...]``: run a script with the simulated board as PYNQ's device."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from squeeze_hls.sim.board import register


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    del sys.argv[0]
    register()
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
