"""`paretocast forecast` and `observe`: tomorrow's quantiles, and what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.deploy import DeploymentArgument
from paretocast.cli.display import print_note
from paretocast.formatting import count, in_utc, unit_name

if TYPE_CHECKING:
    from paretocast.deployment.issued import LiveForecast

DEGRADED = 3
DataOption = Annotated[
    Path,
    typer.Option(
        help="CSV, gzipped CSV or Parquet with the columns of the data set. Rows after the issue "
        "may hold covariates of the horizon.",
        show_default=False,
    ),
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Newer rows of a file under \\[\\[sources]] of the data set; NAME=FILE where it was "
        "called NAME there. More than once for several. Without it --data has its columns.",
        show_default=False,
    ),
]


def forecast(
    deployment: DeploymentArgument,
    data: DataOption,
    weather: Annotated[
        Path | None,
        typer.Option(
            help="Table with the covariates of the horizon. With a column issued_at the newest run "
            "that was there counts."
        ),
    ] = None,
    source: SourceOption = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="First hour to forecast, such as 2026-11-25T00:00Z; daily: the first daily issue "
            "from the last value on. \\[default: the hour after the last value]"
        ),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="Issue every day from here on, as if it were then.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="To here. \\[default: the data]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="File: .csv, .json or .parquet. \\[default: print]")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Page with a fan chart.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Keep nothing in the journal.")
    ] = False,
) -> None:
    """Forecast the next hours, or every day of a period in the past by the same path.

    Nothing after the issue is read but covariates that are known ahead. The forecast is kept in
    the journal: the same inputs give the same forecast, other inputs the next revision. Values of
    the target before the issue are kept too, and the calibrator has learned from them.

    Where something is missing a lower rung forecasts, and says so: without weather a ridge without
    it, without recent data the same hours of the last eight weeks.

    Exit codes: 0 as it should be, 3 degraded, 1 no forecast.

    [bold]paretocast forecast deploy/heat --data heat.csv --out tomorrow.csv[/bold]
    """
    from paretocast.api.operations import forecast as issue
    from paretocast.deployment.source_files import sources_named

    forecasts = issue(
        deployment,
        data,
        weather=weather,
        sources=sources_named(source or ()),
        at=at,
        first=first,
        last=last,
        dry_run=dry_run,
        say=print_note,
    )
    if out is None:
        print_forecast(forecasts[-1])
    else:
        _write(forecasts, out)
    if page is not None:
        from paretocast.report.live import forecast_page
        from paretocast.workspace.files import save_text

        save_text(page, forecast_page(forecasts[-1], deployment.absolute().name))
        stderr_console().print(f"fan chart in {page}", highlight=False, soft_wrap=True)
    degraded = [forecast for forecast in forecasts if forecast.degraded]
    for forecast in degraded[-3:]:
        print_note(f"{in_utc(forecast.issue_time)}: {', '.join(forecast.flags)}", kind="degraded")
    if degraded:
        raise typer.Exit(DEGRADED)


def observe(deployment: DeploymentArgument, data: DataOption) -> None:
    """Add observations to the journal; the same file twice changes nothing.

    Values that have changed since become revisions: forecasts that were issued stay, and the
    calibrator goes on from the corrected values.

    [bold]paretocast observe deploy/heat --data heat.csv[/bold]
    """
    from paretocast.api.operations import observe as add

    added = add(deployment, data)
    stdout_console().print(
        f"{count(added.n_new, f'new {added.step}')}, {added.n_corrected} corrected",
        highlight=False,
    )


def print_forecast(forecast: LiveForecast) -> None:
    """Print the interval of every hour."""
    from paretocast.cli.tables import Column, TerminalTable

    table = TerminalTable(
        (
            Column("local time", left=True),
            Column("lower", rank=1),
            Column("median"),
            Column("upper", rank=1),
        ),
        title=f"issued for {in_utc(forecast.issue_time)}; in {unit_name(forecast.unit)}, times of "
        f"{forecast.zone}",
        all_with="--out FILE or a wider terminal shows all",
    )
    local = forecast.target_times.tz_convert(forecast.zone)
    for time, low, middle, high in zip(
        local, forecast.lower, forecast.median, forecast.upper, strict=True
    ):
        table.add(f"{time:%Y-%m-%d %H:%M}", float(low), float(middle), float(high))
    table.print()


def _write(forecasts: list[LiveForecast], out: Path) -> None:
    """Write forecasts by the ending of the file's name."""
    import json

    import pandas as pd

    from paretocast.api.frames import save_frame
    from paretocast.errors import SettingsError
    from paretocast.workspace.files import save_text

    kind = out.suffix.lower()
    if kind == ".json":
        contents = [forecast.as_json() for forecast in forecasts]
        save_text(out, json.dumps(contents[0] if len(contents) == 1 else contents, indent=1) + "\n")
    elif kind in {".csv", ".parquet"}:
        save_frame(pd.concat([f.frame for f in forecasts], ignore_index=True), out)
    else:
        raise SettingsError(f"--out is {out.name}, expected a name with .csv, .json or .parquet")
    stderr_console().print(
        f"{count(len(forecasts), 'forecast')} in {out}",
        highlight=False,
        soft_wrap=True,
    )
