"""From the rows of a file to an hourly grid: columns, stamps, numbers, order.

Rows are counted from 1 after the header. Nothing is repaired: a row too many is an error, an hour
too few becomes NaN.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.checks import Finding, Grid, at, check_split_order
from paretocast.data.clock import check_clock, localise, refuse_naive
from paretocast.data.plausibility import check_all
from paretocast.data.repair import arrange_rows, repair_values, tell_repairs
from paretocast.data.series import Covariate, Repair
from paretocast.formatting import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from paretocast.data.spec import DatasetSpec
    from paretocast.data.weather_runs import WeatherRuns

HOUR = pd.Timedelta(hours=1)
LATER_HOURS = "later_hours"
# A clock time, and behind it Z or an offset.
_WITH_ZONE = re.compile(r"[T ]\d{2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$")


def examine_frame(
    frame: pd.DataFrame,
    spec: DatasetSpec,
    *,
    covariates: Sequence[str],
    runs: WeatherRuns | None = None,
    until: pd.Timestamp | None = None,
) -> tuple[Grid | None, tuple[Finding, ...]]:
    """Hourly grid of a table and every finding, errors first.

    The grid is None where the hours of the rows are not known. With an error among the findings it
    serves for further findings only.

    Parameters
    ----------
    runs : WeatherRuns, optional
        Of the covariates that come from them; without it these are left out.
    until : Timestamp, optional
        Last hour of a study. Later rows add one note and nothing else, whatever their values are.
    """
    by_run = spec.from_runs(covariates)
    measured = [name for name in covariates if name not in by_run]
    grid, findings = lay_frame(frame, spec, covariates=measured, until=until)
    if grid is not None:
        if runs is None:
            covariates = measured
        else:
            grid = _with_runs(grid, spec, covariates, runs)
        used = spec if until is None else spec.cut_after(until)
        findings = (*findings, *check_all(grid, used, covariates=covariates))
    return grid, by_severity(findings)


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
    """Hourly grid of a table, None where the hours of the rows are not known, and what is wrong.

    Columns, stamps, numbers and order are looked at, neither values nor periods. `until` as of
    `examine_frame`.
    """
    needed = [spec.time_column, spec.target, *(spec.column_of(name) for name in covariates)]
    findings = check_columns(frame, needed)
    if findings:
        return None, (*findings, *_other_problems(frame, spec))
    observed, _ = parse_numbers(frame[spec.target])
    index, findings = parse_stamps(frame[spec.time_column], spec, observed)
    later = np.zeros(len(frame), dtype=bool)
    if index is not None and until is not None:
        later = np.asarray(index > until)
        findings += _check_later(index[later], spec, until)
        spec = spec.cut_after(until)
    columns = {}
    for column in (spec.target, *(spec.column_of(name) for name in covariates)):
        columns[column], problems = parse_numbers(frame[column].mask(later))
        findings += problems
    if index is None or (findings and np.isnan(columns[spec.target]).all()):
        return None, tuple(findings + check_split_order(spec))
    rows = np.flatnonzero(_used(index, spec))
    if len(rows) < 2:
        return None, (*findings, _nothing_used(index, spec))
    repairs: tuple[Repair, ...] = ()
    if spec.repair == "auto":
        rows, repairs = arrange_rows(index, columns, rows)
    findings += _check_order(index[rows], rows)
    findings += check_clock(
        index[rows],
        zone=spec.zone,
        stamp_zone=spec.stamp_zone,
        observed=~np.isnan(columns[spec.target][rows]),
    )
    stamps = index[rows].unique().sort_values()
    problems = _check_frequency(stamps) if len(stamps) > 1 else []
    findings += problems
    if problems or len(stamps) < 2:
        return None, tuple(findings + check_split_order(spec))
    grid = _lay_grid(
        index[rows], {name: values[rows] for name, values in columns.items()}, spec, covariates
    )
    if spec.repair == "auto":
        grid = repair_values(replace(grid, repairs=repairs), spec.target, covariates)
    return grid, (*findings, *tell_repairs(grid.repairs))


def _other_problems(frame: pd.DataFrame, spec: DatasetSpec) -> list[Finding]:
    """What can be told of a table that lacks a column, so that all errors come at once."""
    findings = check_split_order(spec)
    if spec.time_column in frame.columns:
        findings += parse_stamps(frame[spec.time_column], spec)[1]
    return findings


def parse_stamps(
    raw: pd.Series, spec: DatasetSpec, values: NDArray[np.float64] | None = None
) -> tuple[pd.DatetimeIndex | None, list[Finding]]:
    """UTC stamps of a time column, row by row, or what keeps them from being understood.

    NaT for a row that a warning leaves out, see `clock.localise`. `values` are those of the target,
    which tell filler rows from measured ones.
    """
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        stamps = pd.DatetimeIndex(raw)
        zoned = np.full(len(raw), stamps.tz is not None)
    else:
        text = raw.astype("str").str.strip()
        zoned = text.str.contains(_WITH_ZONE, na=False).to_numpy(bool)
        stamps = pd.DatetimeIndex(
            pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True), tz="UTC"
        )
    if stamps.isna().any():
        return None, [_unparsable(raw, np.asarray(stamps.isna()))]
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
    if zoned.all():
        return stamps.tz_convert("UTC").as_unit("ns"), []
    walls = stamps.tz_localize(None)
    if spec.stamp_zone is None:
        return None, [refuse_naive(raw, walls, spec.zone, values)]
    return localise(walls, spec.stamp_zone, values)


def check_columns(frame: pd.DataFrame, needed: Sequence[str]) -> list[Finding]:
    """Findings on columns that a table lacks."""
    missing = [column for column in dict.fromkeys(needed) if column not in frame.columns]
    if not missing:
        return []
    there = [str(column) for column in frame.columns]
    separated = len(there) == 1 and (";" in there[0] or "\t" in there[0])
    return [
        Finding(
            "error",
            "missing_columns",
            f"no column {', '.join(missing)}; the file has {', '.join(there)}",
            "separate the columns by commas"
            if separated
            else "name existing columns as time_column, target or a covariate's column",
        )
    ]


def parse_numbers(raw: pd.Series) -> tuple[NDArray[np.float64], list[Finding]]:
    """Numbers of a column, NaN for an empty cell, and what is no finite number."""
    if kind := _other_type(raw):
        finding = Finding(
            "error",
            "not_numeric",
            f"column {raw.name} holds {kind}, expected numbers",
            "name another column, or write numbers in a unit",
        )
        return np.full(len(raw), np.nan), [finding]
    numbers = pd.to_numeric(raw, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    numbers = np.array(numbers)
    bad = (np.isnan(numbers) & raw.notna().to_numpy()) | np.isinf(numbers)
    if not bad.any():
        return numbers, []
    row = int(np.flatnonzero(bad)[0])
    value = str(raw.iloc[row])
    comma = re.fullmatch(r"\s*-?\d*,\d+\s*", value) is not None
    numbers[bad] = np.nan
    return numbers, [
        Finding(
            "error",
            "not_numeric",
            f"column {raw.name} holds {int(bad.sum())} values that are no finite numbers, the "
            f"first is {value!r} in row {row + 1}",
            "write a decimal point, not a comma" if comma else "leave the cell of a gap empty",
        )
    ]


def _other_type(raw: pd.Series) -> str:
    """What a typed column holds that would turn into numbers silently; empty for none."""
    kind = pd.api.types.infer_dtype(raw, skipna=True)
    if kind == "boolean":
        return "truth values"
    if kind.startswith(("datetime", "date")):
        return "dates"
    return "durations" if kind.startswith("timedelta") else ""


def _unparsable(raw: pd.Series, bad: NDArray[np.bool_]) -> Finding:
    row = int(np.flatnonzero(bad)[0])
    return Finding(
        "error",
        "unparsable_times",
        f"{int(bad.sum())} values of {raw.name} are no times, the first is "
        f"{str(raw.iloc[row])!r} in row {row + 1}",
        "write ISO 8601 such as 2020-11-13T23:00:00Z",
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
        return Finding("error", "too_short", f"the file holds {len(index)} rows", "give it more")
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
            f"{spec.path.name} has {count(len(hours), 'hour')} after {at(until)}, the end of the "
            "study's test period; they are not used",
        )
    ]


def _check_order(index: pd.DatetimeIndex, rows: NDArray[np.intp]) -> list[Finding]:
    findings = []
    doubled = index.duplicated()
    if doubled.any():
        first = int(np.flatnonzero(doubled)[0])
        findings.append(
            Finding(
                "error",
                "duplicates",
                f"{int(doubled.sum())} times stand in more than one row, the first is "
                f"{at(index[first])} in row {rows[first] + 1}",
                "keep one row per hour",
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


def _check_frequency(stamps: pd.DatetimeIndex) -> list[Finding]:
    """Findings that keep stamps, two at least and in order, from being laid on an hourly grid."""
    elapsed = stamps.as_unit("ns").asi8
    step = pd.Timedelta(int(np.median(np.diff(elapsed))), unit="ns")
    off = elapsed % HOUR.value != 0
    if step != HOUR:
        message = f"the median step between two times is {_span(step)}, expected 1 h"
    elif off.any():
        message = (
            f"{int(off.sum())} of {len(stamps)} times are no full hours in UTC, the first is "
            f"{stamps[off][0]:%Y-%m-%d %H:%M:%S}Z"
        )
    else:
        return []
    advice = "bring the data to full hours first, each stamp at the start of its hour"
    return [Finding("error", "frequency", message, advice)]


def _lay_grid(
    index: pd.DatetimeIndex,
    columns: dict[str, NDArray[np.float64]],
    spec: DatasetSpec,
    covariates: Sequence[str],
) -> Grid:
    hours = pd.date_range(index.min(), index.max(), freq="h", unit="ns")
    rows = np.flatnonzero(~index.duplicated())
    places = (index.asi8[rows] - hours.asi8[0]) // HOUR.value
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
    by_name = {covariate.name: covariate for covariate in grid.covariates}
    shortest = runs.shortest_lead(grid.index)
    for name in spec.from_runs(covariates):
        declared = spec.covariates[name]
        series_name = declared.series_name(name)
        values = shortest[:, runs.names.index(series_name)].copy()
        by_name[series_name] = Covariate(series_name, values, declared.role, declared.unit)
    ordered = [by_name[spec.covariates[name].series_name(name)] for name in covariates]
    return replace(grid, covariates=tuple(ordered))


def _span(step: pd.Timedelta) -> str:
    minutes = step / pd.Timedelta(minutes=1)
    return f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:g} h"
