"""Data sets from disk: find the file, check it, lay it on the hourly grid; nothing is written."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from paretocast.data.checks import Finding, Grid, errors_among
from paretocast.data.demo import generate_demo
from paretocast.data.parsing import by_severity, examine_frame
from paretocast.data.plausibility import check_all
from paretocast.data.run_parsing import check_reach, examine_runs
from paretocast.data.series import Calendar, Series, SplitDates
from paretocast.data.sources import SourceTable, join_sources
from paretocast.data.spec import DatasetSpec, declare_dataset, find_spec
from paretocast.data.tables import read_rows, read_table
from paretocast.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from narwhals.typing import IntoDataFrame

    from paretocast.data.weather_runs import WeatherRuns

DATA_DIR_VARIABLE = "PARETOCAST_DATA"
DEMO_NAME = "demo"
INDEX_COLUMN = "timestamp"


@dataclass(frozen=True)
class Dataset:
    """A series ready to be made a task of.

    Attributes
    ----------
    findings : tuple of Finding
        Warnings and notes; there is no error among them.
    """

    spec: DatasetSpec
    series: Series
    dates: SplitDates
    findings: tuple[Finding, ...]

    @classmethod
    def from_frame(
        cls,
        frame: IntoDataFrame,
        *,
        target: str,
        time: str | None = None,
        unit: str = "",
        zone: str = "UTC",
        stamp_zone: str | None = None,
        frequency: str = "1h",
        covariates: Mapping[str, str | Mapping[str, object]] | None = None,
        holiday_country: str | None = None,
        holiday_subdivision: str | None = None,
        holidays: Sequence[str | dt.date] = (),
        splits: Mapping[str, object] | None = None,
        weather: IntoDataFrame | None = None,
        available_after: str = "0h",
        name: str = "frame",
    ) -> Dataset:
        """Check a data frame and make a data set of it, as a TOML file would of a file.

        Parameters
        ----------
        frame : pandas.DataFrame, polars.DataFrame or another one that Narwhals reads
            One row a step.
        target : str
            Column of the demand.
        time : str, optional
            Column of the time stamps, which mark the start of the step; the index of a pandas frame
            without it.
        unit : str
            Of the target.
        zone : str
            IANA time zone where the demand lives, for calendar terms.
        stamp_zone : str, optional
            Zone of time stamps that carry none.
        frequency : str
            Step of the series: "5min", "10min", "15min", "30min", "1h" or "1d".
        covariates : mapping of column to role, optional
            A role is "past", known up to the issue time, or "forecast", known ahead; or a mapping
            of the keys that [covariates.NAME] has in a TOML file.
        holiday_country : str, optional
            ISO code of the country whose holidays count.
        holiday_subdivision : str, optional
            State or region of the country, such as "BY" of "DE".
        holidays : sequence of date
            Days of more holidays, as dates or such as "2024-05-10".
        splits : mapping, optional
            As [splits] in a TOML file, with its default.
        weather : frame, optional
            Weather runs, a row for each time of issue and hour: columns issued_at and valid_at, and
            those of the covariates that say `"source": "weather"`.
        available_after : str
            Delay until a value of the target can be read, such as "6h".
        name : str
            What results are called after.

        Raises
        ------
        SettingsError
            If a column is absent, or a role or split is wrong.
        DataError
            With every error that the checks found.

        Examples
        --------
        >>> import pandas as pd
        >>> hours = pd.date_range("2024-01-01", periods=24 * 200, freq="h", tz="UTC")
        >>> load = pd.DataFrame({"MW": 40.0 + hours.hour + hours.day_of_week}, index=hours)
        >>> dataset = Dataset.from_frame(load, target="MW", unit="MW", name="north")
        >>> len(dataset.series), str(dataset.dates.train_to)
        (4800, '2024-04-29 23:00:00+00:00')
        """
        roles = {
            column: {"role": role} if isinstance(role, str) else dict(role)
            for column, role in (covariates or {}).items()
        }
        spec = declare_dataset(
            {
                "name": name,
                "path": f"{name}.csv",
                "time_column": time or INDEX_COLUMN,
                "target": target,
                "unit": unit,
                "zone": zone,
                "stamp_zone": stamp_zone,
                "frequency": frequency,
                "available_after": available_after,
                "holiday_country": holiday_country,
                "holiday_subdivision": holiday_subdivision,
                "holidays": list(holidays),
                "covariates": roles,
                "splits": dict(splits or {}),
                "weather": None if weather is None else {"path": f"{name}_weather.csv"},
            },
            origin="the frame does not declare a data set",
        )
        tables = Tables(
            _as_pandas(frame, time),
            None if weather is None else _as_pandas(weather, spec.time_column),
        )
        used = choose_covariates(spec, None)
        series, findings = examine_tables(tables, spec, used, _load_calendar(spec, None))
        return _accepted(spec, series, findings, place="the frame")


def load_dataset(
    name_or_path: str | Path,
    *,
    data_dir: str | Path | None = None,
    covariates: Sequence[str] | None = None,
    until: pd.Timestamp | None = None,
) -> Dataset:
    """A data set, checked.

    Parameters
    ----------
    data_dir : path, optional
        Folder of the files of named sets; the environment variable PARETOCAST_DATA without it.
    covariates : sequence of str, optional
        Names of declared covariates to use, possibly none; those with `use = true` without it.
    until : Timestamp, optional
        Last hour of an earlier study, UTC: periods and checks are as if the file ended there, and a
        note says what follows.

    Raises
    ------
    SettingsError
        If there is no such set, or if its TOML file or a covariate's name is wrong.
    DataError
        If a file is absent or unreadable, or with every error that the checks found.
    """
    spec, series, findings = _examine(
        find_spec(name_or_path), data_dir=data_dir, covariates=covariates, until=until
    )
    return _accepted(spec, series, findings, place=str(spec.path))


def examine_declared(
    spec: DatasetSpec,
    *,
    data_dir: str | Path | None = None,
    covariates: Sequence[str] | None = None,
) -> tuple[tuple[Finding, ...], Dataset | None]:
    """Every finding on a declared set, errors first, and the set where there is no error.

    Arguments and refusals as of `load_dataset`.
    """
    _, series, findings = _examine(spec, data_dir=data_dir, covariates=covariates)
    if series is None or errors_among(findings):
        return findings, None
    return findings, _accepted(spec, series, findings, place=str(spec.path))


def load_school_holidays(path: Path) -> tuple[tuple[dt.date, dt.date], ...]:
    """First and last days of school holidays from a CSV file with start_date and end_date.

    Raises
    ------
    DataError
        If the file is absent or unreadable, or a row is no pair of dates in their order.
    """
    if not path.is_file():
        raise DataError(
            f"no file {path} with school holidays; put it there, or take school_holidays out of "
            "the data set's TOML file"
        )
    frame = read_table(path)
    if not {"start_date", "end_date"} <= set(frame.columns):
        raise DataError(
            f"{path} has the columns {', '.join(map(str, frame.columns))}, expected start_date and "
            "end_date"
        )
    ranges = []
    for row, (first, last) in enumerate(zip(frame["start_date"], frame["end_date"], strict=True)):
        try:
            days = dt.date.fromisoformat(str(first)), dt.date.fromisoformat(str(last))
        except ValueError as error:
            raise DataError(
                f"{path} row {row + 1}: {first} to {last}, expected dates such as 2020-12-21"
            ) from error
        if days[0] > days[1]:
            raise DataError(f"{path} row {row + 1}: {last} ends before {first} begins")
        ranges.append(days)
    return tuple(ranges)


@dataclass(frozen=True)
class Tables:
    """Rows of a data set, as its declaration has them.

    Attributes
    ----------
    rows : DataFrame
        Target and covariates.
    weather : DataFrame or None
        Rows of weather runs where the set has some.
    sources : tuple of SourceTable
        Rows of other files that hold covariates.
    """

    rows: pd.DataFrame
    weather: pd.DataFrame | None
    sources: tuple[SourceTable, ...] = ()


def examine_tables(
    tables: Tables,
    spec: DatasetSpec,
    used: Sequence[str],
    calendar: Calendar,
    until: pd.Timestamp | None = None,
) -> tuple[Series | None, tuple[Finding, ...]]:
    """The series of some tables and every finding on them; no series where no hour is known.

    Parameters
    ----------
    used : sequence of str
        Covariates by their declared names.
    until : Timestamp, optional
        As of `load_dataset`.
    """
    runs, findings = _runs_of(tables.weather, spec, used, until)
    join = partial(join_sources, tables.sources, spec) if tables.sources else None
    grid, of_rows = examine_frame(
        tables.rows, spec, covariates=used, runs=runs, join=join, until=until
    )
    if grid is None:
        return None, by_severity([*of_rows, *findings])
    if runs is not None:
        findings += _of_runs(check_reach(runs, grid.index))
    series = Series(
        name=spec.name,
        values=grid.target,
        index=grid.index,
        unit=spec.unit,
        calendar=calendar,
        covariates=grid.covariates,
        runs=runs,
        delay_hours=spec.delay_hours,
        repairs=grid.repairs,
    )
    return series, by_severity([*of_rows, *findings])


def _examine(
    spec: DatasetSpec,
    *,
    data_dir: str | Path | None,
    covariates: Sequence[str] | None,
    until: pd.Timestamp | None = None,
) -> tuple[DatasetSpec, Series | None, tuple[Finding, ...]]:
    """A set's series and every finding on it; no series where its hours are unknown."""
    used = choose_covariates(spec, covariates)
    if spec.name == DEMO_NAME and spec == find_spec(DEMO_NAME):
        return spec, *_examine_demo(spec, used)
    path = _locate(spec.path, spec, data_dir)
    runs_path = None
    if spec.weather is not None and spec.from_runs(used):
        runs_path = _locate(spec.weather.path, spec, data_dir)
    calendar = _load_calendar(spec, data_dir)
    numbers = [spec.target, *(spec.column_of(name) for name in used)]
    rows, notes = read_rows(path, spec, numbers=numbers)
    runs = None if runs_path is None else read_table(runs_path)
    tables = Tables(rows, runs, _read_sources(spec, used, data_dir))
    series, findings = examine_tables(tables, spec, used, calendar, until)
    findings = by_severity([*notes, *findings])
    if until is not None:
        spec = spec.cut_after(until)
    if series is not None:
        findings += _check_school_holidays(series)
    return spec, series, findings


