"""The selection among calibration methods.

`auto` compares methods on folds that are rolled through the calibrate split: each fold is
calibrated as it would be in use, by a method fitted on all other windows. In use a calibrator has
seen a whole year; fitted on the windows before a fold alone, it would have seen the seasons that
the fold is not in.

Coverage comes first: a method whose coverage on the folds has the target inside its 95 % interval
goes before one whose interval lies beyond it. Of those `pid` is taken unless the one with the
lowest Winkler score of the target interval is better beyond chance. Folds between the windows of
the fit cannot show what every later period brings, that it differs from them: where fixed methods
looked best by a percent, they were off by five points of coverage afterwards, and `pid` by half a
point. Without `pid` the lowest Winkler score wins; of equal ones the first in the list, which goes
from simple to involved.

A method may move the median by what its fit says, not by what it learns later, where that lowers
the absolute error on the folds by a tenth beyond chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.base import LEAD, Calibrator
from paretocast.calibration.methods import AUTO, CALIBRATORS, check_method, fit_calibrator
from paretocast.calibration.rolling import walk_forward
from paretocast.data.periods import FEWEST_COMPARED_WINDOWS
from paretocast.errors import DataError
from paretocast.metrics.scores import mean_width, picp, pinball, winkler, winkler_losses
from paretocast.metrics.uncertainty import paired_difference, picp_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.calibration.methods import CalibrationMethod
    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

N_FOLDS = 4
LEAST_MEDIAN_GAIN = 0.1  # of the absolute error; smaller gains on folds became losses later
PREFERRED = "pid"  # by "auto", unless another one is better beyond chance
NOT_COMPARED = "none"  # where methods cannot be compared and none may learn on


@dataclass(frozen=True)
class IntervalScores:
    """Scores of a forecast and its central interval.

    Attributes
    ----------
    name : str
        Of the calibrator, or of whatever the forecast belongs to.
    picp : float
        Percent.
    winkler, mean_width, pinball : float
        Of the target interval; pinball is the mean over all levels. Target units.
    n : int
        Observed points.
    """

    name: str
    picp: float
    mean_width: float
    winkler: float
    pinball: float
    n: int


@dataclass(frozen=True)
class CalibratorSelection:
    """A calibrator with the methods that it was compared with.

    Attributes
    ----------
    calibrator : Calibrator
        Fitted on all windows.
    compared : tuple of IntervalScores
        Every method on the same folds, in the order of `CALIBRATORS`. Empty where none was
        compared.
    reason : str
        Why this one.
    """

    calibrator: Calibrator
    compared: tuple[IntervalScores, ...]
    reason: str


@dataclass(frozen=True)
class _Judged:
    """A method on the rolled folds, with the forecast that its calibrators made of them."""

    method: CalibrationMethod
    forecast: Forecast
    coverage: float
    moves_median: bool

    @cached_property
    def scores(self) -> IntervalScores:
        return score_interval(self.method.name, self.forecast, coverage=self.coverage)

    @cached_property
    def picp_interval(self) -> tuple[float, float]:
        """95 % interval of the coverage, percent."""
        bounds = self.forecast.interval(self.coverage)
        return picp_interval(self.forecast.observed, *bounds, rng=np.random.default_rng(0))

    @property
    def beyond(self) -> float:
        """Points of coverage between the target and the interval of the coverage; 0 inside it."""
        low, high = self.picp_interval
        return max(low - self.coverage, self.coverage - high, 0.0)

    @property
    def rank(self) -> tuple[float, float]:
        """Coverage first, then the Winkler score: the lowest is the best."""
        return self.beyond, self.scores.winkler

    def sharper_than(self, other: _Judged) -> bool:
        """True if the Winkler score is lower beyond chance."""
        mine, theirs = (
            winkler_losses(judged.forecast.observed, *bounds, coverage=self.coverage)
            for judged in (self, other)
            for bounds in [judged.forecast.interval(self.coverage)]
        )
        return _lower_beyond_chance(mine, theirs)


def choose_calibrator(
    forecast: Forecast,
    *,
    coverage: float,
    names: Sequence[str] | None = None,
    n_folds: int = N_FOLDS,
) -> CalibratorSelection:
    """The best method on rolled folds, see the head of this module, fitted on all windows.

    Parameters
    ----------
    coverage : float
        Of the interval that is scored, percent.
    names : sequence of str, optional
        Methods to compare, of those whose groups the forecast has; all of "auto" without it.

    Raises
    ------
    DataError
        If there are too few observed windows to fit on some and score the others.
    """
    folds = rolled_folds(forecast, n_folds=n_folds)
    methods = _comparable(forecast, names)
    judged = [_judge(method, forecast, folds, coverage=coverage) for method in methods]
    best = _best(judged)
    calibrator = best.method.fit(forecast)
    if best.moves_median:
        calibrator = calibrator.moving_median()
    reason = (
        f"{_reason(best, judged)}; {len(judged)} methods were compared by {len(folds)}-fold "
        f"cross-validation on {forecast.n_windows} windows"
    )
    return CalibratorSelection(calibrator, tuple(row.scores for row in judged), reason)


def compare_calibrators(
    forecast: Forecast, *, coverage: float, names: Sequence[str], n_folds: int = N_FOLDS
) -> tuple[IntervalScores, ...]:
    """Scores of methods on rolled folds, none of which moves the median.

    Arguments and errors as of `choose_calibrator`.
    """
    folds = rolled_folds(forecast, n_folds=n_folds)
    return tuple(
        score_interval(
            method.name,
            _rolled(_fit_around(method, forecast, folds), forecast, folds),
            coverage=coverage,
        )
        for method in _comparable(forecast, names)
    )


def cross_validated(
    forecast: Forecast, name: str, *, coverage: float, n_folds: int = N_FOLDS
) -> Forecast:
    """The forecast with each fold calibrated by a fit of the named method on the others.

    Arguments and errors as of `choose_calibrator`.
    """
    folds = rolled_folds(forecast, n_folds=n_folds)
    return _judge(CALIBRATORS[name], forecast, folds, coverage=coverage).forecast


def _comparable(forecast: Forecast, names: Sequence[str] | None) -> list[CalibrationMethod]:
    """Methods of these names, or all of "auto", whose groups the forecast has."""
    return [
        method
        for method in CALIBRATORS.values()
        if (method.auto if names is None else method.name in names)
        and set(method.groups) <= {LEAD, *forecast.groups}
    ]


def _judge(
    method: CalibrationMethod,
    forecast: Forecast,
    folds: Sequence[NDArray[np.bool_]],
    *,
    coverage: float,
) -> _Judged:
    """A method on all folds; it moves the median only where that has proved better on them."""
    fitted = _fit_around(method, forecast, folds)
    free = [calibrator.moving_median() for calibrator in fitted]
    if all(calibrator.moves_median for calibrator in free):
        moved = _rolled(free, forecast, folds)
        errors = (np.abs(f.observed - f.nearest(0.5)) for f in (moved, forecast))
        if _lower_beyond_chance(*errors, least_gain=LEAST_MEDIAN_GAIN):
            return _Judged(method, moved, coverage, moves_median=True)
    return _Judged(method, _rolled(fitted, forecast, folds), coverage, moves_median=False)


def _fit_around(
    method: CalibrationMethod, forecast: Forecast, folds: Sequence[NDArray[np.bool_]]
) -> list[Calibrator]:
    """For each fold the method fitted on all others."""
    return [method.fit(forecast.take(~fold)) for fold in folds]


def _rolled(
    calibrators: Sequence[Calibrator], forecast: Forecast, folds: Sequence[NDArray[np.bool_]]
) -> Forecast:
    """The forecast with each fold calibrated by its own calibrator."""
    parts = [
        walk_forward(calibrator, forecast.take(fold)).forecast.quantiles
        for calibrator, fold in zip(calibrators, folds, strict=True)
    ]
    return forecast.with_quantiles(np.concatenate(parts))


def _lower_beyond_chance(losses: Floats, others: Floats, *, least_gain: float = 0.0) -> bool:
    """True if losses, (N, H), are lower by a share of the others beyond their 95 % interval."""
    observed = ~np.isnan(losses).all(axis=1)
    mine, theirs = (np.nanmean(part[observed], axis=1) for part in (losses, others))
    gap = paired_difference(mine, (1.0 - least_gain) * theirs, rng=np.random.default_rng(0))
    return gap.high < 0.0


def _best(judged: Sequence[_Judged]) -> _Judged:
    """Coverage, then the preferred method unless it costs sharpness beyond chance, then Winkler."""
    best = min(judged, key=lambda row: row.rank)
    preferred = next((row for row in judged if row.method.name == PREFERRED), best)
    if preferred.beyond > best.beyond or best.sharper_than(preferred):
        return best
    return preferred


def _reason(best: _Judged, judged: Sequence[_Judged]) -> str:
    """The choice in words."""
    low, high = best.picp_interval
    covers = f"{best.method.name} covers {best.scores.picp:.1f} % [{low:.1f}, {high:.1f}]"
    lowest = min(judged, key=lambda row: row.rank)
    if best is not lowest:
        name = lowest.method.name
        why = f'goes on learning; chance explains the lower Winkler score of "{name}"'
    elif best.beyond > 0.0:
        return f"{covers}, nearest to the target of {best.coverage:g} %"
    else:
        why = "has the lowest Winkler score of those that do"
    moved = (
        "; moving the median lowers the absolute error by a tenth beyond chance" * best.moves_median
    )
    return f"{covers}, which agrees with the target of {best.coverage:g} %, and {why}{moved}"


def choose_by_name(
    forecast: Forecast, name: str, *, coverage: float, static: bool = False
) -> CalibratorSelection:
    """The method of a name, or with "auto" the best of all, fitted on all windows.

    Where there are too few windows to compare methods, "auto" is the preferred one, which starts
    from the forecast as it is and learns on, or none where it may not; the reason says so.

    Parameters
    ----------
    coverage : float
        Of the interval that "auto" scores, percent.
    static : bool
        Leave online methods out of "auto".
    """
    check_method(name)
    if name != AUTO:
        return CalibratorSelection(fit_calibrator(forecast, name), (), f"{name} was named")
    if forecast.n_observed_windows < FEWEST_COMPARED_WINDOWS:
        name = NOT_COMPARED if static else PREFERRED
        reason = (
            f"{name} was taken without comparing: {forecast.n_observed_windows} windows of the "
            f"split were observed, and {FEWEST_COMPARED_WINDOWS} are needed to compare calibrators"
        )
        return CalibratorSelection(fit_calibrator(forecast, name), (), reason)
    names = [
        method.name
        for method in CALIBRATORS.values()
        if method.auto and not (static and method.online)
    ]
    return choose_calibrator(forecast, coverage=coverage, names=names)


def rolled_folds(forecast: Forecast, *, n_folds: int = N_FOLDS) -> list[NDArray[np.bool_]]:
    """Windows of each fold as masks, (N,): consecutive, with as many observed windows each.

    Raises
    ------
    DataError
        If there are too few observed windows.
    """
    observed = np.flatnonzero((~np.isnan(forecast.observed)).any(axis=1))
    if observed.size < FEWEST_COMPARED_WINDOWS:
        raise DataError(
            f"{observed.size} windows were observed, expected at least {FEWEST_COMPARED_WINDOWS} "
            f"to compare calibrators on {n_folds} folds; name a calibrator"
        )
    starts = [int(part[0]) for part in np.array_split(observed, n_folds)][1:]
    fold = np.searchsorted(starts, np.arange(forecast.n_windows), side="right")
    return [fold == i for i in range(n_folds)]


def score_interval(name: str, forecast: Forecast, *, coverage: float) -> IntervalScores:
    """Scores of the central interval of a coverage, in percent, under a name."""
    observed = forecast.observed
    lower, upper = forecast.interval(coverage)
    there = ~np.isnan(observed)
    return IntervalScores(
        name=name,
        picp=picp(observed, lower, upper),
        mean_width=mean_width(lower[there], upper[there]),
        winkler=winkler(observed, lower, upper, coverage=coverage),
        pinball=float(pinball(observed, forecast.quantiles, levels=forecast.levels).mean()),
        n=int(there.sum()),
    )
