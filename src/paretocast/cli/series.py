"""Tables over many series."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.display import print_note
from paretocast.cli.tables import Column, TerminalTable
from paretocast.data.collection import expand_series, split_reference
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from paretocast.benchmarking import AcrossSeries
    from paretocast.study.choice import Choice
    from paretocast.study.series_studies import SeriesResult


def pooled_names(dataset: str | None, series: str | None) -> tuple[str, ...]:
    """Series that share a network, by their names in the file.

    Raises
    ------
    SettingsError
        If they are not those of one file.
    """
    if dataset is None or series is None:
        raise SettingsError(
            "--pool needs --dataset, a TOML file with a section [series], and --series all or the "
            "names of some"
        )
    named = [split_reference(reference)[1] for reference in expand_series(dataset, series)]
    names = tuple(name for name in named if name is not None)
    if len(names) < len(named):
        raise SettingsError(
            f"--pool is for the series of one file, {dataset} names many files; declare the series "
            "in the section [series] of one"
        )
    return names


def print_series(choices: Mapping[str, Choice]) -> None:
    """The recommended method of every series, and its loss beside that of the ridge."""
    table = TerminalTable(
        (
            Column("series", left=True),
            Column("recommended", rank=2, wrapped=True),
            Column("pinball", rank=1),
            Column("to ridge", decimals=3),
        ),
        title="Recommended for each series; pinball loss on the calibrate split",
    )
    ratios = []
    for name, choice in choices.items():
        loss, ridge = choice.losses[choice.method], choice.losses.get("ridge")
        ratio = loss / ridge if ridge else None
        table.add(name, choice.label, loss, ratio)
        ratios += [] if ratio is None else [ratio]
    table.print()
    _print_ratios(ratios)


def print_pooled(found: Sequence[SeriesResult]) -> None:
    """The trial that was chosen for all series, judged on each of them, and what suits it best."""
    table = TerminalTable(
        (
            Column("series", left=True),
            Column("pinball", rank=2),
            Column("to ridge", decimals=3),
            Column("PICP %", rank=1, decimals=1),
            Column("recommended", rank=3, wrapped=True),
            Column("to ridge", decimals=3, rank=3),
        ),
        title="The trial chosen for all, calibrate split, calibrated; and what suits each series",
    )
    for series in found:
        picp = None if series.interval is None else series.interval.picp
        best = series.recommended_to_ridge
        table.add(series.run.dataset, series.loss, series.to_ridge, picp, series.recommended, best)
    table.print()
    _print_ratios([series.to_ridge for series in found if series.to_ridge is not None])
    folder = found[0].run.folder.parent
    names = ", ".join(series.run.folder.name for series in found)
    stderr_console().print(
        f"\na study of each series in {folder}\n  {names}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _print_ratios(ratios: Sequence[float]) -> None:
    """Print the middle and the worst of losses over those of the ridge."""
    if ratios:
        stdout_console().print(
            f"against the ridge: median {statistics.median(ratios):.3f}, worst {max(ratios):.3f}",
            highlight=False,
        )


def print_across(across: AcrossSeries, folder: Path) -> None:
    """Print the chosen method of every series, and the total of all."""
    table = TerminalTable(
        (
            Column("series", left=True),
            Column("method", rank=2, wrapped=True),
            Column("MAE", rank=3),
            Column("pinball", rank=1),
            Column("PICP %", rank=0, decimals=1),
            Column("95 % interval", rank=4),
            Column("to ridge", decimals=3),
        ),
        title="All series, test split; the chosen method of each",
        all_with="series.csv or a wider terminal shows all",
    )
    for row in across.rows:
        interval = f"{row.picp_low:.1f}–{row.picp_high:.1f}"
        scores = (row.scores["mae"], row.scores["pinball"], row.scores["picp"])
        table.add(row.series, row.method, *scores, interval, row.against)
    table.add_section()
    for total in across.total:
        scores = (total.scores["mae"], total.scores["pinball"], total.scores["picp"])
        table.add(total.method, "", *scores, None, None)
    table.print()
    if summary := across.summary():
        stdout_console().print(summary, highlight=False)
    if across.note:
        print_note(across.note)
    stderr_console().print(
        f"\nresults in {folder}\n  series.html, series.csv, series.json",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
