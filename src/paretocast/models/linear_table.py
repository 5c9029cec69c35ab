"""Columns that the ridge sees of every window, in blocks that a form of it names.

N windows, F columns, H steps; scaled units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.calendar import weekdays
from paretocast.data.features import FeatureTable, temperature_of
from paretocast.data.scaling import standardised
from paretocast.data.series import Role
from paretocast.data.task import DAYS_PER_WEEK
from paretocast.steps import STEPS_PER_DAY, steps_per_hour

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from paretocast.data.gaps import SeenTarget
    from paretocast.data.scaling import TargetScaling
    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

N_WEEKS = 4  # whose same hours are averaged
# What is known of a long horizon is averaged over so many hours: thousands of columns otherwise. Of
# steps shorter than an hour it is averaged over the hour at least.
LONG_HORIZON, LONG_BLOCK = 48, 6
# Cells of an array that a mean over past steps gathers at once: of a short step they are many.
MOST_CELLS = 50_000_000
# Heating and cooling start about there, °C (degree hours, as in VDI 4710 and EN ISO 15927-6).
HEATING_BELOW, COOLING_ABOVE = 15.0, 22.0
DEGREES = "heating_degrees", "cooling_degrees"
DAYS_OFF = ("holiday", "school_holiday", "weekend")
_OF_TARGET = ("lags", "weeks")  # blocks that a level is taken off


@dataclass(frozen=True)
class LinearForm:
    """Columns and penalty of a regression.

    Attributes
    ----------
    blocks : tuple of str
        Names of `LinearTable` blocks.
    level : bool
        Whether lags and target are distances from the mean of the last week: a demand that has
        grown beyond anything in the train period is then as easy as any.
    penalty : float
        Of the squared weights, for columns of unit variance.
    lags : int
        Steps of history among the columns.
    steps_per_day : int
        Steps of the series in 24 hours.
    """

    blocks: tuple[str, ...]
    level: bool = False
    penalty: float = 3.0
    lags: int = DAYS_PER_WEEK * STEPS_PER_DAY
    steps_per_day: int = STEPS_PER_DAY

    @property
    def history_steps(self) -> int:
        """Steps before an issue that the columns read."""
        week = DAYS_PER_WEEK * self.steps_per_day
        weeks = N_WEEKS * week if "weeks" in self.blocks else 0
        return max(self.lags, weeks, week)

    @property
    def label(self) -> str:
        """The form in a few words."""
        if self == reference_form(self.steps_per_day):
            return "the reference ridge"
        seen = ["last week's level"] if self.level else []
        seen += [name for name in ("weeks", "weather", "year") if name in self.blocks]
        return f"ridge ({', '.join([*seen, f'penalty {self.penalty:g}'])})"


REFERENCE = LinearForm(("lags", "calendar", "year_by_step", "weather", "weather_day"))


def reference_form(steps_per_day: int) -> LinearForm:
    """The form that no series has a say in, with a week of lags."""
    return replace(REFERENCE, lags=DAYS_PER_WEEK * steps_per_day, steps_per_day=steps_per_day)


FULL = (
    "lags",
    "weeks",
    "weekday",
    "days_off",
    "calendar",
    "year",
    "weather",
    "weather_day",
    "weather_week",
    "degrees",
    "past_means",
)
WEATHER_BLOCKS = ("weather", "weather_day", "weather_week", "degrees", "past_means")


@dataclass(frozen=True)
class LinearTable:
    """Columns of the regression for the windows of a task, block by block."""

    task: Task
    scaling: TargetScaling
    lags: int = DAYS_PER_WEEK * STEPS_PER_DAY

    @classmethod
    def of_week(cls, task: Task, scaling: TargetScaling) -> LinearTable:
        """The table with a week of lags."""
        return cls(task, scaling, task.shape.steps_per_week)

    def target(self, positions: Positions, hours: Positions) -> Floats:
        """Target of hours (N, K) as seen at issue positions (N,), scaled units, gaps filled.

        0, the mean of the train period, before the first observation.
        """
        return np.nan_to_num(self._target.at(positions, hours), nan=0.0)

    @cached_property
    def _target(self) -> SeenTarget:
        return self.task.seen_whole.scaled(self.scaling.scale_inputs)

    def block(self, name: str, positions: Positions) -> Floats:
        """Columns of one block, (N, F)."""
        return self._blocks[name](positions)

    def level(self, positions: Positions) -> Floats:
        """Mean of the last week, (N, 1)."""
        per_week = self.task.shape.steps_per_week
        week = self.target(positions, positions[:, None] - np.arange(1, per_week + 1))
        return np.asarray(week.mean(axis=1, keepdims=True))

    def outcomes(self, positions: Positions) -> Floats:
        """Target of the horizon, (N, H), gaps filled."""
        return self.target(positions, self._horizon(positions))

    def columns(self, form: LinearForm, positions: Positions) -> Floats:
        """All columns of a form, (N, F)."""
        level = self.level(positions) if form.level else 0.0
        return np.hstack(
            [
                self.block(name, positions) - (level if name in _OF_TARGET else 0.0)
                for name in form.blocks
            ]
        )

    @cached_property
    def _blocks(self) -> dict[str, Callable[[Positions], Floats]]:
        middle = self.task.shape.horizon_steps // 2
        day, week = self.task.shape.steps_per_day, self.task.shape.steps_per_week
        return {
            "lags": self._lags,
            "weeks": self._weeks,
            "weekday": lambda at: np.eye(7)[self._weekday[at + middle]],
            "days_off": lambda at: self._means_before(self._days_off, at),
            "calendar": lambda at: self._ahead(self._calendar, at),
            "year": lambda at: self._year.values[at + middle],
            "year_by_step": lambda at: self._ahead(self._year, at),
            "weather": lambda at: self._ahead(self._weather, at),
            "weather_day": lambda at: _mean_before(self._weather.values, at, day),
            "weather_week": lambda at: _mean_before(self._weather.values, at, week),
            "degrees": lambda at: np.hstack(
                [self._ahead(self._degrees, at), self._means_before(self._degrees.values, at)]
            ),
            "past_means": lambda at: self._means_before(self._past, at),
        }

    def _means_before(self, columns: Floats, at: Positions) -> Floats:
        """Means over the last day and over the last week, (N, 2 K)."""
        shape = self.task.shape
        spans = (shape.steps_per_day, shape.steps_per_week)
        return np.hstack([_mean_before(columns, at, steps) for steps in spans])

    @cached_property
    def _known(self) -> FeatureTable:
        """Everything known ahead, standardised.

        Not a part of `Task.standardised`: sums over columns of another order in memory differ in
        their last bits, between one window and many, and trees may split there.
        """
        return standardised(self.task, self.task.features.known)

    @cached_property
    def _weather(self) -> FeatureTable:
        return self._known.select([role is Role.FORECAST for role in self._known.roles])

    @cached_property
    def _year(self) -> FeatureTable:
        return self._known.select([name.startswith("year_") for name in self._known.names])

    @cached_property
    def _calendar(self) -> FeatureTable:
        """Everything that is neither weather nor a term of the year."""
        others = {*self._weather.names, *self._year.names}
        return self._known.select([name not in others for name in self._known.names])

    @cached_property
    def _days_off(self) -> Floats:
        return self._known.values[:, [name in DAYS_OFF for name in self._known.names]]

    @cached_property
    def _degrees(self) -> FeatureTable:
        return standardised(self.task, degree_hours_of(self.task))

    @cached_property
    def _past(self) -> Floats:
        """Everything observed up to the issue only, standardised."""
        return standardised(self.task, self.task.features.past).values

    @cached_property
    def _weekday(self) -> Positions:
        series = self.task.series
        return weekdays(series.index, series.calendar.zone)

    def _horizon(self, positions: Positions) -> Positions:
        return np.asarray(positions[:, None] + np.arange(self.task.shape.horizon_steps))

    def _lags(self, positions: Positions) -> Floats:
        """Target from the latest step to the oldest; short steps before the last day in hours."""
        per_day = self.task.shape.steps_per_day
        singles, blocks = split_lags(self.lags, per_day)
        latest = self.target(positions, positions[:, None] - np.arange(1, singles + 1))
        if not blocks:
            return latest
        per_hour = steps_per_hour(per_day)
        back = singles + 1 + np.arange(blocks * per_hour)
        older = self.target(positions, positions[:, None] - back)
        means = older.reshape(len(positions), blocks, per_hour).mean(axis=2)
        return np.hstack([latest, means])

    def _weeks(self, positions: Positions) -> Floats:
        """Means of the horizon's steps in the last weeks that lie before the issue."""
        week = self.task.shape.steps_per_week
        first = -(-self.task.shape.horizon_steps // week)
        weeks = [
            self.target(positions, np.maximum(self._horizon(positions) - week * back, 0))
            for back in range(first, first + N_WEEKS)
        ]
        return np.asarray(np.mean(weeks, axis=0))

    def _ahead(self, table: FeatureTable, positions: Positions) -> Floats:
        """Features of the horizon, hour by hour or, of a long one, in means of a few hours."""
        values = table.horizon(positions, self.task.shape.horizon_steps)  # (N, H, K)
        n_steps = values.shape[1]
        block = ahead_block(n_steps, self.task.shape.steps_per_day)
        if block > 1:
            starts = np.arange(0, n_steps, block)
            sizes = np.diff(np.append(starts, n_steps))
            values = np.add.reduceat(values, starts, axis=1) / sizes[:, None]
        return np.asarray(values.reshape(len(positions), -1))


def split_lags(lags: int, steps_per_day: int) -> tuple[int, int]:
    """Number of lags that are columns of their own, and of hours behind them that are averaged.

    >>> split_lags(168, 24), split_lags(672, 96)
    ((168, 0), (96, 144))
    """
    per_hour = steps_per_hour(steps_per_day)
    if per_hour == 1:
        return lags, 0
    singles = min(lags, steps_per_day)
    return singles, (lags - singles) // per_hour


def ahead_block(horizon_steps: int, steps_per_day: int) -> int:
    """Steps of the horizon whose features are averaged to one column.

    >>> ahead_block(24, 24), ahead_block(72, 24), ahead_block(96, 96)
    (1, 6, 4)
    """
    per_hour = steps_per_hour(steps_per_day)
    return per_hour * (LONG_BLOCK if horizon_steps > LONG_HORIZON * per_hour else 1)


def _mean_before(columns: Floats, positions: Positions, n_steps: int) -> Floats:
    """Means of columns (T, K) over the steps before each position, (N, K)."""
    at_once = max(1, MOST_CELLS // (n_steps * max(1, columns.shape[1])))
    back = np.arange(1, n_steps + 1)
    return np.concatenate(
        [
            columns[positions[start : start + at_once, None] - back].mean(axis=1)
            for start in range(0, max(1, len(positions)), at_once)
        ]
    )


def degree_hours_of(task: Task) -> FeatureTable:
    """Degrees below the heating and above the cooling limit; no columns without temperature.

    Only of a temperature that is known ahead; the means of one that is not are in `past_means`.
    """
    known = task.features.known
    celsius = known.select([name == temperature_of(task.series) for name in known.names])
    if not celsius.names:
        return celsius
    ahead = celsius.ahead
    if ahead is not None:
        ahead = replace(ahead, columns=np.arange(2), values=_degrees(ahead.values))
    return FeatureTable(DEGREES, celsius.roles * 2, _degrees(celsius.values), ahead)


def _degrees(celsius: Floats) -> Floats:
    """Degrees below the heating and above the cooling limit (M, 2) of temperatures (M, 1)."""
    return np.hstack(
        [np.maximum(HEATING_BELOW - celsius, 0.0), np.maximum(celsius - COOLING_ABOVE, 0.0)]
    )
