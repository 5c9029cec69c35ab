"""Forecasts in the order in which they are issued: each calibrated with what was known by then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.online import IssuedForecasts, OnlineCalibrator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration.base import Calibrator
    from paretocast.calibration.sample import Sample

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RollingResult:
    """What a walk issued, and where it can go on.

    Attributes
    ----------
    forecast : ndarray of shape (N, H, Q)
        As it was issued, window by window.
    calibrator : Calibrator
        After the last window whose hours were all past when another one was issued.
    pending : IssuedForecasts
        Windows it has issued and not learned from; the next walk takes them.
    """

    forecast: Floats
    calibrator: Calibrator
    pending: IssuedForecasts


def n_known(issues: NDArray[np.integer], horizon_steps: int, now: int) -> int:
    """How many windows have their last hour behind them at an issue hour.

    Examples
    --------
    At the issue of day 3 the first two windows of a day are past, and none of a week.

    >>> issues = np.array([0, 24, 48])
    >>> n_known(issues, 24, 48), n_known(issues, 168, 48)
    (2, 0)
    """
    return int(np.searchsorted(issues + horizon_steps, now, side="right"))


def walk_forward(
    calibrator: Calibrator, sample: Sample, pending: IssuedForecasts | None = None
) -> RollingResult:
    """Calibrate windows one issue after the other, learning from each once it has been observed.

    A calibrator that does not learn is applied to all windows at once. A walk over two stretches,
    the second taking the first one's calibrator and `pending`, issues what one walk over both does.
    """
    if not isinstance(calibrator, OnlineCalibrator):
        forecast = calibrator.apply(sample.forecast, sample.groups)
        return RollingResult(
            forecast, calibrator, IssuedForecasts(sample.take(slice(0, 0)), forecast[:0])
        )
    n_before = 0
    issued = np.empty_like(sample.forecast)
    if pending is not None:
        n_before = pending.sample.n_windows
        sample = pending.sample.followed_by(sample)
        issued = np.concatenate((pending.forecast, issued))
    horizon_steps, learned = sample.observed.shape[1], 0
    for i in range(n_before, sample.n_windows):
        known = n_known(sample.issues, horizon_steps, int(sample.issues[i]))
        past = slice(learned, max(known, learned))
        calibrator = calibrator.learn(IssuedForecasts(sample.take(past), issued[past]))
        learned = past.stop
        window = sample.take(slice(i, i + 1))
        issued[i] = calibrator.apply(window.forecast, window.groups)[0]
    left = slice(learned, None)
    return RollingResult(
        issued[n_before:], calibrator, IssuedForecasts(sample.take(left), issued[left])
    )
