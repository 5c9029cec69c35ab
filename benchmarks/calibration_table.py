"""Calibrated intervals on the test split of tuned studies: nothing is fitted on it.

    python benchmarks/calibration_table.py --run hpo/results/NHITS_Q_heat [--run ...]

For each study the chosen config is trained once more as its trial was (same seed, same budget) and
forecasts the calibrate split and every daily issue of the test split. Each calibrator is fitted on
the calibrate split; static ones are applied to the test split, online ones walk through it and
learn at each issue from what had been observed by then. Coverage is in percent with its 95 %
interval, by calendar month its lowest and highest; width and losses are in target units.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table

from paretocast.calibration import (
    CALIBRATORS,
    choose_calibrator,
    fit_calibrator,
    score_interval,
    walk_forward,
)
from paretocast.data import load_dataset
from paretocast.data.task import plan_task
from paretocast.metrics.diagnostics import coverage_probability
from paretocast.metrics.scores import interval, mae
from paretocast.metrics.uncertainty import picp_interval
from paretocast.results.forecasts import find_run
from paretocast.results.groups import MONTHS, forecast_of
from paretocast.settings import TuneSettings
from paretocast.training import forecast_positions
from paretocast.training.setup import TrainingSetup, start_training
from paretocast.workspace import files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration import Calibrator
    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast

COLUMNS = [
    "data set",
    "calibrator",
    "PICP %",
    "low",
    "high",
    "month low",
    "month high",
    "width",
    "Winkler",
    "pinball",
    "MAE",
]


def samples_of(path: Path, data_dir: Path | None, steps: int | None) -> tuple[str, Task, Any]:
    """Name of the data set, task with its test split, and samples of calibrate and test."""
    run = find_run(path)
    settings = TuneSettings.model_validate(files.load_json(run.manifest)["settings"])
    record = files.load_json(run.record(files.load_json(run.best_params)["best_trial_number"]))
    folder = data_dir or (None if settings.data_dir is None else Path(settings.data_dir))
    dataset = load_dataset(settings.dataset, data_dir=folder, covariates=settings.covariates)
    task = plan_task(
        dataset.series,
        dataset.dates,
        shape=settings.task.shape(),
        feature_groups=settings.task.features,
        with_test=True,
    )
    training_settings = settings.training
    if steps is not None:
        training_settings = training_settings.model_copy(update={"steps": steps, "epochs": None})
    setup = TrainingSetup.from_settings(
        TuneSettings(
            model=settings.model,
            training=training_settings,
            target_coverage=settings.target_coverage,
        ),
        task,
        device=settings.device,
    )
    training = start_training(setup, record["config"], seed=record["seed"])
    for step in setup.rung_steps:
        training.advance(step)
    samples = {}
    with training.best_model() as model:
        for split in ("calibrate", "test"):
            scaled = forecast_positions(model, setup.source, task.issues[split])
            samples[split] = forecast_of(task, split, setup.scaling.unscale(scaled))
    return dataset.series.name, task, (samples["calibrate"], samples["test"], settings)


def scored(name: str, test: Forecast, months: NDArray[np.integer], target: float) -> dict[str, Any]:
    """Scores of a calibrated forecast of the test split."""
    scores = score_interval(name, test, coverage=target)
    lower, upper = interval(test.quantiles, test.levels, target)
    low, high = picp_interval(test.observed, lower, upper, rng=np.random.default_rng(0))
    by_month = {
        MONTHS[month]: score_interval(
            name,
            replace(test, observed=np.where(months == month, test.observed, np.nan)),
            coverage=target,
        ).picp
        for month in np.unique(months)
        if not np.isnan(test.observed[months == month]).all()
    }
    return {
        "picp": scores.picp,
        "picp_interval": [low, high],
        "by_month": by_month,
        "mean_width": scores.mean_width,
        "winkler": scores.winkler,
        "pinball": scores.pinball,
        "mae": mae(test.observed, test.nearest(0.5)),
        "probability_within_5": coverage_probability(
            test.observed,
            test.quantiles,
            levels=test.levels,
            target=target,
            tolerance=5.0,
            rng=np.random.default_rng(0),
        ),
    }


def main() -> None:
    """Print a row per study and calibrator."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--run", type=Path, action="append", required=True)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--methods", default=",".join(CALIBRATORS))
    parser.add_argument("--quick", action="store_true", help="train for 100 steps")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    rows: list[list[Any]] = []
    for path in arguments.run:
        steps = 100 if arguments.quick else None
        name, task, (fit, test, settings) = samples_of(path, arguments.data_dir, steps)
        target = settings.target_coverage
        hours = task.series.index[task.horizon_positions("test").ravel()]
        local = hours.tz_convert(task.series.calendar.zone)
        months = (local.month.to_numpy() - 1).reshape(test.observed.shape)
        chosen = choose_calibrator(fit, coverage=target).calibrator.name
        figures[name] = {"auto": chosen, "test_windows": test.n_windows, "methods": {}}
        for method in arguments.methods.split(","):
            calibrator: Calibrator = fit_calibrator(fit, method)
            forecast = walk_forward(calibrator, test).forecast
            scores = scored(method, forecast, months, target)
            figures[name]["methods"][method] = scores
            picps = scores["by_month"].values()
            rows.append(
                [
                    name,
                    f"{method}{' (auto)' if method == chosen else ''}",
                    scores["picp"],
                    *scores["picp_interval"],
                    min(picps),
                    max(picps),
                    scores["mean_width"],
                    scores["winkler"],
                    scores["pinball"],
                    scores["mae"],
                ]
            )
    print_table(COLUMNS, rows)
    print_result({"figures": figures})


if __name__ == "__main__":
    main()
