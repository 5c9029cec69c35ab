"""What a fitted calibrator is: something that turns forecasts into calibrated ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration.sample import Groups

    Floats = NDArray[np.float64]

SCHEMA_VERSION = 1


class Calibrator(ABC):
    """A fitted calibrator, frozen: what it learned, and what must be known about that.

    Attributes
    ----------
    name : str
        The method, as `methods.METHODS` lists it.
    levels : tuple of float
        Quantile levels of the forecasts it was fitted on, and of those it returns.
    notes : tuple of str
        What fell short in the fit, in sentences for people.
    """

    name: str
    levels: tuple[float, ...]
    notes: tuple[str, ...]

    def apply(self, forecast: Floats, groups: Groups | None = None) -> Floats:
        """The forecast, calibrated: sorted along the levels, nothing fitted again.

        Parameters
        ----------
        forecast : ndarray of shape (N, H, Q)
            In target units, finite. Crossing quantiles are sorted first.
        groups : mapping of name to ndarray of int of shape (N, H), optional
            Those that the calibrator was fitted by; `lead` need not be given.
        """
        if forecast.ndim != 3 or forecast.shape[-1] != len(self.levels):
            raise DataError(
                f"forecast has shape {forecast.shape}, expected (N, H, Q) with Q="
                f"{len(self.levels)}, the levels that calibrator {self.name} was fitted on"
            )
        if not np.isfinite(forecast).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(forecast))[0])
            raise DataError(f"forecast is not finite at (window, step, level) = {where}")
        corrected = self._correct(np.sort(forecast, axis=-1), groups or {})
        return np.sort(corrected, axis=-1)

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Everything it learned, as JSON values; `methods.load_calibrator` reads it back."""

    @abstractmethod
    def _correct(self, forecast: Floats, groups: Groups) -> Floats:
        """The quantiles of a sorted forecast, corrected, in any order."""
