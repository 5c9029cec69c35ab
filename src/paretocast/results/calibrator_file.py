"""The file of a fitted calibrator: its forecast, its scores, and those of other methods.

The members with their configs, seeds and weights and the calibrator are all that it takes to make
the calibrated forecast again, from stored forecasts or from models trained anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from paretocast.calibration import (
    AUTO,
    FEWEST_COMPARED_WINDOWS,
    choose_by_name,
    choose_calibrator,
    load_calibrator,
)
from paretocast.errors import StoreError
from paretocast.results.forecasts import Member
from paretocast.workspace import files

if TYPE_CHECKING:
    from pathlib import Path

    from paretocast.calibration import Calibrator, CalibratorSelection, Sample
    from paretocast.results.assessment import PairedComparison
    from paretocast.results.forecasts import StoredForecast

FILE_SCHEMA_VERSION = 1
FITTED_ON = "calibrate"


def fit_on(
    sample: Sample, name: str, *, coverage: float, static: bool = False
) -> CalibratorSelection:
    """`choose_by_name`, and a named method compared with none where the windows suffice."""
    choice = choose_by_name(sample, name, coverage=coverage, static=static)
    if name == AUTO or sample.n_observed_windows < FEWEST_COMPARED_WINDOWS:
        return choice
    names = list(dict.fromkeys(("none", name)))
    compared = choose_calibrator(sample, coverage=coverage, names=names).compared
    return replace(choice, compared=compared)


def save_fitted(
    path: Path,
    fitted: CalibratorSelection,
    opened: StoredForecast,
    *,
    comparison: PairedComparison | None = None,
) -> None:
    """Write a calibrator with the forecast it belongs to, as JSON.

    Parameters
    ----------
    comparison : PairedComparison, optional
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
        "judged_on": "rolled folds of calibrate" if fitted.compared else None,
        "reason": fitted.reason,
        "compared": [vars(scores) for scores in fitted.compared],
        "against_trial": None
        if comparison is None
        else {
            "judged_on": FITTED_ON,
            "rows": [vars(row) for row in comparison.rows],
            "pinball_difference": vars(comparison.difference),
        },
        "calibrator": fitted.calibrator.as_json(),
    }
    files.save_json(path, content)


@dataclass(frozen=True)
class StoredCalibrator:
    """A calibrator, and the members of the forecast it corrects.

    Attributes
    ----------
    target_coverage : float
        Of the interval that the calibrator was chosen by, percent.
    """

    study_name: str
    target_coverage: float
    members: tuple[Member, ...]
    calibrator: Calibrator


def load_fitted(path: Path) -> StoredCalibrator:
    """Read what `save_fitted` wrote.

    Raises
    ------
    StoreError
        If the file is missing, damaged or something else.
    DataError
        If the calibrator in it is of another version.
    """
    content: Any = files.load_json(path)
    try:
        members = tuple(
            Member(int(member["trial"]), float(member["weight"])) for member in content["members"]
        )
        study_name, target = str(content["study_name"]), float(content["target_coverage"])
        calibrator = content["calibrator"]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} is no calibrator: {error!r} is missing or wrong; expected a file that "
            "`paretocast calibrate` wrote"
        ) from error
    return StoredCalibrator(study_name, target, members, load_calibrator(calibrator))


def _described(opened: StoredForecast, member: Member) -> dict[str, Any]:
    record = opened.study.record(member.number)
    return {
        "model": opened.run.model,
        "trial": member.number,
        "config": record.config,
        "seed": record.seed,
        "weight": member.weight,
    }
