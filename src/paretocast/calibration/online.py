"""Online calibrators: adaptive conformal inference (ACI) and conformal PID control.

They go on learning after each issue. A window is learned from once its last hour was observed. Its
hours stand or fall together, so it makes one step, with the share of its observed hours below each
quantile as the error; a window without an observation makes none. The quantiles are those of the
present state, not those that were issued: that of the median may not have been.

`AdaptiveCalibrator` follows Gibbs & Candès (2021), NeurIPS 34, section 2: each level is read at a
quantile of all earlier observations' levels, and which quantile that is moves with the errors.

`PidCalibrator` follows Angelopoulos, Candès & Tibshirani (2023), NeurIPS 36, section 2: a quantile
tracker (P) and a forecast of the next scores (D). Ours says that the days to come will be as hard
as the last few were: errors in widths of the forecast, averaged with a half-life of a few windows,
over what they usually are. Differences between hours of the day are left to the calibrator below
it, which is fitted once. The paper's sum of all errors (I) is left out: the tracker sums them up
already, and a sum without a bound takes months to forget a bad month.

Every state is bounded, and what would push it further is not summed up, so that a month of shocks
is forgotten within weeks. A state moves the median as far as past windows have proved that to be
better, see `moving_median`. `PidCalibrator.moving_median` starts from the median of the calibrator
below it, which is fitted once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from paretocast.calibration.base import (
    Calibrator,
    around_median,
    check_observed,
    middle_level,
)
from paretocast.calibration.conformal import (
    ShiftCalibrator,
    Sides,
    Unit,
    fit_conformal,
    unit_of_shifts,
    width_floor,
)
from paretocast.calibration.finite_sample import sorted_quantile
from paretocast.calibration.moving_median import NO_EVIDENCE, MedianEvidence
from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import level_bounds, quantiles_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

Online = TypeVar("Online", bound="OnlineCalibrator")

MEMORY_WINDOWS = 365  # earlier windows whose levels ACI looks at
ADAPTIVE_RATE = 0.04  # gamma of ACI, per window
OUTERMOST_ADAPTED = 1e-4  # 4.2 times as far from the median as the level 0.1, by their logits


class OnlineCalibrator(Calibrator):
    """A calibrator with a state; `learn` gives one with the next state.

    Attributes
    ----------
    learned_until : int or None
        Issue hour of the last window it learned from, as `Forecast.issues` counts.
    median_evidence : MedianEvidence
        How far the state moves the median.
    """

    learned_until: int | None
    median_evidence: MedianEvidence

    def apply(self, forecast: Forecast) -> Forecast:
        """The forecast, calibrated; see `Calibrator.apply`.

        Its median is the kept one, moved by as much as `median_evidence` allows.
        """
        self._check_levels(forecast)
        corrected, kept, moved = self._corrected(forecast.without_observations())
        median = kept + self.median_evidence.share * (moved - kept)
        return forecast.with_quantiles(around_median(corrected, median, self.levels))

    def learn(self, raw: Forecast) -> Self:
        """The calibrator after these windows; those without an observation change nothing.

        Parameters
        ----------
        raw : Forecast
            As the model made it, before calibration, with what was observed since.

        Raises
        ------
        DataError
            If a window is not later than all that were learned from before.
        """
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
                learned = learned._learn_window(raw.take(slice(i, i + 1)))
        return _in_state(learned, learned_until=int(raw.issues[-1]))

    def moving_median(self) -> Self:
        """Itself: what moves the median is `median_evidence`."""
        return self

    def as_json(self) -> dict[str, Any]:
        """Everything it learned, as JSON values; `methods.load_calibrator` reads it back."""
        return {**super().as_json(), "median_evidence": self.median_evidence.as_json()}

    def _kept_median(self, forecast: Forecast) -> Floats:
        """The median that no state has moved, (N, H)."""
        return forecast.nearest(0.5)

    def _corrected(self, bare: Forecast) -> tuple[Floats, Floats, Floats]:
        """Corrected quantiles (N, H, Q), the median that no state has moved, and theirs (N, H)."""
        corrected = self._correct(bare)
        return corrected, self._kept_median(bare), corrected[..., middle_level(self.levels)]

    def _learn_window(self, window: Forecast) -> Self:
        """The calibrator after one window with an observation."""
        bare, observed = window.without_observations(), window.observed
        corrected, kept, moved = self._corrected(bare)
        gain = np.nanmean(np.abs(observed - kept) - np.abs(observed - moved))
        evidence = self.median_evidence.after(float(gain))
        own = bare.with_quantiles(around_median(corrected, moved, self.levels)).quantiles
        error = np.asarray(self.levels) - _share_below(observed[0], own[0])
        return _in_state(self._after_error(window, error), median_evidence=evidence)

    @abstractmethod
    def _after_error(self, window: Forecast, error: Floats) -> Self:
        """The calibrator after one window; `error` is level minus share of hours below, (Q,)."""


@dataclass(frozen=True)
class AdaptiveCalibrator(OnlineCalibrator):
    """Adaptive conformal inference on the levels of the observations.

    Attributes
    ----------
    adapted : tuple of float
        For each level, the quantile of earlier observations' levels it is read at, from 0 to 1.
        At both ends it is the outermost of them, where the paper issues the whole line.
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
    median_evidence: MedianEvidence = NO_EVIDENCE

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
            median_evidence=MedianEvidence.from_json(stored.get("median_evidence")),
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
        inside: Floats = np.clip(remapped, OUTERMOST_ADAPTED, 1.0 - OUTERMOST_ADAPTED)
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

    def _after_error(self, window: Forecast, error: Floats) -> AdaptiveCalibrator:
        adapted = np.clip(np.asarray(self.adapted) + self.rate * error, 0.0, 1.0)
        lowest, highest = level_bounds(window.observed, window.quantiles, self.levels)
        return _in_state(
            self,
            adapted=tuple(adapted.tolist()),
            lowest=np.concatenate((self.lowest, lowest))[-MEMORY_WINDOWS:],
            highest=np.concatenate((self.highest, highest))[-MEMORY_WINDOWS:],
        )


