"""Recalibration of the whole distribution: each level is read where it turned out to be.

If observations fall below the 0.9 quantile only 80 % of the time, the quantile that deserves the
name lies further out on the same curve. The map from claimed to observed frequency is the isotonic
regression of Kuleshov, Fenner & Ermon (2018), ICML, PMLR 80, 2796-2804, algorithm 1: of the hits on
the levels of the observations themselves, whose isotonic fit is their distribution function. Its
inverse, with the finite-sample rank of `ranks`, says at which level to read; that is distributional
conformal prediction (Chernozhukov, Wüthrich & Zhu 2021, PNAS 118(48)).

A correction is as wide as the forecast at hand: where all quantiles coincide there is no other
quantile to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.base import SCHEMA_VERSION, Calibrator
from paretocast.calibration.finite_sample import level_quantiles, shortfall_note
from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import OUTERMOST_READING, level_bounds, quantiles_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration.sample import Groups, Sample

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LevelRemapCalibrator(Calibrator):
    """Quantiles read from the forecast's curve at other levels than their own.

    Attributes
    ----------
    readings : tuple of float
        For each level, where it is read; not descending.
    """

    name: str
    levels: tuple[float, ...]
    readings: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything it learned, as JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "reading",
            "name": self.name,
            "levels": list(self.levels),
            "readings": list(self.readings),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> LevelRemapCalibrator:
        """What `as_json` gave."""
        return cls(
            name=stored["name"],
            levels=tuple(stored["levels"]),
            readings=tuple(stored["readings"]),
            notes=tuple(stored["notes"]),
        )

    def _correct(self, forecast: Floats, groups: Groups) -> Floats:  # noqa: ARG002
        return quantiles_at(forecast, self.levels, self.readings)


def fit_isotonic(sample: Sample, *, name: str = "isotonic") -> LevelRemapCalibrator:
    """Where each level has to be read so that it keeps its promise on the sample.

    Raises
    ------
    DataError
        If nothing was observed.
    """
    if sample.n_observed_windows == 0:
        raise DataError(f"calibrator {name} has nothing to learn from: no window was observed")
    lowest, highest = level_bounds(sample.observed, sample.forecast, sample.levels)
    shape = (len(sample.levels), *sample.observed.shape)
    read, reached = level_quantiles(
        np.broadcast_to(highest, shape), np.broadcast_to(lowest, shape), np.array(sample.levels)
    )
    readings = np.clip(read, OUTERMOST_READING, 1.0 - OUTERMOST_READING)
    notes = []
    if not reached.all():
        share = 0.5 + float(np.abs(np.array(sample.levels)[~reached] - 0.5).max())
        notes.append(shortfall_note(sample.n_observed_windows, share, "bound"))
    flat = (sample.forecast[..., -1] == sample.forecast[..., 0]).mean()
    if flat > 0.0:
        notes.append(
            f"in {100.0 * flat:.3g} % of the forecasts all quantiles coincide; "
            "reading them at another level changes nothing"
        )
    return LevelRemapCalibrator(
        name=name,
        levels=sample.levels,
        readings=tuple(np.maximum.accumulate(readings).tolist()),
        notes=tuple(notes),
    )
