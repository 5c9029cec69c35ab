"""`paretocast consolidate`: runs read again, results put right, the best of them collected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.errors import StoreError

if TYPE_CHECKING:
    from paretocast.results.repair import Consolidated

STYLES = {"whole": "green", "rebuilt": "yellow", "faulty": "bold red", "under way": "cyan"}


def consolidate(
    summary: Annotated[
        bool, typer.Option("--summary", help="Only say how the runs stand; write nothing.")
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
    from paretocast.workspace import files

    runs = files.find_runs(workspace)
    if not runs:
        raise StoreError(
            f"no run in {workspace / 'results'}; paretocast tune makes one, --workspace names "
            "another place"
        )
    with stderr_console().status("reading the runs"):
        from paretocast.results.repair import consolidate_run, save_best

        found = [consolidate_run(run, data_dir=data_dir, rebuild=not summary) for run in runs]
    print_found(found)
    if summary:
        return
    from paretocast.cli.conclusion import save_pages
    from paretocast.report import explored_page

    for one in found:
        if one.rebuilt is not None:
            save_pages(one.rebuilt.study, one.rebuilt.settings, one.run, one.rebuilt.task)
    page = workspace / "results" / "explored.html"
    files.save_text(page, explored_page([one for one in found if one.coverages]))
    talk = stderr_console()
    for path in (*save_best(found, workspace), page):
        talk.print(f"written {path}", highlight=False, soft_wrap=True)


def print_found(found: list[Consolidated]) -> None:
    """A line per run, what is wrong with it, and which winners sit on a bound."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("study", "state", "judged trials", "MAE", "PICP %", "space seen %"):
        table.add_column(name, justify="left" if name in {"study", "state"} else "right")
    for one in found:
        result = one.result or {}
        seen = [coverage.seen_percent for coverage in one.coverages]
        table.add_row(
            escape(one.run.study_name),
            Text(one.state, style=STYLES.get(one.state, "dim")),
            str(len(one.losses)),
            f"{result['best_mae']:.4g}" if result else "–",
            f"{result['best_picp']:.1f}" if result else "–",
            f"{sum(seen) / len(seen):.0f}" if seen else "–",
        )
    console = stdout_console()
    console.print(table)
    for one in found:
        for problem in one.problems:
            console.print(f"{escape(one.run.study_name)}: {escape(problem)}", highlight=False)
        for coverage in one.coverages:
            if coverage.advice:
                console.print(
                    f"[bold]{escape(one.run.study_name)}[/bold] {escape(coverage.advice)} "
                    f"{escape(f'in [space.{one.run.model}]')}",
                    highlight=False,
                )
