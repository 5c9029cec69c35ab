"""`paretocast status`: where every experiment stands and what to do next."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from paretocast.cli.console import (
    dataset_name,
    duration,
    significant,
    stderr_console,
    stdout_console,
)
from paretocast.cli.submit import WorkspaceOption
from paretocast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Group

    from paretocast.cluster.status import ExperimentStatus
    from paretocast.cluster.survey import StatusReport

STYLES = {
    "queued": "cyan",
    "running": "bold cyan",
    "finished": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "unfinished": "yellow",
}
LOG_LINES = 5


def status(
    model: Annotated[str | None, typer.Option(help="Only experiments with this model.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only those on this data set.")] = None,
    stage: Annotated[
        Literal["1", "2"] | None, typer.Option(help="Only this stage of the two-stage strategy.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again until nothing waits or runs.")
    ] = False,
    interval: Annotated[
        float, typer.Option(help="Seconds between looks of --watch.", min=1.0)
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Make the table of experiments anew from the run directories."
        ),
    ] = False,
    workspace: WorkspaceOption = Path("hpo"),
) -> None:
    """One line per experiment, what its files and Slurm say of it, and the next commands.

    Brings WORKSPACE/tracking/experiments.csv up to date on the way.
    """
    name = None if dataset is None else dataset_name(dataset)
    while True:
        found = _look(workspace, rebuild=rebuild)
        chosen = [
            one
            for one in found.standings
            if (model is None or one.evidence.row.model.casefold() == model.casefold())
            and (dataset is None or one.evidence.row.dataset == name)
            and (stage is None or one.evidence.row.stage == stage)
        ]
        if as_json:
            _print_json(chosen, found, workspace)
        else:
            _print(chosen, found, workspace, clear=watch)
        if found.standings and not chosen:
            listed = ", ".join(dict.fromkeys(_kind(one) for one in found.standings))
            stderr_console().print(
                f"no experiment of this choice; {workspace} holds {listed}",
                highlight=False,
                markup=False,
            )
        if not watch or not any(one.stand.active for one in chosen):
            return
        rebuild = False
        time.sleep(interval)


def _kind(one: ExperimentStatus) -> str:
    row = one.evidence.row
    return f"{row.model} on {row.dataset}{f' stage {row.stage}' if row.stage else ''}"


def _look(workspace: Path, *, rebuild: bool) -> StatusReport:
    """The survey, kept in the table where that can be written."""
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.survey import keep_table, survey

    if not (workspace / "results").is_dir():
        raise StoreError(
            f"no experiment in {workspace}: submit or tune makes the first one, "
            "--workspace names another place"
        )
    found = survey(workspace, AutoExecutor(workspace), now=datetime.now(UTC))
    try:
        keep_table(workspace, found.standings, anew=rebuild)
    except StoreError as error:
        if rebuild:
            raise
        stderr_console().print(f"[yellow]note[/yellow] {error}", highlight=False)
    return found


def _print_json(
    standings: Sequence[ExperimentStatus], found: StatusReport, workspace: Path
) -> None:
    from paretocast.cluster.status import next_commands
    from paretocast.workspace.files import without_nan

    content = {
        "schema_version": 1,
        "experiments": [one.as_json() for one in standings],
        "next": list(next_commands(standings, workspace=workspace)),
        "notes": list(found.notes),
    }
    print(json.dumps(without_nan(content), indent=2, ensure_ascii=False), flush=True)  # noqa: T201


def _print(
    standings: Sequence[ExperimentStatus], found: StatusReport, workspace: Path, *, clear: bool
) -> None:
    from rich.markup import escape

    console, talk = stdout_console(), stderr_console()
    if clear and console.is_terminal:
        console.clear()
    console.print(_picture(standings))
    for note in found.notes:
        talk.print(f"[yellow]note[/yellow] {escape(note)}", highlight=False)
    from paretocast.cluster.status import next_commands

    lines = next_commands(standings, workspace=workspace)
    if lines:
        talk.print("[bold]next[/bold]")
    for line in lines:
        talk.print(f"  {escape(line)}", highlight=False, soft_wrap=True)


def _picture(standings: Sequence[ExperimentStatus]) -> Group:
    """The table, and below it what went wrong where."""
    from rich import box
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("experiment", "stage", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("trials", "running", "pruned", "failed", "MAE", "PICP %", "elapsed", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    below: list[Text] = []
    for one in standings:
        row, progress = one.evidence.row, one.evidence.progress
        table.add_row(
            escape(row.id),
            row.stage or "–",
            Text(str(one.stand), style=STYLES[str(one.stand)]),
            "–" if row.stage == "2" else f"{progress.n_ended}/{row.trials or '?'}",
            str(progress.n_running),
            str(progress.n_pruned),
            str(progress.n_failed),
            significant(progress.best_mae),
            "–" if progress.best_picp is None else f"{progress.best_picp:.1f}",
            "–" if one.elapsed_seconds is None else duration(one.elapsed_seconds),
            "–" if one.rest_seconds is None else f"about {duration(one.rest_seconds)}",
        )
        if one.detail:
            below.append(Text(f"{row.id} is {one.stand}: {one.detail}"))
        if str(one.stand) == "failed":
            below += [
                Text(f"    {line}", style="dim") for line in one.evidence.last_lines[-LOG_LINES:]
            ]
            below.append(Text(f"    log {row.log}", style="dim"))
        below += [Text(f"{row.id}: {problem}", style="yellow") for problem in progress.problems]
    return Group(table, *below)
