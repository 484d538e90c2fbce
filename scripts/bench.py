"""Times of what a user waits for, measured here: one table, and the same as Markdown for docs/.

Models and pictures that are not part of the repository are looked for in ../shared (or SQUEEZE_HLS_SHARED);
rows that need them are left out, and say so, where it is absent.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from squeeze_hls import cli, frontend
from squeeze_hls.artifacts.bundle import write_file
from squeeze_hls.cli.terminal import cells, table
from squeeze_hls.flows.doctor import compiler_version, package_version
from squeeze_hls.flows.onnx_runtime import onnx_session
from squeeze_hls.network import golden, pictures
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.quantize import to_int

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SQUEEZE_HLS_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Row:
    """One measurement."""

    what: str
    seconds: float | None
    bar: str = ""


def timed(work: Callable[[], object], repeat: int = 1) -> float:
    """Best of ``repeat`` runs, in seconds."""
    best = float("inf")
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def start_up(code: str) -> float:
    """A new Python that runs ``code``, best of five."""
    command = [sys.executable, "-c", code]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT), 5)


def start_rows() -> list[Row]:
    shown = "import sys; sys.argv = ['squeeze-hls', '--help']; from squeeze_hls.cli import main; main()"
    return [
        Row("import squeeze_hls", start_up("import squeeze_hls"), "0.3 s"),
        Row("squeeze-hls --help", start_up(shown), "0.3 s"),
        Row("the Python interface, its first name", start_up("import squeeze_hls; squeeze_hls.load")),
    ]


def build(verify: str) -> float:
    """``squeeze-hls build --board pynq-z2`` with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        arguments = ["build", "--board", "pynq-z2", "--verify", verify, "--out", f"{folder}/out", "-q", "--json"]
        out, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115
        try:
            seconds = timed(lambda: _check(cli.run(arguments)))
        finally:
            sys.stdout = out
    return seconds


def _check(code: int) -> None:
    if code:
        raise SystemExit(f"build ended with exit code {code}")


def picture(shape: tuple[int, int, int]) -> np.ndarray:
    graph = frontend.load_graph("squeezenet1.1-w6")
    return pictures.prepare(pictures.read(pictures.DEFAULT_PICTURE), shape, graph.preprocess)


def golden_row(name: str, network: IntNetwork, bar: str = "") -> Row:
    image = picture(network.input_shape)
    return Row(f"golden model, {name}, one picture", timed(lambda: golden.run(network, image), 3), bar)


def onnxruntime_row(name: str, model: Path) -> Row:
    session = onnx_session(model)
    height, width = session.get_inputs()[0].shape[2:]
    values = picture((height, width, 3)).astype(np.float32).transpose(2, 0, 1)[None]
    feed = {session.get_inputs()[0].name: values}
    return Row(
        f"ONNX Runtime, float {name} at {height} x {width}, one picture", timed(lambda: session.run(None, feed), 10)
    )


def executor_and_csim(network: IntNetwork) -> list[Row]:
    from squeeze_hls.board import load_board
    from squeeze_hls.flows.verify import run_executor
    from squeeze_hls.plan import make_plan
    from squeeze_hls.sim.csim import CSim, SimulatedEngine

    image = picture(network.input_shape)
    plan = make_plan(network, load_board("pynq-z2"))
    rows = [
        Row("planning, v1.1 for pynq-z2", timed(lambda: make_plan(network, load_board("pynq-z2")))),
        Row("program executor, v1.1, all accesses watched", timed(lambda: run_executor(plan, image))),
    ]
    with tempfile.TemporaryDirectory() as folder:
        rows.append(Row("C simulation, compilation", timed(lambda: CSim(plan.engine, Path(folder)))))
        engine = SimulatedEngine(plan.engine, plan.program_bin, plan.weights_bin, CSim(plan.engine, Path(folder)))
        rows.append(Row("C simulation, v1.1, one picture", timed(lambda: engine.logits(image))))
    return rows


def measure() -> list[Row]:
    rows = [
        *start_rows(),
        Row("build --board pynq-z2 --verify none", build("none"), "20 s"),
        Row("build --board pynq-z2 --verify csim, nothing compiled before", build("csim"), "120 s"),
    ]
    v11 = to_int(frontend.load_graph("squeezenet1.1-w6"))
    rows += [golden_row("v1.1", v11), *executor_and_csim(v11)]
    if not (SHARED / "models").is_dir():
        return [*rows, Row(f"rows for v1.0 and ONNX Runtime left out: no {SHARED.name} folder", None)]
    models = SHARED / "models"
    v10 = frontend.load_graph(str(models / "squeezenet1.0.onnx"), preprocess="caffe")
    few = pictures.stack(pictures.load(SHARED / "images" / "calibration100.npz"), v10.input_shape, v10.preprocess)
    result: list[IntNetwork] = []
    rows.append(Row(f"quantization, v1.0, {len(few)} pictures", timed(lambda: result.append(to_int(v10, few)))))
    rows.append(golden_row("v1.0", result[0], "0.5 s"))
    rows.append(onnxruntime_row("v1.0", models / "squeezenet1.0.onnx"))
    rows.append(onnxruntime_row("v1.1", models / "squeezenet1.1.onnx"))
    return rows


def machine() -> str:
    versions = f"numpy {np.__version__}, onnxruntime {package_version('onnxruntime')}, {compiler_version()}"
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}"


def markdown(rows: list[Row]) -> str:
    load = f"Load average {os.getloadavg()[0]:.1f}: with other work on the machine, times are upper bounds."
    lines = ["# Measured times", "", "By `scripts/bench --markdown docs/measured.md`.", ""]
    lines += [f"{time.strftime('%Y-%m-%d')}, {machine()}.", load, "", "| what | seconds | bar |", "|---|---:|---:|"]
    lines += [f"| {r.what} | {'' if r.seconds is None else f'{r.seconds:.2f}'} | {r.bar} |" for r in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args()
    rows = measure()
    view = table("what", "seconds", "bar", right=("seconds", "bar"))
    for row in rows:
        view.add_row(*cells(row.what, "" if row.seconds is None else f"{row.seconds:.2f}", row.bar))
    Console(width=100).print(f"{machine()}\n", view, sep="\n", markup=False, highlight=False)
    if options.markdown:
        write_file(markdown(rows).encode(), options.markdown)


if __name__ == "__main__":
    main()
