"""Columns that the ridge sees of every window, in blocks that a form of it names.

N windows, F columns, H steps; scaled units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.features import FeatureTable, temperature_of
from paretocast.data.scaling import standardised
from paretocast.data.series import STEPS_PER_DAY, Role
from paretocast.data.task import STEPS_PER_WEEK
from paretocast.models.baselines.base import seen_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from paretocast.data.gaps import SeenTarget
    from paretocast.data.scaling import TargetScaling
    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

N_WEEKS = 4  # whose same hours are averaged
# What is known of a long horizon is averaged over so many hours: thousands of columns otherwise.
LONG_HORIZON, LONG_BLOCK = 48, 6
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
        Hours of history among the columns.
    """

    blocks: tuple[str, ...]
    level: bool = False
    penalty: float = 3.0
    lags: int = STEPS_PER_WEEK

    @property
    def history_steps(self) -> int:
        """Hours before an issue that the columns read."""
        weeks = N_WEEKS * STEPS_PER_WEEK if "weeks" in self.blocks else 0
        return max(self.lags, weeks, STEPS_PER_WEEK)

    @property
    def label(self) -> str:
        """The form in a few words."""
        if self == REFERENCE:
            return "the reference ridge"
        seen = ["last week's level"] if self.level else []
        seen += [name for name in ("weeks", "weather", "year") if name in self.blocks]
        return f"ridge ({', '.join([*seen, f'penalty {self.penalty:g}'])})"


REFERENCE = LinearForm(("lags", "calendar", "year_by_step", "weather", "weather_day"))
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
    lags: int = STEPS_PER_WEEK

    def target(self, positions: Positions, hours: Positions) -> Floats:
        """Target of hours (N, K) as seen at issue positions (N,), scaled units, gaps filled.

        0, the mean of the train period, before the first observation.
        """
        return np.nan_to_num(self._target.at(positions, hours), nan=0.0)

    @cached_property
    def _target(self) -> SeenTarget:
        return seen_target(self.task).scaled(self.scaling.scale_inputs)

    def block(self, name: str, positions: Positions) -> Floats:
        """Columns of one block, (N, F)."""
        return self._blocks[name](positions)

    def level(self, positions: Positions) -> Floats:
        """Mean of the last week, (N, 1)."""
        week = self.target(positions, positions[:, None] - np.arange(1, STEPS_PER_WEEK + 1))
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
        known, names = self.task.features.known, self.task.features.known.names
        year = np.array([name.startswith("year_") for name in names], dtype=np.bool_)
        weather = np.array([role is Role.FORECAST for role in known.roles], dtype=np.bool_)
        days_off = np.array([name in DAYS_OFF for name in names], dtype=np.bool_)
        table = standardised(self.task, known)
        past = standardised(self.task, self.task.features.past).values
        forecast = table.select(weather)
        calendar, of_year = table.select(~year & ~weather), table.select(year)
        degrees = standardised(self.task, degree_hours_of(self.task))
        middle = self.task.shape.horizon_steps // 2
        return {
            "lags": self._lags,
            "weeks": self._weeks,
            "weekday": lambda at: np.eye(7)[self._weekday[at + middle]],
            "days_off": lambda at: _means_before(table.values[:, days_off], at),
            "calendar": lambda at: self._ahead(calendar, at),
            "year": lambda at: of_year.values[at + middle],
            "year_by_step": lambda at: self._ahead(of_year, at),
            "weather": lambda at: self._ahead(forecast, at),
            "weather_day": lambda at: _mean_before(forecast.values, at, STEPS_PER_DAY),
            "weather_week": lambda at: _mean_before(forecast.values, at, STEPS_PER_WEEK),
            "degrees": lambda at: np.hstack(
                [self._ahead(degrees, at), _means_before(degrees.values, at)]
            ),
            "past_means": lambda at: _means_before(past, at),
        }

    @cached_property
    def _weekday(self) -> Positions:
        series = self.task.series
        return np.asarray(series.index.tz_convert(series.calendar.zone).day_of_week, dtype=np.intp)

    def _horizon(self, positions: Positions) -> Positions:
        return np.asarray(positions[:, None] + np.arange(self.task.shape.horizon_steps))

    def _lags(self, positions: Positions) -> Floats:
        """Target from the latest hour to the oldest."""
        return self.target(positions, positions[:, None] - np.arange(1, self.lags + 1))

    def _weeks(self, positions: Positions) -> Floats:
        """Means of the horizon's hours in the last weeks that lie before the issue."""
        first = -(-self.task.shape.horizon_steps // STEPS_PER_WEEK)
        weeks = [
            self.target(positions, np.maximum(self._horizon(positions) - STEPS_PER_WEEK * back, 0))
            for back in range(first, first + N_WEEKS)
        ]
        return np.asarray(np.mean(weeks, axis=0))

    def _ahead(self, table: FeatureTable, positions: Positions) -> Floats:
        """Features of the horizon, hour by hour or, of a long one, in means of a few hours."""
        values = table.horizon(positions, self.task.shape.horizon_steps)  # (N, H, K)
        n_steps = values.shape[1]
        if n_steps > LONG_HORIZON:
            starts = np.arange(0, n_steps, LONG_BLOCK)
            sizes = np.diff(np.append(starts, n_steps))
            values = np.add.reduceat(values, starts, axis=1) / sizes[:, None]
        return np.asarray(values.reshape(len(positions), -1))


def _means_before(columns: Floats, positions: Positions) -> Floats:
    """Means over the last day and over the last week, (N, 2 K)."""
    lengths = (STEPS_PER_DAY, STEPS_PER_WEEK)
    return np.hstack([_mean_before(columns, positions, n_hours) for n_hours in lengths])


def _mean_before(columns: Floats, positions: Positions, n_hours: int) -> Floats:
    """Means of columns (T, K) over the hours before each position, (N, K)."""
    hours = positions[:, None] - np.arange(1, n_hours + 1)
    return np.asarray(columns[hours].mean(axis=1))


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
