"""One config, trained and judged: the only place where any exception becomes a failed trial."""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from paretocast.calibration import CALIBRATED_SCORES, cross_fitted
from paretocast.engine import (
    Recipe,
    Training,
    TrainingInterrupted,
    WindowSource,
    forecast_positions,
    seed_weights,
)
from paretocast.errors import DataError, ForecastError, ParetocastError, StoreError
from paretocast.halving import plan_rungs
from paretocast.models.anchor import Anchor, fit_anchor, is_long_enough, refit_anchor
from paretocast.models.registry import build_model, count_weights
from paretocast.noise import N_RESAMPLES, draw_scores, standard_errors
from paretocast.scaling import ScaledArrays, TargetScaling, scale_task
from paretocast.scores import interval, score_forecast, seasonal_scale
from paretocast.selection import TrialState
from paretocast.series import STEPS_PER_DAY
from paretocast.stats import picp_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.models.base import QuantileModel
    from paretocast.settings import TrainingSettings
    from paretocast.space import Config
    from paretocast.task import Task

Judged = TypeVar("Judged", float, "NDArray[np.float64]")
# The splits whose dense forecasts are kept: later questions are replays of arrays.
KEPT_SPLITS = ("tune", "calibrate")
# On a CPU a step costs what its windows cost; a GPU computes hundreds at the price of a few.
BATCH_SIZES = {
    "cpu": {"NHITS_Q": 128, "TFT_Q": 32, "TIMESNET_Q": 32},
    "cuda": {"NHITS_Q": 256, "TFT_Q": 128, "TIMESNET_Q": 128},
}
# Seconds per step on a CPU grow with about this power of the number of weights.
TIME_BY_WEIGHTS = 0.6


@dataclass(frozen=True)
class Judgement:
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
    """What a trial was and what came of it.

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
    rungs : tuple of Judgement
        What was seen at each rung, the last one included.
    peak_memory_mib : float
        Largest resident memory of the process during the trial, libraries and data included.
    micro_batch : int or None
        Windows computed at once where memory ran out for the whole batch; None where it sufficed.
    stop_losses : tuple of (step, loss)
        Mean pinball loss of the averaged weights on the stop split, scaled units.
    forecasts : dict of str to ndarray
        Dense forecasts (N, H, Q) of the tune and calibrate splits in target units, float32; kept
        beside the record, not in it.
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
    rungs: tuple[Judgement, ...] = ()
    steps: int = 0
    best_step: int = 0
    stop_losses: tuple[tuple[int, float], ...] = ()
    fit_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    micro_batch: int | None = None
    reason: str = ""
    traceback: str = ""
    forecasts: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The record without its arrays."""
        plain = {name: value for name, value in vars(self).items() if name != "forecasts"}
        return {**plain, "rungs": [vars(judgement) for judgement in self.rungs]}


def load_judgements(stored: Sequence[Mapping[str, Any]]) -> list[Judgement]:
    """Judgements from JSON, where an undefined score is null or NaN."""
    return [
        Judgement(
            step=rung["step"],
            scores={k: float("nan") if v is None else v for k, v in rung["scores"].items()},
            picp_interval=(rung["picp_interval"][0], rung["picp_interval"][1]),
        )
        for rung in stored
    ]


class TrialInterrupted(Exception):  # noqa: N818  (a request honoured, not an error)
    """The trial was asked to stop; `checkpoint` continues it."""

    def __init__(self, checkpoint: bytes) -> None:
        super().__init__("the trial was interrupted")
        self.checkpoint = checkpoint


