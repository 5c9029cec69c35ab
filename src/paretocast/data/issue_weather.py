"""Weather over the horizon as it was known at each issue, for all issues of a series at once.

Of one issue alone the same values are `runs.issued_by(at).shortest_lead(hours)`.

T hours of the grid, M cells (`weather_runs.IssueCells`), N windows, H horizon steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.calendar import is_weekend
from paretocast.data.features import (
    Feature,
    HorizonValues,
    fill_covariate,
    fill_distance,
    is_of_kind,
    weather_terms,
)
from paretocast.data.gaps import missing_hours
from paretocast.data.series import Role
from paretocast.errors import SettingsError
from paretocast.steps import STEPS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from paretocast.data.features import FeatureTable
    from paretocast.data.series import Covariate, Series
    from paretocast.data.weather_runs import IssueCells

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

# Of an error of temperature from one hour to the next: it forgets itself within half a day.
ERROR_PERSISTENCE = 0.9


def with_issue_weather(table: FeatureTable, series: Series, horizon_steps: int) -> FeatureTable:
    """The features of a series with their values over the horizon by weather run.

    Where a run lacks an hour, the next older one stands in (`WeatherRuns.at`), and after that the
    rule of `fill_covariate`, which reads hours before it in the same window or in its history.

    Parameters
    ----------
    table : FeatureTable
        Of that series; returned as it is where the series has no runs.
    """
    runs = series.runs
    if runs is None:
        return table
    cells = runs.cells(series.index, horizon_steps)
    raw = runs.at(series.index, cells)
    by_name = {c.name: c for c in series.covariates}
    filled = {
        name: _fill_cells(by_name[name], raw[:, i], cells, series.steps_per_day)
        for i, name in enumerate(runs.names)
    }
    return _with_horizon(table, series, hours=cells.hours, first=cells.first, values=filled)


def measured_temperatures(series: Series) -> tuple[str, ...]:
    """Temperatures of a series without weather runs that stand in for their own forecast.

    Raises
    ------
    SettingsError
        If there is none, or the series has weather runs.
    """
    names = tuple(name for name in series.measured_ahead if is_of_kind(name, "temperature"))
    if series.runs is None and names:
        return names
    raise SettingsError(
        f"a weather error was asked for, but series {series.name} has no temperature that stands "
        "in for its own forecast"
        + (": its weather runs have their own error" if series.runs is not None else "")
        + "; leave --weather-error out, or use a covariate temperature of role forecast"
    )


def with_weather_error(
    table: FeatureTable, series: Series, positions: Positions, horizon_steps: int, *, error: float
) -> FeatureTable:
    """The features of a series with an error of the temperature over the horizon of some windows.

    The error is Gaussian with a constant spread and an autocorrelation of `ERROR_PERSISTENCE` from
    hour to hour, drawn for each window on its own and always alike.

    Parameters
    ----------
    positions : ndarray of shape (N,)
        Issue positions of the windows.
    error : float
        Standard deviation, in the unit of the temperature.

    Raises
    ------
    SettingsError
        See `measured_temperatures`.
    """
    names = measured_temperatures(series)
    persistence = ERROR_PERSISTENCE ** (STEPS_PER_DAY / series.steps_per_day)
    errors = error * _persistent_errors((len(positions), horizon_steps), persistence)
    steps = np.arange(horizon_steps)
    hours = np.concatenate([np.arange(len(series)), (positions[:, None] + steps).ravel()])
    first = np.arange(len(series))
    first[positions] = len(series) + horizon_steps * np.arange(len(positions))
    values = {}
    for covariate in series.covariates:
        if covariate.name in names:
            values[covariate.name] = fill_covariate(covariate, series.steps_per_day)[hours]
            values[covariate.name][len(series) :] += errors.ravel()
    return _with_horizon(table, series, hours=hours, first=first, values=values)


def _fill_cells(
    covariate: Covariate, values: Floats, cells: IssueCells, steps_per_day: int
) -> Floats:
    """Values (M,) with every missing one filled as `fill_covariate` would in its window."""
    column = fill_covariate(covariate, steps_per_day)
    ages = dict(missing_hours(covariate.values))
    filled, age = values.copy(), 0
    previous = -2
    for cell in np.flatnonzero(np.isnan(values)).tolist():
        hour, start = int(cells.hours[cell]), int(cells.starts[cell])
        in_hole = cell == previous + 1 and hour > start
        # At the start of a run the hole may have begun before it.
        age = age + 1 if in_hole else ages.get(hour, 1) if hour == start else 1
        previous = cell
        back = fill_distance(hour, age, steps_per_day)
        filled[cell] = filled[cell - back] if hour - back >= start else column[hour - back]
    return filled


def _with_horizon(
    table: FeatureTable,
    series: Series,
    *,
    hours: Positions,
    first: Positions,
    values: Mapping[str, Floats],
) -> FeatureTable:
    """The table with every column of role `forecast` in cells (M,) for some hours.

    Parameters
    ----------
    values : mapping of str to ndarray of shape (M,)
        Of covariates; the others have the same value for every issue.
    """
    parts = [
        replace(
            c,
            values=values[c.name]
            if c.name in values
            else fill_covariate(c, series.steps_per_day)[hours],
        )
        for c in series.covariates
    ]
    weekend = is_weekend(series.index, series.calendar.zone)[hours]
    features = [Feature(c.name, c.role, c.values) for c in parts] + weather_terms(parts, weekend)
    by_name = {f.name: f.values for f in features if f.role is Role.FORECAST}
    columns = [i for i, name in enumerate(table.names) if name in by_name]
    if not columns:
        return table
    stacked = np.column_stack([by_name[table.names[i]] for i in columns])
    return replace(table, ahead=HorizonValues(np.array(columns), stacked, first))


def _persistent_errors(shape: tuple[int, int], persistence: float) -> Floats:
    """Errors (N, H) of unit spread, alike in every call."""
    rng = np.random.default_rng(0)
    shocks = rng.normal(size=shape)
    errors = np.empty(shape)
    errors[:, 0] = shocks[:, 0]
    for step in range(1, shape[1]):
        fresh = np.sqrt(1.0 - persistence**2) * shocks[:, step]
        errors[:, step] = persistence * errors[:, step - 1] + fresh
    return errors
