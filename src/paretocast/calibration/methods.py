"""Calibration methods by name, and the selection among them.

`auto` compares methods on folds that are rolled through the calibrate split: each fold is
calibrated as it would be in use, by a method fitted on all other windows. In use a calibrator has
seen a whole year; fitted on the windows before a fold alone, it would have seen the seasons that
the fold is not in. The lowest Winkler score of the target interval wins; of equal ones the first in
the list, which goes from simple to involved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.base import LEAD, SCHEMA_VERSION, Calibrator
from paretocast.calibration.conformal import ShiftCalibrator, Sides, Unit, fit_conformal, identity
from paretocast.calibration.isotonic import LevelRemapCalibrator, fit_isotonic
from paretocast.calibration.online import (
    AdaptiveCalibrator,
    OnlineCalibrator,
    PidCalibrator,
    fit_adaptive,
    fit_pid,
)
from paretocast.calibration.rolling import walk_forward
from paretocast.errors import DataError, SettingsError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.scores import mean_width, picp, pinball, winkler
from paretocast.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Fit = Callable[[Forecast], Calibrator]

N_FOLDS = 4
FEWEST_COMPARED_WINDOWS = 14  # a fit on three quarters of them knows the 90 % interval
AUTO = "auto"


@dataclass(frozen=True)
class CalibrationMethod:
    """An entry of `CALIBRATORS`; see `register_calibrator`."""

    name: str
    fit: Fit
    calibrator: type[Calibrator]
    meaning: str
    groups: tuple[str, ...]
    auto: bool

    @property
    def online(self) -> bool:
        """True if it goes on learning; a forecast that is issued once has no use for that."""
        return issubclass(self.calibrator, OnlineCalibrator)


CALIBRATORS: Registry[CalibrationMethod] = Registry("calibrator")


def register_calibrator(
    name: str,
    fit: Fit,
    calibrator: type[Calibrator],
    *,
    meaning: str = "",
    groups: tuple[str, ...] = (),
    auto: bool = True,
) -> None:
    """Make a calibration method usable by its name, in commands and in Python.

    Parameters
    ----------
    name : str
        Of the method, and `name` of the calibrators that `fit` returns.
    fit : callable
        Fits the method on a `Forecast` with observations and returns a calibrator.
    calibrator : type of Calibrator
        Class of what `fit` returns; its `from_json` reads a stored one back by its `kind`. Methods
        may share a class. One of `OnlineCalibrator` goes on learning after each issue.
    meaning : str
        The method in a few words, for people.
    groups : tuple of str
        Groups that forecasts must have for it: `hour`, `season` or `lead`.
    auto : bool
        Whether "auto" compares it with the others.

    Raises
    ------
    SettingsError
        If the name is taken.
    """
    CALIBRATORS.add(name, CalibrationMethod(name, fit, calibrator, meaning, groups, auto))


def _register_conformal(
    name: str,
    meaning: str,
    *,
    sides: Sides,
    unit: Unit = Unit.TARGET,
    groups: tuple[str, ...] = (),
) -> None:
    def fit(forecast: Forecast) -> Calibrator:
        return fit_conformal(forecast, name=name, sides=sides, unit=unit, group=groups)

    register_calibrator(name, fit, ShiftCalibrator, meaning=meaning, groups=groups)


register_calibrator(
    "none",
    lambda forecast: identity(forecast.levels),
    ShiftCalibrator,
    meaning="the forecast as it is",
)
_register_conformal("cqr", "both bounds of an interval move by as much", sides=Sides.PAIRS)
_register_conformal("cqr-asymmetric", "every quantile moves on its own", sides=Sides.LEVELS)
_register_conformal(
    "cqr-relative", "as cqr, in widths of the forecast", sides=Sides.PAIRS, unit=Unit.WIDTH
)
register_calibrator(
    "isotonic",
    fit_isotonic,
    LevelRemapCalibrator,
    meaning="every level is read where it turned out to be",
)
for _groups in ((LEAD,), ("hour",), ("season",), ("hour", "season")):
    _register_conformal(
        f"cqr-{'-'.join(_groups)}",
        f"every quantile, in widths of the forecast, by {' and '.join(_groups)}",
        sides=Sides.LEVELS,
        unit=Unit.WIDTH,
        groups=_groups,
    )
register_calibrator("aci", fit_adaptive, AdaptiveCalibrator, meaning="adaptive conformal inference")
register_calibrator(
    "pid",
    fit_pid,
    PidCalibrator,
    meaning="conformal PID control over cqr-hour",
    groups=("hour",),
)


def fit_calibrator(forecast: Forecast, name: str) -> Calibrator:
    """A method fitted on a forecast and its observations.

    Raises
    ------
    DataError
        If there is no such method, nothing was observed, or a group is missing.
    """
    if name not in CALIBRATORS:
        raise DataError(f"calibrator {name!r} is unknown, expected one of {', '.join(CALIBRATORS)}")
    return CALIBRATORS[name].fit(forecast)


def load_calibrator(stored: dict[str, Any]) -> Calibrator:
    """The calibrator that `as_json` described.

    Raises
    ------
    DataError
        If it is of another version or damaged.
    """
    classes = {method.calibrator.kind: method.calibrator for method in CALIBRATORS.values()}
    version, kind = stored.get("schema_version"), stored.get("kind")
    if version != SCHEMA_VERSION or kind not in classes:
        raise DataError(
            f"the calibrator is of version {version} and kind {kind!r}, expected version "
            f"{SCHEMA_VERSION} and one of {', '.join(classes)}"
        )
    try:
        return classes[kind].from_json(stored)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the calibrator of kind {kind!r} is damaged: {error}") from error


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
        Every method on the same folds, in the order of `CALIBRATORS`; the lowest Winkler score
        wins. Empty where none was compared.
    reason : str
        Why this one.
    """

    calibrator: Calibrator
    compared: tuple[IntervalScores, ...]
    reason: str


