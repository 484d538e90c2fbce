"""One Yosys run, in a process of its own: an error in Yosys ends the process it is in.

    python -P job.py JOB.json

JOB.json names the top module, its parameters, the sources (relative to the working directory), the family, and the
folder for the results: ``netlist.json``, ``memories.json`` and, where asked for, ``netlist.v``.  A line that begins
with PROGRESS on standard output tells how many of how many steps are done.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PROGRESS = "squeeze-hls-synth:"
# The labels of synth_xilinx, so that its progress shows and the memories can be looked at before they are mapped.
STEPS = (
    "begin", "prepare", "map_dsp", "coarse", "map_memory", "map_ffram", "fine", "map_cells", "map_ffs", "map_luts",
    "finalize", "check",
)  # fmt: skip
# What synth_xilinx does for map_luts, but for the wires: it takes 300 ps for each of them, less than any of the models
# of timing.py, and so prefers small LUTs in long rows.
MAP_LUTS = (
    "opt_expr -mux_undef -noclkinv", "abc9 -maxlut 6 -W 700", "clean", "xilinx_srl -fixed -minlen 3",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6", "xilinx_dffopt",
    "opt_lut_ins -tech xilinx",
)  # fmt: skip
# What Yosys only warns of, and then leaves logic out.
FATAL = ("out of bounds", "implicitly declared", "has no driver", "conflicting drivers")


def main() -> None:
    from pyosys import libyosys as yosys

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    design = yosys.Design()

    def run(command: str) -> None:
        yosys.run_pass(command, design)

    for words in FATAL:
        run(f'logger -werror "{words}"')
    for source in job["sources"]:
        run(f'read_verilog -sv -defer "{source}"')
    for name, value in job["parameters"].items():
        run(f"chparam -set {name} {value} {job['top']}")
    options = f"-family {job['family']} -flatten -noiopad -noclkbuf -top {job['top']}"
    if job["uram"]:
        options += " -uram"
    for number, step in enumerate(STEPS):
        print(PROGRESS, number, len(STEPS), step, flush=True)
        if step == "map_memory":
            (folder / "memories.json").write_text(json.dumps(memories(design)), encoding="utf-8")
        following = STEPS[number + 1] if number + 1 < len(STEPS) else "edif"
        if step == "map_luts":
            for command in MAP_LUTS:
                run(command)
            continue
        run(f"synth_xilinx {options} -run {step}:{following}")
    run(f'write_json -noscopeinfo "{folder / "netlist.json"}"')
    if job["verilog"]:
        run(f'write_verilog -noattr "{folder / "netlist.v"}"')


def memories(design: Any) -> list[dict[str, Any]]:
    """Every memory of the flat design before it is mapped: its name, words, bits a word, and the wanted style."""
    found = []
    for cell in design.top_module().selected_cells():
        if cell.type.str() == "$mem_v2":
            values = {key.str(): value for key, value in cell.parameters.items()}
            attributes = {key.str(): value for key, value in cell.attributes.items()}
            style = attributes.get("\\ram_style")
            found.append(
                {
                    "name": values["\\MEMID"].decode_string(),
                    "depth": values["\\SIZE"].as_int(),
                    "width": values["\\WIDTH"].as_int(),
                    "style": style.decode_string() if style is not None else "",
                }
            )
    return sorted(found, key=lambda memory: memory["name"])


if __name__ == "__main__":
    main()
