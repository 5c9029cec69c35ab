"""Values that nobody measured, in the target and in covariates alike.

Marks for "no value", spikes, values that stand still, readings of a counter, changes of the unit,
and covariates that give the target away. Each test looks at one column in the order of time and
knows nothing of its meaning, so that it has to be sure: what a column does often is its nature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.checks import (
    N_LISTED,
    Finding,
    at,
    check_grid,
    find_still_runs,
    list_longest,
    span,
)
from paretocast.data.features import input_limits
from paretocast.data.series import Role
from paretocast.formatting import count
from paretocast.steps import noun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from paretocast.data.checks import Grid
    from paretocast.data.series import Covariate
    from paretocast.data.spec import DatasetSpec

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

DAY = pd.Timedelta(days=1)
# Marks for "no value": of weather services, of loggers that are disconnected or full, of libraries.
_MARKS = (
    *(99.9, 99.99, 999.0, 999.9, 999.99, 9999.0, 9999.9, 99999.0),
    *(6999.0, 7999.0, 8999.0, 32767.0, 32768.0, 65535.0, 1e20, 1e30, 9.969209968386869e36),
)
_NEGATIVE_MARKS = (39.9, 99.0, 200.0)  # 39.9, 99 and 200 are measured, -39.9, -99 and -200 hardly
_FAR_MARK = 0.1  # distance of a known mark from all else, in widths of the middle 98 %
_FAR_REPEATED = 1.0  # of an unknown value that repeats, in widths of all other values
_FAR_SINGLE = 2.0  # of a value that does not
_REPEATED = 3
_MOST_MARKS = 0.3  # share of the values; what is more frequent is no exception
_MOST_PEELED = 20  # distinct values looked at on either side
_FEWEST_DISTINCT = 10  # a flag or a tariff has few values, and none of them is far from the others
_SPIKE = 8.0  # in distances that one hour in 200 has from those around it
_MOST_ALIKE = (
    0.3  # share of one value, such as no rain; of pairs that are alike, in a rounded column
)
_COUNTER_RISES = 0.2  # share of the steps
_MOST_RESETS = 0.001  # share of the steps
_UNIT_FACTOR = 8.0  # of the level from one week to the next, and from one day to the next
_UNIT_WEEKS = 4
_KNOWN_FACTORS = (10.0, 24.0, 60.0, 100.0, 1000.0, 3600.0, 1e6)
_LEAK_SAMPLE = 1000
_LEAK_DAYS = 8  # shifts looked at, either way
_LEAK_ERROR = 0.02  # of a scaled copy of the target, in usual steps of the target
_LEAK_SCREEN, _LEAK_LIKELY = 10, 0.99  # every tenth of the sample has to be so correlated first
_FEWEST_VALUES = 500
LOWEST_REPEAT_DAYS = 1  # a covariate that stands still for so long


@dataclass(frozen=True)
class FarValues:
    """One value, far from all others.

    Attributes
    ----------
    where : ndarray of bool, shape (T,)
    mark : bool
        It repeats or is a common mark for "no value"; else it may be a measurement gone wrong.
    """

    value: float
    where: Mask
    mark: bool


def check_all(grid: Grid, spec: DatasetSpec, *, covariates: Sequence[str]) -> list[Finding]:
    """Findings on a grid and its periods, and on the values that it holds."""
    values = check_values(grid, spec, covariates=covariates)
    findings = check_grid(grid, spec, covariates=covariates)
    if any(f.code == "counter" and f.message.startswith("target") for f in values):
        findings = [f for f in findings if f.code != "outliers"]  # they are those of a demand
    return [*findings, *values]


def check_values(grid: Grid, spec: DatasetSpec, *, covariates: Sequence[str]) -> list[Finding]:
    """Findings on the values of the target and of covariates.

    Parameters
    ----------
    covariates : sequence of str
        Names as the data set declares them, in the order of the grid's covariates.
    """
    train_to, _, _ = spec.last_hours(grid.index[0], grid.index[-1])
    train_stop = int(grid.index.searchsorted(train_to, side="right"))
    target = _Column(f"target {spec.target}", grid.target, grid.index, train_stop)
    findings = [*_check_constant_target(target), *_check_column(target)]
    for name, covariate in zip(covariates, grid.covariates, strict=True):
        column = _Column(f"covariate {name}", covariate.values, grid.index, train_stop)
        leak = _check_leak(column, covariate, grid)
        if leak:
            findings += leak
            continue
        findings += _check_constant_covariate(column)
        findings += _check_column(column)
        findings += [*_check_spikes(column), *_check_still(column)]
    return findings


@dataclass(frozen=True)
class _Column:
    """One column with what its messages call it."""

    label: str
    values: Floats
    index: pd.DatetimeIndex
    train_stop: int

    @property
    def steps_per_day(self) -> int:
        return max(1, round(DAY / (self.index[1] - self.index[0])))

    @property
    def step(self) -> str:
        """The word for a step of the series."""
        return noun(self.steps_per_day)

    @cached_property
    def observed(self) -> Floats:
        return self.values[~np.isnan(self.values)]

    @cached_property
    def counts(self) -> tuple[Floats, NDArray[np.intp]]:
        """Distinct values in their order, and how often each is observed."""
        unique, counts = np.unique(self.observed, return_counts=True)
        return unique, counts

    @cached_property
    def far(self) -> tuple[FarValues, ...]:
        return _far_values(self.values, self.observed, *self.counts)

    @cached_property
    def train(self) -> Floats:
        train = self.values[: self.train_stop]
        return train[~np.isnan(train)]

    def listed(self, positions: NDArray[np.intp]) -> str:
        """The first of some values with their hours."""
        some = (f"{self.values[i]:g} at {at(self.index[i])}" for i in positions[:N_LISTED])
        return ", ".join(some)


def _check_column(column: _Column) -> Iterator[Finding]:
    """Findings that target and covariates share."""
    if _rises_alone(column.observed):
        n_resets = int((np.diff(column.observed) < 0.0).sum())
        resets = f" but for {count(n_resets, 'reset')}" if n_resets else ""
        yield Finding(
            "warning",
            "counter",
            f"{column.label} never falls{resets}, from {np.nanmin(column.values):g} to "
            f"{np.nanmax(column.values):g}: readings of a counter, not what was used in each step",
            'use the difference of one reading to the next, which repair = "auto" does',
        )
        return
    yield from _check_far(column)
    yield from _check_unit(column)
    yield from _check_beyond_train(column)


def _check_beyond_train(column: _Column) -> Iterator[Finding]:
    """Hours after the train period of which models read a limit instead of the value."""
    if not column.train.size:
        return
    low, high = input_limits(column.train)
    beyond = (column.values < low) | (column.values > high)
    beyond[: column.train_stop] = False
    for group in column.far:  # told already
        beyond &= ~group.where
    if beyond.any():
        hours = np.flatnonzero(beyond)
        yield Finding(
            "warning",
            "clipped",
            f"{column.label} lies far beyond the range of the train period in "
            f"{count(hours.size, column.step)} after it: {column.listed(hours)}; models read "
            f"{low:g} or {high:g} there",
            "empty these cells if they are wrong, or move train_to if they are not",
        )


def _check_far(column: _Column) -> Iterator[Finding]:
    for group in column.far:
        if group.mark:
            hours = np.flatnonzero(group.where)
            yield Finding(
                "warning",
                "sentinels",
                f"{column.label} is {group.value:g} in {count(hours.size, column.step)}, far from "
                f"all other values, the first at {at(column.index[hours[0]])}: a mark for no value",
                'empty these cells, which repair = "auto" does',
            )
    single = np.zeros(len(column.values), dtype=bool)
    for group in column.far:
        if not group.mark:
            single |= group.where
    if single.any():
        yield Finding(
            "warning",
            "spikes",
            f"{column.label} is far from all other values in "
            f"{count(int(single.sum()), column.step)}: {column.listed(np.flatnonzero(single))}",
            "empty these cells if the meter was wrong",
        )


def find_far_values(values: Floats) -> tuple[FarValues, ...]:
    """Values at either end of a column with a wide gap between them and all others.

    Zero is never among them: it is measured often.

    >>> hours = np.append(np.linspace(-5.0, 20.0, 100), [999.9, 999.9])
    >>> [(group.value, group.mark) for group in find_far_values(hours)]
    [(999.9, True)]
    """
    observed = values[~np.isnan(values)]
    return _far_values(values, observed, *np.unique(observed, return_counts=True))


def _far_values(
    values: Floats, observed: Floats, unique: Floats, counts: NDArray[np.intp]
) -> tuple[FarValues, ...]:
    low, high = 0, len(unique)
    # What mostly keeps its value, such as a number of meters, repeats every value.
    stepwise = observed.size > 1 and float((np.diff(observed) == 0.0).mean()) > _MOST_ALIKE
    found: list[FarValues] = []
    while high - low > _FEWEST_DISTINCT:
        top = _n_far(unique[low:high], counts[low:high], observed.size)
        bottom = _n_far(-unique[low:high][::-1], counts[low:high][::-1], observed.size)
        if not top and not bottom:
            break
        far = [*range(high - top, high), *range(low, low + bottom)]
        high, low = high - top, low + bottom
        for i in far:
            if unique[i] != 0.0:
                mark = _is_mark(unique[i]) or (counts[i] >= _REPEATED and not stepwise)
                found.append(FarValues(float(unique[i]), values == unique[i], bool(mark)))
    return tuple(found)


def _n_far(unique: Floats, counts: NDArray[np.intp], n_values: int) -> int:
    """Number of the largest distinct values that lie far beyond the rest; 0 for none."""
    below = np.cumsum(counts)
    for n_tail in range(1, min(_MOST_PEELED, len(unique) - _FEWEST_DISTINCT) + 1):
        n_rest = len(unique) - n_tail
        if below[-1] - below[n_rest - 1] > _MOST_MARKS * n_values:
            return 0
        value, largest = float(unique[n_rest]), float(unique[n_rest - 1])
        inner = np.searchsorted(below[:n_rest], np.array([0.01, 0.99]) * below[n_rest - 1])
        low, high = unique[inner]
        gap, repeated = value - largest, int(counts[n_rest]) >= _REPEATED
        if gap > (_FAR_REPEATED if repeated else _FAR_SINGLE) * (largest - low) > 0.0:
            return n_tail
        known = repeated and (_is_mark(value) or _is_mark(-value))
        if known and gap > _FAR_MARK * (high - low) > 0.0:
            return n_tail
    return 0


def _is_mark(value: float) -> bool:
    known = (*_MARKS, *(-mark for mark in _MARKS), *(-mark for mark in _NEGATIVE_MARKS))
    return any(np.isclose(value, mark, rtol=1e-6, atol=0.0) for mark in known)


def is_counter(values: Floats) -> bool:
    """True for readings that rise and never fall, but where a counter starts again.

    >>> is_counter(np.cumsum(np.random.default_rng(0).random(1000)))
    True
    """
    return _rises_alone(values[~np.isnan(values)])


def _rises_alone(observed: Floats) -> bool:
    if observed.size < _FEWEST_VALUES:
        return False
    steps = np.diff(observed)
    falls = steps < 0.0
    if falls.mean() > _MOST_RESETS or (steps > 0.0).mean() < _COUNTER_RISES:
        return False
    # A reset ends near zero; a straight line is a trend that somebody computed.
    resets = observed[1:][falls] <= 0.5 * observed[:-1][falls]
    rises = steps[steps > 0.0]
    return bool(resets.all()) and bool(rises.std() > 1e-9 * abs(rises.mean()))


def differences(readings: Floats) -> Floats:
    """Increments of a counter within each step: the next reading minus the step's own, (T,).

    NaN where either is missing, in the last step, and where the counter starts again.
    """
    steps = np.append(np.diff(readings), np.nan)
    return np.where(steps < 0.0, np.nan, steps)


def _check_unit(column: _Column) -> Iterator[Finding]:
    """A level that changes by a large factor from one day to the next and stays there."""
    values = np.abs(column.values)
    observed = values[~np.isnan(values)]
    if not observed.size or (observed <= 0.0).mean() > 1.0 - 0.95:
        return
    day, week = column.steps_per_day, 7 * column.steps_per_day
    n_weeks = len(values) // week
    if n_weeks < 2:
        return
    weeks = values[: n_weeks * week].reshape(n_weeks, week)
    known = ~np.isnan(weeks).all(axis=1)
    level = np.full(n_weeks, np.nan)
    whole = ~np.isnan(weeks).any(axis=1)
    level[whole] = np.median(weeks[whole], axis=1)
    level[known & ~whole] = np.nanmedian(weeks[known & ~whole], axis=1)
    factors = _level_factors(level)
    sizes = np.maximum(factors, 1.0 / factors)
    for i in np.flatnonzero(sizes >= _UNIT_FACTOR).tolist():
        place = _largest_jump(
            values, max(day, (i - 1) * week), min((i + 1) * week, len(values) - day), day
        )
        if place is not None:
            known_factor = next(
                (factor for factor in _KNOWN_FACTORS if 0.85 < sizes[i] / factor < 1.15), None
            )
            near = f", near {known_factor:g}" if known_factor else ""
            yield Finding(
                "warning",
                "unit_jump",
                f"the level of {column.label} changes by a factor of {factors[i]:.3g}{near} at "
                f"{at(column.index[place])} and stays there",
                "bring all rows to one unit, or begin after the change (use_from)",
            )
            return


def _level_factors(level: Floats) -> Floats:
    """Level of the weeks from each week on by that of the weeks before it, (W,).

    1 where either is unknown or zero: weeks in which nothing was used have no unit.
    """
    before = pd.Series(level).rolling(_UNIT_WEEKS, min_periods=1).median().shift()
    after = pd.Series(level[::-1]).rolling(_UNIT_WEEKS, min_periods=1).median()[::-1]
    above, below = after.to_numpy(), before.to_numpy()
    usable = (above > 0.0) & (below > 0.0)
    factors: Floats = np.divide(above, below, out=np.ones(len(level)), where=usable)
    return factors


def _largest_jump(values: Floats, start: int, stop: int, day: int) -> int | None:
    """Position where the median of the day after is furthest from that of the day before."""
    best, place = 0.0, None
    for i in range(start, stop):
        before, after = values[i - day : i], values[i : i + day]
        if np.isnan(before).mean() > 0.5 or np.isnan(after).mean() > 0.5:
            continue
        lower, higher = sorted([float(np.nanmedian(before)), float(np.nanmedian(after))])
        if lower > 0.0 and np.log(higher / lower) > best:
            best, place = float(np.log(higher / lower)), i
    return place if best > np.log(0.6 * _UNIT_FACTOR) else None


def _check_constant_target(target: _Column) -> Iterator[Finding]:
    """An error where the train period holds nothing to learn."""
    train = target.values[: target.train_stop]
    day = target.steps_per_day
    if not target.train.size or len(train) <= day:
        return
    if (target.train == target.train[0]).all():
        what = f"is {target.train[0]:g} in every {target.step} of the train period"
    elif not np.nan_to_num(np.abs(train[day:] - train[:-day])).any():
        what = "repeats the same day throughout the train period"
    else:
        yield from _check_dead_end(target)
        return
    yield Finding(
        "error",
        "constant",
        f"{target.label} {what}: there is nothing to forecast",
        "choose another column as target, or other periods in [splits]",
    )


def _check_dead_end(target: _Column) -> Iterator[Finding]:
    """A warning where nothing happens any more after the train period."""
    later = target.values[target.train_stop :]
    later = later[~np.isnan(later)]
    if later.size and (later == later[0]).all():
        yield Finding(
            "warning",
            "constant",
            f"{target.label} is {later[0]:g} in every {target.step} after the train period, so "
            "that the simplest forecasts have no error and cannot be beaten",
            f"move [splits], or set use_to to the last {target.step} that was measured",
        )


def _check_constant_covariate(column: _Column) -> Iterator[Finding]:
    train = column.train
    if train.size and (train == train[0]).all():
        yield Finding(
            "warning",
            "constant",
            f"{column.label} is {train[0]:g} in every {column.step} of the train period: models "
            "learn nothing from it",
            "leave it out",
        )


def _check_spikes(column: _Column) -> Iterator[Finding]:
    """Single hours that leave what is around them by more than the column's whole range."""
    values = column.values
    for group in column.far:
        values = np.where(group.where, np.nan, values)
    unique, counts = column.counts
    counts = counts[~np.isin(unique, [group.value for group in column.far])]
    if counts.sum() < _FEWEST_VALUES or counts.max() / counts.sum() > _MOST_ALIKE:
        return
    observed = values[~np.isnan(values)] if column.far else column.observed
    middle = _middle_of_neighbours(values)
    distance = np.abs(values - middle)
    width = float(np.subtract(*np.quantile(observed, [0.99, 0.01])))
    complete = ~np.isnan(distance)
    # The limit is no lower than the width, so that mostly there is nothing to look at.
    if complete.sum() < _FEWEST_VALUES or not (distance > width).any():
        return
    distance[~complete] = 0.0
    limit = max(width, _SPIKE * float(np.quantile(distance[complete], 0.995)))
    spikes = np.flatnonzero(distance > limit) if limit > 0.0 else np.array([], dtype=np.intp)
    if spikes.size:
        worst = spikes[np.argsort(-distance[spikes], kind="stable")]
        yield Finding(
            "warning",
            "spikes",
            f"{column.label} leaves the {column.step}s around it by more than its usual range in "
            f"{count(spikes.size, column.step)}: {column.listed(worst)}",
            "empty these cells if the meter was wrong",
        )


