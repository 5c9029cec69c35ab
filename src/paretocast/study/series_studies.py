"""The studies of single series that a search over many of them leaves.

Each holds the same trials with the forecasts of its series, scored in units of its target, so that
whatever reads a study reads them: its own front, its own choice, its own calibration. Only the
search belongs to all: a study of a series is not continued by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data import find_spec
from paretocast.errors import StoreError
from paretocast.metrics.resampling import standard_errors
from paretocast.search.selection import TrialState
from paretocast.study.choice import judge_trial
from paretocast.study.repeats import complete_trainings
from paretocast.study.study import Study
from paretocast.study.trial_store import TrainingId, TrialStore
from paretocast.training.pooled_scores import split_series
from paretocast.training.scoring import draw_on_tune, score_on_tune
from paretocast.training.trial import RungScores, load_forecasts
from paretocast.workspace import files
from paretocast.workspace.runs import RunDirectory
from paretocast.workspace.stored import load_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.interval_quality import IntervalQuality
    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult
    from paretocast.training.pooling import PooledSetup
    from paretocast.training.setup import TrainingSetup
    from paretocast.training.trial import TrialRecord

    Forecasts = dict[str, NDArray[np.floating]]

RIDGE = "ridge"


@dataclass(frozen=True)
class SeriesResult:
    """What a search over many series has found for one of them.

    Attributes
    ----------
    setup : TrainingSetup
        With its task.
    result : StudyResult
        Of its study, with the method that is recommended for it.
    loss : float or None
        Mean pinball loss of the trial that was chosen for all, on the calibrate split, target
        units; None where its forecasts are gone.
    interval : IntervalQuality or None
        Of the same trial, each half of the split calibrated by the other.
    """

    name: str
    run: RunDirectory
    settings: TuneSettings
    setup: TrainingSetup
    result: StudyResult
    loss: float | None
    interval: IntervalQuality | None

    @property
    def to_ridge(self) -> float | None:
        """Loss of the trial chosen for all over that of the ridge of the series."""
        ridge = self._losses.get(RIDGE)
        return self.loss / ridge if self.loss is not None and ridge else None

    @property
    def recommended_to_ridge(self) -> float | None:
        """Loss of what is recommended for the series over that of its ridge."""
        ridge, choice = self._losses.get(RIDGE), self.result.choice
        return choice.losses[choice.method] / ridge if choice is not None and ridge else None

    @property
    def recommended(self) -> str:
        """What is recommended for the series, in words; empty without forecasts."""
        return "" if self.result.choice is None else self.result.choice.label

    @property
    def _losses(self) -> dict[str, float]:
        return {} if self.result.choice is None else dict(self.result.choice.losses)


def series_place(run: RunDirectory, settings: TuneSettings, name: str) -> RunDirectory:
    """Where the study of a series lies: beside that of all, under the same id."""
    dataset = find_spec(settings.of_series(name).dataset).name
    return RunDirectory(run.workspace, run.model, dataset, run.job_id)


def refuse_other_studies(run: RunDirectory, settings: TuneSettings) -> None:
    """Refuse an id under which a series has been tuned otherwise.

    Raises
    ------
    StoreError
        Naming the study that is there.
    """
    for name in settings.pool:
        place = series_place(run, settings, name)
        if not files.exists(place.manifest):
            continue
        if tuple(load_manifest(place)["settings"].get("pool", ())) != settings.pool:
            raise StoreError(
                f"{place.manifest} is there already and of a study of its own, or of other series "
                "together; choose another --job-id"
            )


def write_series_studies(
    setup: PooledSetup, settings: TuneSettings, run: RunDirectory, *, chosen: int
) -> tuple[SeriesResult, ...]:
    """Write or complete the study of each series, and judge the trial that was chosen for all.

    What is there already stays, so that it can be repeated after whatever interrupted it.

    Parameters
    ----------
    chosen : int
        Number of the trial.
    """
    store = TrialStore(run)
    store.refresh()
    places = [series_place(run, settings, name) for name in settings.pool]
    owns = [settings.of_series(name).model_copy(update={"warm_start": ()}) for name in setup.names]
    studies = [
        Study(own, place, view)  # first of all, it refuses what does not belong there
        for own, place, view in zip(owns, places, setup.series, strict=True)
    ]
    for record in store.trainings:
        _write_training(record, setup, run, places)
    complete = [r for r in store.trainings if r.state is TrialState.COMPLETE]
    trainings = complete_trainings(complete)[chosen]
    found = []
    for i, name in enumerate(setup.names):
        task = setup.series[i].base_task
        judged = judge_trial(
            places[i], trainings, task=task, target_coverage=settings.target_coverage
        )
        loss, interval = (None, None) if judged is None else judged
        result = studies[i].conclude(asked=False)
        found.append(
            SeriesResult(name, places[i], owns[i], setup.series[i], result, loss, interval)
        )
    return tuple(found)


def _write_training(
    record: TrialRecord, setup: PooledSetup, run: RunDirectory, places: Sequence[RunDirectory]
) -> None:
    """Write the record of a training and its forecasts for every series that lacks them."""
    training = TrainingId(record.number, record.seed_index)
    missing = [i for i, place in enumerate(places) if not files.exists(place.record(*training))]
    if not missing:
        return
    parts: dict[str, list[NDArray[np.floating]]] = {}
    if record.state is not TrialState.FAILED:
        try:
            stored = load_forecasts(run.forecasts(*training))
        except StoreError:
            return  # removed by somebody: the other trials are judged without it
        parts = {split: split_series(setup, forecast) for split, forecast in stored.items()}
    for i in missing:
        store = TrialStore(places[i])
        store.begin(training)
        own = record
        if parts:
            forecasts = {split: of_series[i] for split, of_series in parts.items()}
            files.save_arrays(places[i].forecasts(*training), forecasts)
            own = _own_record(record, setup.series[i], forecasts)
        store.save_record(own)


def _own_record(record: TrialRecord, view: TrainingSetup, forecasts: Forecasts) -> TrialRecord:
    """The record of a trial as one series has it."""
    tune = forecasts["tune"].astype(np.float64)
    scores, interval = score_on_tune(view, tune, seed=record.seed)
    step = record.rungs[-1].step
    return replace(
        record,
        scores=scores,
        picp_interval=interval,
        standard_errors=standard_errors(draw_on_tune(view, tune.astype(np.float32))),
        rungs=(RungScores(step, scores, interval),),
        series_scores={},
    )
