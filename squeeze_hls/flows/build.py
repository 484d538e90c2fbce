"""The stages of a build in a row: load, quantize, plan, verify, emit, write.

Every stage is a function of values; what happens meanwhile is told to a ``Listener``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.flows.source import Source, load, plannable
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.progress import Listener, Stage
from squeeze_hls.sim.cache import compiled_folder

if TYPE_CHECKING:  # imported where they are needed, so that the command line starts quickly
    from squeeze_hls.artifacts.bundle import Bundle
    from squeeze_hls.board import Board
    from squeeze_hls.engine.config import EngineConfig
    from squeeze_hls.network.pictures import One
    from squeeze_hls.plan import Plan
    from squeeze_hls.report.build_report import Check

UPDATE = "deploy/model.sqz"
FLOWS = ("hls", "rtl", "both")
LEVELS = ("none", "executor", "csim", "rtl")  # of verification


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What the user asks of a build; None stands for the default that conventions name."""

    source: Source
    board: Board | str | None = None
    out: Path | None = None
    flow: str = "both"  # "hls", "rtl", "both"
    verify: str | None = None  # "none", "executor", "csim", "rtl"; None: csim where there is a compiler
    weights: str = "auto"
    clock_mhz: float | None = None
    image: One | None = None  # picture used for verification; None: a built-in one
    engine: Path | None = None  # a build whose frozen engine is planned for


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the comparisons with the golden model gave."""

    level: str
    checks: list[Check]
    cycles: int | None = None  # of the simulated RTL


@dataclass(frozen=True, kw_only=True)
class Built:
    """A finished build."""

    report: dict[str, Any]
    where: Path  # the folder, or the single file, that was written
    kept: tuple[str, ...] = ()  # files of others that stayed in the folder


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a network came from, for its report."""

    name: str
    sha256: str | None = None  # of the model's file; None where there was none
    notes: tuple[str, ...] = ()


def build(options: BuildOptions, listener: Listener) -> Built:
    """Run all stages; raises an error of ``squeeze_hls.errors`` and writes nothing where one fails."""
    from squeeze_hls.network import pictures

    board, frozen = _target(options)
    level = verification_level(options.verify, listener)
    picture = pictures.single(options.image if options.image is not None else pictures.DEFAULT_PICTURE)
    if options.out is not None:
        _check_out(options, options.out)
    loaded = load(options.source, listener, plannable(board, frozen))
    _check_out(options, _out(options, loaded.graph.name, board))
    plan = plan_network(loaded.network, board, options, frozen, listener)
    origin = Origin(name=loaded.graph.name, sha256=loaded.sha256, notes=loaded.notes)
    return _finish(plan, origin, picture, level, options, listener)


def build_plan(plan: Plan, options: BuildOptions, listener: Listener) -> Built:
    """Verify, emit and write what has been planned; of ``options`` source, board, weights and clock do not count.

    Otherwise as ``build``.
    """
    from squeeze_hls.network import pictures

    level = verification_level(options.verify, listener)
    picture = pictures.single(options.image if options.image is not None else pictures.DEFAULT_PICTURE)
    origin = Origin(name=plan.network.name, notes=plan.network.notes)
    _check_out(options, _out(options, origin.name, plan.board))
    return _finish(plan, origin, picture, level, options, listener)


def _out(options: BuildOptions, name: str, board: Board) -> Path:
    return options.out or Path("build") / f"{file_name(name)}-{board.name}"


def _finish(
    plan: Plan, origin: Origin, picture: np.ndarray, level: str, options: BuildOptions, listener: Listener
) -> Built:
    """Verify on ``picture``, u8 (H, W, 3) of any size, then emit and write."""
    from squeeze_hls.network import pictures

    image = pictures.prepare(picture, plan.network.input_shape, plan.network.preprocess)
    verified = verify(plan, image, level, listener)
    out = _out(options, origin.name, plan.board)
    if options.engine is not None:
        return _write_update(plan, origin, verified, out)
    return _write_build(plan, origin, image, verified, out, options.flow, listener)


def _target(options: BuildOptions) -> tuple[Board, EngineConfig | None]:
    """The board, and the engine where it is frozen."""
    from squeeze_hls.board import as_board

    if options.engine is None:
        return as_board(options.board or ""), None
    from squeeze_hls.artifacts.build_folder import open_build

    earlier = open_build(options.engine)
    name = str(earlier.report["board"]["name"])
    if options.board is not None and as_board(options.board).name != name:
        raise InputError(f"{options.engine}: the engine was built for {name}, not for {options.board}")
    return as_board(options.board or name), earlier.engine


def verification_level(asked: str | None, listener: Listener) -> str:
    """What to verify by: as asked, else csim, else what is possible without a C++ compiler and its headers."""
    from squeeze_hls import tools

    if asked not in (None, *LEVELS):
        raise InputError(f"verification by '{asked}' is none of {', '.join(LEVELS)}")
    if asked == "csim":
        tools.require_cxx()
        tools.require_hls_headers()
    if asked == "rtl":
        tools.require_verilator()
    if asked is not None:
        return asked
    if tools.find_cxx() and tools.hls_headers():
        return "csim"
    missing = "C++ compiler" if tools.find_cxx() is None else "ap_int.h (pip install 'squeeze-hls[csim]')"
    listener.note(f"no {missing}: verified by the program executor, not by C simulation")
    return "executor"


def plan_network(
    network: IntNetwork, board: Board, options: BuildOptions, engine: EngineConfig | None, listener: Listener
) -> Plan:
    """Plan for a board, or for a frozen engine."""
    from squeeze_hls.plan import PlanOptions, make_plan

    with listener.stage("plan") as stage:
        plan = make_plan(
            network, board, PlanOptions(weights=options.weights, clock_mhz=options.clock_mhz, engine=engine)
        )
        stage.outcome = (
            f"{plan.engine.pix} x {plan.engine.cin} x {plan.engine.cout} array, weights {plan.residency}, "
            f"{plan.timing.total:,} cycles (estimate)"
        )
    return plan


