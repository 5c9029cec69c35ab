"""The calibrators by name, and the choice among them.

`auto` compares methods on folds that are rolled through the calibrate split: a fold is one stretch
of it, which each method walks through as it would in use, fitted on all other windows. In use a
calibrator has seen a whole year; fitted on the windows before a fold alone, it would have seen the
seasons that the fold is not in. The lowest Winkler score of the target interval wins; of equal ones
the first in the list, which goes from simple to involved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.base import SCHEMA_VERSION, Calibrator
from paretocast.calibration.conformal import ShiftCalibrator, Sides, Unit, fit_conformal, identity
from paretocast.calibration.isotonic import LevelRemapCalibrator, fit_isotonic
from paretocast.calibration.online import AdaptiveCalibrator, PidCalibrator, fit_adaptive, fit_pid
from paretocast.calibration.rolling import walk_forward
from paretocast.calibration.sample import LEAD, Sample
from paretocast.errors import DataError, SettingsError
from paretocast.metrics.quantile_curve import curve_interval
from paretocast.metrics.scores import mean_width, picp, pinball, winkler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Fit = Callable[[Sample], Calibrator]

N_FOLDS = 4
FEWEST_COMPARED_WINDOWS = 14  # a fit on three quarters of them knows the 90 % interval
AUTO = "auto"


@dataclass(frozen=True)
class Method:
    """A way to calibrate.

    Attributes
    ----------
    online : bool
        It goes on learning; a forecast that is issued once and for all has no use for that.
    group : tuple of str
        Groups that the sample must hold.
    """

    name: str
    meaning: str
    fit: Fit
    online: bool = False
    group: tuple[str, ...] = ()


def _conformal(
    name: str,
    meaning: str,
    *,
    sides: Sides,
    unit: Unit = Unit.TARGET,
    group: tuple[str, ...] = (),
) -> Method:
    def fit(sample: Sample) -> Calibrator:
        return fit_conformal(sample, name=name, sides=sides, unit=unit, group=group)

    return Method(name, meaning, fit, group=group)


METHODS = {
    method.name: method
    for method in (
        Method("none", "the forecast as it is", lambda sample: identity(sample.levels)),
        _conformal("cqr", "both bounds of an interval move by as much", sides=Sides.PAIRS),
        _conformal("cqr-asymmetric", "every quantile moves on its own", sides=Sides.LEVELS),
        _conformal(
            "cqr-relative",
            "as cqr, in widths of the forecast",
            sides=Sides.PAIRS,
            unit=Unit.WIDTH,
        ),
        Method("isotonic", "every level is read where it turned out to be", fit_isotonic),
        *(
            _conformal(
                f"cqr-{'-'.join(group)}",
                f"every quantile, in widths of the forecast, by {' and '.join(group)}",
                sides=Sides.LEVELS,
                unit=Unit.WIDTH,
                group=group,
            )
            for group in ((LEAD,), ("hour",), ("season",), ("hour", "season"))
        ),
        Method("aci", "adaptive conformal inference", fit_adaptive, online=True),
        Method(
            "pid",
            "conformal PID control over cqr-hour",
            fit_pid,
            online=True,
            group=("hour",),
        ),
    )
}
KINDS: dict[str, Callable[[dict[str, Any]], Calibrator]] = {
    "shift": ShiftCalibrator.from_json,
    "reading": LevelRemapCalibrator.from_json,
    "adaptive": AdaptiveCalibrator.from_json,
    "pid": PidCalibrator.from_json,
}


def fit_calibrator(sample: Sample, name: str) -> Calibrator:
    """A method fitted on a sample.

    Raises
    ------
    DataError
        If there is no such method, nothing was observed, or a group is not in the sample.
    """
    if name not in METHODS:
        raise DataError(f"calibrator {name!r} is unknown, expected one of {', '.join(METHODS)}")
    return METHODS[name].fit(sample)


def load_calibrator(stored: dict[str, Any]) -> Calibrator:
    """The calibrator that `as_json` described.

    Raises
    ------
    DataError
        If it is of another version or damaged.
    """
    version, kind = stored.get("schema_version"), stored.get("kind")
    if version != SCHEMA_VERSION or kind not in KINDS:
        raise DataError(
            f"the calibrator is of version {version} and kind {kind!r}, expected version "
            f"{SCHEMA_VERSION} and one of {', '.join(KINDS)}"
        )
    try:
        return KINDS[kind](stored)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the calibrator of kind {kind!r} is damaged: {error}") from error


@dataclass(frozen=True)
class IntervalScores:
    """What a method reached on windows that it was not fitted on.

    Attributes
    ----------
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
    """A calibrator and what it was compared with.

    Attributes
    ----------
    calibrator : Calibrator
        Fitted on all windows.
    compared : tuple of IntervalScores
        Every method on the same folds, in the order of `METHODS`; the lowest Winkler score chose.
        Empty where none was compared.
    reason : str
        Why this one.
    """

    calibrator: Calibrator
    compared: tuple[IntervalScores, ...]
    reason: str


