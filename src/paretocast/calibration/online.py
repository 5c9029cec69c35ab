"""Calibrators that go on learning: after each issue, from what has been observed by then.

A window teaches once its last hour is known. Its hours stand or fall together, so it makes one
step, with the share of its observed hours below each quantile as the error; a window without an
observation makes none.

`AdaptiveCalibrator` follows Gibbs & Candès (2021), NeurIPS 34, section 2: each level is read at a
quantile of all earlier observations' levels, and which quantile that is moves with the errors.

`PidCalibrator` follows Angelopoulos, Candès & Tibshirani (2023), NeurIPS 36, section 2: a quantile
tracker (P), a saturating sum of errors (I) and a forecast of the next scores (D). Ours says that
the days to come will be as hard as the last few were: errors in widths of the forecast, averaged
with a half-life of a few windows, over what they usually are. What an hour of the day does is left
to the calibrator below it, which is fitted once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from paretocast.calibration.base import SCHEMA_VERSION, Calibrator
from paretocast.calibration.conformal import (
    ShiftCalibrator,
    Sides,
    Unit,
    fit_conformal,
    unit_of_shifts,
    width_floor,
)
from paretocast.calibration.finite_sample import sorted_quantile
from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import OUTERMOST_READING, level_bounds, quantiles_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration.sample import Groups, Sample

    Floats = NDArray[np.float64]

MEMORY_WINDOWS = 365  # earlier windows whose levels ACI looks at
ADAPTIVE_RATE = 0.02  # gamma of ACI, per window
MOST_SCALE = 10.0  # days are at most so many times harder, or easier, than usual


@dataclass(frozen=True)
class IssuedForecasts:
    """Windows whose forecasts have been issued, and what was issued.

    Attributes
    ----------
    sample : Sample
        Forecasts as the model made them, before calibration.
    forecast : ndarray of shape (N, H, Q)
        As they were issued.
    """

    sample: Sample
    forecast: Floats


class OnlineCalibrator(Calibrator):
    """A calibrator with a state; `learn` gives one with the next state.

    Attributes
    ----------
    learned_until : int or None
        Issue hour of the last window it learned from, as `Sample.issues` counts.
    """

    learned_until: int | None

    def learn(self, issued: IssuedForecasts) -> Self:
        """The calibrator after these windows; those without an observation change nothing.

        Raises
        ------
        DataError
            If a window is not later than all that were learned from before.
        """
        sample = issued.sample
        if not sample.n_windows:
            return self
        first = int(sample.issues[0])
        if self.learned_until is not None and first <= self.learned_until:
            raise DataError(
                f"calibrator {self.name} has learned from the windows up to issue hour "
                f"{self.learned_until} and was given that of {first} again"
            )
        learned = self
        for i in range(sample.n_windows):
            if not np.isnan(sample.observed[i]).all():
                learned = learned._learn_window(sample.take(slice(i, i + 1)), issued.forecast[i])
        return replace(learned, learned_until=int(sample.issues[-1]))  # type: ignore[type-var]

    @abstractmethod
    def _learn_window(self, window: Sample, issued: Floats) -> Self:
        """The calibrator after one window with an observation; `issued` has shape (H, Q)."""


@dataclass(frozen=True)
class AdaptiveCalibrator(OnlineCalibrator):
    """Adaptive conformal inference on the levels of the observations.

    Attributes
    ----------
    adapted : tuple of float
        For each level, the quantile of earlier observations' levels it is read at; beyond 0
        and 1 it is read at the outermost of them, where the paper issues the whole line.
    lowest, highest : ndarray of shape (M, H)
        `quantile_curve.level_bounds` of earlier windows.
    rate : float
        Step of `adapted` per window and unit of error.
    """

    name: str
    levels: tuple[float, ...]
    adapted: tuple[float, ...]
    lowest: Floats
    highest: Floats
    rate: float = ADAPTIVE_RATE
    learned_until: int | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything it learned, as JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "adaptive",
            "name": self.name,
            "levels": list(self.levels),
            "adapted": list(self.adapted),
            "lowest": _without_nan(self.lowest),
            "highest": _without_nan(self.highest),
            "rate": self.rate,
            "learned_until": self.learned_until,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> AdaptiveCalibrator:
        """What `as_json` gave."""
        return cls(
            name=stored["name"],
            levels=tuple(stored["levels"]),
            adapted=tuple(stored["adapted"]),
            lowest=np.array(stored["lowest"], dtype=np.float64),
            highest=np.array(stored["highest"], dtype=np.float64),
            rate=stored["rate"],
            learned_until=stored["learned_until"],
            notes=tuple(stored["notes"]),
        )

    def readings(self) -> Floats:
        """Where each level is read now, (Q,)."""
        seen = ~np.isnan(self.lowest)
        ascending = np.sort(self.lowest[seen])
        descending = np.sort(-self.highest[seen])
        read = []
        for level, adapted in zip(self.levels, np.clip(self.adapted, 0.0, 1.0), strict=True):
            upper = sorted_quantile(ascending, adapted)[0]
            lower = -sorted_quantile(descending, 1.0 - adapted)[0]
            side = np.sign(level - 0.5)  # outwards from the median, which is read between the two
            read.append((lower + upper + side * (upper - lower)) / 2.0)
        readings: Floats = np.clip(read, OUTERMOST_READING, 1.0 - OUTERMOST_READING)
        return readings

    def _correct(self, forecast: Floats, groups: Groups) -> Floats:  # noqa: ARG002
        return quantiles_at(forecast, self.levels, self.readings())

    def _learn_window(self, window: Sample, issued: Floats) -> AdaptiveCalibrator:
        error = np.asarray(self.levels) - _share_below(window.observed[0], issued)
        lowest, highest = level_bounds(window.observed, window.forecast, self.levels)
        return replace(
            self,
            adapted=tuple((np.asarray(self.adapted) + self.rate * error).tolist()),
            lowest=np.concatenate((self.lowest, lowest))[-MEMORY_WINDOWS:],
            highest=np.concatenate((self.highest, highest))[-MEMORY_WINDOWS:],
        )


@dataclass(frozen=True)
class PidGains:
    """How fast a `PidCalibrator` follows.

    Attributes
    ----------
    rate : float
        P: widths that a quantile moves per window and unit of error.
    integral, saturation : float
        I: widths, and the mean error at which the tangent has its pole.
    half_life : float
        D: windows after which an error counts half.
    power : float
        D: how much of a change in the errors the widths follow, 0 to 1.
    """

    rate: float = 0.05
    integral: float = 0.05
    saturation: float = 1.0
    half_life: float = 3.0
    power: float = 0.6


@dataclass(frozen=True)
class PidCalibrator(OnlineCalibrator):
    """Conformal PID control over a calibrator that was fitted once.

    Attributes
    ----------
    usual_error, recent_error : float
        Mean absolute error of the median in widths of the forecast: in the fit, and of late.
    shifts, error_sums : tuple of float
        For each level, the tracker's place in widths, and the sum of errors so far.
    floor : float or None
        As of `ShiftCalibrator`, of the forecasts that `base` gives.
    """

    name: str
    levels: tuple[float, ...]
    base: ShiftCalibrator
    usual_error: float
    recent_error: float
    shifts: tuple[float, ...]
    error_sums: tuple[float, ...]
    floor: float | None
    n_learned: int = 0
    learned_until: int | None = None
    gains: PidGains = PidGains()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything it learned, as JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "pid",
            "name": self.name,
            "levels": list(self.levels),
            "base": self.base.as_json(),
            "usual_error": self.usual_error,
            "recent_error": self.recent_error,
            "shifts": list(self.shifts),
            "error_sums": list(self.error_sums),
            "floor": self.floor,
            "n_learned": self.n_learned,
            "learned_until": self.learned_until,
            "gains": asdict(self.gains),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PidCalibrator:
        """What `as_json` gave."""
        return cls(
            name=stored["name"],
            levels=tuple(stored["levels"]),
            base=ShiftCalibrator.from_json(stored["base"]),
            usual_error=stored["usual_error"],
            recent_error=stored["recent_error"],
            shifts=tuple(stored["shifts"]),
            error_sums=tuple(stored["error_sums"]),
            floor=stored["floor"],
            n_learned=stored["n_learned"],
            learned_until=stored["learned_until"],
            gains=PidGains(**stored["gains"]),
            notes=tuple(stored["notes"]),
        )

    @property
    def scale(self) -> float:
        """How much wider than usual the next forecasts are made, unitless."""
        if self.usual_error == 0.0:
            return 1.0
        ratio = self.recent_error / self.usual_error
        return float(np.clip(ratio, 1.0 / MOST_SCALE, MOST_SCALE) ** self.gains.power)

    def _correct(self, forecast: Floats, groups: Groups) -> Floats:
        below = self.base.apply(forecast, groups)
        middle = _middle(below, self.levels)[..., None]
        moves = (np.asarray(self.shifts) + self._integral()) * self.scale
        spread: Floats = middle + (below - middle) * self.scale
        return spread + moves * unit_of_shifts(below, self.levels, self.floor)

    def _integral(self) -> Floats:
        """The saturating sum of errors, the tangent integrator of the paper, in widths."""
        weight = math.log(self.n_learned + 1.0) / (self.n_learned + 1.0)
        angle = np.asarray(self.error_sums) * weight / self.gains.saturation
        pushed: Floats = self.gains.integral * np.tan(np.clip(angle, -1.5, 1.5))
        return pushed

    def _learn_window(self, window: Sample, issued: Floats) -> PidCalibrator:
        error = np.asarray(self.levels) - _share_below(window.observed[0], issued)
        seen = _error_in_widths(window, self.base, self.floor)
        kept = 0.5 ** (1.0 / self.gains.half_life)
        return replace(
            self,
            recent_error=kept * self.recent_error + (1.0 - kept) * seen,
            shifts=tuple((np.asarray(self.shifts) + self.gains.rate * error).tolist()),
            error_sums=tuple((np.asarray(self.error_sums) + error).tolist()),
            n_learned=self.n_learned + 1,
        )


def fit_adaptive(sample: Sample, *, name: str = "aci") -> AdaptiveCalibrator:
    """Adaptive conformal inference whose memory is a sample.

    Raises
    ------
    DataError
        If nothing was observed.
    """
    if sample.n_observed_windows == 0:
        raise DataError(f"calibrator {name} has nothing to learn from: no window was observed")
    recent = sample.take(slice(-MEMORY_WINDOWS, None))
    lowest, highest = level_bounds(recent.observed, recent.forecast, recent.levels)
    return AdaptiveCalibrator(
        name=name, levels=sample.levels, adapted=sample.levels, lowest=lowest, highest=highest
    )


def fit_pid(
    sample: Sample,
    *,
    name: str = "pid",
    group: tuple[str, ...] = ("hour",),
    gains: PidGains | None = None,
) -> PidCalibrator:
    """Conformal PID control that starts from relative, asymmetric corrections by group.

    Raises
    ------
    DataError
        If nothing was observed, or a group is not in the sample.
    """
    base = fit_conformal(sample, name=name, sides=Sides.LEVELS, unit=Unit.WIDTH, group=group)
    below = sample.with_forecast(base.apply(sample.forecast, sample.groups))
    floor = width_floor(below)
    usual = _error_in_widths(sample, base, floor)
    n_levels = len(sample.levels)
    return PidCalibrator(
        name=name,
        levels=sample.levels,
        base=base,
        usual_error=usual,
        recent_error=usual,
        shifts=(0.0,) * n_levels,
        error_sums=(0.0,) * n_levels,
        floor=floor,
        gains=gains or PidGains(),
        notes=base.notes,
    )


def _error_in_widths(sample: Sample, base: ShiftCalibrator, floor: float | None) -> float:
    """Mean absolute error of the median over what was observed, in widths of the forecast."""
    below = base.apply(sample.forecast, sample.groups)
    error = np.abs(sample.observed - _middle(below, sample.levels))
    return float(np.nanmean(error / unit_of_shifts(below, sample.levels, floor)[..., 0]))


def _middle(forecast: Floats, levels: tuple[float, ...]) -> Floats:
    middle: Floats = forecast[..., int(np.argmin(np.abs(np.asarray(levels) - 0.5)))]
    return middle


def _share_below(observed: Floats, issued: Floats) -> Floats:
    """Share of a window's observed hours at or below each quantile, (Q,)."""
    seen = ~np.isnan(observed)
    share: Floats = (observed[seen][:, None] <= issued[seen]).mean(axis=0)
    return share


def _without_nan(levels: Floats) -> list[list[float | None]]:
    return [[None if math.isnan(value) else value for value in row] for row in levels.tolist()]
