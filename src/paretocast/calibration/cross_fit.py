"""Cross-fitted calibration: the forecast as it will be once calibrated, for calibrated objectives.

The windows are divided into two halves of alternating weeks; each half is calibrated by a fit on
the other one, so that no window is scored under a calibrator that has seen it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.conformal import WEEK_WINDOWS, Sides, Unit, fit_conformal
from paretocast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from paretocast.calibration.base import Calibrator
    from paretocast.metrics.forecast import Forecast


def fit_plain(forecast: Forecast) -> Calibrator:
    """The calibrator behind the objectives: every quantile on its own, in widths, not grouped.

    One number per level: it removes what any calibrator would, and has little to overfit with.
    """
    return fit_conformal(forecast, name="plain", sides=Sides.LEVELS, unit=Unit.WIDTH)


def cross_fitted(
    forecast: Forecast,
    *,
    block_windows: int = WEEK_WINDOWS,
    fit: Callable[[Forecast], Calibrator] = fit_plain,
) -> Forecast:
    """The forecast with each half of its windows calibrated by the other.

    Parameters
    ----------
    block_windows : int
        Windows in a row that stay together: alternate days would know each other's weather.

    Raises
    ------
    DataError
        If a half holds no observation.
    """
    half = np.arange(forecast.n_windows) // block_windows % 2
    for part in (0, 1):
        if np.isnan(forecast.observed[half == part]).all():
            raise DataError(
                f"a half of {int((half == part).sum())} windows in blocks of {block_windows} holds "
                "no observation; calibrated scores need two halves"
            )
    quantiles = np.empty_like(forecast.quantiles)
    for part in (0, 1):
        calibrator = fit(forecast.take(half != part))
        quantiles[half == part] = calibrator.apply(forecast.take(half == part)).quantiles
    return forecast.with_quantiles(quantiles)