def _read_sources(
    spec: DatasetSpec, used: Sequence[str], data_dir: str | Path | None
) -> tuple[SourceTable, ...]:
    """Rows of the other files that hold used covariates."""
    columns = {spec.column_of(name) for name in spec.from_sources(used)}
    return tuple(
        SourceTable(source, *read_rows(_locate(source.path, spec, data_dir), source))
        for source in spec.sources
        if columns & set(source.columns)
    )


def _runs_of(
    table: pd.DataFrame | None,
    spec: DatasetSpec,
    used: Sequence[str],
    until: pd.Timestamp | None,
) -> tuple[WeatherRuns | None, tuple[Finding, ...]]:
    """The weather runs that the used covariates need, and every finding on them."""
    names = spec.from_runs(used)
    if table is None or not names:
        return None, ()
    runs, findings = examine_runs(table, spec, covariates=names, until=until)
    return runs, _of_runs(findings)


def _of_runs(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(replace(f, message=f"weather runs: {f.message}") for f in findings)


def _accepted(
    spec: DatasetSpec, series: Series | None, findings: tuple[Finding, ...], *, place: str
) -> Dataset:
    """Return the data set, or raise a DataError with every error among the findings."""
    errors = errors_among(findings)
    if errors or series is None:
        listed = "\n".join(f"  {error}" for error in errors)
        raise DataError(f"data set {spec.name} ({place}) cannot be used:\n{listed}")
    dates = SplitDates(*spec.last_hours(series.index[0], series.index[-1]))
    return Dataset(spec, series, dates, findings)


def _as_pandas(frame: IntoDataFrame, time: str | None) -> pd.DataFrame:
    """Return the columns of a frame of any library, with the index of a pandas frame as one."""
    if isinstance(frame, pd.DataFrame):
        return frame if time else frame.rename_axis(INDEX_COLUMN).reset_index()
    import narwhals as nw

    try:
        columns = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise SettingsError(
            f"the data set is a {type(frame).__name__}, expected a pandas or polars data frame"
        ) from error
    if time is None:
        raise SettingsError("only a pandas frame has an index; name the column of time stamps")
    return pd.DataFrame({name: columns[name].to_list() for name in columns.columns})


def _examine_demo(spec: DatasetSpec, used: Sequence[str]) -> tuple[Series, tuple[Finding, ...]]:
    whole, _ = generate_demo()
    by_name = {covariate.name: covariate for covariate in whole.covariates}
    series = replace(whole, covariates=tuple(by_name[name] for name in used))
    grid = Grid(series.index, series.values, series.covariates)
    return series, tuple(check_all(grid, spec, covariates=used))


def choose_covariates(spec: DatasetSpec, requested: Iterable[str] | None) -> tuple[str, ...]:
    """Names of the covariates to use, as the set declares and the user wishes.

    Raises
    ------
    SettingsError
        If the set declares no such covariate.
    """
    if requested is None:
        return tuple(name for name, covariate in spec.covariates.items() if covariate.use)
    names = tuple(dict.fromkeys(requested))
    unknown = [name for name in names if name not in spec.covariates]
    if unknown:
        raise SettingsError(
            f"data set {spec.name} declares no covariate {', '.join(unknown)}; it declares "
            f"{', '.join(spec.covariates) or 'none'}"
        )
    return names


def data_folder(data_dir: str | Path | None) -> Path | None:
    """Return the folder of the data files: the one given, else that of the environment."""
    if data_dir is not None:
        return Path(data_dir)
    named = os.environ.get(DATA_DIR_VARIABLE)
    return Path(named) if named else None


def _locate(file: Path, spec: DatasetSpec, data_dir: str | Path | None) -> Path:
    """One of the set's files.

    Raises
    ------
    DataError
        If it is not there, with what was tried and where the data come from.
    """
    folder = data_folder(data_dir)
    origin = f" The data come from {spec.source}." if spec.source else ""
    if folder is None and not file.is_absolute():
        raise DataError(
            f"data set {spec.name} needs the file {file}, and no data directory is given: use "
            f"--data-dir or set {DATA_DIR_VARIABLE}.{origin}"
        )
    path = file if folder is None else folder / file
    if path.is_file():
        return path
    remedy = (
        "correct path in the set's TOML file"
        if file.is_absolute()
        else f"give its folder with --data-dir or {DATA_DIR_VARIABLE}"
    )
    raise DataError(f"data set {spec.name}: no file {path.absolute()}; {remedy}.{origin}")


def _load_calendar(spec: DatasetSpec, data_dir: str | Path | None) -> Calendar:
    school: tuple[tuple[dt.date, dt.date], ...] = ()
    if spec.school_holidays is not None:
        folder = data_folder(data_dir) or Path()
        school = load_school_holidays(folder / spec.school_holidays)
    return Calendar(
        # The dates of a daily series stand at midnight UTC.
        zone="UTC" if spec.steps_per_day == 1 else spec.zone,
        country=spec.holiday_country,
        school_holidays=school,
        subdivision=spec.holiday_subdivision,
        holidays=spec.holidays,
    )


def _check_school_holidays(series: Series) -> tuple[Finding, ...]:
    """A warning where the list of school holidays does not cover the years of the series."""
    holidays = series.calendar.school_holidays
    if not holidays:
        return ()
    local = series.index[[0, -1]].tz_convert(series.calendar.zone)
    years = range(local[0].year, local[1].year + 1)
    spans = [range(first.year, last.year + 1) for first, last in holidays]
    absent = [year for year in years if not any(year in span for span in spans)]
    if not absent:
        return ()
    return (
        Finding(
            "warning",
            "school_holidays",
            f"the school holidays name no day in {', '.join(map(str, absent))}",
            "add the years to the file, or take school_holidays out of the set's TOML file",
        ),
    )
