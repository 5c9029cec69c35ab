"""Weather from Open-Meteo in the columns of a data set or a deployment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from paretocast.api.operations import read_stamp, say_nothing
from paretocast.data.reading import choose_covariates
from paretocast.data.series import Role
from paretocast.data.spec import LocationSpec, find_spec, own_file
from paretocast.data.tables import read_table
from paretocast.deployment.bundle import load_bundle
from paretocast.deployment.inputs import ISSUED_COLUMN
from paretocast.errors import DataError, SettingsError
from paretocast.formatting import count
from paretocast.toml import parse_table
from paretocast.weather.open_meteo import service_from
from paretocast.weather.runs import (
    HOUR,
    RUN_HOURS,
    TableLayout,
    by_hour,
    check_filled,
    check_units,
    lead_variables,
    run_rows,
    runs_of_leads,
)
from paretocast.weather.sources import Source
from paretocast.weather.variables import choose_columns, unit_parameters
from paretocast.workspace.files import save_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from paretocast.data.spec import DatasetSpec
    from paretocast.weather.open_meteo import HourlyAnswer, OpenMeteo, RefusedError
    from paretocast.weather.variables import WeatherColumn

FORECAST_DAYS = 4  # today's, tomorrow's, and what stands in while the next run is late
STAMPS = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class _Request:
    """A table that is asked for, and of whom.

    Attributes
    ----------
    parameters : mapping
        Of every request: coordinates, units, model.
    first, last : Timestamp
        Hours of a table without times of issue.
    issued : DatetimeIndex
        Times of issue of the wanted runs.
    """

    service: OpenMeteo
    source: Source
    layout: TableLayout
    parameters: Mapping[str, object]
    first: pd.Timestamp
    last: pd.Timestamp
    issued: pd.DatetimeIndex
    delay_hours: int
    say: Callable[[str], None]

    def without(self, known: pd.DataFrame) -> _Request:
        """The request without the runs of a table."""
        if self.layout.issued not in known.columns:
            return self
        there = self.issued.isin(_stamps(known, self.layout.issued))
        return replace(self, issued=self.issued[~there])

    def answers(
        self,
        asked: Sequence[Mapping[str, object]],
        *,
        variables: Sequence[str] | None = None,
        refused: Callable[[int, RefusedError], None] | None = None,
    ) -> Iterator[tuple[int, HourlyAnswer]]:
        """Answers in the declared units, with the positions of their requests."""
        requests = [{**self.parameters, **parameters} for parameters in asked]
        names = self.layout.variables if variables is None else variables
        for i, answer in self.service.fetch(self.source, names, requests, refused=refused):
            check_units(answer, self.layout)
            yield i, answer


def fetch_weather(
    dataset: str | Path,
    *,
    source: str = "forecast",
    latitude: float | None = None,
    longitude: float | None = None,
    variables: Mapping[str, str] | None = None,
    first: str | pd.Timestamp | None = None,
    last: str | pd.Timestamp | None = None,
    model: str | None = None,
    delay_hours: int = 6,
    every_hours: int = 6,
    service: OpenMeteo | None = None,
    now: pd.Timestamp | None = None,
    known: pd.DataFrame | None = None,
    say: Callable[[str], None] = say_nothing,
) -> pd.DataFrame:
    """Weather runs from Open-Meteo; needs the extra `weather` and a network.

    Parameters
    ----------
    dataset : path or str
        A data set, or the folder of a deployment, whose columns are filled.
    source : {"forecast", "single-runs", "previous-runs", "historical-forecast"}
        The newest run, archived runs, runs put together from fixed leads, or a table of the first
        hours of all runs, which says nothing about what was known ahead and has no time of issue.
    latitude, longitude : float, optional
        Degrees; those of [location] in the data set without them.
    variables : mapping of covariate to variable, optional
        Such as {"temperature": "temperature_2m"}; known names need none.
    first, last : Timestamp or str
        Times of issue, or hours of "historical-forecast"; `last` is now without it. Not for
        "forecast".
    model : str, optional
        As Open-Meteo calls it, such as "ecmwf_ifs"; its best match without it.
    delay_hours : int
        From the start of a run until it can be had, 1 to 24.
    every_hours : int
        Between archived runs; a divisor of 24.
    now : Timestamp, optional
        The time of the clock without it.
    known : DataFrame, optional
        Earlier table; archived runs that are in it are not asked for again.

    Returns
    -------
    DataFrame
        Times of issue and hours in UTC and the columns of the data set; NaN where missing.

    Raises
    ------
    SettingsError
        If the place, a variable or the period is missing or wrong, or the extra not installed.
    DataError
        If Open-Meteo cannot be reached, refuses, or has no such values.
    """
    chosen = _read_source(source)
    spec, needed = _covariates(Path(dataset))
    columns = choose_columns(spec, needed, variables or {})
    layout = _layout(spec, columns)
    now = pd.Timestamp.now("UTC") if now is None else now
    start, stop = _period(chosen, first, last, now)
    request = _Request(
        service=service or service_from(None),
        source=chosen,
        layout=layout,
        parameters={
            **_coordinates(spec, latitude, longitude),
            **unit_parameters(columns),
            **({"models": model} if model else {}),
        },
        first=start,
        last=stop,
        issued=_times_of_issue(chosen, start, stop, delay_hours, every_hours),
        delay_hours=delay_hours,
        say=say,
    )
    say(", ".join(f"{c.column} is {c.variable}" for c in columns))
    if chosen is Source.SINGLE_RUNS and known is not None:
        request = request.without(known)
        if not len(request.issued):
            return pd.DataFrame(columns=layout.names)
    match chosen:
        case Source.FORECAST:
            table = _newest_run(request)
        case Source.SINGLE_RUNS:
            table = _archived_runs(request)
        case Source.PREVIOUS_RUNS:
            table = _runs_of_leads(request)
        case Source.HISTORICAL:
            _refuse_runs(spec)
            table = _stitched_hours(request)
    check_filled(table, layout)
    return table


def update_weather(
    path: str | Path, fetch: Callable[..., pd.DataFrame], *, append: bool = False
) -> pd.DataFrame:
    """Write what `fetch_weather` gives as CSV, whole or not at all, and return it.

    Parameters
    ----------
    fetch : callable
        `fetch_weather` with all arguments but `known`.
    append : bool
        Keep the rows of an existing file as they are, but those of the same times of issue, or of
        the same hours where there are none.

    Raises
    ------
    SettingsError
        If the file is no .csv, or exists and nothing is to be appended.
    DataError
        If the existing file has other columns.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise SettingsError(f"--out is {path.name}, expected a name with .csv")
    if path.exists() and not append:
        raise SettingsError(f"{path} exists; --append adds to it and keeps its other runs")
    known = read_table(path) if path.exists() else None
    table = fetch(known=known)
    if not len(table):
        return table
    text = table.to_csv(index=False, date_format=STAMPS)
    if known is not None:
        fresh = pd.read_csv(StringIO(text), dtype="str")
        n_stamps = len(table.select_dtypes("datetimetz").columns)
        text = _merged(known, fresh, list(table.columns[:n_stamps])).to_csv(index=False)
    save_text(path, text)
    return table


