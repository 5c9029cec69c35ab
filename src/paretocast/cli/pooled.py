"""Words and tables of a search over many series that share a network."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.tables import Column, TerminalTable
from paretocast.data.collection import expand_series, split_reference
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def print_pooled(found: Sequence[SeriesResult]) -> None:
    """The trial that was chosen for all series, judged on each of them, and what suits it best."""
    table = TerminalTable(
        (
            Column("series", left=True),
            Column("pinball", rank=2),
            Column("against ridge", decimals=3),
            Column("PICP %", rank=1, decimals=1),
            Column("recommended", rank=3, wrapped=True),
            Column("recommended against ridge", decimals=3, rank=3),
        ),
        title="The trial chosen for all series, calibrated, on the calibrate split of each; and "
        "what is recommended for it",
    )
    for series in found:
        picp = None if series.interval is None else series.interval.picp
        best = series.recommended_to_ridge
        table.add(series.run.dataset, series.loss, series.to_ridge, picp, series.recommended, best)
    table.print()
    print_ratios([series.to_ridge for series in found if series.to_ridge is not None])
    folder = found[0].run.folder.parent
    names = ", ".join(series.run.folder.name for series in found)
    stderr_console().print(
        f"\na study of each series in {folder}\n  {names}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def print_ratios(ratios: Sequence[float]) -> None:
    """Print the middle and the worst of losses over those of the ridge."""
    if ratios:
        stdout_console().print(
            f"against the ridge: median {statistics.median(ratios):.3f}, worst {max(ratios):.3f}",
            highlight=False,
        )
