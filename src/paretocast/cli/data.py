"""`paretocast data`: which series there are, whether they can be used, what they look like."""

from __future__ import annotations

import shlex
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.data import Fact, Finding

data_app = typer.Typer(help="Begin, list, check and describe data sets.", no_args_is_help=True)

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the data files. \\[default: $PARETOCAST_DATA]")
]
DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="A named data set or the path of a TOML file.")
]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV (also as .gz), .xlsx or Parquet.")
]
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


@data_app.command("list")
def list_command(data_dir: DataDir = None) -> None:
    """The data sets that ship with Paretocast and whether their files are there."""
    from rich.text import Text

    from paretocast.cli.console import stderr_console
    from paretocast.cli.tables import Column, TerminalTable
    from paretocast.data import list_datasets

    table = TerminalTable(
        (
            Column("data set", left=True),
            Column("unit", rank=1, wrapped=True),
            Column("used from", rank=3, left=True),
            Column("train to", rank=3, left=True),
            Column("validation to", rank=3, left=True),
            Column("test to", rank=2, left=True),
            Column("file", left=True),
        )
    )
    rows = list_datasets(data_dir)
    for row in rows:
        file = Text(row.file)
        if not row.present:
            file.append(" (absent)", style="yellow")
        table.add(
            row.name, row.unit, row.use_from, row.train_to, row.validation_to, row.test_to, file
        )
    table.print()
    if not all(row.present for row in rows):
        stderr_console().print(
            "absent files are looked for in --data-dir or $PARETOCAST_DATA", highlight=False
        )


@data_app.command("check")
def check_command(
    dataset: DatasetArgument,
    data_dir: DataDir = None,
    covariates: Annotated[
        str | None,
        typer.Option(
            help="Covariates to check, joined by commas, or none. \\[default: as the data set says]"
        ),
    ] = None,
) -> None:
    """Everything that is wrong or noteworthy with a data set; exit code 1 if it cannot be used."""
    from paretocast.data import check_dataset

    names = None if covariates is None else [name.strip() for name in covariates.split(",")]
    names = [] if covariates == "none" else names
    findings = check_dataset(dataset, data_dir=data_dir, covariates=names)
    if not _print_findings(dataset, findings):
        raise typer.Exit(1)


def _print_findings(dataset: str, findings: Sequence[Finding]) -> bool:
    """Print findings and a verdict; return whether the set can be used."""
    from rich.markup import escape

    from paretocast.cli.console import stdout_console
    from paretocast.formatting import count

    console = stdout_console()
    for finding in findings:
        style = STYLES[finding.severity]
        console.print(
            f"[{style}]{finding.severity:<8}[/] {escape(str(finding))}",
            highlight=False,
            markup=True,
        )
    n_errors = sum(finding.severity == "error" for finding in findings)
    n_warnings = sum(finding.severity == "warning" for finding in findings)
    verdict = "cannot be used" if n_errors else "can be used"
    console.print(
        f"{dataset}: {count(n_errors, 'error')}, {count(n_warnings, 'warning')}; it {verdict}",
        highlight=False,
        markup=False,
    )
    return not n_errors


