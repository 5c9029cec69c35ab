"""Walk-forward calibration: each forecast corrected with what was known when it was issued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.online import OnlineCalibrator

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
    pending : Forecast
        Windows before calibration that were issued and that the calibrator has not learned from
        yet; `walk_forward` over later windows takes them.
    """

    forecast: Forecast
    calibrator: Calibrator
    pending: Forecast


def n_past_windows(issues: NDArray[np.integer], known_after: int, now: int) -> int:
    """Number of windows whose last hour is known at an issue hour.

    Parameters
    ----------
    known_after : int
        See `Forecast.known_after`.

    Examples
    --------
    At the issue of day 3 the first two windows of a day are past, and none of a week.

    >>> issues = np.array([0, 24, 48])
    >>> n_past_windows(issues, 24, 48), n_past_windows(issues, 168, 48)
    (2, 0)
    """
    return int(np.searchsorted(issues + known_after, now, side="right"))


def walk_forward(
    calibrator: Calibrator, forecast: Forecast, pending: Forecast | None = None
) -> RollingResult:
    """Calibrate windows one issue after the other, learning from each once it has been observed.

    A calibrator that does not learn is applied to all windows at once. Two calls for two periods,
    the second with the first one's calibrator and `pending`, issue what one call for both does.
    """
    if not isinstance(calibrator, OnlineCalibrator):
        return RollingResult(calibrator.apply(forecast), calibrator, forecast.take(slice(0, 0)))
    raw = forecast if pending is None else pending.followed_by(forecast)
    n_learned, issued = 0, []
    for i in range(raw.n_windows - forecast.n_windows, raw.n_windows):
        n_past = max(n_learned, n_past_windows(raw.issues, raw.known_after, int(raw.issues[i])))
        calibrator = calibrator.learn(raw.take(slice(n_learned, n_past)))
        n_learned = n_past
        issued.append(calibrator.apply(raw.take(slice(i, i + 1))).quantiles)
    quantiles = np.concatenate(issued) if issued else forecast.quantiles
    rest = raw.take(slice(n_learned, None))
    return RollingResult(forecast.with_quantiles(quantiles), calibrator, rest)
