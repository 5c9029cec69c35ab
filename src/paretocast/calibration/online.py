"""Online calibrators: adaptive conformal inference (ACI) and conformal PID control.

They go on learning after each issue. A window is learned from once its last hour was observed. Its
hours stand or fall together, so it makes one step, with the share of its observed hours below each
quantile as the error; a window without an observation makes none.

`AdaptiveCalibrator` follows Gibbs & Candès (2021), NeurIPS 34, section 2: each level is read at a
quantile of all earlier observations' levels, and which quantile that is moves with the errors.

`PidCalibrator` follows Angelopoulos, Candès & Tibshirani (2023), NeurIPS 36, section 2: a quantile
tracker (P), a saturating sum of errors (I) and a forecast of the next scores (D). Ours says that
the days to come will be as hard as the last few were: errors in widths of the forecast, averaged
with a half-life of a few windows, over what they usually are. Differences between hours of the day
are left to the calibrator below it, which is fitted once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from paretocast.calibration.base import Calibrator, check_observed
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

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

MEMORY_WINDOWS = 365  # earlier windows whose levels ACI looks at
ADAPTIVE_RATE = 0.02  # gamma of ACI, per window
MOST_SCALE = 10.0  # days are at most so many times harder, or easier, than usual


@dataclass(frozen=True)
class IssuedForecasts:
    """Forecasts that have been issued, before and after calibration.

    Attributes
    ----------
    raw : Forecast
        As the model made them, before calibration.
    quantiles : ndarray of shape (N, H, Q)
        As they were issued.
    """

    raw: Forecast
    quantiles: Floats


class OnlineCalibrator(Calibrator):
    """A calibrator with a state; `learn` gives one with the next state.

    Attributes
    ----------
    learned_until : int or None
        Issue hour of the last window it learned from, as `Forecast.issues` counts.
    """

    learned_until: int | None

    def learn(self, issued: IssuedForecasts) -> Self:
        """The calibrator after these windows; those without an observation change nothing.

        Raises
        ------
        DataError
            If a window is not later than all that were learned from before.
        """
        raw = issued.raw
        if not raw.n_windows:
            return self
        first = int(raw.issues[0])
        if self.learned_until is not None and first <= self.learned_until:
            raise DataError(
                f"calibrator {self.name} has learned from the windows up to issue hour "
                f"{self.learned_until} and was given that of {first} again"
            )
        learned = self
        for i in range(raw.n_windows):
            if not np.isnan(raw.observed[i]).all():
                learned = learned._learn_window(raw.take(slice(i, i + 1)), issued.quantiles[i])
        return replace(learned, learned_until=int(raw.issues[-1]))  # type: ignore[type-var]

    @abstractmethod
    def _learn_window(self, window: Forecast, issued: Floats) -> Self:
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

    kind = "adaptive"
    name: str
    levels: tuple[float, ...]
    adapted: tuple[float, ...]
    lowest: Floats
    highest: Floats
    rate: float = ADAPTIVE_RATE
    learned_until: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> AdaptiveCalibrator:
        """The calibrator that `as_json` described."""
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

    def remapped_levels(self) -> Floats:
        """The level that each level is read at now, (Q,)."""
        observed = ~np.isnan(self.lowest)
        ascending = np.sort(self.lowest[observed])
        descending = np.sort(-self.highest[observed])
        remapped = []
        for level, adapted in zip(self.levels, np.clip(self.adapted, 0.0, 1.0), strict=True):
            upper = sorted_quantile(ascending, adapted)
            lower = -sorted_quantile(descending, 1.0 - adapted)
            side = np.sign(level - 0.5)  # outwards from the median, which is read between the two
            remapped.append((lower + upper + side * (upper - lower)) / 2.0)
        inside: Floats = np.clip(remapped, OUTERMOST_READING, 1.0 - OUTERMOST_READING)
        return inside

    def _state(self) -> dict[str, Any]:
        return {
            "adapted": list(self.adapted),
            "lowest": _without_nan(self.lowest),
            "highest": _without_nan(self.highest),
            "rate": self.rate,
            "learned_until": self.learned_until,
        }

    def _correct(self, forecast: Forecast) -> Floats:
        return quantiles_at(forecast.quantiles, self.levels, self.remapped_levels())

    def _learn_window(self, window: Forecast, issued: Floats) -> AdaptiveCalibrator:
        error = np.asarray(self.levels) - _share_below(window.observed[0], issued)
        lowest, highest = level_bounds(window.observed, window.quantiles, self.levels)
        return replace(
            self,
            adapted=tuple((np.asarray(self.adapted) + self.rate * error).tolist()),
            lowest=np.concatenate((self.lowest, lowest))[-MEMORY_WINDOWS:],
            highest=np.concatenate((self.highest, highest))[-MEMORY_WINDOWS:],
        )


@dataclass(frozen=True)
class PidGains:
    """Gains of a `PidCalibrator`: how fast it follows errors.

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
        For each level, the shift of the tracker in widths, and the sum of errors so far.
    floor : float or None
        As of `ShiftCalibrator`, of the forecasts that `base` gives.
    """

    kind = "pid"
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

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PidCalibrator:
        """The calibrator that `as_json` described."""
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
        """Width of the next intervals over their usual width, unitless."""
        if self.usual_error == 0.0:
            return 1.0
        ratio = self.recent_error / self.usual_error
        return float(np.clip(ratio, 1.0 / MOST_SCALE, MOST_SCALE) ** self.gains.power)

    def _state(self) -> dict[str, Any]:
        return {
            "base": self.base.as_json(),
            "usual_error": self.usual_error,
            "recent_error": self.recent_error,
            "shifts": list(self.shifts),
            "error_sums": list(self.error_sums),
            "floor": self.floor,
            "n_learned": self.n_learned,
            "learned_until": self.learned_until,
            "gains": asdict(self.gains),
        }

    def _correct(self, forecast: Forecast) -> Floats:
        corrected = self.base.apply(forecast)
        middle = corrected.nearest(0.5)[..., None]
        moves = (np.asarray(self.shifts) + self._integral()) * self.scale
        spread: Floats = middle + (corrected.quantiles - middle) * self.scale
        return spread + moves * unit_of_shifts(corrected, self.floor)

    def _integral(self) -> Floats:
        """The saturating sum of errors, the tangent integrator of the paper, in widths."""
        weight = math.log(self.n_learned + 1.0) / (self.n_learned + 1.0)
        angle = np.asarray(self.error_sums) * weight / self.gains.saturation
        pushed: Floats = self.gains.integral * np.tan(np.clip(angle, -1.5, 1.5))
        return pushed

    def _learn_window(self, window: Forecast, issued: Floats) -> PidCalibrator:
        error = np.asarray(self.levels) - _share_below(window.observed[0], issued)
        window_error = _error_in_widths(self.base.apply(window), self.floor)
        memory = 0.5 ** (1.0 / self.gains.half_life)
        return replace(
            self,
            recent_error=memory * self.recent_error + (1.0 - memory) * window_error,
            shifts=tuple((np.asarray(self.shifts) + self.gains.rate * error).tolist()),
            error_sums=tuple((np.asarray(self.error_sums) + error).tolist()),
            n_learned=self.n_learned + 1,
        )


def fit_adaptive(forecast: Forecast, *, name: str = "aci") -> AdaptiveCalibrator:
    """Adaptive conformal inference that remembers the windows of a forecast.

    Raises
    ------
    DataError
        If nothing was observed.
    """
    check_observed(forecast, name)
    levels = forecast.levels
    recent = forecast.take(slice(-MEMORY_WINDOWS, None))
    lowest, highest = level_bounds(recent.observed, recent.quantiles, levels)
    return AdaptiveCalibrator(
        name=name, levels=levels, adapted=levels, lowest=lowest, highest=highest
    )


def fit_pid(
    forecast: Forecast,
    *,
    name: str = "pid",
    group: tuple[str, ...] = ("hour",),
    gains: PidGains | None = None,
) -> PidCalibrator:
    """Conformal PID control that starts from relative, asymmetric corrections by group.

    Raises
    ------
    DataError
        If nothing was observed, or a group is missing.
    """
    base = fit_conformal(forecast, name=name, sides=Sides.LEVELS, unit=Unit.WIDTH, group=group)
    corrected = base.apply(forecast)
    floor = width_floor(corrected)
    usual = _error_in_widths(corrected, floor)
    n_levels = len(forecast.levels)
    return PidCalibrator(
        name=name,
        levels=forecast.levels,
        base=base,
        usual_error=usual,
        recent_error=usual,
        shifts=(0.0,) * n_levels,
        error_sums=(0.0,) * n_levels,
        floor=floor,
        gains=gains or PidGains(),
        notes=base.notes,
    )


def _error_in_widths(forecast: Forecast, floor: float | None) -> float:
    """Mean absolute error of the median over what was observed, in widths of the forecast."""
    error = np.abs(forecast.observed - forecast.nearest(0.5))
    return float(np.nanmean(error / unit_of_shifts(forecast, floor)[..., 0]))


def _share_below(observed: Floats, issued: Floats) -> Floats:
    """Share of a window's observed hours at or below each quantile, (Q,)."""
    there = ~np.isnan(observed)
    share: Floats = (observed[there][:, None] <= issued[there]).mean(axis=0)
    return share


def _without_nan(levels: Floats) -> list[list[float | None]]:
    return [[None if math.isnan(value) else value for value in row] for row in levels.tolist()]
