"""One config, trained and scored: the only place where any exception becomes a failed trial."""

from __future__ import annotations

import json
import math
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import ForecastError, ParetocastError, StoreError
from paretocast.metrics.resampling import standard_errors
from paretocast.models.base import imported
from paretocast.redaction import redacted
from paretocast.search.models import MODELS
from paretocast.search.selection import TrialState
from paretocast.training import Training, TrainingInterrupted, forecast_positions
from paretocast.training.memory import peak_memory_mib, reset_peak_memory
from paretocast.training.pooled_scores import draw_on_tune, score_on_tune, scores_by_series
from paretocast.training.pooling import PooledSetup
from paretocast.training.setup import TrainingSetup, start_training
from paretocast.workspace import files, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.search.space import Config
    from paretocast.training.pooling import AnySetup

# The splits whose dense forecasts are stored, so that later questions need no training.
STORED_SPLITS = ("tune", "calibrate")


@dataclass(frozen=True)
class RungScores:
    """Scores at a rung.

    Attributes
    ----------
    step : int
        Gradient steps done.
    scores : dict of str to float
        On the tune split.
    picp_interval : tuple of float
        95 % interval of the measured coverage, percent.
    """

    step: int
    scores: dict[str, float]
    picp_interval: tuple[float, float]


@dataclass(frozen=True)
class TrialRecord:
    """A trial's config with its state, scores and costs.

    Attributes
    ----------
    scores : dict of str to float
        Scores on the tune split at the last rung reached; empty if failed.
    picp_interval : tuple of float or None
        95 % interval of the measured coverage, percent.
    standard_errors : dict of str to float
        Of the scores, in their units, from resampled days; empty if failed.
    seed_index : int
        0 for the trial itself, above for a repeat of it with another seed.
    n_seeds : int
        Trainings that the scores are the mean of; 1 for every record on disk.
    rungs : tuple of RungScores
        Scores at each rung, the last one included.
    peak_memory_mib : float
        Largest resident memory of the process during the trial, libraries and data included.
    micro_batch : int or None
        Windows computed at once where memory ran out for the whole batch; None where it sufficed.
    anchor : str
        The linear forecast that the model corrects, in a few words; empty without one.
    correction_share : float
        Share of the correction that is used, as the stop split says; 0 leaves the anchor alone.
    stop_losses : tuple of (step, loss)
        Mean pinball loss of the averaged weights on the stop split, scaled units.
    series_scores : dict of str to dict of str to float
        Of one network for many series: scores of each by its name, in units of its target, where
        `scores` are their mean in those of the ridge. Empty for one series.
    worker : int or None
        Number of the process among those of the study; None in records of earlier versions.
    began, ended : float or None
        Times of the last stretch of the training, seconds since 1970; None likewise.
    forecasts : dict of str to ndarray
        Dense forecasts (N, H, Q) of the tune and calibrate splits in target units, float32; stored
        beside the record, not in it. Those of many series stand one after the other.
    """

    number: int
    state: TrialState
    config: Config
    seed: int
    scores: dict[str, float] = field(default_factory=dict)
    picp_interval: tuple[float, float] | None = None
    standard_errors: dict[str, float] = field(default_factory=dict)
    seed_index: int = 0
    n_seeds: int = 1
    rungs: tuple[RungScores, ...] = ()
    steps: int = 0
    best_step: int = 0
    stop_losses: tuple[tuple[int, float], ...] = ()
    fit_seconds: float = 0.0
    anchor: str = ""
    correction_share: float = 1.0
    peak_memory_mib: float = 0.0
    micro_batch: int | None = None
    reason: str = ""
    traceback: str = ""
    series_scores: dict[str, dict[str, float]] = field(default_factory=dict)
    worker: int | None = field(default=None, compare=False)
    began: float | None = field(default=None, compare=False)
    ended: float | None = field(default=None, compare=False)
    forecasts: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The record without its arrays."""
        plain = {name: value for name, value in vars(self).items() if name != "forecasts"}
        return {**plain, "rungs": [vars(rung) for rung in self.rungs]}


def load_rung_scores(stored: Sequence[Mapping[str, Any]]) -> list[RungScores]:
    """Scores by rung from JSON, where an undefined score is null or NaN."""
    return [
        RungScores(
            step=rung["step"],
            scores={k: float("nan") if v is None else v for k, v in rung["scores"].items()},
            picp_interval=(rung["picp_interval"][0], rung["picp_interval"][1]),
        )
        for rung in stored
    ]


def load_forecasts(path: Path) -> dict[str, NDArray[np.floating[Any]]]:
    """The dense forecasts (N, H, Q) by split that were stored beside a record, target units.

    Raises
    ------
    StoreError
        If the file is damaged, or does not hold finite forecasts of the stored splits alone.
    """
    advice = "train the trial again or leave it out"
    try:
        arrays = files.load_arrays(path)
    except StoreError as error:
        raise StoreError(f"{error}; {advice}") from error
    if set(arrays) != set(STORED_SPLITS):
        raise StoreError(
            f"{path} is damaged: it holds {', '.join(sorted(arrays)) or 'nothing'}, expected "
            f"{' and '.join(STORED_SPLITS)}; {advice}"
        )
    for split, array in arrays.items():
        whole = np.issubdtype(array.dtype, np.floating) and array.ndim == 3 and array.size > 0
        if not whole or not np.isfinite(array).all():
            raise StoreError(
                f"{path} is damaged: {split} is of {array.dtype} and shape {array.shape}, expected "
                f"finite numbers of shape (N, H, Q); {advice}"
            )
    return arrays


class TrialInterrupted(Exception):  # noqa: N818  (a request honoured, not an error)
    """The trial was asked to stop; `checkpoint` continues it."""

    def __init__(self, checkpoint: bytes) -> None:
        super().__init__("the trial was interrupted")
        self.checkpoint = checkpoint


def trial_seed(study_seed: int, number: int, seed_index: int = 0) -> int:
    """Seed of a training, from the study's seed, the trial's number and the training's index."""
    parts = [study_seed, number, *([seed_index] if seed_index else [])]
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def run_trial(
    setup: AnySetup,
    config: Config,
    *,
    number: int,
    seed: int,
    seed_index: int = 0,
    checkpoint: bytes | None = None,
    survives: Callable[[int, dict[str, float]], bool] = lambda _rung, _scores: True,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    on_rung: Callable[[Sequence[RungScores], bytes], None] | None = None,
) -> TrialRecord:
    """Train a config from rung to rung and score it on the tune split.

    Parameters
    ----------
    survives : callable
        Asked with the index of a rung and the scores there, at every rung but the last; False
        ends the trial as pruned.
    on_rung : callable or None
        Called with the scores so far and a checkpoint, whenever the trial goes on beyond a rung.

    Raises
    ------
    TrialInterrupted
        If `should_stop` said so.
    StoreError
        If `survives` or `on_rung` met a disk that fails: that is no property of the config.
        Anything else that goes wrong is in the record.
    """
    reset_peak_memory()
    try:
        setup = setup.prepared(config)
        if isinstance(setup, TrainingSetup) and not MODELS[setup.model].is_network:
            return _fit_at_once(setup, config, number=number, seed=seed)
        training, rungs = _begin_or_continue(setup, config, seed=seed, checkpoint=checkpoint)
        state = TrialState.COMPLETE
        for index, step in enumerate(setup.rung_steps):
            if index < len(rungs):
                continue  # scored before the interruption
            try:
                training.advance(step, should_stop=should_stop, on_progress=on_progress)
            except TrainingInterrupted:
                raise TrialInterrupted(_checkpoint(training, rungs)) from None
            forecasts = _forecast_stored_splits(setup, training)
            scores, coverage_interval = score_on_tune(setup, forecasts["tune"], seed=seed)
            if infinite := [name for name, value in scores.items() if math.isinf(value)]:
                raise ForecastError(f"infinite at step {training.step}: {', '.join(infinite)}")
            rungs.append(RungScores(training.step, scores, coverage_interval))
            if not training.finished and not survives(index, scores):
                state = TrialState.PRUNED
                break
            if on_rung is not None and step != setup.rung_steps[-1]:
                on_rung(rungs, _checkpoint(training, rungs))
        stored = {split: forecast.astype(np.float32) for split, forecast in forecasts.items()}
        return TrialRecord(
            number=number,
            state=state,
            config=config,
            seed=seed,
            scores=scores,
            picp_interval=coverage_interval,
            standard_errors=standard_errors(draw_on_tune(setup, stored["tune"])),
            seed_index=seed_index,
            rungs=tuple(rungs),
            steps=training.step,
            best_step=training.best_step,
            stop_losses=tuple(training.stop_losses),
            fit_seconds=training.fit_seconds,
            anchor=anchor_label(setup),
            correction_share=training.correction_share,
            peak_memory_mib=peak_memory_mib(),
            micro_batch=None if training.micro_batch == setup.batch_size else training.micro_batch,
            series_scores=scores_by_series(setup, forecasts["tune"], seed=seed)
            if isinstance(setup, PooledSetup)
            else {},
            forecasts=stored,
        )
    except (TrialInterrupted, StoreError):
        raise
    except Exception as error:  # noqa: BLE001  (the trial boundary: a failure is recorded as one)
        deliberate = isinstance(error, ParetocastError)
        return TrialRecord(
            number=number,
            state=TrialState.FAILED,
            config=config,
            seed=seed,
            seed_index=seed_index,
            reason=redacted(str(error) if deliberate else f"{type(error).__name__}: {error}"),
            traceback=redacted(traceback.format_exc()),
        )


