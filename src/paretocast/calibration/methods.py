"""Calibration methods by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paretocast.calibration.base import FIRST_SCHEMA_VERSION, LEAD, SCHEMA_VERSION, Calibrator
from paretocast.calibration.conformal import ShiftCalibrator, Sides, Unit, fit_conformal, identity
from paretocast.calibration.isotonic import LevelRemapCalibrator, fit_isotonic
from paretocast.calibration.online import (
    AdaptiveCalibrator,
    OnlineCalibrator,
    PidCalibrator,
    fit_adaptive,
    fit_pid,
)
from paretocast.calibration.stored_state import STATES
from paretocast.errors import DataError, SettingsError, StoreError
from paretocast.formatting import did_you_mean
from paretocast.metrics.forecast import Forecast
from paretocast.registry import Registry
from paretocast.workspace.files import without_nan
from paretocast.workspace.stored import check

Fit = Callable[[Forecast], Calibrator]

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
    meaning="no calibration",
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

    A fixed one of the first version moves the median, as it did; one that goes on learning
    continues from its state by the present rules.

    Raises
    ------
    DataError
        If it is of another version or damaged.
    """
    classes = {method.calibrator.kind: method.calibrator for method in CALIBRATORS.values()}
    version, kind = stored.get("schema_version"), stored.get("kind")
    known = range(FIRST_SCHEMA_VERSION, SCHEMA_VERSION + 1)
    if version not in known or not isinstance(kind, str) or kind not in classes:
        raise DataError(
            f"the calibrator is of version {version} and kind {kind!r}, expected a version from "
            f"{known[0]} to {known[-1]} and one of {', '.join(classes)}"
        )
    if kind in STATES:
        try:
            check(without_nan(stored), STATES[kind], origin=f"the calibrator of kind {kind!r}")
        except StoreError as error:
            raise DataError(str(error)) from error
    try:
        loaded = classes[kind].from_json(stored)
        moves_median = version == FIRST_SCHEMA_VERSION or bool(stored["moves_median"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the calibrator of kind {kind!r} is damaged: {error}") from error
    return loaded.moving_median() if moves_median else loaded


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
            f"{did_you_mean(name, (AUTO, *CALIBRATORS))}"
        )
