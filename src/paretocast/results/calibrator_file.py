"""Calibrators of stored forecasts, and their files.

A file holds the members of the forecast that the calibrator corrects, with their configs, seeds and
weights, the calibrator and the scores it was chosen by. Members and calibrator suffice to make
the calibrated forecast again, from stored forecasts or from models trained anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from paretocast.calibration import (
    AUTO,
    FEWEST_COMPARED_WINDOWS,
    choose_by_name,
    compare_calibrators,
    load_calibrator,
    walk_forward,
)
from paretocast.errors import DataError, StoreError
from paretocast.results.assessment import assess_ensemble
from paretocast.results.forecasts import Member
from paretocast.workspace.stored import CalibratorFile, load, save

if TYPE_CHECKING:
    from pathlib import Path

    from paretocast.calibration import Calibrator, CalibratorSelection
    from paretocast.metrics.forecast import Forecast
    from paretocast.results.assessment import EnsembleAssessment, PairedComparison
    from paretocast.results.forecasts import StoredForecast

FILE_SCHEMA_VERSION = 1
FITTED_ON = "calibrate"
ADVICE = "`paretocast calibrate` writes it anew"


def fit_compared(
    forecast: Forecast, name: str, *, coverage: float, static: bool = False
) -> CalibratorSelection:
    """`choose_by_name`, with a named method compared with none where the windows suffice."""
    choice = choose_by_name(forecast, name, coverage=coverage, static=static)
    if name == AUTO or forecast.n_observed_windows < FEWEST_COMPARED_WINDOWS:
        return choice
    names = list(dict.fromkeys(("none", name)))
    compared = compare_calibrators(forecast, coverage=coverage, names=names)
    return replace(choice, compared=compared)


@dataclass(frozen=True)
class SavedCalibrator:
    """A calibrator that was fitted to a stored forecast and written.

    Attributes
    ----------
    ensemble : EnsembleAssessment or None
        None unless the forecast is that of an ensemble.
    """

    selection: CalibratorSelection
    ensemble: EnsembleAssessment | None
    path: Path


def calibrate_stored(
    opened: StoredForecast, name: str, *, static: bool = False, path: Path | None = None
) -> SavedCalibrator:
    """Fit a calibrator on the calibrate split of a stored forecast and write it as JSON.

    Parameters
    ----------
    name : str
        A method, or "auto" for the one that is best on rolled folds.
    static : bool
        Leave online methods out of "auto".
    path : Path, optional
        Of the file; in the folder of the study without it.
    """
    alone = len(opened.members) == 1
    ensemble = None if alone else assess_ensemble(opened)
    coverage = opened.settings.target_coverage
    selection = fit_compared(opened.forecast(FITTED_ON), name, coverage=coverage, static=static)
    path = path or opened.run.calibrator(opened.number if alone else None)
    against_trial = None if ensemble is None else ensemble.against_trial
    save_fitted(path, selection, opened, against_trial=against_trial)
    return SavedCalibrator(selection, ensemble, path)


def save_fitted(
    path: Path,
    fitted: CalibratorSelection,
    opened: StoredForecast,
    *,
    against_trial: PairedComparison | None = None,
) -> None:
    """Write a calibrator with the forecast it belongs to, as JSON.

    Parameters
    ----------
    against_trial : PairedComparison, optional
        An ensemble against the chosen trial.
    """
    alone = len(opened.members) == 1
    content = {
        "schema_version": FILE_SCHEMA_VERSION,
        "study_name": opened.run.study_name,
        "trial": opened.number if alone else None,
        "members": [_described(opened, member) for member in opened.members],
        "levels": list(opened.task.shape.levels),
        "target_coverage": opened.settings.target_coverage,
        "fitted_on": FITTED_ON,
        "n_windows": len(opened.task.issues[FITTED_ON]),
        "judged_on": "cross-validation on calibrate" if fitted.compared else None,
        "reason": fitted.reason,
        "compared": [vars(scores) for scores in fitted.compared],
        "against_trial": None
        if against_trial is None
        else {
            "judged_on": FITTED_ON,
            "rows": [vars(row) for row in against_trial.rows],
            "pinball_difference": vars(against_trial.difference),
        },
        "calibrator": fitted.calibrator.as_json(),
    }
    save(path, content)


@dataclass(frozen=True)
class StoredCalibrator:
    """A calibrator read from its file, with the members of the forecast it corrects.

    Attributes
    ----------
    target_coverage : float
        Of the interval that the calibrator was chosen by, percent.
    origin : Path
        The file.
    """

    study_name: str
    target_coverage: float
    members: tuple[Member, ...]
    calibrator: Calibrator
    origin: Path

    def calibrate(self, forecast: Forecast) -> Forecast:
        """The forecast, calibrated window by window as it would have been issued.

        Raises
        ------
        StoreError
            If the file does not fit it.
        """
        try:
            return walk_forward(self.calibrator, forecast).forecast
        except DataError as error:
            raise StoreError(f"{self.origin} does not fit: {error}; {ADVICE}") from error


def load_fitted(path: Path) -> StoredCalibrator:
    """The calibrator that `save_fitted` wrote.

    Raises
    ------
    StoreError
        If the file is missing, damaged, something else or of another version.
    """
    content = load(path, CalibratorFile, advice=ADVICE)
    members = tuple(Member(member["trial"], member["weight"]) for member in content["members"])
    try:
        calibrator = load_calibrator(content["calibrator"])
    except DataError as error:
        raise StoreError(f"{path} is damaged: {error}; {ADVICE}") from error
    target = float(content["target_coverage"])
    return StoredCalibrator(content["study_name"], target, members, calibrator, path)


def _described(opened: StoredForecast, member: Member) -> dict[str, Any]:
    record = opened.study.record(member.number)
    return {
        "model": opened.run.model,
        "trial": member.number,
        "config": record.config,
        "seed": record.seed,
        "weight": member.weight,
    }
