"""From the rows of a file to a regular grid: columns, stamps, numbers, order.

Rows are counted from 1 after the header; of a long file, those of one series. Nothing is repaired:
a row too many is an error, a step too few becomes NaN.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.checks import (
    N_LISTED,
    Finding,
    Grid,
    at,
    check_split_order,
    errors_among,
    span,
)
from paretocast.data.clock import check_clock, localise, refuse_naive, step_of
from paretocast.data.columns import check_columns, parse_columns, shortened
from paretocast.data.plausibility import check_all
from paretocast.data.repair import arrange_rows, repair_values, tell_repairs
from paretocast.data.series import DAY, Covariate
from paretocast.data.stamps import (
    FIRST_YEAR,
    LAST_YEAR,
    Times,
    read_date_and_hour,
    read_times,
)
from paretocast.data.tables import dialect_note
from paretocast.formatting import count
from paretocast.steps import FREQUENCIES, noun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.series import Repair
    from paretocast.data.spec import DatasetSpec
    from paretocast.data.weather_runs import WeatherRuns

    Columns = dict[str, NDArray[np.float64]]
    Join = Callable[[pd.DatetimeIndex], tuple[Columns, tuple[Finding, ...]]]

LATER_HOURS = "later_hours"
MOST_YEARS = 290  # that a length of time in nanoseconds can count


def examine_frame(
    frame: pd.DataFrame,
    spec: DatasetSpec,
    *,
    covariates: Sequence[str],
    runs: WeatherRuns | None = None,
    join: Join | None = None,
    until: pd.Timestamp | None = None,
) -> tuple[Grid | None, tuple[Finding, ...]]:
    """Grid of a table and every finding, errors first.

    The grid is None where the hours of the rows are not known. With an error among the findings it
    serves for further findings only.

    Parameters
    ----------
    runs : WeatherRuns, optional
        Of the covariates that come from them; without it these are left out.
    join : callable, optional
        Columns of other files, (T,) each, on the hours of a grid, and findings on them; without it
        covariates of such columns are sought in `frame`.
    until : Timestamp, optional
        Last hour of a study. Later rows add one note and nothing else, whatever their values are.
    """
    elsewhere = set(spec.from_runs(covariates))
    by_join = () if join is None else spec.from_sources(covariates)
    measured = [name for name in covariates if name not in elsewhere.union(by_join)]
    grid, findings = lay_frame(frame, spec, covariates=measured, until=until)
    findings += _offered_twice(frame, spec, by_join)
    if grid is not None and join is not None:
        columns, problems = join(grid.index)
        findings += problems
        measured = [name for name in covariates if name not in elsewhere]
        grid = _with_columns(grid, spec, measured, columns)
    if grid is not None:
        if runs is None:
            covariates = measured
        else:
            grid = _with_runs(grid, spec, covariates, runs)
        used = spec if until is None else spec.cut_after(until)
        findings = (*findings, *check_all(grid, used, covariates=covariates))
    return grid, by_severity(findings)


def _offered_twice(
    frame: pd.DataFrame, spec: DatasetSpec, names: Sequence[str]
) -> tuple[Finding, ...]:
    columns = [spec.column_of(name) for name in names if spec.column_of(name) in frame.columns]
    if not columns:
        return ()
    message = f"{', '.join(columns)} stand in {spec.path.name} and in a section [[sources]]"
    return (Finding("error", "doubled_column", message, "give one of them another name"),)


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings with errors first and notes last."""
    return tuple(sorted(findings, key=lambda f: ("error", "warning", "note").index(f.severity)))