def choose_calibrator(
    sample: Sample, *, coverage: float, names: Sequence[str] | None = None, n_folds: int = N_FOLDS
) -> CalibratorSelection:
    """The method with the lowest Winkler score on rolled folds, fitted on all windows.

    Parameters
    ----------
    coverage : float
        Of the interval that is judged, percent.
    names : sequence of str, optional
        Methods to compare; without it all whose groups the sample holds.

    Raises
    ------
    DataError
        If there are too few observed windows to fit on some and judge on others.
    """
    usable = [
        method
        for method in METHODS.values()
        if (names is None or method.name in names) and set(method.group) <= {LEAD, *sample.groups}
    ]
    folds = rolled_folds(sample, n_folds=n_folds)
    compared = []
    for method in usable:
        walked = [walk_forward(method.fit(sample.take(~fold)), sample.take(fold)) for fold in folds]
        forecast = np.concatenate([walk.forecast for walk in walked])
        judged = judge(method.name, sample.with_forecast(forecast), coverage=coverage)
        compared.append(judged)
    best = min(compared, key=lambda trialled: trialled.winkler)
    reason = (
        f"{best.name} has the lowest Winkler score of {len(compared)} methods on {len(folds)} "
        f"rolled folds of {sample.n_windows} windows, each fold judged by a fit on the others"
    )
    return CalibratorSelection(METHODS[best.name].fit(sample), tuple(compared), reason)


def check_method(name: str) -> None:
    """Refuse a name that is neither a method nor "auto".

    Raises
    ------
    SettingsError
        If it is unknown.
    """
    if name not in {AUTO, *METHODS}:
        raise SettingsError(
            f"calibrator {name!r} is unknown, expected auto or one of {', '.join(METHODS)}"
        )


def choose_by_name(
    sample: Sample, name: str, *, coverage: float, static: bool = False
) -> CalibratorSelection:
    """The method of a name, or with "auto" the best of all, fitted on all windows.

    Parameters
    ----------
    coverage : float
        Of the interval that "auto" judges, percent.
    static : bool
        Leave out of "auto" what goes on learning.
    """
    check_method(name)
    if name != AUTO:
        return CalibratorSelection(fit_calibrator(sample, name), (), f"{name} was named")
    names = [key for key, method in METHODS.items() if not (static and method.online)]
    return choose_calibrator(sample, coverage=coverage, names=names)


def rolled_folds(sample: Sample, *, n_folds: int = N_FOLDS) -> list[NDArray[np.bool_]]:
    """Which windows belong to each fold, (N,): stretches with as many observed windows each."""
    seen = np.flatnonzero((~np.isnan(sample.observed)).any(axis=1))
    if seen.size < FEWEST_COMPARED_WINDOWS:
        raise DataError(
            f"{seen.size} windows were observed, expected at least {FEWEST_COMPARED_WINDOWS} to "
            f"compare calibrators on {n_folds} folds; name a calibrator"
        )
    starts = [int(part[0]) for part in np.array_split(seen, n_folds)][1:]
    fold = np.searchsorted(starts, np.arange(sample.n_windows), side="right")
    return [fold == i for i in range(n_folds)]


def judge(name: str, sample: Sample, *, coverage: float) -> IntervalScores:
    """Scores of the central interval of a coverage, in percent, under the name of a method."""
    observed, forecast = sample.observed, sample.forecast
    lower, upper = curve_interval(forecast, sample.levels, coverage)
    seen = ~np.isnan(observed)
    return IntervalScores(
        name=name,
        picp=picp(observed, lower, upper),
        mean_width=mean_width(lower[seen], upper[seen]),
        winkler=winkler(observed, lower, upper, coverage=coverage),
        pinball=float(pinball(observed, forecast, levels=sample.levels).mean()),
        n=int(seen.sum()),
    )
