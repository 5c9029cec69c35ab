"""Tables over many series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.display import print_note
from paretocast.cli.pooled import print_ratios
from paretocast.cli.tables import Column, TerminalTable
from paretocast.data.collection import split_reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from paretocast.benchmarking import AcrossSeries
    from paretocast.study.choice import Choice


def short_name(reference: object) -> str:
    """Return the name of a series, or that of its file where the file declares one alone.

    >>> short_name("data/zones.toml#north"), short_name("data/heat.toml")
    ('north', 'heat.toml')
    """
    file, series = split_reference(str(reference))
    return series if series is not None else file.name


def print_series(choices: Mapping[str, Choice]) -> None:
    """The recommended method of every series, and its loss beside that of the ridge."""
    table = TerminalTable(
        (
            Column("series", left=True),
            Column("recommended", rank=2, wrapped=True),
            Column("pinball", rank=1),
            Column("against ridge", decimals=3),
        ),
        title="Recommended for each series; pinball loss on the calibrate split",
    )
    ratios = []
    for name, choice in choices.items():
        loss, ridge = choice.losses[choice.method], choice.losses.get("ridge")
        ratio = loss / ridge if ridge else None
        table.add(short_name(name), choice.label, loss, ratio)
        ratios += [] if ratio is None else [ratio]
    table.print()
    print_ratios(ratios)


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
            Column("against ridge", decimals=3),
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
