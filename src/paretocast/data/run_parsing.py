"""From the rows of a weather file to runs: columns, stamps, numbers, and what the runs lack.

Rows are counted from 1 after the header. Nothing is repaired: a row too many is an error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.checks import Finding, at, errors_among, span
from paretocast.data.columns import check_columns, parse_numbers
from paretocast.data.parsing import by_severity, parse_stamps
from paretocast.data.series import DAY
from paretocast.data.weather_runs import WeatherRuns
from paretocast.formatting import count, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data.spec import DatasetSpec, WeatherSpec

_HOUR = pd.Timedelta(hours=1)


def examine_runs(
    frame: pd.DataFrame,
    spec: DatasetSpec,
    *,
    covariates: Sequence[str],
    until: pd.Timestamp | None = None,
) -> tuple[WeatherRuns | None, tuple[Finding, ...]]:
    """Weather runs of a table and every finding, errors first; no runs with an error.

    Parameters
    ----------
    covariates : sequence of str
        Declared names of those that the file holds.
    until : Timestamp, optional
        Last hour of a study; rows for later hours are left out, whatever their values are.
    """
    assert spec.weather is not None
    columns = [spec.column_of(name) for name in covariates]
    stamp_columns = [spec.weather.issued_column, spec.weather.time_column]
    findings = check_columns(frame, [*stamp_columns, *columns])
    if findings:
        return None, tuple(findings)
    stamps = []
    for column in stamp_columns:
        index, problems = _parse_utc(frame[column], spec)
        stamps.append(index)
        findings += problems
    issued, valid = stamps
    if issued is None or valid is None:
        return None, by_severity(findings)
    rows = np.flatnonzero(np.ones(len(valid)) if until is None else valid <= until)
    frame, issued, valid = frame.iloc[rows], issued[rows], valid[rows]
    values = np.empty((len(frame), len(columns)))
    for i, column in enumerate(columns):
        values[:, i], problems = parse_numbers(frame[column])
        findings += problems
    findings += _check_rows(issued, valid, spec.weather, spec.step)
    if errors_among(findings):
        return None, by_severity(findings)
    order = np.lexsort((valid.asi8, issued.asi8))
    names = tuple(spec.covariates[name].series_name(name) for name in covariates)
    runs = WeatherRuns(names, issued[order], valid[order], values[order], spec.step.value)
    return runs, tuple(findings)


def check_reach(runs: WeatherRuns, index: pd.DatetimeIndex) -> list[Finding]:
    """Findings on hours of the next day that the runs lack, for issues at any hour of a series."""
    cells = runs.cells(index, max(1, round(DAY / (index[1] - index[0]))))
    began = cells.runs >= 0  # what is missing before the first run is a hole of the covariate
    newest = np.isnan(runs.at(index, cells, older=False))[began].any(axis=1)
    missing = np.isnan(runs.at(index, cells))[began].any(axis=1)
    if not newest.any():
        return []
    stood_in = float((newest & ~missing).mean())
    first = index[int(cells.hours[began][newest][0])]
    return [
        Finding(
            "warning" if missing.any() else "note",
            "run_holes",
            f"of the hours that a day ahead looks at, {percent(newest.mean(), 2)} are not in the "
            f"newest run, the first is {at(first)}: an older run of up to 24 h before stands in "
            f"for {percent(stood_in, 2)}, earlier hours for {percent(missing.mean(), 2)}",
            "bring runs that reach a day beyond the next one" if missing.any() else "",
        )
    ]


def _parse_utc(raw: pd.Series, spec: DatasetSpec) -> tuple[pd.DatetimeIndex | None, list[Finding]]:
    """UTC stamps; those without a zone are taken only where the set says they are UTC.

    An hour stands in many runs, so the doubled hour of autumn cannot be told from its rows. Where
    the target's stamps mark the end of its steps, those of runs do not.
    """
    zone = "UTC" if spec.stamp_zone == "UTC" else None
    spec = spec.model_copy(update={"stamp_zone": zone, "stamps": "start"})
    # Each stamp stands in many rows; only a message needs to know in which.
    codes, stamps = pd.factorize(raw)
    index, findings = parse_stamps(pd.Series(stamps, name=raw.name), spec)
    if index is not None and (codes >= 0).all():
        return index[codes], findings
    index, findings = parse_stamps(raw, spec)
    advice = 'write UTC stamps with a Z at the end; only stamp_zone = "UTC" counts for them'
    naive = {"naive_times", "daylight_saving"}
    return index, [replace(f, advice=advice) if f.code in naive else f for f in findings]


def _check_rows(
    issued: pd.DatetimeIndex, valid: pd.DatetimeIndex, weather: WeatherSpec, step: pd.Timedelta
) -> list[Finding]:
    if not len(issued):
        return [Finding("error", "too_short", f"{weather.path} holds no rows", "give it some")]
    findings = []
    off = np.asarray(valid != valid.floor(step))
    if off.any():
        row = _first(off)
        full = "full hours" if step == _HOUR else f"multiples of {span(step)}"
        findings.append(
            Finding(
                "error",
                "frequency",
                f"{int(off.sum())} of {len(valid)} times of {weather.time_column} are no {full} "
                f"in UTC, the first is {valid[row]:%Y-%m-%d %H:%M:%S}Z in row {row + 1}",
                f"bring the runs to {full} first, each stamp at the start of its hour or step",
            )
        )
    doubled = _doubled(issued, valid)
    if doubled.any():
        row = _first(doubled)
        findings.append(
            Finding(
                "error",
                "duplicates",
                f"{count(int(doubled.sum()), 'hour')} in more than one row of one run, the first "
                f"is {at(valid[row])} issued at {at(issued[row])} in row {row + 1}",
                "keep one row per time of issue and hour",
            )
        )
    # The hour in which a run is issued has not ended: a value for it is a forecast.
    late = np.asarray(valid < issued.floor("h"))
    if late.any():
        row = _first(late)
        no_forecast = not (valid > issued).any()
        findings.append(
            Finding(
                "error" if no_forecast else "note",
                "issued_late",
                f"{int(late.sum())} of {len(late)} rows were issued after their hour, the first is "
                f"{at(valid[row])} issued at {at(issued[row])} in row {row + 1}",
                f"check whether {weather.issued_column} and {weather.time_column} are mistaken for "
                "each other"
                if no_forecast
                else "they are not used",
            )
        )
    return findings


def _doubled(issued: pd.DatetimeIndex, valid: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """True for rows whose time of issue and hour stand in an earlier row."""
    order = np.lexsort((valid.asi8, issued.asi8))
    same = (np.diff(valid.asi8[order]) == 0) & (np.diff(issued.asi8[order]) == 0)
    doubled = np.zeros(len(valid), dtype=np.bool_)
    doubled[order[1:][same]] = True
    return doubled


def _first(mask: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(mask)[0])
