"""Walk-forward calibration: each forecast corrected with what was known when it was issued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.online import IssuedForecasts, OnlineCalibrator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration.base import Calibrator
    from paretocast.metrics.forecast import Forecast


@dataclass(frozen=True)
class RollingResult:
    """The forecasts that walk-forward calibration issued, and the state to continue from.

    Attributes
    ----------
    forecast : Forecast
        As it was issued, window by window.
    calibrator : Calibrator
        After the last window whose hours were all past when another one was issued.
    pending : IssuedForecasts
        Windows that were issued and that the calibrator has not learned from yet; `walk_forward`
        over later windows takes them.
    """

    forecast: Forecast
    calibrator: Calibrator
    pending: IssuedForecasts


def n_past_windows(issues: NDArray[np.integer], horizon_steps: int, now: int) -> int:
    """Number of windows whose last hour is past at an issue hour.

    Examples
    --------
    At the issue of day 3 the first two windows of a day are past, and none of a week.

    >>> issues = np.array([0, 24, 48])
    >>> n_past_windows(issues, 24, 48), n_past_windows(issues, 168, 48)
    (2, 0)
    """
    return int(np.searchsorted(issues + horizon_steps, now, side="right"))


def walk_forward(
    calibrator: Calibrator, forecast: Forecast, pending: IssuedForecasts | None = None
) -> RollingResult:
    """Calibrate windows one issue after the other, learning from each once it has been observed.

    A calibrator that does not learn is applied to all windows at once. Two calls for two periods,
    the second with the first one's calibrator and `pending`, issue what one call for both does.
    """
    if not isinstance(calibrator, OnlineCalibrator):
        calibrated = calibrator.apply(forecast)
        nothing = slice(0, 0)
        return RollingResult(
            calibrated,
            calibrator,
            IssuedForecasts(forecast.take(nothing), calibrated.quantiles[nothing]),
        )
    n_before = 0
    issued = np.empty_like(forecast.quantiles)
    raw = forecast
    if pending is not None:
        n_before = pending.raw.n_windows
        raw = pending.raw.followed_by(forecast)
        issued = np.concatenate((pending.quantiles, issued))
    horizon_steps, n_learned = raw.observed.shape[1], 0
    for i in range(n_before, raw.n_windows):
        n_past = max(n_learned, n_past_windows(raw.issues, horizon_steps, int(raw.issues[i])))
        past = slice(n_learned, n_past)
        calibrator = calibrator.learn(IssuedForecasts(raw.take(past), issued[past]))
        n_learned = n_past
        issued[i] = calibrator.apply(raw.take(slice(i, i + 1))).quantiles[0]
    rest = slice(n_learned, None)
    return RollingResult(
        forecast.with_quantiles(issued[n_before:]),
        calibrator,
        IssuedForecasts(raw.take(rest), issued[rest]),
    )
