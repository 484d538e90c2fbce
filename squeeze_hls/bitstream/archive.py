"""A project as one archive for another machine, and what comes back from there."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path, PurePosixPath

from squeeze_hls.artifacts.bundle import Bundle
from squeeze_hls.bitstream.project import IDENTITY, Project
from squeeze_hls.bitstream.result import BIT, CSYNTH, ENGINE, HWH, LIMITS, MIB, TIMING, UTILIZATION
from squeeze_hls.emit.render import render
from squeeze_hls.errors import InputError

SCRIPT = "build.sh"
RETURNED = "result.tar.gz"
MAX_MEMBERS = 100
_REPORT = "squeeze_engine_hls/solution/syn/report/squeeze_engine_csynth.xml"
# Where the tools leave what is wanted, below the project's folder.
MADE = {
    BIT: f"vivado/{BIT}", HWH: f"vivado/{HWH}", TIMING: "vivado/timing.rpt", UTILIZATION: "vivado/utilization.rpt",
    ENGINE: "vivado/engine.rpt", CSYNTH: _REPORT,
}  # fmt: skip


def pack(project: Project, folder: str) -> bytes:
    """A gzipped tar archive of the project, all below ``folder``; the same project always gives the same bytes."""
    values = {
        "flow": project.flow,
        "design": project.design,
        "engine_id": project.engine_id,
        "made": {name: path for name, path in MADE.items() if project.flow == "hls" or name != CSYNTH},
        "optional": (ENGINE,),
        "identity": IDENTITY,
        "returned": RETURNED,
    }
    bundle = Bundle({IDENTITY: project.identity})
    bundle.merge(project.files)
    bundle.add(SCRIPT, render("vivado/build.sh.j2", **values))
    bundle.add("README.txt", render("vivado/README.txt.j2", **values))
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path, content in bundle.items():
            member = tarfile.TarInfo(f"{folder}/{path}")
            member.size, member.mode = len(content), 0o755 if path == SCRIPT else 0o644
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def read_result(path: Path) -> dict[str, bytes]:
    """The files of LIMITS that a folder or an archive of ``build.sh`` holds; nothing is unpacked.

    Raises InputError for anything else.
    """
    if path.is_dir():
        return _from_folder(path)
    try:
        with path.open("rb") as stream:
            return _from_archive(stream, path)
    except (OSError, EOFError, tarfile.TarError, gzip.BadGzipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{path}: cannot be read as a folder or a .tar.gz archive ({reason}); unpack it, and name the folder"
        ) from error


def _from_folder(folder: Path) -> dict[str, bytes]:
    files = {}
    for name, limit in LIMITS.items():
        path = folder / name
        if path.is_file():
            with path.open("rb") as stream:
                files[name] = _capped(stream.read(limit + 1), name, path)
    return files


def _from_archive(stream: io.BufferedReader, path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    unpacked = _Capped(stream)
    with tarfile.open(fileobj=unpacked, mode="r|") as tar:
        for number, member in enumerate(tar):
            if number >= MAX_MEMBERS:
                raise InputError(f"{path}: has more than {MAX_MEMBERS} files; it is none that build.sh made")
            name = PurePosixPath(member.name).name
            if member.isfile() and name in LIMITS and name not in files:
                content = tar.extractfile(member)
                assert content is not None  # it is a file
                files[name] = _capped(content.read(LIMITS[name] + 1), name, path)
    while unpacked.read(MIB):  # to the end, where the checksum stands
        pass
    return files


def _capped(content: bytes, name: str, path: Path) -> bytes:
    if len(content) > LIMITS[name]:
        raise InputError(f"{path}: {name} has more than {LIMITS[name]:,} bytes")
    return content


class _Capped(io.RawIOBase):
    """A gzip stream that ends after as many bytes as all files together may have."""

    def __init__(self, stream: io.BufferedReader):
        self._file = gzip.GzipFile(fileobj=stream)
        self._left = sum(LIMITS.values())

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        if not self._left:
            raise tarfile.ReadError("it is too large")
        return data
