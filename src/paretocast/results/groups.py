"""Groups of target times by clock, calendar and weather, for diagnoses and calibrators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.series import STEPS_PER_DAY
from paretocast.data.task import HOUR
from paretocast.metrics.diagnostics import Grouping, demand_grouping, lead_grouping
from paretocast.metrics.forecast import Forecast

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Integers = NDArray[np.integer]

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
BAND_DEGREES = 5
EPOCH = pd.Timestamp(0, tz="UTC")
MONTHS_PER_SEASON = 3


def forecast_of(task: Task, split: str, quantiles: Floats) -> Forecast:
    """A forecast of a split with its observations and groups, not below the task's lower bound."""
    return Forecast(
        quantiles=quantiles,
        levels=task.shape.levels,
        observed=task.observed(split),
        issues=issue_hours(task, split),
        groups=calibration_groups(task, split),
        lower_bound=task.lower_bound,
        delay_hours=task.series.delay_hours,
    )


def calibration_groups(task: Task, split: str) -> dict[str, Integers]:
    """Groups that calibrators may be fitted by, each (N, H): `hour` (local) and `season`.

    Seasons are quarters of the year from December on: 0 is December to February.
    """
    groups = clock_groups(_local_times(task, split))
    shape = task.horizon_positions(split).shape
    return {name: members.reshape(shape) for name, members in groups.items()}


def clock_groups(local: pd.DatetimeIndex) -> dict[str, Integers]:
    """Groups of local times, each (T,); see `calibration_groups`."""
    return {
        "hour": local.hour.to_numpy(),
        "season": local.month.to_numpy() % 12 // MONTHS_PER_SEASON,
    }


def issue_hours(task: Task, split: str) -> Integers:
    """First horizon hour of every window in hours since 1970, (N,)."""
    since = task.issue_times(split) - EPOCH
    hours: Integers = (since // HOUR).to_numpy()
    return hours


def task_groupings(task: Task, split: str, forecast: Forecast) -> tuple[Grouping, ...]:
    """Groupings of a diagnosis; by temperature only where there is one.

    Parameters
    ----------
    forecast : Forecast
        Of the split; its median divides target times by demand.
    """
    positions = task.horizon_positions(split)
    local = _local_times(task, split)
    clock = (
        ("local hour", local.hour, tuple(f"{hour:02d}" for hour in range(STEPS_PER_DAY))),
        ("weekday", local.day_of_week, WEEKDAYS),
        ("month", local.month - 1, MONTHS),
    )
    groupings = [
        lead_grouping(*positions.shape),
        *(
            Grouping(name, members.to_numpy().reshape(positions.shape), labels)
            for name, members, labels in clock
        ),
        demand_grouping(forecast),
    ]
    temperature = _temperature(task)
    if temperature is not None:
        groupings.append(_temperature_grouping(temperature[positions]))
    return tuple(groupings)


def _local_times(task: Task, split: str) -> pd.DatetimeIndex:
    """Target times of all windows one after the other, in local time."""
    positions = task.horizon_positions(split).ravel()
    return task.series.index[positions].tz_convert(task.series.calendar.zone)


def _temperature(task: Task) -> Floats | None:
    """The first covariate measured in degrees, also if no model sees it."""
    for covariate in task.series.covariates:
        if covariate.unit in {"°C", "degC", "C"} or "temperature" in covariate.name.lower():
            return covariate.values
    return None


def _temperature_grouping(degrees: Floats) -> Grouping:
    """Bands of 5 degrees; a target time without a temperature belongs to none."""
    bands = np.floor(degrees / BAND_DEGREES)
    measured = np.isfinite(bands)
    if not measured.any():
        return Grouping("temperature", np.full(degrees.shape, -1), ())
    first = int(bands[measured].min())
    n_bands = int(bands[measured].max()) - first + 1
    labels = tuple(
        f"{(first + i) * BAND_DEGREES} to {(first + i + 1) * BAND_DEGREES} °C"
        for i in range(n_bands)
    )
    members = np.where(measured, bands - first, -1.0).astype(np.int64)
    return Grouping("temperature", members, labels)