@dataclass(frozen=True)
class Bench:
    """What all trials of a study share, prepared once.

    Attributes
    ----------
    mase_scale : float
        Mean absolute daily difference of the train period, target units.
    """

    task: Task
    model: str
    training: TrainingSettings
    target_coverage: float
    scaling: TargetScaling
    source: WindowSource
    mase_scale: float

    @property
    def batch_size(self) -> int:
        """Windows per gradient step: as set, else what suits the model on its device."""
        return self.training.batch_size or BATCH_SIZES[self.source.device.type][self.model]

    @property
    def budget_steps(self) -> int:
        """Gradient steps of a full trial."""
        n_windows = len(self.task.issues["train"])
        return self.training.budget_steps(
            n_windows, batch_size=self.batch_size, anchored=self.source.anchor is not None
        )

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Gradient steps at which a trial is judged; the last one is the budget."""
        n_rungs = self.training.rungs(anchored=self.source.anchor is not None)
        return plan_rungs(self.budget_steps, n_rungs=n_rungs)


def prepare_bench(
    task: Task, *, model: str, training: TrainingSettings, target_coverage: float, device: str
) -> Bench:
    """Scale a task and put it on a device: `auto`, `cpu`, `cuda` or `cuda:N`."""
    arrays, scaling = scale_task(task, training.transform)
    anchor = _anchor(task, arrays, training.anchor)
    return Bench(
        task=task,
        model=model,
        training=training,
        target_coverage=target_coverage,
        scaling=scaling,
        source=_window_source(task, arrays, anchor, device=device),
        mase_scale=seasonal_scale(task.series.values[: task.train_stop], STEPS_PER_DAY),
    )


def _anchor(task: Task, arrays: ScaledArrays, wanted: str) -> Anchor | None:
    """The anchor that a setting asks for; `auto` goes without where it cannot be fitted."""
    if wanted == "ridge":
        return fit_anchor(task, arrays)
    if wanted == "auto" and is_long_enough(task):
        with contextlib.suppress(DataError):
            return fit_anchor(task, arrays)
    return None


def learned_until(bench: Bench, until: int) -> Bench:
    """The bench with every window that ends before a position to learn from, its anchor too."""
    task = bench.task
    windows = np.arange(task.shape.input_steps, until - task.shape.horizon_steps + 1)
    later = replace(task, issues={**task.issues, "train": windows})
    source = bench.source
    if source.anchor is not None:
        arrays, _ = scale_task(task, bench.training.transform)
        anchor = refit_anchor(source.anchor, later, arrays)
        source = _window_source(later, arrays, anchor, device=str(source.device))
    return replace(bench, task=later, source=source)


def _window_source(
    task: Task, arrays: ScaledArrays, anchor: Anchor | None, *, device: str
) -> WindowSource:
    return WindowSource(
        arrays,
        input_steps=task.shape.input_steps,
        horizon_steps=task.shape.horizon_steps,
        device=device,
        anchor=anchor,
    )


def trial_seed(study_seed: int, number: int, seed_index: int = 0) -> int:
    """Seed of a trial, from the study's seed, the trial's number and which of its trainings."""
    parts = [study_seed, number, *([seed_index] if seed_index else [])]
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def run_trial(
    bench: Bench,
    config: Config,
    *,
    number: int,
    seed: int,
    seed_index: int = 0,
    checkpoint: bytes | None = None,
    survives: Callable[[int, dict[str, float]], bool] = lambda _rung, _scores: True,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    on_rung: Callable[[Sequence[Judgement], bytes], None] | None = None,
) -> TrialRecord:
    """Train a config from rung to rung and judge it on the tune split.

    Parameters
    ----------
    survives : callable
        Asked with the index of a rung and the scores there, at every rung but the last; False
        ends the trial as pruned.
    on_rung : callable or None
        Given what was seen so far and a checkpoint, whenever the trial goes on beyond a rung.

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
        training, rungs = _begin_or_continue(bench, config, seed=seed, checkpoint=checkpoint)
        state = TrialState.COMPLETE
        for index, step in enumerate(bench.rung_steps):
            if index < len(rungs):
                continue  # judged before the interruption
            try:
                training.advance(step, should_stop=should_stop, on_progress=on_progress)
            except TrainingInterrupted:
                raise TrialInterrupted(_checkpoint(training, rungs)) from None
            forecasts = _forecast_kept_splits(bench, training)
            scores, coverage_interval = score_on_tune(bench, forecasts["tune"], seed=seed)
            if infinite := [name for name, value in scores.items() if math.isinf(value)]:
                raise ForecastError(f"infinite at step {training.step}: {', '.join(infinite)}")
            rungs.append(Judgement(training.step, scores, coverage_interval))
            if not training.finished and not survives(index, scores):
                state = TrialState.PRUNED
                break
            if on_rung is not None and step != bench.rung_steps[-1]:
                on_rung(rungs, _checkpoint(training, rungs))
        kept = {split: forecast.astype(np.float32) for split, forecast in forecasts.items()}
        return TrialRecord(
            number=number,
            state=state,
            config=config,
            seed=seed,
            scores=scores,
            picp_interval=coverage_interval,
            standard_errors=standard_errors(draw_on_tune(bench, kept["tune"])),
            seed_index=seed_index,
            rungs=tuple(rungs),
            steps=training.step,
            best_step=training.best_step,
            stop_losses=tuple(training.stop_losses),
            fit_seconds=training.fit_seconds,
            peak_memory_mib=peak_memory_mib(),
            micro_batch=None if training.micro_batch == bench.batch_size else training.micro_batch,
            forecasts=kept,
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
            reason=str(error) if deliberate else f"{type(error).__name__}: {error}",
            traceback=traceback.format_exc(),
        )


def start_training(bench: Bench, config: Config, *, seed: int) -> Training:
    """A fresh model with its training at step 0."""
    seed_weights(seed)
    model = _fresh_model(bench, config)
    if bench.source.anchor is not None:
        model.start_at_anchor()
    settings = bench.training
    return Training(
        model,
        bench.source,
        recipe=Recipe(
            steps=bench.budget_steps,
            lr=float(config["lr"]),
            weight_decay=float(config.get("weight_decay", settings.weight_decay)),
            batch_size=bench.batch_size,
            clip_norm=settings.clip_norm,
            average_share=settings.average_share,
            n_evaluations=settings.n_evaluations,
            patience=settings.patience,
        ),
        levels=bench.task.shape.levels,
        train_positions=bench.task.issues["train"],
        stop_positions=bench.task.issues["stop"],
        seed=seed,
    )