def anchor_label(setup: AnySetup) -> str:
    """The linear forecast that a setup's models correct, in a few words; empty without one."""
    anchors = [view.source.anchor for view in setup.series]
    labels = dict.fromkeys(anchor.model.label for anchor in anchors if anchor is not None)
    return next(iter(labels), "") if len(labels) < 2 else "a ridge of each series"


def _fit_at_once(setup: TrainingSetup, config: Config, *, number: int, seed: int) -> TrialRecord:
    """The record of a model that is fitted and not trained; it has one rung and no steps."""
    started = time.perf_counter()
    task = setup.base_task
    fitted = imported(MODELS[setup.model].fit)(task, config, None)
    forecasts = {split: fitted.forecast(task, task.issues[split]) for split in STORED_SPLITS}
    seconds = time.perf_counter() - started
    scores, coverage_interval = score_on_tune(setup, forecasts["tune"], seed=seed)
    stored = {split: forecast.astype(np.float32) for split, forecast in forecasts.items()}
    return TrialRecord(
        number=number,
        state=TrialState.COMPLETE,
        config=config,
        seed=seed,
        scores=scores,
        picp_interval=coverage_interval,
        standard_errors=standard_errors(draw_on_tune(setup, stored["tune"])),
        rungs=(RungScores(0, scores, coverage_interval),),
        fit_seconds=seconds,
        peak_memory_mib=peak_memory_mib(),
        forecasts=stored,
    )


