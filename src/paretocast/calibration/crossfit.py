"""Scores of a forecast as it will be once it is calibrated: objectives that know about calibration.

The windows are divided into two halves of alternating weeks; each half is calibrated by what the
other one showed, so that no window is judged by a calibrator that has seen it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.conformal import WEEK_WINDOWS, Sides, Unit, fit_conformal
from paretocast.calibration.methods import judge
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


def calibrated_scores(
    observed: Floats,
    forecast: Floats,
    *,
    levels: Sequence[float],
    coverage: float = 80.0,
    block_windows: int = WEEK_WINDOWS,
) -> dict[str, float]:
    """Scores after calibration, under the names of the objectives.

    Returns
    -------
    dict of str to float
        calibrated_winkler, calibrated_width and calibrated_pinball (mean over all levels), in
        target units, lower is better, and calibrated_picp in percent.

    Examples
    --------
    Forecasts that are three times too wide score as those of the right width do.

    >>> rng = np.random.default_rng(0)
    >>> observed = rng.normal(size=(84, 24))
    >>> honest = np.broadcast_to(np.array([-1.2816, 0.0, 1.2816]), (84, 24, 3))
    >>> for forecast in (honest, 3.0 * honest):
    ...     scores = calibrated_scores(observed, forecast, levels=(0.1, 0.5, 0.9))
    ...     print(round(scores["calibrated_winkler"], 2), round(scores["calibrated_width"], 2))
    3.5 2.61
    3.5 2.61
    """
    calibrated = cross_fitted(observed, forecast, levels=levels, block_windows=block_windows)
    sample = Sample(observed, calibrated, tuple(levels), np.arange(len(observed)))
    judged = judge("plain", sample, coverage=coverage)
    return {
        "calibrated_winkler": judged.winkler,
        "calibrated_width": judged.mean_width,
        "calibrated_pinball": judged.pinball,
        "calibrated_picp": judged.picp,
    }
