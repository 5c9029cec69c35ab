"""`paretocast view` and `site`: the pages of a workspace, served live or written again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from paretocast.cli.console import stderr_console
from paretocast.cli.display import print_note
from paretocast.cli.submit import WorkspaceOption
from paretocast.errors import SettingsError, StoreError


def view(
    workspace: WorkspaceOption = Path("hpo"),
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on, 0 for any. \\[default: 8765, any where that is taken]",
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the index in a browser.")
    ] = False,
) -> None:
    """Show all results in a browser, and follow studies as they run.

    Serves the pages of the workspace on this machine alone (127.0.0.1), with the trials, workers
    and logs of every study under way: searches here, background jobs, and jobs of Slurm that
    write into this workspace. From another machine, ssh -L 8765:localhost:8765 HOST leads there.
    Nothing outside the workspace is served, and nothing in it is changed but its index and links.
    Ctrl-C ends it; studies go on.

    [bold]paretocast view --open[/bold]
    """
    from paretocast.api.viewer import open_server

    with open_server(workspace, port) as server:
        refresh_site(workspace)
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        typer.echo(address)
        sys.stdout.flush()
        if open_browser:
            _open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            stderr_console().print("stopped; studies go on", highlight=False)


def site(
    self_contained: Annotated[
        Path | None,
        typer.Option(
            "--self-contained",
            metavar="PAGE",
            help="A page of the workspace to write as a single file, for sending.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="That file. \\[default: in this folder, under the page's name]"),
    ] = None,
    workspace: WorkspaceOption = Path("hpo"),
) -> None:
    """Write the index of a workspace and the links of its pages again, or a page to send.

    Every command that adds a page does the former by itself. Pages of a workspace share one script
    for their figures, hpo/site/plotly.min.js; a single file has it inside and needs nothing beside
    it.

    [bold]paretocast site --self-contained hpo/results/NHITS_Q_demo/study_ID.html[/bold]
    """
    from paretocast.report.site import self_contained as whole_page
    from paretocast.report.site import update_site
    from paretocast.workspace import files

    if self_contained is not None:
        target = output or Path(self_contained.name)
        if target.absolute() == self_contained.absolute():
            raise SettingsError(f"{target} is the page itself; name another file with --output")
        files.save_text(target, whole_page(self_contained))
        stderr_console().print(f"written {target}", highlight=False, soft_wrap=True)
        return
    if output is not None:
        raise SettingsError("--output goes with --self-contained PAGE")
    if not workspace.is_dir():
        raise StoreError(
            f"no workspace in {workspace}: paretocast tune makes one, --workspace names another "
            "place"
        )
    stderr_console().print(f"index in {update_site(workspace)}", highlight=False, soft_wrap=True)


def refresh_site(workspace: Path) -> None:
    """Write the index and the links of pages; a workspace that is not ours to write is left."""
    from paretocast.report.site import update_site

    try:
        update_site(workspace)
    except StoreError as error:
        print_note(f"the index stays as it is: {error}")


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        print_note(f"no browser was found; open {address} in one")
