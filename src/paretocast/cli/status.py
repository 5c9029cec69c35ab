"""`paretocast status`: the state of every experiment and the next commands."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from paretocast.cli.console import dataset_name, stderr_console, stdout_console
from paretocast.cli.display import print_note, print_notes
from paretocast.cli.submit import WorkspaceOption
from paretocast.errors import StoreError
from paretocast.formatting import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from paretocast.cluster.collect import StatusReport
    from paretocast.cluster.status import ExperimentStatus

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
        bool, typer.Option("--watch", help="Repeat until no job waits or runs.")
    ] = False,
    interval: Annotated[
        float, typer.Option(help="Seconds between two reports of --watch.", min=1.0)
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
    """Show the state of every experiment, from its files and from Slurm, and the next commands.

    Brings WORKSPACE/tracking/experiments.csv up to date on the way.
    """
    name = None if dataset is None else dataset_name(dataset)
    while True:
        report = _collect(workspace, rebuild=rebuild)
        experiments = [
            experiment
            for experiment in report.experiments
            if (model is None or experiment.row.model.casefold() == model.casefold())
            and (dataset is None or experiment.row.dataset == name)
            and (stage is None or experiment.row.stage == stage)
        ]
        if as_json:
            _print_json(experiments, report, workspace)
        else:
            _print(experiments, report, workspace, clear=watch)
        if report.experiments and not experiments:
            listed = ", ".join(dict.fromkeys(_kind(other) for other in report.experiments))
            stderr_console().print(
                f"no experiment of this choice; {workspace} holds {listed}",
                highlight=False,
                markup=False,
            )
        if not watch or not any(experiment.state.active for experiment in experiments):
            return
        rebuild = False
        time.sleep(interval)


def _kind(experiment: ExperimentStatus) -> str:
    row = experiment.row
    return f"{row.model} on {row.dataset}{f' stage {row.stage}' if row.stage else ''}"


def _collect(workspace: Path, *, rebuild: bool) -> StatusReport:
    """Status of all experiments, kept in the table where that can be written."""
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.collect import collect_status, update_table

    if not (workspace / "results").is_dir():
        raise StoreError(
            f"no experiment in {workspace}: submit or tune makes the first one, "
            "--workspace names another place"
        )
    report = collect_status(workspace, AutoExecutor(workspace), now=datetime.now(UTC))
    try:
        update_table(workspace, report.experiments, anew=rebuild)
    except StoreError as error:
        if rebuild:
            raise
        print_note(str(error))
    return report


def _print_json(
    experiments: Sequence[ExperimentStatus], report: StatusReport, workspace: Path
) -> None:
    from paretocast.cluster.status import next_commands
    from paretocast.workspace.files import without_nan

    content = {
        "schema_version": 1,
        "experiments": [experiment.as_json() for experiment in experiments],
        "next": list(next_commands(experiments, workspace=workspace)),
        "notes": list(report.notes),
    }
    print(json.dumps(without_nan(content), indent=2, ensure_ascii=False), flush=True)  # noqa: T201


def _print(
    experiments: Sequence[ExperimentStatus], report: StatusReport, workspace: Path, *, clear: bool
) -> None:
    from paretocast.cluster.status import next_commands

    console, talk = stdout_console(), stderr_console()
    if clear and console.is_terminal:
        console.clear()
    if experiments:
        print_experiments(experiments)
    for problem in _problems(experiments):
        console.print(problem, soft_wrap=True)
    print_notes(report.notes)
    lines = next_commands(experiments, workspace=workspace)
    if lines:
        talk.print("next", style="bold")
    for line in lines:
        talk.print(f"  {line}", highlight=False, soft_wrap=True)


def print_experiments(experiments: Sequence[ExperimentStatus]) -> None:
    """Print a row for each experiment."""
    from rich.text import Text

    from paretocast.cli.tables import Column, TerminalTable

    table = TerminalTable(
        (
            Column("experiment", left=True),
            Column("stage", rank=4, left=True),
            Column("state", left=True),
            Column("trials"),
            Column("running", rank=3),
            Column("pruned", rank=5),
            Column("failed", rank=3),
            Column("MAE", rank=1),
            Column("PICP %", rank=1, decimals=1),
            Column("elapsed", rank=4),
            Column("left", rank=2),
        ),
        all_with="--json or a wider terminal shows all",
    )
    for experiment in experiments:
        row, progress = experiment.row, experiment.progress
        left = experiment.rest_seconds
        elapsed = experiment.elapsed_seconds
        table.add(
            row.id,
            row.stage or None,
            Text(str(experiment.state), style=STYLES[str(experiment.state)]),
            None if row.stage == "2" else f"{progress.n_ended}/{row.trials or '?'}",
            progress.n_running,
            progress.n_pruned,
            progress.n_failed,
            progress.best_mae,
            progress.best_picp,
            None if elapsed is None else duration(elapsed),
            None if left is None else f"about {duration(left)}",
        )
    table.print()


def _problems(experiments: Sequence[ExperimentStatus]) -> list[Text]:
    """Lines on what is wrong with experiments, and the ends of their logs."""
    from rich.text import Text

    lines: list[Text] = []
    for experiment in experiments:
        row = experiment.row
        if experiment.detail:
            lines.append(Text(f"{row.id} is {experiment.state}: {experiment.detail}"))
        if str(experiment.state) == "failed":
            lines += [
                Text(f"    {line}", style="dim")
                for line in experiment.evidence.last_lines[-LOG_LINES:]
            ]
            lines.append(Text(f"    log {row.log}", style="dim"))
        problems = experiment.progress.problems
        lines += [Text(f"{row.id}: {problem}", style="yellow") for problem in problems]
    return lines
