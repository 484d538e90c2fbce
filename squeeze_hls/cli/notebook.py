"""``notebook``: a build's notebooks in JupyterLab, on the simulated board."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from squeeze_hls.cli.options import Existing, global_options, json_option, pass_terminal
from squeeze_hls.cli.terminal import Terminal


@click.command()
@click.argument("build_dir", metavar="BUILD_DIR", type=Existing)
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where notebooks and the board's files go; your edits stay  [default: BUILD_DIR-notebook, beside it]",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8888, show_default=True, help="The first one to try")
@click.option("--no-browser", is_flag=True, help="Show the address only.")
@json_option
@global_options
@pass_terminal
def notebook(terminal: Terminal, build_dir: Path, folder: Path | None, port: int, no_browser: bool) -> None:
    """Open the notebooks of a build in JupyterLab, on the simulated board.

    They are what a board runs, unchanged.  JupyterLab listens on this machine only, with a token; Ctrl-C ends it.
    """
    from squeeze_hls.artifacts.build_folder import open_build
    from squeeze_hls.flows import notebook as notebooks

    terminal.every_stage = True
    build = open_build(build_dir)
    notebooks.require_tools()
    with terminal.stage("folder") as stage:
        workspace = notebooks.prepare(build, folder or notebooks.default_folder(build_dir))
        stage.outcome = str(workspace.folder)
    for path in workspace.kept:
        terminal.note(f"{workspace.folder / path}: kept as it is; remove it for this version's")
    notebooks.compile_engine(build, terminal)
    terminal.release()

    def ready(url: str) -> None:
        terminal.print(f"notebooks  {url}", "Ctrl-C ends JupyterLab.")
        terminal.result({"url": url, "folder": str(workspace.folder)})
        sys.stdout.flush()

    notebooks.serve(workspace.folder, port=port, browser=not no_browser, ready=ready)
