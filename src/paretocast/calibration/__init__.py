"""Calibrators: from forecasts and what came of them to intervals that hold what they claim.

Each is fitted on windows that no model was trained or chosen on, and then applied without fitting
again; each can narrow intervals as well as widen them. `sample` holds what they are fitted on,
`ranks` the finite-sample quantiles, `conformal`, `isotonic` and `online` the methods, `methods`
their names and the choice among them, `walk` the order of issues, `crossfit` scores after
calibration.

Forecasts are (N, H, Q) in target units, ascending along the levels; observations (N, H), NaN where
missing. A missing observation is left out everywhere.
"""

from __future__ import annotations

from paretocast.calibration.base import Calibrator
from paretocast.calibration.cross_fit import cross_fitted
from paretocast.calibration.methods import (
    AUTO,
    FEWEST_COMPARED_WINDOWS,
    METHODS,
    CalibratorSelection,
    IntervalScores,
    check_method,
    choose_by_name,
    choose_calibrator,
    fit_calibrator,
    judge,
    load_calibrator,
)
from paretocast.calibration.online import IssuedForecasts, OnlineCalibrator
from paretocast.calibration.rolling import RollingResult, walk_forward
from paretocast.calibration.sample import Sample

__all__ = [
    "AUTO",
    "FEWEST_COMPARED_WINDOWS",
    "METHODS",
    "Calibrator",
    "CalibratorSelection",
    "IntervalScores",
    "IssuedForecasts",
    "OnlineCalibrator",
    "RollingResult",
    "Sample",
    "check_method",
    "choose_by_name",
    "choose_calibrator",
    "cross_fitted",
    "fit_calibrator",
    "judge",
    "load_calibrator",
    "walk_forward",
]
