"""Checks of the values of a grid and of the periods laid over it.

An *error* keeps a data set from being used, a *warning* goes along with it, a *note* is worth
knowing. Nothing is repaired here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from paretocast.data.series import min_period_days, steps_a_day
from paretocast.formatting import count, percent
from paretocast.steps import HOURS_PER_DAY, hours_in, noun, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from paretocast.data.series import Covariate, Repair
    from paretocast.data.spec import DatasetSpec

Severity = Literal["error", "warning", "note"]

MAX_MISSING_SHARE = 0.2  # of the used hours
MIN_OBSERVED_SHARE = 0.5  # of the hours of each period
CONSTANT_WARNING_HOURS = 24
CONSTANT_NOTE_HOURS = 6
FEWEST_CONSTANT = 3  # values of a daily series
LONG_GAP_HOURS = 168
# Of a covariate: for so long the day before stands in for it, and windows around it can be used.
TOLERATED_HOLE_HOURS = 72
OUTLIER_IQRS = 8.0
OUTLIER_WINDOW_DAYS = 15
MIN_OUTLIER_DAYS = 28
N_LISTED = 5


@dataclass(frozen=True)
class Finding:
    """One fact about the data and what to do about it.

    Attributes
    ----------
    code : str
        Stable name of the kind of finding, such as "duplicates".
    """

    severity: Severity
    code: str
    message: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.message}; {self.advice}" if self.advice else self.message


@dataclass(frozen=True)
class Grid:
    """Measurements on every step from the first to the last used one.

    Attributes
    ----------
    target : ndarray of shape (T,)
        NaN where missing.
    repairs : tuple of Repair
        What was changed of the file, where the data set asks for repairs.
    """

    index: pd.DatetimeIndex
    target: NDArray[np.float64]
    covariates: tuple[Covariate, ...]
    repairs: tuple[Repair, ...] = ()

    @property
    def steps_per_day(self) -> int:
        """Number of steps in 24 hours."""
        return steps_a_day(self.index)

    def steps_of(self, hours: float) -> int:
        """Number of steps in some hours, at least one."""
        return steps_of(hours, self.steps_per_day)

    def hours_of(self, n_steps: int) -> str:
        """Length of some steps in hours, as messages have it."""
        return f"{hours_in(n_steps, self.steps_per_day):g}"

    @property
    def noun(self) -> str:
        """Word for a step of the grid."""
        return noun(self.steps_per_day)


def check_grid(grid: Grid, spec: DatasetSpec, *, covariates: Sequence[str]) -> list[Finding]:
    """Findings on the values of a grid and on the periods laid over it."""
    findings = _check_splits(grid, spec)
    findings += _check_gaps(grid)
    findings += _check_constants(grid)
    findings += _check_signs(grid)
    findings += _check_outliers(grid, spec.zone)
    for name, covariate in zip(covariates, grid.covariates, strict=True):
        findings += _check_covariate(covariate, grid, spec, limit=spec.covariates[name].fill_hours)
    return findings


def check_split_order(spec: DatasetSpec) -> list[Finding]:
    """Order of declared split dates, for a table whose own range is unknown."""
    dates = [d for d in (spec.splits.train_to, spec.splits.validation_to, spec.splits.test_to) if d]
    return [] if dates == sorted(set(dates)) else [_out_of_order(dates)]


def _out_of_order(dates: Sequence[pd.Timestamp]) -> Finding:
    return Finding(
        "error",
        "split_order",
        f"the splits end at {', '.join(at(d) for d in dates)}, expected "
        "train_to < validation_to < test_to",
        "correct [splits]",
    )


def _check_splits(grid: Grid, spec: DatasetSpec) -> list[Finding]:
    first, last = grid.index[0], grid.index[-1]
    dates = spec.last_hours(first, last)
    if not dates[0] < dates[1] < dates[2]:
        return [_out_of_order(dates)]
    if dates[0] < first or dates[2] > last:
        return [
            Finding(
                "error",
                "split_range",
                f"the splits reach from train_to {at(dates[0])} to test_to {at(dates[2])}, the "
                f"used data from {at(first)} to {at(last)}",
                "move the dates of [splits] inside the data, or use_from and use_to",
            )
        ]
    findings = []
    stops = [0, *(int(grid.index.searchsorted(date, side="right")) for date in dates)]
    fewest = min_period_days(grid.steps_per_day)
    for period, start, stop in zip(fewest, stops[:-1], stops[1:], strict=True):
        days = (stop - start) / grid.steps_per_day
        observed = float(np.mean(~np.isnan(grid.target[start:stop])))
        if days < fewest[period]:
            findings.append(
                Finding(
                    "error",
                    "too_short",
                    f"the {period} period lasts {days:.1f} days, expected at least "
                    f"{fewest[period]}",
                    "give the series more data or move the dates of [splits]",
                )
            )
        elif observed < MIN_OBSERVED_SHARE:
            findings.append(
                Finding(
                    "error",
                    "period_empty",
                    f"only {percent(observed)} of the {period} period's {grid.noun}s are observed, "
                    f"expected at least {percent(MIN_OBSERVED_SHARE)}",
                    "move the dates of [splits], or use_from and use_to",
                )
            )
    return findings


def _check_gaps(grid: Grid) -> list[Finding]:
    gaps = find_runs(np.isnan(grid.target))
    if not gaps:
        return []
    hours = sum(length for _, length in gaps)
    start, length = max(gaps, key=lambda gap: gap[1])
    share = hours / len(grid.target)
    if (
        gaps[0][0] == 0
        and gaps[0][1] >= grid.steps_of(LONG_GAP_HOURS)
        and gaps[0][1] < len(grid.target)
    ):
        first = grid.index[gaps[0][1]]
        advice = f"set use_from = {first:%Y-%m-%dT%H:%M:%SZ}, the first observed {grid.noun}"
    elif share > MAX_MISSING_SHARE:
        advice = f"more than {percent(MAX_MISSING_SHARE)} is too much: narrow use_from and use_to"
    else:
        advice = f"missing {grid.noun}s never enter a loss or a score"
    verb = "is" if hours == 1 else "are"
    longest = f"{len(gaps)} gaps, the longest is {grid.hours_of(length)} h"
    to_end = " to the end" if start + length == len(grid.target) else ""
    gap = "one gap" if len(gaps) == 1 else longest
    return [
        Finding(
            "error" if share > MAX_MISSING_SHARE else "warning",
            "gaps",
            f"{count(hours, grid.noun)} of {len(grid.target)} ({percent(share, 2)}) {verb} missing "
            f"in {gap} from {at(grid.index[start])}{to_end}",
            advice,
        )
    ]


def _check_constants(grid: Grid) -> list[Finding]:
    """Runs of one value, which no meter reads; they are counted by their whole length."""
    runs = find_still_runs(grid.target)
    findings: list[Finding] = []
    warned, noted = (
        max(FEWEST_CONSTANT, grid.steps_of(hours))
        for hours in (CONSTANT_WARNING_HOURS, CONSTANT_NOTE_HOURS)
    )
    for severity, shortest, longest in (
        ("warning", warned, len(grid.target)),
        ("note", noted, warned - 1),
    ):
        flat = [run for run in runs if shortest <= run[1] <= longest]
        if flat:
            listed = list_longest(flat, grid.target, grid.index, grid.steps_per_day)
            findings.append(
                Finding(
                    "warning" if severity == "warning" else "note",
                    "constant_runs",
                    f"{count(len(flat), 'run')} of one value over {grid.hours_of(shortest)} h or "
                    f"more: {listed}",
                    "empty these cells if they were imputed",
                )
            )
    return findings


def _check_signs(grid: Grid) -> list[Finding]:
    findings = []
    negative = grid.target < 0.0
    if negative.any():
        findings.append(
            Finding(
                "warning",
                "negatives",
                f"{count(int(negative.sum()), 'value')} below zero, the lowest is "
                f"{np.nanmin(grid.target):g} at {at(grid.index[int(np.nanargmin(grid.target))])}",
                "demand is rarely negative: check the meter, and use transform none",
            )
        )
    zero = grid.target == 0.0
    if zero.any():
        findings.append(
            Finding(
                "note",
                "zeros",
                f"{count(int(zero.sum()), 'value')} of exactly zero, the first at "
                f"{at(grid.index[int(np.flatnonzero(zero)[0])])}",
                "empty these cells if nothing was read; MAPE leaves zeros out",
            )
        )
    return findings


def _check_outliers(grid: Grid, zone: str) -> list[Finding]:
    """Hours far from the fortnight around them, in spreads usual for that hour of the week."""
    per_day = grid.steps_per_day
    if len(grid.target) < MIN_OUTLIER_DAYS * per_day:
        return []
    local = grid.index.tz_convert(zone)
    target = pd.Series(grid.target)
    minutes = 60 * local.hour.to_numpy() + local.minute.to_numpy()
    hour = minutes * per_day // (60 * HOURS_PER_DAY)  # the step of the day
    level = target.groupby(hour).transform(
        lambda same: same.rolling(OUTLIER_WINDOW_DAYS, center=True, min_periods=4).median()
    )
    excess = target - level
    # An hour of the week has few values in a short series, and on a steep slope the running median
    # meets most of them: the spreads of the hour of the day are floors.
    spreads = [
        _quartile_range(excess, local.day_of_week.to_numpy() * per_day + hour),
        _quartile_range(excess, hour),
        _quartile_range(target.diff(per_day), hour) / np.sqrt(2.0),
    ]
    usual = pd.concat(spreads, axis=1).max(axis=1)
    distance = (excess.abs() / usual.where(usual > 0.0)).to_numpy()
    outliers = np.flatnonzero(np.nan_to_num(distance) > OUTLIER_IQRS)
    if not outliers.size:
        return []
    worst = outliers[np.argsort(-distance[outliers], kind="stable")][:N_LISTED]
    listed = ", ".join(
        f"{grid.target[i]:g} at {at(grid.index[i])} ({distance[i]:.0f} IQR)" for i in worst
    )
    return [
        Finding(
            "warning",
            "outliers",
            f"{count(outliers.size, grid.noun)} more than {OUTLIER_IQRS:g} interquartile ranges "
            f"from the same hour of the days around: {listed}",
            "empty these cells if the meter was wrong",
        )
    ]


def _quartile_range(values: pd.Series, group: NDArray[np.int64]) -> pd.Series:
    """Interquartile range of the group that each value belongs to."""
    quartiles = values.groupby(group).quantile(np.array([0.25, 0.75])).unstack()
    return (quartiles[0.75] - quartiles[0.25]).reindex(group).set_axis(values.index)


def _check_covariate(
    covariate: Covariate, grid: Grid, spec: DatasetSpec, *, limit: int
) -> list[Finding]:
    holes = find_runs(np.isnan(covariate.values))
    if not holes:
        return []
    first, last = grid.index[0], grid.index[-1]
    development = int(grid.index.searchsorted(spec.last_hours(first, last)[1], side="right"))
    long = [hole for hole in holes if hole[1] > grid.steps_of(limit) * (limit > 0) or hole[0] == 0]
    early = [hole for hole in long if hole[0] < development]
    longest = grid.steps_of(TOLERATED_HOLE_HOURS)
    tolerable = [hole for hole in early if hole[0] > 0 and hole[1] <= longest]
    refused = [hole for hole in early if hole not in tolerable]
    begin_later = "begin later (use_from)"
    if refused and refused[0][0] == 0 and refused[0][1] < len(grid.index):
        begin_later += f" = {grid.index[refused[0][1]]:%Y-%m-%dT%H:%M:%SZ}"
    groups: list[tuple[Severity, list[tuple[int, int]], str]] = [
        (
            "error",
            refused,
            f"fill the file, raise fill_hours, {begin_later} or leave the covariate out",
        ),
        ("warning", tolerable, "the last value stands in for it, then the day before"),
        (
            "warning",
            [hole for hole in long if hole[0] >= development],
            "in the test period older values stand in for it",
        ),
        ("note", [hole for hole in holes if hole not in long], "filled from earlier hours"),
    ]
    findings = []
    for severity, group, advice in groups:
        if group:
            start, length = max(group, key=lambda hole: hole[1])
            together = sum(hole[1] for hole in group)
            in_all = " in all" if len(group) > 1 else ""
            findings.append(
                Finding(
                    severity,
                    "covariate_holes",
                    f"covariate {covariate.name} has {count(len(group), 'hole')} of "
                    f"{grid.hours_of(together)} h{in_all} ({_reach(severity, limit)}), the longest "
                    f"is {grid.hours_of(length)} h from {at(grid.index[start])}",
                    advice,
                )
            )
    return findings


def _reach(severity: Severity, limit: int) -> str:
    """Length of the holes that a finding counts."""
    if severity == "note":
        return f"up to {limit} h each"
    if severity == "error":
        return f"longer than {max(limit, TOLERATED_HOLE_HOURS)} h, or at the start"
    return f"longer than {limit} h"


def errors_among(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that keep a data set from being used."""
    return [finding for finding in findings if finding.severity == "error"]


