"""`paretocast consolidate`: runs read again, results put right, the best of them collected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.display import print_note
from paretocast.errors import StoreError

if TYPE_CHECKING:
    from paretocast.results.repair import Consolidated

STYLES = {"complete": "green", "rebuilt": "yellow", "faulty": "bold red", "under way": "cyan"}


def consolidate(
    summary: Annotated[
        bool, typer.Option("--summary", help="Only report the state of the runs; write nothing.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the data files. \\[default: where the studies found them]"),
    ] = None,
    workspace: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("hpo"),
) -> None:
    """Read every run again, rebuild missing results, and collect the best parameters.

    Compares what is stored with the records of the trials; a result that is missing or faulty is
    made anew, with its pages, and nothing is trained. Writes the best result of every model
    and data set to results/best_params_MODEL_DATASET.json, general ones to
    results/best_params_MODEL.json, and a page that shows which part of each space was explored. A
    winner on the bound of a range is named with the wider range to try.
    """
    from paretocast.workspace.runs import find_runs, unlisted

    runs = find_runs(workspace)
    for problem in unlisted(workspace):
        print_note(problem, kind="left out")
    if not runs:
        raise StoreError(
            f"no run in {workspace / 'results'}; paretocast tune makes one, --workspace names "
            "another place"
        )
    with stderr_console().status("reading the runs"):
        from paretocast.results.repair import consolidate_run, save_best

        studies = [consolidate_run(run, data_dir=data_dir, rebuild=not summary) for run in runs]
    print_studies(studies)
    if summary:
        return
    from paretocast.api.pages import save_pages
    from paretocast.report import explored_page
    from paretocast.report.site import save_page, update_site

    for study in studies:
        if (rebuilt := study.rebuilt) is not None:
            save_pages(rebuilt.study, rebuilt.settings, study.run, rebuilt.task)
    page = workspace / "results" / "explored.html"
    explored = explored_page([study for study in studies if study.explorations])
    save_page(page, explored, workspace=workspace)
    console = stderr_console()
    for path in (*save_best(studies, workspace), page, update_site(workspace)):
        console.print(f"written {path}", highlight=False, soft_wrap=True)


def print_studies(studies: list[Consolidated]) -> None:
    """Print a line per study, its faults, and the winners that sit on a bound."""
    from rich.markup import escape
    from rich.text import Text

    from paretocast.cli.tables import Column, TerminalTable

    table = TerminalTable(
        (
            Column("study", left=True),
            Column("state", left=True),
            Column("trials", rank=3),
            Column("MAE", rank=1),
            Column("PICP %", rank=1, decimals=1),
            Column("search space covered %", rank=2, decimals=0),
        )
    )
    for study in studies:
        result = study.result or {}
        shares = [parameter.seen_percent for parameter in study.explorations]
        table.add(
            study.run.study_name,
            Text(study.state, style=STYLES.get(study.state, "dim")),
            result.get("n_trials"),
            result.get("best_mae"),
            result.get("best_picp"),
            sum(shares) / len(shares) if shares else None,
        )
    table.print()
    console = stdout_console()
    for study in studies:
        for problem in study.problems:
            console.print(f"{study.run.study_name}: {problem}", highlight=False)
        for parameter in study.explorations:
            if parameter.advice:
                console.print(
                    f"[bold]{escape(study.run.study_name)}[/bold] {escape(parameter.advice)} "
                    f"{escape(f'in [space.{study.model}]')}",
                    highlight=False,
                    markup=True,
                )
