"""The last resort: what demand was at this hour of this weekday in the last weeks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.task import DAYS_PER_WEEK
from paretocast.errors import ForecastError
from paretocast.steps import HOURS_PER_DAY, steps_per_hour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data.series import Series

    Floats = NDArray[np.float64]

WEEKS = 8
FEWEST_VALUES = 6


def forecast_climatology(
    series: Series, position: int, *, horizon_steps: int, levels: Sequence[float]
) -> Floats:
    """Quantiles (H, Q) of the last weeks at the same time of the week, target units.

    What lies within an hour of it is pooled with it; of a daily series the same day stands
    alone. Where too few of them were observed, all days' same times serve, then all times.

    Raises
    ------
    ForecastError
        If nothing was observed in that time.
    """
    local = series.index.tz_convert(series.calendar.zone)
    per_day = series.steps_per_day
    per_week, near_by = DAYS_PER_WEEK * per_day, 0 if per_day == 1 else steps_per_hour(per_day)
    minutes = 60 * local.hour.to_numpy() + local.minute.to_numpy()
    of_week = local.day_of_week.to_numpy() * per_day + minutes * per_day // (60 * HOURS_PER_DAY)
    start, stop = max(0, position - WEEKS * per_week), position - series.delay_steps
    values, step_of_week = series.values[start:stop], of_week[start:stop]
    observed = ~np.isnan(values)
    values, step_of_week = values[observed], step_of_week[observed]
    if not values.size:
        raise ForecastError(f"nothing was observed in the {WEEKS} weeks before the issue")
    rows = []
    for step in of_week[position : position + horizon_steps].tolist():
        distance, of_day = (
            np.abs((step_of_week - step + round_trip // 2) % round_trip - round_trip // 2)
            for round_trip in (per_week, per_day)
        )
        for near in (distance <= near_by, of_day <= near_by, np.ones(len(values), dtype=bool)):
            if near.sum() >= FEWEST_VALUES or near.all():
                rows.append(np.quantile(values[near], levels))
                break
    return np.array(rows)
