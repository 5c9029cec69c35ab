"""Calibration quality of a trial on the calibrate split, and of calibrators fitted to it.

The split was used neither for training nor for selection. Everything is read from its stored
forecasts; nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration import FEWEST_COMPARED_WINDOWS, choose_calibrator, judge
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
    from paretocast.settings import TuneSettings
    from paretocast.workspace.files import RunDirectory

    Floats = NDArray[np.float64]

JUDGED_ON = "calibrate"


@dataclass(frozen=True)
class Assessment:
    """Calibration quality of a forecast on the calibrate split.

    Attributes
    ----------
    subject : str
        Name of the forecast, in words.
    compared : tuple of IntervalScores
        Every calibrator on rolled folds of the split; empty where its windows are too few.
    best : str
        The calibrator with the lowest Winkler score on the folds; empty without a comparison.
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
    sample = opened.sample(JUDGED_ON)
    diagnosis = diagnose(
        sample.observed,
        sample.forecast,
        task_groupings(opened.task, JUDGED_ON, sample.forecast),
        levels=sample.levels,
        target=target,
    )
    compared: tuple[IntervalScores, ...] = ()
    best = ""
    if sample.n_observed_windows >= FEWEST_COMPARED_WINDOWS:
        choice = choose_calibrator(sample, coverage=target)
        compared, best, reason = choice.compared, choice.calibrator.name, choice.reason
    else:
        reason = (
            f"{sample.n_observed_windows} windows of the calibrate split were observed, "
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
            f"The stored forecasts of trial {number} were removed, so how honest it is on hours "
            "that chose nothing cannot be said any more."
        )
    try:
        study = StoredStudy(run)
        forecasts = study.forecasts(number)
        return assess(StoredForecast(study, (Member(number, 1.0),), settings, task, forecasts))
    except ParetocastError as error:
        return f"How honest trial {number} is on hours that chose nothing is not known: {error}."


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


def compare_with_trial(ensemble: StoredForecast, trial: StoredForecast) -> PairedComparison:
    """An ensemble against a trial of the same study, both without calibration."""
    coverage = ensemble.settings.target_coverage
    samples = [opened.sample(JUDGED_ON) for opened in (trial, ensemble)]
    rows = tuple(
        judge(opened.subject, sample, coverage=coverage)
        for opened, sample in zip((trial, ensemble), samples, strict=True)
    )
    losses = [_daily_pinball(s.observed, s.forecast, s.levels) for s in samples]
    return PairedComparison(
        rows, paired_difference(losses[1], losses[0], rng=np.random.default_rng(trial.number))
    )


def _daily_pinball(observed: Floats, forecast: Floats, levels: tuple[float, ...]) -> Floats:
    """Mean loss of each window, (N,); NaN where nothing was observed."""
    return np.array(
        [
            np.nan
            if np.isnan(window).all()
            else pinball(window[None], quantiles[None], levels=levels).mean()
            for window, quantiles in zip(observed, forecast, strict=True)
        ]
    )
