"""Features beside the target's own history, each with its role.

T steps of the grid, F features. Every value of row t stands for step t, is finite, and depends on
target and covariates of steps up to t only. Calendar terms are those of the series' *local* time.
Nothing is standardised here; `scaling` does that on the train period.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.calendar import (
    AROUND_HOLIDAYS,
    around_holidays,
    calendar_columns,
    is_weekend,
)
from paretocast.data.gaps import fill_from_past, missing_hours
from paretocast.data.series import Role
from paretocast.errors import DataError
from paretocast.steps import STEPS_PER_DAY, hours_in, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from paretocast.data.series import Calendar, Covariate, Series

DEFAULT_GROUPS = ("calendar", "covariates", "weather")
# Hours: the names of these features hold them, whatever the step of the series.
LAG_HOURS = (168, 336)
ROLLING_HOURS = (24, 168)
# A hole in a covariate: its first hours hold the last value, then the day before is repeated, and
# when that day has become old the same hour of last year is the better guess.
HOLD_HOURS = 6
REPEAT_DAY_HOURS = 72
DAYS_BACK_A_YEAR = 365
# Models read no value further from the train period's range than so many widths of that range: a
# mark for "no value" such as 999.9 would otherwise pull a linear forecast anywhere. Weather and
# demand stay within; a network of pipes that has grown fourfold does not.
MARGIN_RANGES = 3.0
_SOME_HOUR = pd.DatetimeIndex(["2020-01-01"], tz="UTC")


@dataclass(frozen=True)
class Feature:
    """One column of a feature table.

    Attributes
    ----------
    values : ndarray of shape (T,)
        Finite, not standardised.
    """

    name: str
    role: Role
    values: NDArray[np.float64]


@dataclass(frozen=True)
class HorizonValues:
    """Values of some columns over the horizon, as they were known at each issue.

    Attributes
    ----------
    columns : ndarray of shape (A,)
        The columns of the table that these values take the place of.
    values : ndarray of shape (M, A)
        Finite; each column in its own unit.
    first : ndarray of shape (T,)
        Row of `values` for the first hour of the window issued at each position; the hours after
        it are in the rows after it.
    """

    columns: NDArray[np.intp]
    values: NDArray[np.float64]
    first: NDArray[np.intp]


@dataclass(frozen=True)
class ColumnStandards:
    """Standards of columns, each of shape (F,) and in the columns' units.

    Attributes
    ----------
    center, spread : ndarray
        Mean and standard deviation over the train period.
    low, high : ndarray
        Values beyond are clipped to them.
    """

    center: NDArray[np.float64]
    spread: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def select(self, columns: NDArray[np.intp]) -> ColumnStandards:
        """The standards of some columns."""
        parts = (self.center, self.spread, self.low, self.high)
        return ColumnStandards(*(part[columns] for part in parts))

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Columns (M, F) of mean 0 and deviation 1; those that never change are only centred."""
        spread = np.where(self.spread > 0.0, self.spread, 1.0)
        scaled: NDArray[np.float64] = (np.clip(values, self.low, self.high) - self.center) / spread
        return scaled