def _middle_of_neighbours(values: Floats) -> Floats:
    """Median of the two values before and the two after each, (T,); NaN where one is missing.

    >>> _middle_of_neighbours(np.array([1.0, 2.0, 9.0, 4.0, 3.0]))
    array([nan, nan, 2.5, nan, nan])
    """
    n = len(values)
    second_before, before, after, second_after = (values[k : n - 4 + k] for k in (0, 1, 3, 4))
    lower = np.maximum(np.minimum(second_before, before), np.minimum(after, second_after))
    upper = np.minimum(np.maximum(second_before, before), np.maximum(after, second_after))
    middle = np.full(n, np.nan)
    middle[2:-2] = (lower + upper) / 2.0
    return middle


def _check_still(column: _Column) -> Iterator[Finding]:
    """A day and more of one value in a covariate that otherwise changes from hour to hour."""
    values = column.values
    observed = column.observed
    if observed.size < _FEWEST_VALUES or column.steps_per_day < 2:
        return
    runs = find_still_runs(values)
    n_alike = sum(length - 1 for _, length in runs)
    shortest = max(LOWEST_REPEAT_DAYS * column.steps_per_day, 12)
    still = [run for run in runs if run[1] >= shortest]
    if not still or n_alike / observed.size > _MOST_ALIKE:
        return
    # The end of a scale is a value like others: no rain, no sun, air full of water.
    ends = (np.min(observed), np.max(observed))
    still = [run for run in still if values[run[0]] not in ends]
    if still:
        listed = list_longest(still, values, column.index, column.steps_per_day)
        yield Finding(
            "warning",
            "constant_runs",
            f"{column.label} stands still for a day or more in {count(len(still), 'run')}: "
            f"{listed}",
            "empty these cells if the sensor hung",
        )


