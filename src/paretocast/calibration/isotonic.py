"""Isotonic recalibration: quantile levels remapped to their observed frequencies.

If observations fall below the 0.9 quantile only 80 % of the time, the quantile that deserves the
name lies further out on the same curve. The map from claimed to observed frequency is the isotonic
regression of Kuleshov, Fenner & Ermon (2018), ICML, PMLR 80, 2796-2804, algorithm 1: of the hits on
the levels of the observations themselves, whose isotonic fit is their distribution function. Its
inverse, with the rank of `finite_sample`, says at which level to read; that is distributional
conformal prediction (Chernozhukov, Wüthrich & Zhu 2021, PNAS 118(48)).

A correction is as wide as the forecast at hand: where all quantiles coincide there is no other
quantile to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.base import Calibrator, check_observed
from paretocast.calibration.finite_sample import level_quantiles, shortfall_note
from paretocast.metrics.quantile_curve import OUTERMOST_READING, level_bounds, quantiles_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LevelRemapCalibrator(Calibrator):
    """Quantiles read from the forecast's curve at other levels than their own.

    Attributes
    ----------
    remapped : tuple of float
        For each level, the level it is read at; not descending. JSON calls them `readings`.
    """

    kind = "reading"
    name: str
    levels: tuple[float, ...]
    remapped: tuple[float, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> LevelRemapCalibrator:
        """The calibrator that `as_json` described."""
        return cls(
            name=stored["name"],
            levels=tuple(stored["levels"]),
            remapped=tuple(stored["readings"]),
            notes=tuple(stored["notes"]),
        )

    def _state(self) -> dict[str, Any]:
        return {"readings": list(self.remapped)}

    def _correct(self, forecast: Forecast) -> Floats:
        return quantiles_at(forecast.quantiles, self.levels, self.remapped)


def fit_isotonic(forecast: Forecast, *, name: str = "isotonic") -> LevelRemapCalibrator:
    """Remap each level so that it keeps its promise on a forecast.

    Raises
    ------
    DataError
        If nothing was observed.
    """
    check_observed(forecast, name)
    levels = np.array(forecast.levels)
    lowest, highest = level_bounds(forecast.observed, forecast.quantiles, levels)
    shape = (levels.size, *forecast.observed.shape)
    read, reached = level_quantiles(
        np.broadcast_to(highest, shape), np.broadcast_to(lowest, shape), levels
    )
    remapped = np.clip(read, OUTERMOST_READING, 1.0 - OUTERMOST_READING)
    notes = []
    if not reached.all():
        share = 0.5 + float(np.abs(levels[~reached] - 0.5).max())
        notes.append(shortfall_note(forecast.n_observed_windows, share, "bound"))
    flat = (forecast.quantiles[..., -1] == forecast.quantiles[..., 0]).mean()
    if flat > 0.0:
        notes.append(
            f"in {100.0 * flat:.3g} % of the forecasts all quantiles coincide; "
            "reading them at another level changes nothing"
        )
    return LevelRemapCalibrator(
        name=name,
        levels=forecast.levels,
        remapped=tuple(np.maximum.accumulate(remapped).tolist()),
        notes=tuple(notes),
    )