def _newest_run(request: _Request) -> pd.DataFrame:
    """The newest run, issued at the hour of the request."""
    request.say(
        f"{request.layout.issued} is the hour of the request: Open-Meteo does not say when a run "
        "was published"
    )
    (answer,) = request.answers([{"forecast_days": FORECAST_DAYS}])
    return run_rows(by_hour(answer[1], request.layout), request.issued[0], request.layout)


def _archived_runs(request: _Request) -> pd.DataFrame:
    """Whole runs of the archive, issued some hours after they began."""
    issued, layout = request.issued, request.layout
    begun = issued - request.delay_hours * HOUR
    request.say(
        f"{count(len(issued), 'run')} to ask for; {layout.issued} is {request.delay_hours} h "
        "after each began"
    )
    asked = [{"run": f"{run:%Y-%m-%dT%H:%M}", "forecast_days": FORECAST_DAYS} for run in begun]

    def refused(i: int, error: RefusedError) -> None:
        request.say(f"the run of {begun[i]:%Y-%m-%d %H}Z is left out: {error}")

    rows = []
    for i, answer in request.answers(asked, refused=refused):
        hours = by_hour(answer, layout)
        hours = hours[hours.index < issued[i] + RUN_HOURS * HOUR]
        rows.append(run_rows(hours, issued[i], layout))
    return pd.concat(rows, ignore_index=True)


def _runs_of_leads(request: _Request) -> pd.DataFrame:
    """Runs put together from what was forecast one, two and three days before."""
    issued = request.issued
    request.say(
        f"{count(len(issued), 'run')} put together from forecasts of one day before and more, each "
        f"known {request.delay_hours} h after its run began; a live one is fresher"
    )
    (answer,) = request.answers(
        [_days(issued[0], issued[-1] + RUN_HOURS * HOUR)],
        variables=lead_variables(request.layout.variables, request.delay_hours),
    )
    return runs_of_leads(answer[1], request.layout, issued, delay_hours=request.delay_hours)


def _stitched_hours(request: _Request) -> pd.DataFrame:
    """Values by hour from whichever run was the newest then; no time of issue."""
    request.say(
        "each hour comes from a run that began shortly before it; that is not what was known a "
        "day ahead, so scores on it are too good (single-runs and previous-runs are honest)"
    )
    (answer,) = request.answers([_days(request.first, request.last + HOUR)])
    hours = by_hour(answer[1], request.layout).loc[request.first : request.last]
    return hours.rename_axis(request.layout.time).reset_index()


def _days(first: pd.Timestamp, last: pd.Timestamp) -> dict[str, str]:
    """Parameters of a request for all hours of some days."""
    return {"start_date": f"{first:%Y-%m-%d}", "end_date": f"{last:%Y-%m-%d}"}


def _read_source(source: str) -> Source:
    try:
        return Source(source)
    except ValueError:
        raise SettingsError(
            f"source is {source!r}, expected {', '.join(s.value for s in Source)}"
        ) from None