def lay_frame(
    frame: pd.DataFrame,
    spec: DatasetSpec,
    *,
    covariates: Sequence[str],
    until: pd.Timestamp | None = None,
) -> tuple[Grid | None, tuple[Finding, ...]]:
    """Grid of a table, None where the hours of the rows are not known, and what is wrong.

    Columns, stamps, numbers and order are looked at, neither values nor periods. `until` as of
    `examine_frame`.
    """
    measured = [spec.target, *(spec.column_of(name) for name in covariates)]
    frame, findings = rows_of_series(frame, spec)
    findings += check_columns(frame, [*time_columns(frame, spec), *measured])
    if findings:
        return None, (*findings, *_other_problems(frame, spec))
    raw = [frame[name] for name in dict.fromkeys(measured)]
    columns, problems = parse_columns(raw, spec)
    index, findings = stamps_of(frame, spec, columns[spec.target])
    if index is not None and until is not None:
        later = np.asarray(index > until)
        findings += _check_later(index[later], spec, until)
        spec = spec.cut_after(until)
        # Whatever stands in later rows.
        columns, problems = parse_columns([column.mask(later) for column in raw], spec)
    findings += problems
    if index is None or (errors_among(findings) and np.isnan(columns[spec.target]).all()):
        return None, tuple(findings + check_split_order(spec))
    numbers = np.arange(len(index))
    if newest_first(index):
        index, numbers = index[::-1], numbers[::-1]
        columns = {name: values[::-1] for name, values in columns.items()}
    rows = np.flatnonzero(_used(index, spec))
    if len(rows) < 2:
        return None, (*findings, _nothing_used(index, spec))
    repairs: tuple[Repair, ...] = ()
    if spec.repair == "auto":
        rows, repairs = arrange_rows(index, columns, rows, numbers)
    used = index[rows]
    findings += _check_order(used, numbers[rows], spec)
    if spec.steps_per_day > 1:
        findings += check_clock(
            used,
            zone=spec.zone,
            stamp_zone=spec.stamp_zone,
            observed=~np.isnan(columns[spec.target][rows]),
        )
    stamps = used if (np.diff(used.asi8) > 0).all() else used.unique().sort_values()
    problems = _check_frequency(stamps, spec) if len(stamps) > 1 else []
    findings += problems
    if problems or len(stamps) < 2:
        return None, tuple(findings + check_split_order(spec))
    grid = _lay_grid(used, _chosen_rows(columns, rows), spec, covariates)
    if spec.repair == "auto":
        grid = repair_values(replace(grid, repairs=repairs), spec.target, covariates)
    return grid, (*findings, *tell_repairs(grid.repairs))


def _other_problems(frame: pd.DataFrame, spec: DatasetSpec) -> list[Finding]:
    """Further findings on a table that lacks a column, so that all errors come at once."""
    findings = check_split_order(spec)
    if spec.time_column in frame.columns:
        findings += parse_stamps(frame[spec.time_column], spec)[1]
    return findings


def stamps_of(
    frame: pd.DataFrame, spec: DatasetSpec, values: NDArray[np.float64] | None = None
) -> tuple[pd.DatetimeIndex | None, list[Finding]]:
    """UTC starts of the intervals of rows, or what keeps them from being read."""
    columns = time_columns(frame, spec)
    if len(columns) == 2:
        raw = frame[columns[0]].astype("str") + " " + frame[columns[1]].astype("str")
        return _in_zone(
            raw.rename(" and ".join(columns)), read_date_and_hour(frame, spec), spec, values
        )
    return parse_stamps(frame[columns[0]], spec, values)


def time_columns(frame: pd.DataFrame, spec: DatasetSpec) -> tuple[str, ...]:
    """Columns of the time in a table; one that has no date and hour may have both in one column."""
    if spec.time_columns is not None and spec.time_column in frame.columns:
        return (spec.time_column,)
    return spec.stamp_columns


def rows_of_series(frame: pd.DataFrame, spec: DatasetSpec) -> tuple[pd.DataFrame, list[Finding]]:
    """Rows of the one series of a long table that a set means; all of another table."""
    column, name = spec.series_column, spec.series_name
    if column is None or column not in frame.columns:
        return frame, check_columns(frame, [column] if column else [])
    names = frame[column].astype("str").str.strip()
    rows = frame[names == name]
    if len(rows):
        return rows.reset_index(drop=True), []
    there = sorted(names.dropna().unique())
    listed = ", ".join(there[:N_LISTED]) + (", …" if len(there) > N_LISTED else "")
    return rows, [
        Finding(
            "error",
            "no_series",
            f"no row has {name} in column {column}; there are {count(len(there), 'series')}: "
            f"{listed}",
            "name one of them as series_name",
        )
    ]