def find_runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and length of every run of True, in their order.

    >>> find_runs(np.array([False, True, True, False, True]))
    [(1, 2), (4, 1)]
    """
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    starts = np.flatnonzero(edges == 1).tolist()
    stops = np.flatnonzero(edges == -1).tolist()
    return [(start, stop - start) for start, stop in zip(starts, stops, strict=True)]


def find_still_runs(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Start and length of every run of two and more equal values, in their order.

    >>> find_still_runs(np.array([1.0, 2.0, 2.0, 2.0, np.nan, np.nan]))
    [(1, 3)]
    """
    same = np.concatenate([[False], np.diff(values) == 0.0])
    return [(start - 1, length + 1) for start, length in find_runs(same)]


def list_longest(
    runs: Sequence[tuple[int, int]],
    values: NDArray[np.float64],
    index: pd.DatetimeIndex,
    steps_per_day: int,
) -> str:
    """The longest of some runs of equal values, in words."""
    longest = sorted(runs, key=lambda run: -run[1])[:N_LISTED]
    return ", ".join(
        f"{hours_in(length, steps_per_day)} h of {values[start]:g} from {at(index[start])}"
        for start, length in longest
    )


def span(length: pd.Timedelta) -> str:
    """A length of time as messages show it.

    >>> span(pd.Timedelta(minutes=30)), span(pd.Timedelta(days=1))
    ('30 min', '24 h')
    """
    minutes = length / pd.Timedelta(minutes=1)
    return f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:g} h"


def at(stamp: pd.Timestamp | None) -> str:
    """A UTC stamp as messages show it."""
    return "not given" if stamp is None else f"{stamp:%Y-%m-%d %H:%M}Z"
