"""The last resort: what demand was at this hour of this weekday in the last weeks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.task import STEPS_PER_WEEK
from paretocast.errors import ForecastError

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
    """Quantiles (H, Q) of the last weeks at the same hour of the week, target units.

    The hours beside are pooled with it. Where too few of them were observed, all days' same hours
    serve, then all hours.

    Raises
    ------
    ForecastError
        If nothing was observed in that time.
    """
    local = series.index.tz_convert(series.calendar.zone)
    of_week = local.day_of_week.to_numpy() * 24 + local.hour.to_numpy()
    start, stop = max(0, position - WEEKS * STEPS_PER_WEEK), position - series.delay_hours
    values, hour_of_week = series.values[start:stop], of_week[start:stop]
    observed = ~np.isnan(values)
    values, hour_of_week = values[observed], hour_of_week[observed]
    if not values.size:
        raise ForecastError(f"nothing was observed in the {WEEKS} weeks before the issue")
    rows = []
    for hour in of_week[position : position + horizon_steps].tolist():
        distance = np.abs((hour_of_week - hour + 84) % 168 - 84)
        of_day = np.abs((hour_of_week - hour + 12) % 24 - 12)
        for near in (distance <= 1, of_day <= 1, np.ones(len(values), dtype=bool)):
            if near.sum() >= FEWEST_VALUES or near.all():
                rows.append(np.quantile(values[near], levels))
                break
    return np.array(rows)