def newest_first(index: pd.DatetimeIndex) -> bool:
    """True if times fall from row to row, as in tables that begin with the newest."""
    if (np.diff(index.asi8) >= 0).all():  # NaT, the lowest number, among them
        return False
    there = index[index.notna()]
    return len(there) > 1 and there.is_monotonic_decreasing and there[0] > there[-1]


def parse_stamps(
    raw: pd.Series, spec: DatasetSpec, values: NDArray[np.float64] | None = None
) -> tuple[pd.DatetimeIndex | None, list[Finding]]:
    """UTC starts of the intervals of a time column's rows, or what keeps them from being read.

    NaT for a row that a warning leaves out, see `clock.localise`. `values` are those of the target,
    which tell filler rows from measured ones.
    """
    return _in_zone(raw, read_times(raw, spec.time_format), spec, values)


def _in_zone(
    raw: pd.Series, times: Times, spec: DatasetSpec, values: NDArray[np.float64] | None
) -> tuple[pd.DatetimeIndex | None, list[Finding]]:
    stamps, zoned = times.stamps, times.zoned
    if impossible := _impossible(raw, stamps):
        return None, impossible
    if zoned.any() and not zoned.all():
        row = int(np.flatnonzero(~zoned)[0])
        return None, [
            Finding(
                "error",
                "mixed_zones",
                f"{int((~zoned).sum())} of {len(zoned)} times carry no zone and the others do; the "
                f"first without is {raw.iloc[row]} in row {row + 1}",
                "write all of them in UTC, with a Z at the end",
            )
        ]
    found = dict(times.found)
    if spec.stamps is None and times.at_end and spec.steps_per_day > 1:
        found["stamps"] = "end"
    at_end = "end" in {spec.stamps, found.get("stamps")} and not times.counted
    notes = [dialect_note(spec.path, found)] if found else []
    if spec.steps_per_day == 1:
        index, problems = _dates(stamps if zoned.all() else stamps.tz_localize(None), spec)
        if index is not None and at_end:
            index = index - DAY
        return index, problems + notes
    if zoned.all():
        starts = stamps.tz_convert("UTC").as_unit("ns")
        return starts - step_of(stamps) if at_end else starts, notes
    walls = stamps.tz_localize(None)
    if spec.stamp_zone is None:
        return None, [refuse_naive(raw, walls, spec.zone, values), *notes]
    index, problems = localise(walls, spec.stamp_zone, values, at_end=at_end)
    return index, problems + notes


def _dates(
    stamps: pd.DatetimeIndex, spec: DatasetSpec
) -> tuple[pd.DatetimeIndex | None, list[Finding]]:
    """Dates of the midnights of a daily series, local ones or of UTC, as midnights UTC."""
    clocks = [stamps]
    if stamps.tz is not None:
        clocks = [stamps.tz_convert(zone).tz_localize(None) for zone in (*spec.zones, "UTC")]
    for clock in clocks:
        if (clock == clock.normalize()).all():
            return clock.tz_localize("UTC").as_unit("ns"), []
    off = np.flatnonzero(clocks[0] != clocks[0].normalize())
    where = "" if stamps.tz is None else f" in {spec.zone} or UTC"
    return None, [
        Finding(
            "error",
            "frequency",
            f"{len(off)} of {len(stamps)} times are no midnights{where}, the first is "
            f"{clocks[0][off[0]]:%Y-%m-%d %H:%M:%S} in row {off[0] + 1}",
            'write the date of each day, such as 2020-11-13, or set another frequency than "1d"',
        )
    ]


def _impossible(raw: pd.Series, stamps: pd.DatetimeIndex) -> list[Finding]:
    """An error on cells that are no times, or on times of which one year has to be wrong."""
    if stamps.isna().any():
        return [_unparsable(raw, np.asarray(stamps.isna()))]
    if len(stamps) and stamps.year.max() - stamps.year.min() > MOST_YEARS:
        return [_far_apart(raw, stamps)]
    return []


