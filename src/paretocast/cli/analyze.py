"""`paretocast analyze`: all runs in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import dataset_name, stderr_console, stdout_console
from paretocast.cli.display import print_note
from paretocast.cli.view import refresh_site
from paretocast.errors import StoreError

if TYPE_CHECKING:
    from paretocast.results.table import RunRow

FILE_HELP = "Write the table as {} to a file."
WORDS = ("model", "dataset", "job_id")
# Order in which columns go where the terminal is narrow, highest first.
RANKS = {
    **dict.fromkeys(("model", "dataset", "mae", "picp"), 0),
    "job_id": 1,
    "reference_gain_percent": 2,
    "picp_interval": 3,
    "winkler": 4,
    **dict.fromkeys(("n_completed", "n_front", "pinball"), 5),
    "training_hours": 6,
}


def analyze(
    model: Annotated[str | None, typer.Option(help="Only runs of this model.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", help="Print csv, json, markdown or latex instead of the table for people."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help=FILE_HELP.format("CSV"))] = None,
    json: Annotated[Path | None, typer.Option(help=FILE_HELP.format("JSON"))] = None,
    markdown: Annotated[Path | None, typer.Option(help=FILE_HELP.format("Markdown"))] = None,
    latex: Annotated[
        Path | None, typer.Option(help=FILE_HELP.format("LaTeX (package booktabs)"))
    ] = None,
    workspace: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("hpo"),
) -> None:
    """Scores of every run on its tune split, and the best by data set and by model.

    MAE is in target units: between data sets only the gain on the best reference compares. Best
    coverage is the one closest to its target. [bold]paretocast benchmark[/bold]
    scores the winners on hours that the search has not used.
    """
    from paretocast.results.table import collect_runs, render
    from paretocast.workspace import files

    name = None if dataset is None else dataset_name(dataset)
    rows, problems = collect_runs(workspace, model=model, dataset=name)
    for problem in problems:
        print_note(problem, kind="left out")
    if not rows:
        others = dict.fromkeys(f"{r.model} on {r.dataset}" for r in collect_runs(workspace)[0])
        advice = (
            f"it holds {', '.join(others)}"
            if others
            else "paretocast tune makes one, --workspace names another place"
        )
        raise StoreError(
            f"no run with a result in {workspace / 'results'}"
            f"{' for this choice' if others else ''}; {advice}"
        )
    if format_name is None:
        print_runs(rows)
    else:
        print(render(rows, format_name), end="")  # noqa: T201  (rich would wrap the lines)
    for path, name in ((csv, "csv"), (json, "json"), (markdown, "markdown"), (latex, "latex")):
        if path is not None:
            files.save_text(path, render(rows, name))
            stderr_console().print(f"{name} in {path}", highlight=False, soft_wrap=True)
    refresh_site(workspace)


def print_runs(rows: list[RunRow]) -> None:
    """Print the table, and the best below it."""
    from rich.markup import escape

    from paretocast.cli.tables import Column, TerminalTable
    from paretocast.formatting import measured
    from paretocast.results.table import PRINTED, best_runs, printed_rows

    table = TerminalTable(
        tuple(Column(name, rank=RANKS[key], left=key in WORDS) for key, name in PRINTED),
        all_with="--format csv or a wider terminal shows all",
    )
    for cells in printed_rows(rows):
        table.add(*cells)
    table.print()
    console = stdout_console()
    console.print("gain: how far the MAE is below that of the best reference; hours: of training")
    if n_perfect := sum(row.perfect_forecast for row in rows):
        console.print(
            f"observed weather stands in for forecasts in {n_perfect} of {len(rows)} runs: their "
            "scores assume a perfect weather forecast"
        )
    for best in best_runs(rows):
        mae, coverage = best.by_mae, best.by_coverage
        console.print(
            f"[bold]{escape(best.group)}[/bold]: best MAE {measured(mae.mae)} "
            f"{escape(_name(mae))}; PICP closest to {coverage.target_coverage:g} %: "
            f"{coverage.picp:.1f} % {escape(_name(coverage))}",
            highlight=False,
            markup=True,
        )


def _name(row: RunRow) -> str:
    return f"({row.model} on {row.dataset}, study {row.job_id}, trial {row.best_trial})"