def verify(plan: Plan, image: np.ndarray, level: str, listener: Listener) -> Verified:
    """Compare with the golden model; raises MismatchError at the first difference."""
    from squeeze_hls.flows.verify import check_executor, check_rtl, require_passed
    from squeeze_hls.network import golden
    from squeeze_hls.report.build_report import Check

    checks = {name: Check(name=name, status="skipped", detail="not asked for") for name in ("executor", "csim", "rtl")}
    cycles = None

    def done(check: Check, stage: Stage, more: str = "") -> None:
        checks[check.name] = check
        stage.outcome = f"{check.name}: {check.detail}{more}"
        require_passed([check])

    if level != "none":
        with listener.stage("verify") as stage:
            expected = golden.run(plan.network, image)
            done(check_executor(plan, image, expected), stage)
    if level == "csim":
        with listener.stage("csim") as stage:
            done(check_csim(plan, image, expected), stage)
    if level == "rtl":
        from squeeze_hls.sim.verilate import compile_engine

        with listener.stage("rtl") as stage, compiled_folder("rtl") as folder:
            check, frame = check_rtl(plan, image, expected, compile_engine(plan.engine, folder))
            cycles = frame.cycles if frame else None
            done(check, stage, f", {cycles:,} cycles" if cycles else "")
    return Verified(level=level, checks=list(checks.values()), cycles=cycles)


def check_csim(plan: Plan, image: np.ndarray, expected: Mapping[str, np.ndarray]) -> Check:
    """Golden model = compiled C++."""
    from squeeze_hls.flows.verify import compare_all
    from squeeze_hls.sim import csim

    with compiled_folder("csim") as folder:
        return compare_all("csim", csim.run(plan, image, folder), expected)


def _check_out(options: BuildOptions, out: Path) -> None:
    from squeeze_hls.artifacts.bundle import check_out_dir

    if options.flow not in FLOWS:
        raise InputError(f"flow: '{options.flow}' is none of {', '.join(FLOWS)}")
    if options.engine is None or not _only_update(out):
        check_out_dir(out)
        if options.engine is not None and out.is_dir() and any(out.iterdir()):
            raise InputError(
                f"{out}: holds a complete build, which {UPDATE} alone must not change; choose another --out"
            )


def _only_update(out: Path) -> bool:
    """Whether a folder holds an earlier update and nothing else."""
    return out.is_dir() and [p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir()] == [UPDATE]


def file_name(text: str) -> str:
    """``text`` as the name of a file: letters, digits, ``-``, ``_``, ``.`` and ``+``, not hidden."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.+") else "_" for c in text)
    return plain.lstrip(".-")[:80] or "model"


def _write_build(
    plan: Plan,
    origin: Origin,
    image: np.ndarray,
    verified: Verified,
    out: Path,
    flow: str,
    listener: Listener,
) -> Built:
    from squeeze_hls.artifacts.bundle import REPORT, Bundle, to_json, write_bundle
    from squeeze_hls.emit import board_folder as deploy
    from squeeze_hls.emit import hls, rtl

    with listener.stage("write") as stage:
        bundle = Bundle(
            {
                "program.bin": plan.program_bin,
                "weights.bin": plan.weights_bin,
            }
        )
        bundle.merge(deploy.emit(plan, name=origin.name), "deploy")
        bundle.add("model.onnx", bundle["deploy/model.onnx"])
        if flow != "rtl":
            bundle.merge(hls.emit(plan, image=image), "hls")
        if flow != "hls":
            bundle.merge(rtl.emit(plan), "rtl")
        report = _report(plan, origin, verified, bundle)
        bundle.add(REPORT, to_json(report))
        kept = write_bundle(bundle, out)
        stage.outcome = f"{len(bundle)} files"
    if kept:
        listener.note(f"{out}: {len(kept)} files that are not from a build were kept, such as {kept[0]}")
    return Built(report=report, where=out, kept=tuple(kept))


def _write_update(plan: Plan, origin: Origin, verified: Verified, out: Path) -> Built:
    from squeeze_hls.artifacts.bundle import Bundle, write_bundle, write_file
    from squeeze_hls.emit.update import model_file

    bundle = Bundle({UPDATE: model_file(plan, origin.name)})
    if _only_update(out):
        write_file(bundle[UPDATE], out / UPDATE)
    else:
        write_bundle(bundle, out)
    return Built(report=_report(plan, origin, verified, bundle), where=out / UPDATE)


def _report(plan: Plan, origin: Origin, verified: Verified, bundle: Bundle) -> dict[str, Any]:
    from squeeze_hls.quantize import export
    from squeeze_hls.report.build_report import build_report

    return build_report(
        plan,
        name=origin.name,
        model_sha256=origin.sha256 or hashlib.sha256(export.to_onnx(plan.network, "qdq")).hexdigest(),
        checks=verified.checks,
        notes=origin.notes,
        simulated=verified.cycles,
        tools=tool_versions(verified.level),
        files=bundle.digests(),
    )


def tool_versions(level: str) -> dict[str, str]:
    """Versions of what the result may depend on."""
    import onnx

    from squeeze_hls import __version__
    from squeeze_hls.flows.doctor import compiler_version, package_version

    versions = {"squeeze-hls": __version__, "numpy": np.__version__, "onnx": onnx.__version__}
    if level in ("csim", "rtl"):
        versions["c++"] = compiler_version() or "unknown"
    if level == "rtl":
        versions["verilator"] = package_version("verilator") or "unknown"
    return versions
