"""Scores of a forecast as it will be once it is calibrated: objectives that know about calibration.

The windows are divided into two halves of alternating weeks; each half is calibrated by what the
other one showed, so that no window is judged by a calibrator that has seen it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.conformal import WEEK_WINDOWS, Sides, Unit, fit_conformal
from paretocast.calibration.sample import Sample
from paretocast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from paretocast.calibration.base import Calibrator

    Floats = NDArray[np.float64]


def fit_plain(sample: Sample) -> Calibrator:
    """The calibrator behind the objectives: every quantile on its own, in widths, not grouped.

    One number per level: it removes what any calibrator would, and has little to overfit with.
    """
    return fit_conformal(sample, name="plain", sides=Sides.LEVELS, unit=Unit.WIDTH)


def cross_fitted(
    observed: Floats,
    forecast: Floats,
    *,
    levels: Sequence[float],
    block_windows: int = WEEK_WINDOWS,
    fit: Callable[[Sample], Calibrator] = fit_plain,
) -> Floats:
    """The forecast of each half, calibrated by the other; of the shape of `forecast`.

    Parameters
    ----------
    observed, forecast
        Windows in time order, as `scores` has them.
    block_windows : int
        Windows in a row that stay together: alternate days would know each other's weather.

    Raises
    ------
    DataError
        If a half holds no observation.
    """
    sample = Sample(observed, forecast, tuple(levels), np.arange(len(observed)))
    half = np.arange(len(observed)) // block_windows % 2
    calibrated = np.empty_like(sample.forecast)
    for part in (0, 1):
        if np.isnan(observed[half == part]).all():
            raise DataError(
                f"a half of {int((half == part).sum())} windows in blocks of {block_windows} holds "
                "no observation; calibrated scores need two halves"
            )
    for part in (0, 1):
        calibrator = fit(sample.take(half != part))
        calibrated[half == part] = calibrator.apply(sample.forecast[half == part])
    return calibrated
