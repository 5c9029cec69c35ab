"""Calibration quality on the calibrate split, which served neither training nor selection.

Everything is read from stored forecasts; nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration import FEWEST_COMPARED_WINDOWS, choose_calibrator, score_interval
from paretocast.errors import ParetocastError
from paretocast.metrics.diagnostics import diagnose
from paretocast.metrics.scores import pinball
from paretocast.metrics.uncertainty import PairedDifference, paired_difference
from paretocast.results.forecasts import Member, StoredForecast
from paretocast.results.groups import task_groupings
from paretocast.results.stored_study import StoredStudy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration import IntervalScores
    from paretocast.data.task import Task
    from paretocast.metrics.diagnostics import Diagnosis
    from paretocast.metrics.forecast import Forecast
    from paretocast.settings import TuneSettings
    from paretocast.workspace.runs import RunDirectory

    Floats = NDArray[np.float64]

SCORED_ON = "calibrate"


@dataclass(frozen=True)
class Assessment:
    """Diagnosis of a forecast on the calibrate split, with calibrators compared on it.

    Attributes
    ----------
    subject : str
        The forecast in words, such as "trial 3".
    compared : tuple of IntervalScores
        Every calibrator on rolled folds of the split; empty where its windows are too few.
    best : str
        The calibrator that "auto" takes; empty without a comparison.
    reason : str
        Reason for the best one, or for comparing none.
    repeated : bool
        True for the first of several trainings with different seeds.
    """

    subject: str
    unit: str
    diagnosis: Diagnosis
    compared: tuple[IntervalScores, ...]
    best: str
    reason: str
    repeated: bool


def assess(opened: StoredForecast) -> Assessment:
    """Diagnosis of a forecast, and calibrators compared on it.

    Raises
    ------
    DataError
        If nothing was observed on the split.
    """
    target = opened.settings.target_coverage
    forecast = opened.forecast(SCORED_ON)
    groupings = task_groupings(opened.task, SCORED_ON, forecast)
    diagnosis = diagnose(forecast, groupings, target=target)
    compared: tuple[IntervalScores, ...] = ()
    best = ""
    if forecast.n_observed_windows >= FEWEST_COMPARED_WINDOWS:
        choice = choose_calibrator(forecast, coverage=target)
        compared, best, reason = choice.compared, choice.calibrator.name, choice.reason
    else:
        reason = (
            f"{forecast.n_observed_windows} windows of the calibrate split were observed, "
            f"{FEWEST_COMPARED_WINDOWS} are needed to compare calibrators"
        )
    return Assessment(
        subject=opened.subject,
        unit=opened.unit,
        diagnosis=diagnosis,
        compared=compared,
        best=best,
        reason=reason,
        repeated=len(opened.members) == 1 and opened.run.record(opened.number, 1).exists(),
    )


def assess_trial(
    run: RunDirectory, number: int, *, settings: TuneSettings, task: Task
) -> Assessment | str:
    """As `assess`, of a trial; a sentence for people where that cannot be."""
    if not run.forecasts(number).exists():
        return (
            f"The stored forecasts of trial {number} were removed, so its coverage on held-out "
            "hours cannot be computed any more."
        )
    try:
        study = StoredStudy(run)
        forecasts = study.forecasts(number)
        return assess(StoredForecast(study, (Member(number, 1.0),), settings, task, forecasts))
    except ParetocastError as error:
        return f"The coverage of trial {number} on held-out hours is not known: {error}."


@dataclass(frozen=True)
class PairedComparison:
    """Two forecasts on the same windows of the calibrate split.

    Attributes
    ----------
    rows : tuple of IntervalScores
        The trial, then the ensemble.
    difference : PairedDifference
        Of their mean pinball losses, ensemble minus trial, target units; below 0 where the
        ensemble is better.
    """

    rows: tuple[IntervalScores, ...]
    difference: PairedDifference

    @property
    def beyond_chance(self) -> bool:
        """True if the 95 % interval of the difference leaves out 0."""
        return self.difference.low > 0.0 or self.difference.high < 0.0


@dataclass(frozen=True)
class MemberLoss:
    """A member of an ensemble by itself.

    Attributes
    ----------
    weight : float
        Those of all members add up to 1.
    pinball : float
        Mean loss on the tune split over all levels, target units.
    """

    subject: str
    weight: float
    pinball: float


@dataclass(frozen=True)
class EnsembleAssessment:
    """An ensemble beside its members and beside the chosen trial of the study.

    Attributes
    ----------
    pinball : float
        Mean loss of the ensemble on the tune split over all levels, target units.
    against_trial : PairedComparison or None
        On the calibrate split; None if the forecasts of the chosen trial were removed.
    """

    members: tuple[MemberLoss, ...]
    pinball: float
    against_trial: PairedComparison | None


def assess_ensemble(ensemble: StoredForecast) -> EnsembleAssessment:
    """Losses of an ensemble and its members where they were chosen, and a comparison elsewhere."""
    coverage = ensemble.settings.target_coverage

    def tune_loss(opened: StoredForecast) -> float:
        return score_interval(opened.subject, opened.forecast("tune"), coverage=coverage).pinball

    members = []
    for member in ensemble.members:
        trial = ensemble.trial(member.number)
        members.append(MemberLoss(trial.subject, member.weight, tune_loss(trial)))
    chosen = ensemble.study.chosen_number
    comparison = None
    if ensemble.run.forecasts(chosen).exists():
        comparison = compare_with_trial(ensemble, ensemble.trial(chosen))
    return EnsembleAssessment(tuple(members), tune_loss(ensemble), comparison)


def compare_with_trial(ensemble: StoredForecast, trial: StoredForecast) -> PairedComparison:
    """An ensemble against a trial of the same study, both without calibration."""
    coverage = ensemble.settings.target_coverage
    forecasts = [opened.forecast(SCORED_ON) for opened in (trial, ensemble)]
    rows = tuple(
        score_interval(opened.subject, forecast, coverage=coverage)
        for opened, forecast in zip((trial, ensemble), forecasts, strict=True)
    )
    losses = [_daily_pinball(forecast) for forecast in forecasts]
    return PairedComparison(
        rows, paired_difference(losses[1], losses[0], rng=np.random.default_rng(trial.number))
    )


def _daily_pinball(forecast: Forecast) -> Floats:
    """Mean loss of each window, (N,); NaN where nothing was observed."""
    return np.array(
        [
            np.nan
            if np.isnan(window).all()
            else pinball(window[None], quantiles[None], levels=forecast.levels).mean()
            for window, quantiles in zip(forecast.observed, forecast.quantiles, strict=True)
        ]
    )
