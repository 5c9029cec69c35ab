"""The repairs that are safe, for data sets that ask for them; each changed row is listed.

Rows are sorted, rows that say the same twice are dropped, marks for "no value" are emptied, and
readings of a counter become what was used. Nothing is invented: no value appears that the file does
not hold or imply. What a repair would have to guess stays an error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.checks import Finding, find_runs
from paretocast.data.plausibility import differences, find_far_values, is_counter
from paretocast.data.series import Repair
from paretocast.formatting import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from paretocast.data.checks import Grid

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

REPAIRED = "repaired"


def arrange_rows(
    index: pd.DatetimeIndex, columns: Mapping[str, Floats], rows: Rows, numbers: Rows
) -> tuple[Rows, tuple[Repair, ...]]:
    """Rows in the order of time, without those that repeat one before them in every column.

    Parameters
    ----------
    index : DatetimeIndex of length T
    columns : mapping of str to ndarray of shape (T,)
    rows : ndarray of shape (M,)
        Positions of the rows in use.
    numbers : ndarray of shape (T,)
        Number of each row in the file, from 0.
    """
    repairs = []
    ordered = rows[np.argsort(index.asi8[rows], kind="stable")]
    moved = np.sort(numbers[ordered[ordered != rows]])
    if moved.size:
        repairs.append(Repair("sorted", "", _row_runs(moved), int(moved.size)))
    stamps = index.asi8[ordered]
    same = np.concatenate([[False], stamps[1:] == stamps[:-1]])
    for values in columns.values():
        own = values[ordered]
        both_missing = np.isnan(own[1:]) & np.isnan(own[:-1])
        same[1:] &= (own[1:] == own[:-1]) | both_missing
    dropped = np.sort(numbers[ordered[same]])
    if dropped.size:
        repairs.append(Repair("dropped", "", _row_runs(dropped), int(dropped.size)))
    return ordered[~same], tuple(repairs)


def repair_values(grid: Grid, target: str, covariates: Iterable[str]) -> Grid:
    """The grid without marks for "no value" and with a counter's differences.

    Which values are marks is judged on all hours of the grid.

    Parameters
    ----------
    target : str
    covariates : iterable of str
        As the data set calls them, in the order of the grid's covariates.
    """
    values, repairs = _repaired(grid.target, target, grid.index)
    changed = []
    for name, covariate in zip(covariates, grid.covariates, strict=True):
        own, of_column = _repaired(covariate.values, name, grid.index)
        changed.append(replace(covariate, values=own))
        repairs += of_column
    return replace(
        grid, target=values, covariates=tuple(changed), repairs=(*grid.repairs, *repairs)
    )


def tell_repairs(repairs: Iterable[Repair]) -> list[Finding]:
    """A note on what was changed; none if nothing was."""
    told = ", ".join(map(_describe, repairs))
    advice = "the manifest of a study lists every changed row"
    return [Finding("note", REPAIRED, f"repaired: {told}", advice)] if told else []


def _describe(repair: Repair) -> str:
    """A repair in words."""
    if not repair.column:
        return f"{count(repair.n_changed, 'row')} {repair.what}"
    value = "" if repair.value is None else f" of {repair.value:g}"
    return f"{count(repair.n_changed, 'value')}{value} of {repair.column} {repair.what}"


def _repaired(values: Floats, column: str, index: pd.DatetimeIndex) -> tuple[Floats, list[Repair]]:
    repairs = []
    for group in find_far_values(values):
        if group.mark:
            runs, n_changed = _hour_runs(group.where, index), int(group.where.sum())
            repairs.append(Repair("emptied", column, runs, n_changed, group.value))
            values = np.where(group.where, np.nan, values)
    if is_counter(values):
        changed = ~np.isnan(values)
        runs = _hour_runs(changed, index)
        repairs.append(Repair("differenced", column, runs, int(changed.sum())))
        values = differences(values)
    return values, repairs


def _row_runs(rows: Rows) -> tuple[tuple[str, str], ...]:
    """First and last number of each run of ascending positions."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return tuple((str(part[0] + 1), str(part[-1] + 1)) for part in parts)


def _hour_runs(mask: NDArray[np.bool_], index: pd.DatetimeIndex) -> tuple[tuple[str, str], ...]:
    """First and last time of each run."""
    return tuple(
        (index[start].isoformat(), index[start + length - 1].isoformat())
        for start, length in find_runs(mask)
    )
