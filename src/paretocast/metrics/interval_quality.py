"""Coverage and Winkler score of an interval, and the choice that puts coverage first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.metrics.score_table import per_window
from paretocast.metrics.scores import picp
from paretocast.metrics.uncertainty import paired_difference, picp_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IntervalQuality:
    """Coverage and losses of the central interval of a forecast.

    Attributes
    ----------
    picp, low, high : float
        Coverage and its 95 % interval from resampled days, percent.
    winkler : ndarray of shape (N,)
        Mean Winkler score of each window, target units; NaN where nothing was observed.
    """

    picp: float
    low: float
    high: float
    winkler: Floats

    def holds(self, target: float) -> bool:
        """Return whether the coverage agrees with a target in percent."""
        return self.low <= target <= self.high


def measure_interval(forecast: Forecast, coverage: float) -> IntervalQuality:
    """Quality of the central interval of a coverage in percent.

    Raises
    ------
    DataError
        If nothing was observed.
    """
    observed = forecast.observed
    lower, upper = forecast.interval(coverage)
    low, high = picp_interval(observed, lower, upper, rng=np.random.default_rng(0))
    losses = per_window(observed, forecast.quantiles, levels=forecast.levels, coverage=coverage)
    return IntervalQuality(picp(observed, lower, upper), low, high, losses["winkler"])


def mean_quality(qualities: Sequence[IntervalQuality]) -> IntervalQuality:
    """Mean of the qualities of several trainings of one method."""
    return IntervalQuality(
        picp=float(np.mean([quality.picp for quality in qualities])),
        low=float(np.mean([quality.low for quality in qualities])),
        high=float(np.mean([quality.high for quality in qualities])),
        winkler=np.mean([quality.winkler for quality in qualities], axis=0),
    )


def coverage_first(preferred: int, qualities: Sequence[IntervalQuality], target: float) -> int:
    """Index of the preferred forecast, or of one as good that holds the target where it does not.

    Parameters
    ----------
    qualities : sequence of IntervalQuality
        Of all forecasts, on the same windows.
    target : float
        Coverage that the interval should have, percent.

    Returns
    -------
    int
        Where the coverage of the preferred forecast excludes the target: of those that hold it and
        whose Winkler score is not higher beyond chance (the 95 % interval of the paired difference
        does not lie above 0), the one with the lowest. The preferred one where there is none.
    """
    if qualities[preferred].holds(target):
        return preferred
    as_good = [
        i
        for i, quality in enumerate(qualities)
        if quality.holds(target) and not _is_worse(quality, qualities[preferred])
    ]
    return min(as_good, key=lambda i: float(np.nanmean(qualities[i].winkler)), default=preferred)


def _is_worse(quality: IntervalQuality, other: IntervalQuality) -> bool:
    gap = paired_difference(quality.winkler, other.winkler, rng=np.random.default_rng(0))
    return gap.low > 0.0
