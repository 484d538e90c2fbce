"""``deploy``: a build's ``deploy/`` onto a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from squeeze_hls.cli.options import Existing, global_options, json_option, pass_terminal
from squeeze_hls.cli.terminal import Terminal, printable
from squeeze_hls.remote import FOLDER, USER

if TYPE_CHECKING:
    from squeeze_hls.remote.send import File, Host

SHOWN = 10  # names of one kind


@click.command()
@click.argument("folder", metavar="BUILD_DIR", type=Existing)
@click.argument("host", metavar="[USER@]HOST")
@click.option("--to", metavar="PATH", default=FOLDER, show_default=True, help="Folder on the board.")
@click.option("--user", metavar="NAME", help=f"Who logs in on the board  [default: {USER}]")
@click.option("--dry-run", is_flag=True, help="Say what would be copied; connect to nothing.")
@json_option
@global_options
@pass_terminal
def deploy(terminal: Terminal, folder: Path, host: str, to: str, user: str | None, dry_run: bool) -> None:
    """Copy the deploy/ of BUILD_DIR to a PYNQ board, over ssh.

    Files are sent only where the board's differ, and put in place when all have come and their SHA-256 is right.  What
    somebody changed on the board is kept: a notebook as it is until there is a newer one, anything else under a name
    with .kept-1 in it.  ssh itself asks for the password, and for a yes to a new board's host key; a key of yours
    (ssh-copy-id) spares you the first.
    """
    from squeeze_hls.remote import send

    where = send.parse_host(host, user)
    send.check_folder(to)
    files = send.collect(folder)
    result: dict[str, Any] = {
        "host": where.name,
        "user": where.user,
        "to": to,
        "dry_run": dry_run,
        "bytes": sum(len(file.content) for file in files),
        "files": [{"path": file.path, "sha256": file.sha256} for file in files],
    }
    bitstream = {file.path for file in files}.issuperset(send.LASTING)
    foreign = send.foreign_code(files)
    if foreign:
        terminal.note(
            "another version of squeeze-hls wrote this code, or somebody else; build again, or look at it before it"
            f" runs: {_some(foreign)}"
        )
    if not dry_run:
        if terminal.err.is_terminal:
            terminal.note(f"connecting to {where}; ssh may ask for the password, which PYNQ's images set to xilinx")
        result |= send.send(files, where, to, terminal)
        bitstream = bitstream or set(result["lasting"]).issuperset(send.LASTING)
    result["bitstream"] = bitstream
    _summary(terminal, files, where, result)
    if not bitstream:
        terminal.note(
            f"no bitstream: nothing can be classified on the board before `squeeze-hls bitstream {folder}` has made"
            f" {send.LASTING[0]} and {send.LASTING[1]}; deploy again then"
        )
    elif result.get("lasting"):
        terminal.note("the bitstream on the board is that of an earlier deployment; this build has none")
    terminal.result(result)


def _summary(terminal: Terminal, files: list[File], host: Host, result: dict[str, Any]) -> None:
    size = f"{result['bytes'] / 1e6:.1f} MB"
    to = printable(result["to"])
    if result["dry_run"]:
        if not terminal.quiet:
            terminal.print(*(f"{len(file.content):>10,}  {printable(file.path)}" for file in files))
        terminal.print(f"{len(files)} files, {size}, would go to {host}:{to}")
        return
    for kept in result["kept"]:
        terminal.note(f"{kept['path']} was changed on the board; that one is {kept['as']} now")
    if result["left"]:
        terminal.note(f"changed on the board, left as they are: {_some(result['left'])}")
    if result["removed"]:
        terminal.note(f"no longer part of the build, removed: {_some(result['removed'])}")
    terminal.print(f"{len(result['copied'])} files copied, {result['same']} the same already: {host}:{to}")
    if result["bitstream"] and not terminal.quiet:
        address = f"[{host.name}]" if ":" in host.name else host.name
        terminal.print(
            f"next: open http://{address}:9090/ (password xilinx), there {printable(Path(to).name)}/ and a notebook,",
            f"or run the self-test: ssh -t {host}, then sudo -i, cd {to}, python3 selftest.py",
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