def _unparsable(raw: pd.Series, bad: NDArray[np.bool_]) -> Finding:
    row = int(np.flatnonzero(bad)[0])
    return Finding(
        "error",
        "unparsable_times",
        f"{raw.name} holds {count(int(bad.sum()), 'value')} that cannot be read as a time, the "
        f"first is {shortened(raw.iloc[row])!r} in row {row + 1}",
        "write ISO 8601 such as 2020-11-13T23:00:00Z, or set time_format to the pattern of all "
        f"times, such as %d.%m.%Y %H:%M; years from {FIRST_YEAR} to {LAST_YEAR} can be used",
    )


def _far_apart(raw: pd.Series, stamps: pd.DatetimeIndex) -> Finding:
    first, last = int(stamps.argmin()), int(stamps.argmax())
    return Finding(
        "error",
        "unparsable_times",
        f"the times of {raw.name} reach from {shortened(raw.iloc[first])!r} in row {first + 1} to "
        f"{shortened(raw.iloc[last])!r} in row {last + 1}, more than {MOST_YEARS} years",
        "correct or remove the rows whose year is wrong",
    )


def _used(index: pd.DatetimeIndex, spec: DatasetSpec) -> NDArray[np.bool_]:
    used = np.asarray(index.notna())
    if spec.use_from is not None:
        used &= index >= spec.use_from
    if spec.use_to is not None:
        used &= index <= spec.use_to
    return used


def _nothing_used(index: pd.DatetimeIndex, spec: DatasetSpec) -> Finding:
    if len(index) < 2:
        return Finding(
            "error", "too_short", f"the file holds {count(len(index), 'row')}", "give it more"
        )
    return Finding(
        "error",
        "too_short",
        f"fewer than two rows lie between use_from {at(spec.use_from)} and use_to "
        f"{at(spec.use_to)}; the data run from {at(index.min())} to {at(index.max())}",
        "correct use_from and use_to",
    )


def _check_later(later: pd.DatetimeIndex, spec: DatasetSpec, until: pd.Timestamp) -> list[Finding]:
    """A note on hours that a new study would use and one that ends with `until` does not."""
    hours = later.unique()
    for declared in (spec.use_to, spec.splits.test_to):
        if declared is not None:
            hours = hours[hours <= declared]
    if not len(hours):
        return []
    return [
        Finding(
            "note",
            LATER_HOURS,
            f"{spec.path.name} has {count(len(hours), noun(spec.steps_per_day))} after "
            f"{at(until)}, the end of the study's test period; they are not used",
        )
    ]


def _check_order(
    index: pd.DatetimeIndex, rows: NDArray[np.intp], spec: DatasetSpec
) -> list[Finding]:
    findings: list[Finding] = []
    if (np.diff(index.asi8) > 0).all():
        return findings
    doubled = index.duplicated()
    if doubled.any():
        first = int(np.flatnonzero(doubled)[0])
        findings.append(
            Finding(
                "error",
                "duplicates",
                f"{count(int(doubled.sum()), 'time')} in more than one row, the first is "
                f"{at(index[first])} in row {rows[first] + 1}",
                f"keep one row per {noun(spec.steps_per_day)}",
            )
        )
    backward = np.diff(index.asi8) < 0
    if backward.any():
        first = int(np.flatnonzero(backward)[0]) + 1
        findings.append(
            Finding(
                "error",
                "unsorted",
                f"the rows are not sorted by time: {at(index[first])} in row {rows[first] + 1} "
                f"comes after {at(index[first - 1])}",
                "sort the file by time",
            )
        )
    return findings


