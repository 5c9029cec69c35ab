"""Calibrators: corrections of quantile forecasts, learned from past forecasts and observations.

Each is fitted on windows that no model was trained or chosen on, and then applied without fitting
again; each can narrow intervals as well as widen them. `conformal`, `isotonic` and `online` hold
the calibrators, `finite_sample` the quantiles of their scores, `methods` their names, `selection`
the choice among them, `rolling` the calibration of one issue after the other, `cross_fit` forecasts
for calibrated objectives, `ensemble` averages of forecasts, `interval_levels` the second stage of
the two-stage strategy.

All work on `metrics.forecast.Forecast`; a missing observation is left out everywhere.
"""

from __future__ import annotations

from paretocast.calibration.base import Calibrator
from paretocast.calibration.cross_fit import cross_fitted
from paretocast.calibration.methods import (
    AUTO,
    CALIBRATORS,
    check_method,
    fit_calibrator,
    load_calibrator,
    register_calibrator,
)
from paretocast.calibration.online import OnlineCalibrator
from paretocast.calibration.rolling import RollingResult, walk_forward
from paretocast.calibration.selection import (
    CalibratorSelection,
    IntervalScores,
    choose_by_name,
    choose_calibrator,
    compare_calibrators,
    cross_validated,
    score_interval,
)
from paretocast.data.periods import FEWEST_COMPARED_WINDOWS

__all__ = [
    "AUTO",
    "CALIBRATORS",
    "FEWEST_COMPARED_WINDOWS",
    "Calibrator",
    "CalibratorSelection",
    "IntervalScores",
    "OnlineCalibrator",
    "RollingResult",
    "check_method",
    "choose_by_name",
    "choose_calibrator",
    "compare_calibrators",
    "cross_fitted",
    "cross_validated",
    "fit_calibrator",
    "load_calibrator",
    "register_calibrator",
    "score_interval",
    "walk_forward",
]