@dataclass(frozen=True)
class FeatureTable:
    """Features side by side.

    Attributes
    ----------
    names, roles : tuples of length F
        `names[i]` and `roles[i]` belong to column i of `values`.
    values : ndarray of shape (T, F)
        Finite; each column in its own unit.
    ahead : HorizonValues or None
        Where what is known of an hour depends on the issue: what `horizon` reads instead.
    """

    names: tuple[str, ...]
    roles: tuple[Role, ...]
    values: NDArray[np.float64]
    ahead: HorizonValues | None = None

    def __post_init__(self) -> None:
        _refuse_doubled(self.names)

    @property
    def past(self) -> FeatureTable:
        """The columns that are observed up to the issue time only."""
        return self.select([not role.known_ahead for role in self.roles])

    @property
    def known(self) -> FeatureTable:
        """The columns that are known for the horizon too."""
        return self.select([role.known_ahead for role in self.roles])

    @property
    def calendar(self) -> FeatureTable:
        """The columns that are known for ever, without covariates and what is made of them."""
        return self.select([role is Role.CALENDAR for role in self.roles])

    def joined(self, features: Sequence[Feature]) -> FeatureTable:
        """The table with more columns at its end."""
        if not features:
            return self
        return FeatureTable(
            (*self.names, *(feature.name for feature in features)),
            (*self.roles, *(feature.role for feature in features)),
            np.column_stack([self.values, *(feature.values for feature in features)]),
            self.ahead,
        )

    def horizon(self, positions: NDArray[np.intp], horizon_steps: int) -> NDArray[np.float64]:
        """Values of the hours from each issue position on, as known there, (N, H, F)."""
        steps = np.arange(horizon_steps)
        values: NDArray[np.float64] = self.values[positions[:, None] + steps]
        if self.ahead is not None:
            rows = self.ahead.first[positions][:, None] + steps
            values[:, :, self.ahead.columns] = self.ahead.values[rows]
        return values

    def scaled(self, standards: ColumnStandards) -> FeatureTable:
        """The table with every column clipped and standardised."""
        ahead = self.ahead
        if ahead is not None:
            ahead = replace(ahead, values=standards.select(ahead.columns).scale(ahead.values))
        return replace(self, values=standards.scale(self.values), ahead=ahead)

    def select(self, kept: Sequence[bool] | NDArray[np.bool_]) -> FeatureTable:
        """The columns that a mask (F,) keeps, each in one piece of memory even if all are kept.

        Sums over them have other last bits in another order, and trees would split elsewhere than
        those of earlier studies.
        """
        columns = np.flatnonzero(kept)
        ahead = self.ahead
        if ahead is not None:
            inside = np.isin(ahead.columns, columns)
            renumbered = np.searchsorted(columns, ahead.columns[inside])
            ahead = replace(ahead, columns=renumbered, values=ahead.values[:, inside])
        return FeatureTable(
            tuple(self.names[i] for i in columns),
            tuple(self.roles[i] for i in columns),
            self.values[:, columns],
            ahead if ahead is not None and ahead.columns.size else None,
        )

    def column(self, name: str) -> NDArray[np.float64]:
        """One column, (T,), by its name."""
        if name not in self.names:
            raise DataError(
                f"no feature {name!r}; this table has {', '.join(self.names) or 'none'}"
            )
        column: NDArray[np.float64] = self.values[:, self.names.index(name)]
        return column


def input_limits(train_values: NDArray[np.float64]) -> tuple[float, float]:
    """Lowest and highest value that models read of a column, from its finite train values.

    >>> input_limits(np.array([-5.0, 20.0, 10.0]))
    (-80.0, 95.0)
    """
    low, high = float(train_values.min()), float(train_values.max())
    # A flag that was never up in the train period may go up.
    margin = MARGIN_RANGES * (high - low) or 1.0
    return low - margin, high + margin


def train_standards(train: NDArray[np.float64]) -> ColumnStandards:
    """Standards of columns (T, F) from their values in the train period."""
    limits = [input_limits(column) for column in train.T]
    low, high = np.array(limits, dtype=np.float64).reshape(-1, 2).T
    return ColumnStandards(train.mean(axis=0), train.std(axis=0), low, high)


def build_features(series: Series, groups: Sequence[str] | None = None) -> FeatureTable:
    """Feature table of a series.

    Parameters
    ----------
    groups : sequence of str, optional
        Names of groups or of single features (`available_features`); the order does not matter.
        Without it `DEFAULT_GROUPS`: the models see a week of the target itself, so lags and rolling
        means have to be asked for.

    Raises
    ------
    DataError
        If a name is unknown, or a covariate starts with a hole that nothing earlier can fill.
    """
    requested = DEFAULT_GROUPS if groups is None else tuple(groups)
    offered = available_features(series)
    # Of groups that are not asked for, too: they would be, one day.
    _refuse_doubled([name for names in offered.values() for name in names])
    valid = {*offered, *(name for names in offered.values() for name in names)}
    unknown = [name for name in requested if name not in valid]
    if unknown:
        listed = "; ".join(
            f"{group}: {', '.join(names)}" for group, names in offered.items() if names
        )
        raise DataError(
            f"series {series.name} has no feature {', '.join(unknown)}; "
            f"groups and features are {listed}"
        )
    columns: list[Feature] = []
    for group, names in offered.items():
        in_table = [name for name in names if group in requested or name in requested]
        if in_table:
            columns += [f for f in _build_group(group, series) if f.name in in_table]
    return _table(columns, n_rows=len(series))