def step_cost(bench: Bench, config: Config) -> float:
    """How long a gradient step of a config takes on a CPU, relative to others of its model.

    It goes by the weights alone and not by a clock, so that what is made of it can be repeated.
    NaN for a config whose model cannot be built; its trial will say why.
    """
    try:
        n_weights = count_weights(lambda: _fresh_model(bench, config))
    except Exception:  # noqa: BLE001  (whatever it is: the trial is where failures are recorded)
        return math.nan
    return math.pow(n_weights, TIME_BY_WEIGHTS)


def _fresh_model(bench: Bench, config: Config) -> QuantileModel:
    filled, usable = bench.task.filled
    train_values = bench.scaling.scale(np.where(usable, filled, np.nan)[: bench.task.train_stop])
    return build_model(
        bench.model,
        bench.source.shape(len(bench.task.shape.levels)),
        config,
        train_history=np.nan_to_num(train_values).astype(np.float32),
    )


def _checkpoint(training: Training, rungs: Sequence[Judgement]) -> bytes:
    """The training with what was seen at its rungs."""
    return training.checkpoint(note=json.dumps([vars(judgement) for judgement in rungs]))


def _begin_or_continue(
    bench: Bench, config: Config, *, seed: int, checkpoint: bytes | None
) -> tuple[Training, list[Judgement]]:
    """The training where it stood, with what was seen at its rungs; from the start without it."""
    training = start_training(bench, config, seed=seed)
    if checkpoint is None:
        return training, []
    try:
        return training, load_judgements(json.loads(training.restore(checkpoint)))
    except StoreError:  # a damaged checkpoint costs time, not the trial
        return start_training(bench, config, seed=seed), []


def score_on_tune(
    bench: Bench, forecast: NDArray[np.float64], *, seed: int
) -> tuple[dict[str, float], tuple[float, float]]:
    """Scores of a forecast on the tune split, and the 95 % interval of its coverage in percent."""
    observed = bench.task.observed("tune")

    def score(judged: NDArray[np.float64]) -> dict[str, float]:
        return score_forecast(
            observed,
            judged,
            levels=bench.task.shape.levels,
            coverage=bench.target_coverage,
            seasonal_scale=bench.mase_scale,
        )

    lower, upper = interval(forecast, bench.task.shape.levels, bench.target_coverage)
    covered = picp_interval(observed, lower, upper, rng=np.random.default_rng(seed))
    return _with_calibrated(bench, forecast, score, missing=float("nan")), covered


def draw_on_tune(bench: Bench, kept: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Scores of a kept forecast on resampled days of the tune split, see `noise.draw_scores`.

    The days are the same for every trial of a task, so that trials are compared in pairs.
    """

    def draw(judged: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return draw_scores(
            bench.task.observed("tune"),
            judged,
            levels=bench.task.shape.levels,
            coverage=bench.target_coverage,
            seasonal_scale=bench.mase_scale,
            rng=np.random.default_rng(0),
        )

    forecast = kept.astype(np.float64)
    return _with_calibrated(bench, forecast, draw, missing=np.full(N_RESAMPLES, np.nan))


def _with_calibrated(
    bench: Bench,
    forecast: NDArray[np.float64],
    judge: Callable[[NDArray[np.float64]], dict[str, Judged]],
    *,
    missing: Judged,
) -> dict[str, Judged]:
    """What a judge says of a forecast, and of the same one calibrated (`CALIBRATED_SCORES`).

    Each half of the weeks is calibrated by the other; `missing` where a half holds no observation.
    """
    plain = judge(forecast)
    if not plain:
        return plain
    try:
        observed, levels = bench.task.observed("tune"), bench.task.shape.levels
        calibrated = judge(cross_fitted(observed, forecast, levels=levels))
    except DataError:
        calibrated = dict.fromkeys(plain, missing)
    return plain | {name: calibrated[score] for name, score in CALIBRATED_SCORES.items()}


def reset_peak_memory() -> None:
    """Begin a new measurement of `peak_memory_mib`, where the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mib() -> float:
    """Largest resident memory of this process since `reset_peak_memory`, or since its start."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return float(peak.split()[1]) / 1024.0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1024.0**2 if sys.platform == "darwin" else largest / 1024.0


def _forecast_kept_splits(bench: Bench, training: Training) -> dict[str, NDArray[np.float64]]:
    with training.best_model() as model:
        return {
            split: bench.scaling.unscale(
                forecast_positions(model, bench.source, bench.task.issues[split])
            )
            for split in KEPT_SPLITS
        }