def _checkpoint(training: Training, rungs: Sequence[RungScores]) -> bytes:
    """The training with the scores at its rungs."""
    return training.checkpoint(note=json.dumps([vars(rung) for rung in rungs]))


def _begin_or_continue(
    setup: AnySetup, config: Config, *, seed: int, checkpoint: bytes | None
) -> tuple[Training, list[RungScores]]:
    """The training where it stood, with its scores by rung; from the start without a checkpoint."""
    learning = setup.series[0]  # of many series all learn from the same windows
    training = start_training(learning, config, seed=seed)
    if checkpoint is None:
        return training, []
    try:
        return training, load_rung_scores(read_note(training.restore(checkpoint)))
    except StoreError:  # a damaged checkpoint costs time, not the trial
        return start_training(learning, config, seed=seed), []


def read_note(note: str) -> list[dict[str, Any]]:
    """The rungs in the note of a checkpoint, where an undefined score is NaN.

    Raises
    ------
    StoreError
        If they are none.
    """
    try:
        rungs = json.loads(note)
    except ValueError as error:
        raise StoreError(f"the checkpoint's note is damaged: {error}") from error
    content = {"schema_version": 1, "rungs": files.without_nan(rungs)}
    stored.check(content, stored.RungsFile, origin="the checkpoint's note")
    return list(rungs)


def _forecast_stored_splits(setup: AnySetup, training: Training) -> dict[str, NDArray[np.float64]]:
    """Forecasts by split, of many series one after the other."""
    with training.best_model() as model:
        return {
            split: np.concatenate(
                [
                    view.scaling.unscale(
                        forecast_positions(model, view.source, view.task.issues[split])
                    )
                    for view in setup.series
                ]
            )
            for split in STORED_SPLITS
        }