def _refuse_doubled(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise DataError(
            f"two features are called {', '.join(doubled)}; give that covariate another name"
        )


def available_features(series: Series) -> dict[str, tuple[str, ...]]:
    """Names of the features that a series offers, by group, in the order of the table's columns."""
    weather: tuple[str, ...] = ()
    if first_of_kind(series.covariates, "temperature") is not None:
        weather = ("temperature_squared", "temperature_weekend")
        if first_of_kind(series.covariates, "wind") is not None:
            weather = (*weather, "temperature_wind")
    return {
        "calendar": _calendar_names(series.calendar, series.steps_per_day),
        "holidays": AROUND_HOLIDAYS if series.calendar.has_holidays else (),
        "covariates": tuple(covariate.name for covariate in series.covariates),
        "weather": weather,
        "lags": tuple(f"lag_{hours}" for hours in LAG_HOURS),
        "rolling": tuple(f"rolling_mean_{hours}" for hours in ROLLING_HOURS),
    }


@lru_cache(maxsize=64)
def _calendar_names(calendar: Calendar, steps_per_day: int) -> tuple[str, ...]:
    """Names of the calendar terms."""
    return tuple(calendar_columns(_SOME_HOUR, calendar, steps_per_day))


def fill_covariate(covariate: Covariate, steps_per_day: int = STEPS_PER_DAY) -> NDArray[np.float64]:
    """Values of a covariate with every hole filled from earlier hours, (T,).

    The first `HOLD_HOURS` of a hole hold the last value, the next ones repeat the day before, and
    after `REPEAT_DAY_HOURS` the same hour a year earlier stands in, where the series has it.
    The rule goes by the age of a hole: while it lasts, its length is not known.

    Raises
    ------
    DataError
        If the first value is missing: nothing earlier can fill it.
    """
    values = covariate.values.astype(np.float64, copy=True)
    if np.isnan(values[0]):
        observed = np.flatnonzero(~np.isnan(values))
        until = "all its hours"
        if observed.size:
            until = f"its first {hours_in(int(observed[0]), steps_per_day)} hours"
        raise DataError(
            f"covariate {covariate.name} misses {until}, and only earlier values may fill them; "
            "start the series later (use_from) or leave the covariate out"
        )
    for position, age in missing_hours(values):
        values[position] = values[position - fill_distance(position, age, steps_per_day)]
    return values


def fill_distance(position: int, age: int, steps_per_day: int = STEPS_PER_DAY) -> int:
    """Steps back to the stand-in for a missing value; `age` is 1 in a hole's first step."""
    steps_per_year = DAYS_BACK_A_YEAR * steps_per_day
    if age > steps_of(REPEAT_DAY_HOURS, steps_per_day) and position >= steps_per_year:
        return steps_per_year
    if age > steps_of(HOLD_HOURS, steps_per_day) and position >= steps_per_day:
        return steps_per_day
    return 1


def temperature_of(series: Series) -> str | None:
    """Name of the first covariate that is a temperature, if there is one."""
    covariate = first_of_kind(series.covariates, "temperature")
    return None if covariate is None else covariate.name


def weakest_role(roles: Iterable[Role]) -> Role:
    """Role of a term made of several parts: past beats forecast, forecast beats calendar."""
    strength = (Role.CALENDAR, Role.FORECAST, Role.PAST)
    return max(roles, key=strength.index)


def _build_group(group: str, series: Series) -> list[Feature]:
    if group == "calendar":
        columns = calendar_columns(series.index, series.calendar, series.steps_per_day)
        return [Feature(name, Role.CALENDAR, values) for name, values in columns.items()]
    if group == "holidays":
        around = around_holidays(series.index, series.calendar)
        return [Feature(n, Role.CALENDAR, days.astype(np.float64)) for n, days in around.items()]
    if group == "covariates":
        per_day = series.steps_per_day
        return [Feature(c.name, c.role, fill_covariate(c, per_day)) for c in series.covariates]
    if group == "weather":
        return _weather_features(series)
    if group == "lags":
        return _lag_features(series, series.delay_steps)
    return _rolling_features(series)


def _weather_features(series: Series) -> list[Feature]:
    temperature = first_of_kind(series.covariates, "temperature")
    if temperature is None:
        return []
    wind = first_of_kind(series.covariates, "wind")
    parts = [
        replace(c, values=fill_covariate(c, series.steps_per_day))
        for c in (temperature, wind)
        if c is not None
    ]
    return weather_terms(parts, is_weekend(series.index, series.calendar.zone))


def weather_terms(covariates: Sequence[Covariate], weekend: NDArray[np.bool_]) -> list[Feature]:
    """Terms made of temperature and wind, hour by hour; none without a temperature.

    Parameters
    ----------
    covariates : sequence of Covariate
        With finite values (M,), of any hours.
    weekend : ndarray of shape (M,)
        Of the same hours.
    """
    temperature = first_of_kind(covariates, "temperature")
    if temperature is None:
        return []
    celsius = temperature.values
    role = weakest_role([temperature.role, Role.CALENDAR])
    features = [
        Feature("temperature_squared", temperature.role, celsius**2),
        Feature("temperature_weekend", role, celsius * weekend),
    ]
    wind = first_of_kind(covariates, "wind")
    if wind is not None:
        role = weakest_role([temperature.role, wind.role])
        features.append(Feature("temperature_wind", role, celsius * wind.values))
    return features


def _lag_features(series: Series, not_there: int) -> list[Feature]:
    """Lags of the target; where one reaches before the series, the mean so far.

    Parameters
    ----------
    not_there : int
        Steps up to a row that its mean must not read.
    """
    filled = _known_so_far(series)
    before, counts = _shifted(filled, not_there)
    mean = np.cumsum(before) / counts
    features = []
    for hours in LAG_HOURS:
        steps = steps_of(hours, series.steps_per_day)
        lagged = mean.copy()
        lagged[steps:] = filled[:-steps]
        features.append(Feature(f"lag_{hours}", Role.PAST, lagged))
    return features


def weekly_lags(series: Series, horizon_steps: int) -> list[Feature]:
    """Target of one and of two weeks before every hour, known ahead.

    Only lags that are not shorter than horizon and delay of the target: shorter ones would not be
    known at the issue.
    """
    reach = horizon_steps + series.delay_steps
    return [
        replace(feature, name=f"weekly_{feature.name}", role=Role.CALENDAR)
        for hours, feature in zip(LAG_HOURS, _lag_features(series, reach), strict=True)
        if steps_of(hours, series.steps_per_day) >= reach
    ]


def _rolling_features(series: Series) -> list[Feature]:
    """Means up to the step; of a target that comes late, up to the last one that is there."""
    filled, counts = _shifted(_known_so_far(series), series.delay_steps)
    features = []
    for hours in ROLLING_HOURS:
        steps = steps_of(hours, series.steps_per_day)
        # Summed window by window: a difference of running sums would carry one huge value's
        # rounding error through all later rows.
        padded = np.concatenate([np.zeros(steps - 1), filled])
        sums = np.lib.stride_tricks.sliding_window_view(padded, steps).sum(axis=1)
        means = sums / np.minimum(counts, steps)
        features.append(Feature(f"rolling_mean_{hours}", Role.PAST, means))
    return features


def _shifted(
    filled: NDArray[np.float64], steps: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Values some rows later, 0 in the first ones, and their number up to each row, at least 1."""
    shifted = np.concatenate([np.zeros(steps), filled])[: len(filled)]
    return shifted, np.maximum(np.arange(1, len(filled) + 1) - steps, 1)


def _known_so_far(series: Series) -> NDArray[np.float64]:
    """Target with every gap filled from the past; 0 before its first value."""
    filled, _ = fill_from_past(
        series.values, longest_steps=len(series), steps_per_day=series.steps_per_day
    )
    return np.nan_to_num(filled, nan=0.0)


def first_of_kind(covariates: Sequence[Covariate], kind: str) -> Covariate | None:
    """The first covariate called "temperature" or "wind", or so with an underscore behind it.

    The direction of the wind is an angle and not meant.
    """
    return next((c for c in covariates if is_of_kind(c.name, kind)), None)


def is_of_kind(covariate: str, kind: str) -> bool:
    """Return True for the name of a covariate of a kind, "temperature" or "wind".

    >>> is_of_kind("wind_mast", "wind"), is_of_kind("wind_direction", "wind")
    (True, False)
    """
    name = covariate.lower()
    if name.startswith("wind_dir"):
        return False
    return name == kind or name.startswith(f"{kind}_")


def _table(features: Sequence[Feature], *, n_rows: int) -> FeatureTable:
    values = np.empty((n_rows, len(features)))
    for column, feature in enumerate(features):
        values[:, column] = feature.values
    return FeatureTable(
        tuple(feature.name for feature in features),
        tuple(feature.role for feature in features),
        values,
    )
