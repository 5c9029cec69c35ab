"""The second stage as a replay of stored forecasts: how much faster, and how good.

    python experiments/stage2_replay.py --data-dir DATA [--dataset heat] [--quick]

Trains N-HiTS once as stage 1 does and keeps its forecasts of the tune and calibrate splits. Then

(a) times `--candidates` choices of levels, each answered by the replay (everything from the stored
    arrays on is counted) and by training the network again with those levels, as other tools do.
    Only `--retrained` candidates are really trained, alternating with the replays, and their median
    stands for the others: a training does not get faster or slower by the levels it is given;
(b) compares the exact optimum of the replay with the best of `--trials` Optuna trials on the same
    arrays, for symmetric and for free levels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import optuna
from harness import print_result, print_table

from paretocast.calibration.interval_levels import (
    HIGH_BOUNDS,
    LOW_BOUNDS,
    IntervalLevels,
    best_levels,
    best_symmetric_levels,
    measure_levels,
)
from paretocast.data import load_dataset
from paretocast.data.scaling import Transform
from paretocast.data.task import TaskShape, plan_task
from paretocast.metrics.forecast import Forecast
from paretocast.search.models import MODELS, default_config
from paretocast.settings import TrainingSettings, TuneSettings
from paretocast.training import forecast_positions
from paretocast.training.setup import TrainingSetup, start_training

if TYPE_CHECKING:
    from paretocast.calibration.interval_levels import LevelCoverage
    from paretocast.data.task import Task
    from paretocast.training import Training

MODEL = "NHITS_Q"
TARGET = 80.0


def bench_of(task: Task, training: TrainingSettings, device: str) -> TrainingSetup:
    return TrainingSetup.from_settings(
        TuneSettings(model=MODEL, training=training, target_coverage=TARGET), task, device=device
    )


def train(setup: TrainingSetup, seed: int) -> Training:
    """The default config, trained to the end of its budget."""
    config = default_config(MODEL, MODELS[MODEL].space)
    if config is None:
        raise SystemExit(f"{MODEL} has no default config")
    training = start_training(setup, config, seed=seed)
    training.advance(setup.budget_steps, should_stop=lambda: False)
    return training


def forecast_split(setup: TrainingSetup, training: Training, split: str) -> np.ndarray:
    with training.best_model() as model:
        scaled = forecast_positions(model, setup.source, setup.task.issues[split])
    return np.sort(setup.scaling.unscale(scaled), axis=-1)


def retrain_seconds(
    dataset: str, data_dir: Path | None, low: float, training: TrainingSettings, device: str
) -> float:
    """What one candidate costs where its levels are trained: from the task to its coverage."""
    loaded = load_dataset(dataset, data_dir=data_dir, covariates=[])
    started = time.perf_counter()
    task = plan_task(
        loaded.series, loaded.dates, shape=TaskShape(levels=(low, 0.1, 0.5, 0.9, 1.0 - low))
    )
    setup = bench_of(task, training, device)
    forecast = forecast_split(setup, train(setup, seed=1), "tune")
    inside = (forecast[..., 0] <= task.observed("tune")) & (
        task.observed("tune") <= forecast[..., -1]
    )
    inside.mean()
    return time.perf_counter() - started


def search_levels(
    replay: LevelCoverage, *, n_trials: int, seed: int, symmetric: bool = True
) -> IntervalLevels:
    """The best of so many proposals of Optuna's TPE sampler."""

    def cost(trial: optuna.Trial) -> float:
        low = trial.suggest_float("q_low", *LOW_BOUNDS)
        high = 1.0 - low if symmetric else trial.suggest_float("q_high", *HIGH_BOUNDS)
        return replay.cost(low, high)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(cost, n_trials=n_trials)
    low = study.best_params["q_low"]
    high = study.best_params.get("q_high", 1.0 - low)
    return IntervalLevels(
        low=low,
        high=high,
        cost=study.best_value,
        coverage=replay.coverage(low, high),
        width=replay.width(low, high),
    )


def compare(replay: LevelCoverage, n_trials: int, seed: int) -> list[list[object]]:
    """Exact optimum and Optuna's best on the same arrays."""
    rows: list[list[object]] = []
    for symmetric in (True, False):
        started = time.perf_counter()
        exact = best_symmetric_levels(replay) if symmetric else best_levels(replay)
        exact_seconds = time.perf_counter() - started
        started = time.perf_counter()
        found = search_levels(replay, n_trials=n_trials, seed=seed, symmetric=symmetric)
        searched_seconds = time.perf_counter() - started
        name = "symmetric" if symmetric else "free"
        rows.append([name, "exact", *described(exact), exact_seconds])
        rows.append([name, f"Optuna, {n_trials} trials", *described(found), searched_seconds])
    return rows


def described(levels: IntervalLevels) -> list[float]:
    return [levels.low, levels.high, levels.coverage, levels.width, levels.cost]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", default="heat")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--steps", type=int, default=None, help="gradient steps of a training")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--retrained", type=int, default=3)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="60 steps, 1 retrained, 100 trials")
    arguments = parser.parse_args()
    steps = 60 if arguments.quick else arguments.steps
    n_retrained = 1 if arguments.quick else arguments.retrained
    n_trials = 100 if arguments.quick else arguments.trials
    training = TrainingSettings(steps=steps, transform=Transform.NONE, anchor="none")

    loaded = load_dataset(arguments.dataset, data_dir=arguments.data_dir, covariates=[])
    task = plan_task(loaded.series, loaded.dates)
    setup = bench_of(task, training, arguments.device)
    observed = task.observed("tune")
    quantiles = forecast_split(setup, train(setup, arguments.seed), "tune")
    forecast = Forecast(quantiles, task.shape.levels, observed)

    lows = np.linspace(*LOW_BOUNDS, arguments.candidates)
    replayed, retrained = [], []
    for i in range(n_retrained):
        started = time.perf_counter()
        replay = measure_levels(forecast, target=TARGET)
        for low in lows:
            replay.cost(float(low), float(1.0 - low))
        replayed.append(time.perf_counter() - started)
        retrained.append(
            retrain_seconds(
                arguments.dataset, arguments.data_dir, float(lows[i]), training, arguments.device
            )
        )
    replay_seconds = float(np.median(replayed))
    retraining_seconds = arguments.candidates * float(np.median(retrained))
    timing = [
        [f"{arguments.candidates} candidates, replayed", replay_seconds, ""],
        [f"one candidate, retrained (of {n_retrained})", float(np.median(retrained)), ""],
        [
            f"{arguments.candidates} candidates, retrained (projected)",
            retraining_seconds,
            retraining_seconds / replay_seconds,
        ],
    ]
    print_table(["(a)", "seconds", "times the replay"], timing)
    print()
    columns = ["(b) levels", "search", "low", "high", "PICP %", "width", "cost", "seconds"]
    rows = compare(replay, n_trials, arguments.seed)
    print_table(columns, rows)
    never_worse = all(
        float(str(exact[6])) <= float(str(found[6])) + 1e-6
        for exact, found in zip(rows[::2], rows[1::2], strict=True)
    )
    print(f"the exact optimum is {'never' if never_worse else 'somewhere'} worse than the search")
    print_result(
        {
            "dataset": arguments.dataset,
            "points": int((~np.isnan(observed)).sum()),
            "steps": setup.budget_steps,
            "replay_seconds": replayed,
            "retraining_seconds_each": retrained,
            "ratio": retraining_seconds / replay_seconds,
            "columns": columns,
            "rows": rows,
            "never_worse": never_worse,
        },
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