def choose_calibrator(
    forecast: Forecast,
    *,
    coverage: float,
    names: Sequence[str] | None = None,
    n_folds: int = N_FOLDS,
) -> CalibratorSelection:
    """The method with the lowest Winkler score on rolled folds, fitted on all windows.

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
    methods = [
        method
        for method in CALIBRATORS.values()
        if (method.auto if names is None else method.name in names)
        and set(method.groups) <= {LEAD, *forecast.groups}
    ]
    folds = rolled_folds(forecast, n_folds=n_folds)
    compared = []
    for method in methods:
        calibrated = [
            walk_forward(method.fit(forecast.take(~fold)), forecast.take(fold)).forecast
            for fold in folds
        ]
        quantiles = np.concatenate([part.quantiles for part in calibrated])
        compared.append(
            score_interval(method.name, forecast.with_quantiles(quantiles), coverage=coverage)
        )
    best = min(compared, key=lambda scores: scores.winkler)
    reason = (
        f"{best.name} has the lowest Winkler score of {len(compared)} methods on {len(folds)} "
        f"rolled folds of {forecast.n_windows} windows, each fold judged by a fit on the others"
    )
    return CalibratorSelection(CALIBRATORS[best.name].fit(forecast), tuple(compared), reason)


def check_method(name: str) -> None:
    """Refuse a name that is neither a method nor "auto".

    Raises
    ------
    SettingsError
        If it is unknown.
    """
    if name not in {AUTO, *CALIBRATORS}:
        raise SettingsError(
            f"calibrator {name!r} is unknown, expected auto or one of {', '.join(CALIBRATORS)}"
        )


def choose_by_name(
    forecast: Forecast, name: str, *, coverage: float, static: bool = False
) -> CalibratorSelection:
    """The method of a name, or with "auto" the best of all, fitted on all windows.

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