def _check_leak(column: _Column, covariate: Covariate, grid: Grid) -> list[Finding]:
    """An error on a covariate that tells the target before it is known."""
    shift = find_copy(covariate.values, grid.target, _LEAK_DAYS * column.steps_per_day)
    if shift is None:
        return []
    step = grid.index[1] - grid.index[0]
    # A value of the target may be known ahead once it is a day old.
    known_ahead = covariate.role.known_ahead and shift < column.steps_per_day
    if shift >= 0 and not known_ahead:
        if shift > 0 or covariate.role is not Role.PAST:
            return []
        return [
            Finding(
                "warning",
                "copy",
                f"{column.label} is the target itself, up to a factor",
                "leave it out: models see the target's past anyway",
            )
        ]
    when = "itself"
    if shift:
        when = f"of {span(abs(shift) * step)} {'later' if shift < 0 else 'earlier'}"
    return [
        Finding(
            "error",
            "leak",
            f"{column.label} is the target {when}, up to a factor: with role {covariate.role} a "
            "forecast would read what it is to forecast",
            "leave it out",
        )
    ]


def find_copy(values: Floats, target: Floats, most_steps: int) -> int | None:
    """Steps by which a column is a late copy of the target, times a factor plus a constant.

    Negative where it is ahead of the target; None where it is no copy.

    >>> target = np.random.default_rng(0).random(2000)
    >>> find_copy(1000.0 * np.roll(target, -3), target, 10)
    -3
    """
    if len(target) < 2 * most_steps + _FEWEST_VALUES:
        return None
    inside = most_steps + np.flatnonzero(~np.isnan(values[most_steps : len(target) - most_steps]))
    if inside.size < _FEWEST_VALUES:
        return None
    sample = inside[np.linspace(0, inside.size - 1, _LEAK_SAMPLE).astype(int)]
    own = values[sample]
    if own.std() == 0.0:
        return None
    shifts = np.arange(-most_steps, most_steps + 1)
    likely = shifts[_correlations(values, target, sample[::_LEAK_SCREEN], shifts) > _LEAK_LIKELY]
    if not likely.size:
        return None
    errors = {int(shift): _copy_error(own, target[sample - shift]) for shift in likely}
    shift = min(errors, key=lambda shift: errors[shift])
    steps = np.diff(target)
    usual = float(np.nanstd(steps)) if np.isfinite(steps).any() else 0.0
    return shift if errors[shift] < _LEAK_ERROR * usual else None


def _correlations(
    values: Floats, target: Floats, sample: NDArray[np.intp], shifts: NDArray[np.intp]
) -> Floats:
    """Absolute correlation of a column with the shifted target at some places, by shift."""
    other = target[sample[:, None] - shifts]
    there = ~np.isnan(other)
    n_there = np.maximum(there.sum(axis=0), 1)
    own = np.where(there, values[sample][:, None], 0.0)
    other = np.where(there, other, 0.0)
    own = np.where(there, own - own.sum(axis=0) / n_there, 0.0)
    other = np.where(there, other - other.sum(axis=0) / n_there, 0.0)
    scale = np.sqrt((own**2).sum(axis=0) * (other**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = np.abs((own * other).sum(axis=0)) / scale
    return np.asarray(np.nan_to_num(np.where(n_there >= len(sample) // 4, correlations, 0.0)))


def _copy_error(own: Floats, other: Floats) -> float:
    """Standard deviation of what a factor and a constant leave of a copy, in target units."""
    both = ~np.isnan(other)
    x, y = own[both] - own[both].mean(), other[both] - other[both].mean()
    square = float(x @ x)
    return float(np.std(y - x * float(x @ y) / square)) if square > 0.0 else np.inf
