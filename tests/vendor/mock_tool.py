"""Vivado and Vitis HLS at the process boundary: what they are called with, then vendor.tcl in their place.

The first argument says which program it is.  FAKE_CALLS is the file that takes one line of JSON for each call.
"""

import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = ("SQUEEZE_STEPS", "SQUEEZE_JOBS", "SQUEEZE_HLS_STEPS")


def main() -> None:
    name, arguments = sys.argv[1], sys.argv[2:]
    if arguments in (["-version"], ["--version"]):
        title = "Vivado" if name == "vivado" else "\n****** Vitis HLS - High-Level Synthesis from C, C++ and OpenCL"
        print(f"{title} v{os.environ.get('FAKE_VERSION', '2023.2')} (64-bit)")
        return
    if calls := os.environ.get("FAKE_CALLS"):
        step = {key: os.environ.get(key) for key in STEPS}
        with open(calls, "a") as stream:
            stream.write(json.dumps({"tool": name, "arguments": arguments, "cwd": os.getcwd(), **step}) + "\n")
    option = {"vivado": "-source", "vitis_hls": "-f", "vitis-run": "--tcl"}[name]
    script = arguments[arguments.index(option) + 1]
    os.environ["FAKE_TOOL"] = "vivado" if name == "vivado" else "hls"
    found = shutil.which("tclsh")
    tclsh = [found] if found else [sys.executable, str(HERE / "tclsh.py")]
    os.execv(tclsh[0], [*tclsh, str(HERE / "vendor.tcl"), script, os.environ.get("FAKE_RECORD", os.devnull)])


main()
