"""Forecasts calibrated for the test split: once on the calibrate split, or learning on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.calibration import OnlineCalibrator, choose_by_name, walk_forward
from paretocast.results.groups import forecast_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.calibration import Calibrator
    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrated:
    """A calibrated forecast of the test split.

    Attributes
    ----------
    forecast : Forecast
        As it was issued, window by window.
    calibrator : Calibrator
        As it was fitted on the calibrate split, before the first test issue.
    reason : str
        Why this one.
    """

    forecast: Forecast
    calibrator: Calibrator
    reason: str

    @property
    def online(self) -> bool:
        """Whether it went on learning in the test split."""
        return isinstance(self.calibrator, OnlineCalibrator)


def calibrate_test(
    task: Task, forecasts: Mapping[str, Floats], name: str, *, coverage: float, static: bool = False
) -> Calibrated:
    """The test forecast as a calibrator corrects it.

    Parameters
    ----------
    forecasts : mapping of split to ndarray of shape (N, H, Q)
        Of calibrate, out of sample, and of test.
    name : str
        A method, or "auto" for the one with the lowest Winkler score on folds of calibrate.
    coverage : float
        Percent, what "auto" judges.
    static : bool
        Leave out of "auto" what goes on learning.
    """
    fitted_on = forecast_of(task, "calibrate", forecasts["calibrate"])
    choice = choose_by_name(fitted_on, name, coverage=coverage, static=static)
    rolled = walk_forward(choice.calibrator, forecast_of(task, "test", forecasts["test"]))
    return Calibrated(rolled.forecast, choice.calibrator, choice.reason)