def _covariates(dataset: Path) -> tuple[DatasetSpec, list[str]]:
    """Declaration, and the covariates that are needed for the horizon."""
    if own_file(dataset) is not None and dataset.is_dir():
        contract = load_bundle(dataset).contract
        return contract.spec, [column.declared for column in contract.weather]
    spec = find_spec(dataset)
    used = choose_covariates(spec, None)
    return spec, [name for name in used if spec.covariates[name].role is Role.FORECAST]


def _layout(spec: DatasetSpec, columns: tuple[WeatherColumn, ...]) -> TableLayout:
    """The columns by which the data set, or the contract of its deployment, reads weather."""
    if spec.weather is None:
        return TableLayout(ISSUED_COLUMN, spec.time_column, columns)
    return TableLayout(spec.weather.issued_column, spec.weather.time_column, columns)


def _refuse_runs(spec: DatasetSpec) -> None:
    if spec.weather is not None:
        raise SettingsError(
            f"data set {spec.name} reads weather runs, and historical-forecast does not say when a "
            "value was issued; take single-runs or previous-runs"
        )


def _coordinates(
    spec: DatasetSpec, latitude: float | None, longitude: float | None
) -> dict[str, float]:
    """Latitude and longitude, those of the user before those of the data set."""
    if latitude is None and longitude is None and spec.location is not None:
        return spec.location.model_dump()
    if latitude is None or longitude is None:
        raise SettingsError(
            f"no place is given for data set {spec.name}; give --latitude and --longitude, or "
            "write [location] with both into its TOML file"
        )
    given = {"latitude": latitude, "longitude": longitude}
    return parse_table(LocationSpec, given, origin="the place cannot be used").model_dump()


def _period(
    source: Source,
    first: str | pd.Timestamp | None,
    last: str | pd.Timestamp | None,
    now: pd.Timestamp,
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last hour of a request for the past."""
    now = now.floor("h")
    if source is Source.FORECAST:
        if first is not None or last is not None:
            raise SettingsError(
                "--from and --to go with the past, and forecast gives the newest run; choose "
                "--source single-runs or previous-runs"
            )
        return now, now
    if first is None:
        raise SettingsError(f"--source {source} needs --from, such as --from 2026-01-01")
    start = read_stamp(first, "--from").ceil("h")
    stop = now if last is None else read_stamp(last, "--to").floor("h")
    if stop > now:
        raise SettingsError(f"--to is {stop:%Y-%m-%d %H:%M}Z, which is still to come")
    if stop < start:
        raise SettingsError(f"--to is {stop:%Y-%m-%d %H:%M}Z, before --from")
    return start, stop


def _times_of_issue(
    source: Source,
    start: pd.Timestamp,
    stop: pd.Timestamp,
    delay_hours: int,
    every_hours: int,
) -> pd.DatetimeIndex:
    """Times of issue of the wanted runs."""
    if not 1 <= delay_hours <= 24:
        raise SettingsError(f"--delay is {delay_hours}, expected hours from 1 to 24")
    if every_hours < 1 or 24 % every_hours:
        raise SettingsError(f"--every is {every_hours}, expected 1, 2, 3, 4, 6, 8, 12 or 24")
    if source in {Source.FORECAST, Source.HISTORICAL}:
        return pd.DatetimeIndex([start]).as_unit("ns")
    delay = delay_hours * HOUR if source is Source.SINGLE_RUNS else 0 * HOUR
    step = f"{every_hours}h"
    begun = pd.date_range((start - delay).ceil(step), (stop - delay).floor(step), freq=step)
    if not len(begun):
        raise SettingsError(f"no run was issued from {start:%Y-%m-%d %H}Z to {stop:%Y-%m-%d %H}Z")
    return (begun + delay).as_unit("ns")


def _merged(old: pd.DataFrame, fresh: pd.DataFrame, stamps: list[str]) -> pd.DataFrame:
    """Rows of two tables as text, by time; fresh ones replace those of the same first stamp."""
    if set(old.columns) != set(fresh.columns):
        raise DataError(
            f"the file has the columns {', '.join(old.columns)}, and {', '.join(fresh.columns)} "
            "are to be added; write another file"
        )
    kept = old[~_stamps(old, stamps[0]).isin(_stamps(fresh, stamps[0]))]
    rows = pd.concat([kept, fresh], ignore_index=True)[list(fresh.columns)]
    order = pd.DataFrame({name: _stamps(rows, name) for name in stamps})
    return rows.iloc[order.sort_values(stamps, kind="stable").index]


def _stamps(table: pd.DataFrame, column: str) -> pd.DatetimeIndex:
    """UTC stamps of a column of text."""
    stamps = pd.to_datetime(table[column], format="ISO8601", errors="coerce", utc=True)
    if stamps.isna().any():
        row = int(stamps.isna().to_numpy().argmax())
        raise DataError(
            f"the file has {table[column].iloc[row]!r} as {column} in row {row + 1}, expected a "
            "time such as 2026-11-25T00:00Z"
        )
    return pd.DatetimeIndex(stamps).as_unit("ns")
