"""Covariates of other files, joined to a grid by time.

A value that is finer than the grid enters the mean of its step; one that is coarser holds for its
own step, which begins at its stamp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.checks import Finding, at, errors_among
from paretocast.data.clock import step_of
from paretocast.data.columns import check_columns, parse_columns
from paretocast.data.parsing import newest_first, rows_of_series, stamps_of
from paretocast.formatting import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data.spec import DatasetSpec, SourceSpec


@dataclass(frozen=True)
class SourceTable:
    """Rows of another file.

    Attributes
    ----------
    notes : tuple of Finding
        On what was found out about its dialect.
    """

    spec: SourceSpec
    rows: pd.DataFrame
    notes: tuple[Finding, ...] = ()


def join_sources(
    tables: Sequence[SourceTable], spec: DatasetSpec, index: pd.DatetimeIndex
) -> tuple[dict[str, NDArray[np.float64]], tuple[Finding, ...]]:
    """Columns that other files offer, on a grid.

    Returns
    -------
    dict of str to ndarray of shape (T,)
        NaN where a file says nothing.
    tuple of Finding
        Columns of a table with an error are all NaN.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    findings: list[Finding] = []
    for table in tables:
        values, problems = _examine(table, spec)
        findings += [
            replace(f, message=f"{table.spec.path.name}: {f.message}") if f.code != "dialect" else f
            for f in (*table.notes, *problems)
        ]
        for name in table.spec.columns:
            columns[name] = (
                np.full(len(index), np.nan)
                if values is None
                else on_grid(values[name].dropna(), index)
            )
    return columns, tuple(findings)


def _examine(table: SourceTable, spec: DatasetSpec) -> tuple[pd.DataFrame | None, list[Finding]]:
    """Values of a file by time, UTC, the mean of its stations; None with an error."""
    parts, findings = [], []
    for station in _stations(table):
        own = spec.table_of(table.spec).model_copy(update={"series_name": station})
        part, problems = _examine_station(table, own)
        findings += problems
        if part is None:
            return None, findings
        parts.append(part)
    stations = pd.concat(parts)
    return stations.groupby(level=0).mean(), list(dict.fromkeys(findings))


def _stations(table: SourceTable) -> tuple[str | None, ...]:
    """Series of a long file to be averaged; one that is None for all rows of another file."""
    column, named = table.spec.series_column, table.spec.series_name
    if column is None:
        return (None,)
    if named is not None:
        return (named,) if isinstance(named, str) else named
    if column not in table.rows.columns:
        return ("",)  # the check of columns says so
    return tuple(sorted(table.rows[column].dropna().astype("str").str.strip().unique()))


def _examine_station(
    table: SourceTable, spec: DatasetSpec
) -> tuple[pd.DataFrame | None, list[Finding]]:
    rows, findings = rows_of_series(table.rows, spec)
    parts = {
        name: (column,) if isinstance(column, str) else column
        for name, column in table.spec.columns.items()
    }
    read = list(dict.fromkeys(column for columns in parts.values() for column in columns))
    findings = findings or check_columns(rows, [*spec.stamp_columns, *read])
    if findings:
        return None, findings
    index, findings = stamps_of(rows, spec)
    values, problems = parse_columns([rows[column] for column in read], spec)
    findings += problems
    if index is not None and (doubled := index.duplicated()).any():
        findings.append(
            Finding(
                "error",
                "duplicates",
                f"{count(int(doubled.sum()), 'time')} in more than one row, the first is "
                f"{at(index[doubled][0])}",
                "keep one row per time, or set series_column to the column that tells stations "
                "apart",
            )
        )
    if index is None or errors_among(findings):
        return None, findings
    own = pd.DataFrame(values, index=index)
    means = {name: own[list(columns)].mean(axis=1) for name, columns in parts.items()}
    table_of_means = pd.DataFrame(means)
    return (table_of_means[::-1] if newest_first(index) else table_of_means), findings


def on_grid(values: pd.Series, index: pd.DatetimeIndex) -> NDArray[np.float64]:
    """Values of a series with its own times on a grid, NaN where it says nothing.

    >>> grid = pd.date_range("2021-01-01", periods=2, freq="h", tz="UTC")
    >>> minutes = pd.date_range("2021-01-01", periods=4, freq="30min", tz="UTC")
    >>> on_grid(pd.Series([1.0, 2.0, 3.0, 4.0], minutes), grid).tolist()
    [1.5, 3.5]
    """
    values = values.sort_index()
    starts, times = index.as_unit("ns").asi8, pd.DatetimeIndex(values.index).as_unit("ns").asi8
    laid = np.full(len(index), np.nan)
    if not len(values):
        return laid
    step, own = step_of(index).value, step_of(pd.DatetimeIndex(values.index)).value
    if own > step:
        latest = np.searchsorted(times, starts, side="right") - 1
        holds = (latest >= 0) & (starts - times[latest] < own)
        laid[holds] = values.to_numpy(np.float64)[latest[holds]]
        return laid
    place = np.searchsorted(starts, times, side="right") - 1
    within = (place >= 0) & (times - starts[place] < step)
    means = values[within].groupby(place[within]).mean()
    laid[means.index.to_numpy()] = means.to_numpy()
    return laid