@data_app.command("init")
def init_command(
    file: FileArgument,
    target: Annotated[
        str | None, typer.Option(help="Column of the demand. \\[default: by its name]")
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            help="Time zone where the demand lives, such as Europe/Berlin. "
            "\\[default: what the times tell, else UTC]"
        ),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(help="Series of a long file. \\[default: the first of the longest]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="TOML file to write. \\[default: beside FILE, called after it]"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a TOML file that exists.")
    ] = False,
) -> None:
    """Write the TOML file of a data file: what the file seems to hold, and why.

    Separator, signs of numbers, encoding, times, clock, step, target and covariates are found in
    the file. Nothing is asked; what the file does not tell is said, and every line of the TOML file
    can be corrected. Exit code 1 if the check finds an error.

    [bold]Examples[/bold]

      paretocast data init my_zone.csv --zone Europe/Berlin

      paretocast data init export.xlsx --target "Load [MW]" --out north.toml
    """
    from rich.markup import escape

    from paretocast.api.files import init_dataset
    from paretocast.cli.console import stderr_console
    from paretocast.cli.tables import Column, TerminalTable

    declaration, proposal = init_dataset(
        file, target=target, zone=zone, series=series, out=out, force=force
    )
    table = TerminalTable(
        (Column("", left=True), Column("is", left=True), Column("because", wrapped=True))
    )
    for belief in proposal.beliefs:
        table.add(belief.name, belief.value, belief.why)
    table.print()
    usable = _print_findings(str(declaration), proposal.findings)
    stderr_console().print(
        f"{escape(str(declaration))} is written; go on with [bold]paretocast tune --model all "
        f"--dataset {escape(shlex.quote(str(declaration)))}[/bold]",
        highlight=False,
        markup=True,
        soft_wrap=True,
    )
    if not usable:
        raise typer.Exit(1)


@data_app.command("describe")
def describe_command(
    dataset: DatasetArgument,
    data_dir: DataDir = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Also write a picture of the series and its splits, as HTML."),
    ] = None,
) -> None:
    """Range, gaps, seasons, splits and covariates of a data set."""
    from paretocast.cli.console import stderr_console
    from paretocast.data import describe_dataset, load_dataset

    loaded = load_dataset(dataset, data_dir=data_dir)
    facts = groupby(describe_dataset(loaded), key=lambda fact: fact.group)
    groups = [(name, list(own)) for name, own in facts]
    for _, alike in groupby(groups, key=lambda group: [fact.name for fact in group[1]]):
        _print_facts(dict(alike))
    if page is not None:
        from paretocast.report import series_page
        from paretocast.workspace import files

        files.save_text(page, series_page(loaded))
        stderr_console().print(f"picture in {page}", highlight=False, soft_wrap=True)


def _print_facts(groups: Mapping[str, Sequence[Fact]]) -> None:
    """Print a group of facts one below the other, several that are alike a row each."""
    from paretocast.cli.tables import Column, TerminalTable

    (name, first), *others = groups.items()
    if not others:
        columns = (Column("", left=True), Column("", left=True), Column("", wrapped=True))
        table = TerminalTable(columns, title=name, header=False)
        for fact, value in zip(first, _values_of(first), strict=True):
            table.add(fact.name, value, fact.unit)
        table.print()
        return
    units = {fact.unit for facts in groups.values() for fact in facts} - {"", "%"}
    common = units.pop() if len(units) == 1 else ""
    table = TerminalTable(
        (Column("", left=True), *(Column(fact.name, left=_is_text(fact)) for fact in first)),
        title=f"in {common}" if common else "",
    )
    columns_of_facts = [
        _values_of(facts, beside=not common) for facts in zip(*groups.values(), strict=True)
    ]
    for row, cells in zip(groups, zip(*columns_of_facts, strict=True), strict=True):
        table.add(row, *cells)
    table.print()


def _is_text(fact: Fact) -> bool:
    return isinstance(fact.value, str)


def _values_of(facts: Sequence[Fact], *, beside: bool = False) -> list[str]:
    """Values as text; figures of one unit share their decimals, percent have two.

    Parameters
    ----------
    beside : bool
        Whether the unit stands beside each figure.
    """
    from paretocast.formatting import fixed, same_decimals

    alike: dict[str, list[float]] = {}
    for fact in facts:
        if isinstance(fact.value, float):
            alike.setdefault(fact.unit, []).append(fact.value)
    written = {
        unit: iter([fixed(v, 2) for v in values] if unit == "%" else same_decimals(values))
        for unit, values in alike.items()
    }
    return [
        (next(written[fact.unit]) if isinstance(fact.value, float) else str(fact.value))
        + (f" {fact.unit}" if beside and fact.unit else "")
        for fact in facts
    ]
