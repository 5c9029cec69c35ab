"""Tables on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from paretocast.cli.console import numbers_console, significant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paretocast.results import Outcome
    from paretocast.trial import TrialRecord

SCORE_COLUMNS = ("mae", "picp", "mean_width", "pinball", "winkler")


def print_outcome(outcome: Outcome, *, unit: str) -> None:
    """The front, the chosen configuration and why, and the references beside them."""
    console = numbers_console()
    by_number = {record.number: record for record in outcome.records}
    table = Table(
        title=(
            f"Pareto front on the tune split ({outcome.chosen.scores['n']:.0f} hours), "
            f"MAE, width and losses in {escape(unit)}"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("")
    for name in ("MAE", "PICP %", "95 % interval", "width", "pinball", "Winkler"):
        table.add_column(name, justify="right")
    for number in outcome.front:
        _add_trial(table, by_number[number], chosen=number == outcome.selection.number)
    table.add_section()
    for name, scores in outcome.references.items():
        table.add_row(name, *_score_cells(scores, interval=""), style="dim")
    console.print(table)
    chosen = outcome.chosen
    console.print(
        f"[bold]chosen: trial {chosen.number}[/bold] – {outcome.selection.reason}", highlight=False
    )
    settings = ", ".join(
        f"{name} {significant(value) if isinstance(value, float) else value}"
        for name, value in chosen.config.items()
    )
    console.print(f"  {settings}", highlight=False)
    if better := outcome.beaten_by():
        console.print(
            f"[yellow]the chosen trial does not beat {', '.join(better)} on MAE: use that instead, "
            "or search longer[/yellow]",
            highlight=False,
        )


def _add_trial(table: Table, record: TrialRecord, *, chosen: bool) -> None:
    low, high = record.picp_interval or (float("nan"), float("nan"))
    table.add_row(
        f"trial {record.number}{' ★' if chosen else ''}",
        *_score_cells(record.scores, interval=f"{low:.1f}–{high:.1f}"),
        style="bold green" if chosen else None,
    )


def _score_cells(scores: Mapping[str, float], *, interval: str) -> list[str]:
    cells = [
        f"{scores[name]:.1f}" if name == "picp" else significant(scores[name])
        for name in SCORE_COLUMNS
    ]
    cells.insert(2, interval)
    return cells
