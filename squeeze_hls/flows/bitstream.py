"""A build's bitstream: made by the tools that are here, packed for those elsewhere, or brought back from there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from squeeze_hls.artifacts.build_folder import open_build
from squeeze_hls.artifacts.bundle import write_file
from squeeze_hls.bitstream import archive
from squeeze_hls.bitstream.flow import LOGS, run_flow
from squeeze_hls.bitstream.project import FLOWS, Project, make_project
from squeeze_hls.bitstream.result import check, write_result
from squeeze_hls.bitstream.vendor_tools import find_hls, find_vivado
from squeeze_hls.errors import InputError, MissingToolError
from squeeze_hls.progress import Listener


def make_bitstream(
    folder: Path, listener: Listener, *, flow: str | None, board: str | None, jobs: int, fresh: bool
) -> dict[str, Any]:
    """Run the vendor's tools and write what they made into the build; returns its report.

    Raises MissingToolError, after packing the project for another machine, where a tool is missing; ToolFailedError
    where one fails or the timing is not met.
    """
    build = open_build(folder)
    project = make_project(build, flow, board, listener)
    try:
        hls = find_hls() if project.flow == "hls" else None
        vivado = find_vivado()
    except MissingToolError as error:
        path = archive_path(folder)
        write_file(archive.pack(project, _inside(path)), path)
        raise MissingToolError(f"{error}. {instructions(folder, path)}") from error
    files = run_flow(project, vivado, hls, _logs(folder), listener, jobs=jobs, fresh=fresh)
    versions = {"vivado": vivado.version, **({"vitis hls": hls.version} if hls else {})}
    return write_result(build, project, check(project, files, "what the tools made"), versions)


def pack_bitstream(folder: Path, path: Path, listener: Listener, *, flow: str | None, board: str | None) -> Project:
    """Write the archive for another machine."""
    project = make_project(open_build(folder), flow, board, listener)
    write_file(archive.pack(project, _inside(path)), path)
    return project


def import_bitstream(
    folder: Path, source: Path, listener: Listener, *, flow: str | None, board: str | None
) -> dict[str, Any]:
    """Check what another machine made and write it into the build; returns its report."""
    build = open_build(folder)
    files = archive.read_result(source)
    project = make_project(build, flow, board, listener)
    if flow is None and archive.IDENTITY in files and project.identity != files[archive.IDENTITY]:
        others = [make_project(build, name, board, listener) for name in FLOWS if name != project.flow]
        project = next((other for other in others if other.identity == files[archive.IDENTITY]), project)
    return write_result(build, project, check(project, files, str(source)), {})


def archive_path(folder: Path) -> Path:
    """Beside the build folder."""
    absolute = folder.absolute()
    return absolute.with_name(f"{_plain(absolute.name)}-bitstream.tar.gz")


def instructions(folder: Path, path: Path) -> str:
    """What to do on a machine that has the tools."""
    there = f"tar xzf {shlex.quote(path.name)} && {_inside(path)}/build.sh"
    here = f"squeeze-hls bitstream {shlex.quote(str(folder))} --import {archive.RETURNED}"
    return f"Everything another machine needs is in {shlex.quote(str(path))}; there: {there}; then here: {here}"


def _inside(path: Path) -> str:
    """The folder that an archive holds."""
    return _plain(path.name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar"))


def _plain(name: str) -> str:
    """A name of a file that no shell and no Tcl mistakes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.+") else "_" for c in name).lstrip(".-") or "build"


def _logs(folder: Path) -> Path:
    logs = folder.absolute() / LOGS
    if logs.is_symlink():
        raise InputError(f"{logs}: a symbolic link in a build folder is not followed")
    return logs