def _check_frequency(stamps: pd.DatetimeIndex, spec: DatasetSpec) -> list[Finding]:
    """Findings that keep stamps, two at least and in order, from being laid on a grid."""
    elapsed = stamps.as_unit("ns").asi8
    step = pd.Timedelta(int(np.median(np.diff(elapsed))), unit="ns")
    full = "full hours" if spec.frequency == "1h" else f"multiples of {span(spec.step)}"
    advice = f"bring the data to {full} first, each stamp at the start of its step"
    if spec.frequency == "1h":
        advice = "bring the data to full hours first, each stamp at the start of its hour"
    off = _off_step(stamps, spec)
    if step != spec.step:
        known = [name for name, per_day in FREQUENCIES.items() if per_day * step == DAY]
        message = f"the median step between two times is {span(step)}, expected {span(spec.step)}"
        advice = f'set frequency = "{known[0]}"' if known else advice
    elif off.any():
        also = "" if spec.zone == "UTC" else f" or {spec.zone}"
        message = (
            f"{int(off.sum())} of {len(stamps)} times are no {full} in UTC{also}, the first is "
            f"{stamps[off][0]:%Y-%m-%d %H:%M:%S}Z"
        )
    else:
        return []
    return [Finding("error", "frequency", message, advice)]


def _off_step(stamps: pd.DatetimeIndex, spec: DatasetSpec) -> NDArray[np.bool_]:
    """True where a stamp is off the grid, (T,); the grid is full steps of UTC or of a zone.

    In some zones a full hour is half an hour off in UTC.
    """
    step, elapsed = spec.step.value, stamps.as_unit("ns").asi8
    off = np.asarray(elapsed % step != 0)
    if off.any():
        clocks = [stamps.tz_convert(zone).tz_localize(None) for zone in spec.zones]
        of_clocks = [off, *(np.asarray(c.as_unit("ns").asi8 % step != 0) for c in clocks)]
        off = min(of_clocks, key=lambda mask: int(mask.sum()))
    # A zone whose clock changes by less than a step leaves the grid in summer.
    return off | ((elapsed - elapsed[0]) % step != 0) if not off.any() else off


def _chosen_rows(columns: Columns, rows: NDArray[np.intp]) -> Columns:
    """Some rows of columns; the columns themselves where these are all, in their order."""
    n_rows = len(next(iter(columns.values())))
    if len(rows) == n_rows and (np.diff(rows) == 1).all():
        return columns
    return {name: values[rows] for name, values in columns.items()}


def _lay_grid(
    index: pd.DatetimeIndex,
    columns: dict[str, NDArray[np.float64]],
    spec: DatasetSpec,
    covariates: Sequence[str],
) -> Grid:
    hours, laid = index, columns
    if not (np.diff(index.asi8) == spec.step.value).all():
        hours = pd.date_range(index.min(), index.max(), freq=spec.step, unit="ns")
        rows = np.flatnonzero(~index.duplicated())
        places = (index.asi8[rows] - hours.asi8[0]) // spec.step.value
        laid = {name: np.full(len(hours), np.nan) for name in columns}
        for name, values in columns.items():
            laid[name][places] = values[rows]
    return Grid(
        hours,
        laid[spec.target],
        tuple(
            Covariate(
                spec.covariates[name].series_name(name),
                laid[spec.column_of(name)].copy(),
                spec.covariates[name].role,
                spec.covariates[name].unit,
            )
            for name in covariates
        ),
    )


def _with_runs(grid: Grid, spec: DatasetSpec, covariates: Sequence[str], runs: WeatherRuns) -> Grid:
    """The grid with the covariates of weather runs too, all in the order of `covariates`."""
    shortest = runs.shortest_lead(grid.index)
    columns = {
        spec.column_of(name): shortest[:, runs.names.index(spec.covariates[name].series_name(name))]
        for name in spec.from_runs(covariates)
    }
    return _with_columns(grid, spec, covariates, columns)


def _with_columns(
    grid: Grid,
    spec: DatasetSpec,
    covariates: Sequence[str],
    columns: Mapping[str, NDArray[np.float64]],
) -> Grid:
    """The grid with covariates of further columns, all in the order of `covariates`."""
    by_name = {covariate.name: covariate for covariate in grid.covariates}
    ordered = []
    for name in covariates:
        declared, column = spec.covariates[name], spec.column_of(name)
        series_name = declared.series_name(name)
        if series_name not in by_name:
            values = columns[column].copy()
            by_name[series_name] = Covariate(series_name, values, declared.role, declared.unit)
        ordered.append(by_name[series_name])
    return replace(grid, covariates=tuple(ordered))