@dataclass(frozen=True)
class PidGains:
    """Gains of a `PidCalibrator`: how fast and how far it follows errors.

    Attributes
    ----------
    rate : float
        P: widths that a quantile moves per window and unit of error.
    most_shift : float
        P: widths that a quantile moves at most.
    half_life : float
        D: windows after which an error counts half.
    power : float
        D: how much of a change in the errors the widths follow, 0 to 1.
    most_scale : float
        D: a window counts as at most so many times harder, or easier, than usual.
    """

    rate: float = 0.1
    most_shift: float = 0.75
    half_life: float = 3.0
    power: float = 0.6
    most_scale: float = 3.0

    @property
    def most_widening(self) -> float:
        """Largest factor by which an interval that measures widths is widened, unitless."""
        return float(self.most_scale**self.power * (1.0 + 2.0 * self.most_shift))


@dataclass(frozen=True)
class PidCalibrator(OnlineCalibrator):
    """Conformal PID control over a calibrator that was fitted once.

    Attributes
    ----------
    base : ShiftCalibrator
        It moves the median: errors are told from shifts only where a lasting bias is gone. The
        median that is kept is that of the forecast all the same, unless `moves_median`.
    usual_error, recent_error : float
        Mean absolute error of the median of `base` in widths: in the fit, and of late.
    shifts : tuple of float
        For each level, the shift of the tracker in widths.
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
    floor: float | None
    learned_until: int | None = None
    gains: PidGains = PidGains()
    notes: tuple[str, ...] = ()
    median_evidence: MedianEvidence = NO_EVIDENCE

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PidCalibrator:
        """The calibrator that `as_json` described; of version 1 the sum of errors is left out."""
        known = {gain.name for gain in fields(PidGains)}
        return cls(
            name=stored["name"],
            levels=tuple(stored["levels"]),
            base=ShiftCalibrator.from_json(stored["base"]).moving_median(),
            usual_error=stored["usual_error"],
            recent_error=stored["recent_error"],
            shifts=tuple(stored["shifts"]),
            floor=stored["floor"],
            learned_until=stored["learned_until"],
            gains=PidGains(**{k: v for k, v in stored["gains"].items() if k in known}),
            notes=tuple(stored["notes"]),
            median_evidence=MedianEvidence.from_json(stored.get("median_evidence")),
        )

    @property
    def scale(self) -> float:
        """Width of the next intervals over their usual width, unitless."""
        if self.usual_error == 0.0:
            return 1.0
        ratio = self._bounded(self.recent_error) / self.usual_error
        return float(ratio**self.gains.power)

    def _state(self) -> dict[str, Any]:
        return {
            "base": self.base.as_json(),
            "usual_error": self.usual_error,
            "recent_error": self.recent_error,
            "shifts": list(self.shifts),
            "floor": self.floor,
            "learned_until": self.learned_until,
            "gains": asdict(self.gains),
        }

    def _bounded(self, error: float) -> float:
        """An error as it counts: at most `most_scale` times larger or smaller than usual."""
        most = self.gains.most_scale
        return float(np.clip(error, self.usual_error / most, self.usual_error * most))

    def _bounded_shifts(self, shifts: Floats) -> Floats:
        most = self.gains.most_shift
        bounded: Floats = np.clip(shifts, -most, most)
        return bounded

    def _correct(self, forecast: Forecast) -> Floats:
        corrected = self.base.apply(forecast)
        middle = corrected.nearest(0.5)[..., None]
        moves = self._bounded_shifts(np.asarray(self.shifts)) * self.scale
        spread: Floats = middle + (corrected.quantiles - middle) * self.scale
        issued: Floats = spread + moves * unit_of_shifts(corrected, self.floor)
        return issued

    def _kept_median(self, forecast: Forecast) -> Floats:
        return (self.base.apply(forecast) if self.moves_median else forecast).nearest(0.5)

    def moving_median(self) -> Self:
        """The same calibrator with the median of `base` as the one that no state has moved."""
        return Calibrator.moving_median(self)

    def _after_error(self, window: Forecast, error: Floats) -> PidCalibrator:
        window_error = self._bounded(_error_in_widths(self.base.apply(window), self.floor))
        memory = 0.5 ** (1.0 / self.gains.half_life)
        shifts = self._bounded_shifts(np.asarray(self.shifts) + self.gains.rate * error)
        return _in_state(
            self,
            recent_error=memory * self.recent_error + (1.0 - memory) * window_error,
            shifts=tuple(shifts.tolist()),
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
    fitted = fit_conformal(forecast, name=name, sides=Sides.LEVELS, unit=Unit.WIDTH, group=group)
    base = fitted.moving_median()
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
        floor=floor,
        gains=gains or PidGains(),
        notes=base.notes,
    )


def _in_state(calibrator: Online, **state: object) -> Online:
    """The calibrator in another state; it moves the median as before."""
    other = replace(calibrator, **state)  # type: ignore[type-var]
    return other.moving_median() if calibrator.moves_median else other


def _error_in_widths(forecast: Forecast, floor: float | None) -> float:
    """Mean absolute error of the median over what was observed, in widths of the forecast."""
    error = np.abs(forecast.observed - forecast.nearest(0.5))
    return float(np.nanmean(error / unit_of_shifts(forecast, floor)[..., 0]))


def _share_below(observed: Floats, quantiles: Floats) -> Floats:
    """Share of a window's observed hours at or below each quantile, (Q,)."""
    there = ~np.isnan(observed)
    share: Floats = (observed[there][:, None] <= quantiles[there]).mean(axis=0)
    return share


def _without_nan(levels: Floats) -> list[list[float | None]]:
    return [[None if math.isnan(value) else value for value in row] for row in levels.tolist()]
