"""Scores of the baselines on the published test windows, which show that the windows are the same.

    python experiments/baseline_table.py --data-dir DATA [--refit] [--calibrator cqr]

The seasonal-naive MAE of a correct implementation is 0.1930 (heat), 4.821e-3 (water_centrum) and
8.658e-3 (water_tommerby). Without weather; `seconds` are those of the fits and of all forecasts.
"""

from __future__ import annotations

import time
from typing import Any

from harness import print_result, print_table, script_parser

from paretocast.benchmarking import calibrate_test
from paretocast.benchmarking.test_split import validation_stop
from paretocast.data.task import Task
from paretocast.metrics.score_table import score_forecast
from paretocast.models.baselines.catalogue import (
    fit_baseline,
    installed_baselines,
    study_baselines,
)
from paretocast.settings import TuneSettings

DATASETS = ("heat", "water_centrum", "water_tommerby")
SCORES = ("mae", "rmse", "picp", "mean_width", "pinball", "winkler")


def score_baseline(
    name: str, task: Task, *, refit: bool, calibrator: str
) -> dict[str, dict[str, float]]:
    """Scores of a baseline on the tune split, as fitted, and on the test split, calibrated."""
    started = time.perf_counter()
    fitted = fit_baseline(name, task)
    late = fit_baseline(name, task, until=validation_stop(task)) if refit else fitted
    forecasts = {s: fitted.forecast(task, task.issues[s]) for s in ("tune", "calibrate")}
    forecasts["test"] = late.forecast(task, task.issues["test"])
    seconds = time.perf_counter() - started
    calibrated = calibrate_test(task, forecasts, calibrator, coverage=80.0)
    forecasts["test"] = calibrated.forecast.quantiles
    scores = {
        split: score_forecast(task.observed(split), forecasts[split], levels=task.shape.levels)
        for split in ("tune", "test")
    }
    return {**scores, "cost": {"seconds": seconds}}


def main() -> None:
    """Print the table of all data sets."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--references", nargs="+", default=None, help="else all installed ones")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--refit", action="store_true", help="learn from all hours before test")
    parser.add_argument("--calibrator", default="none")
    parser.add_argument("--quick", action="store_true", help="only those without an extra")
    arguments = parser.parse_args()
    names = arguments.references or installed_baselines()
    if arguments.quick:
        names = study_baselines()
    figures: dict[str, dict[str, Any]] = {}
    for dataset_name in arguments.datasets:
        settings = TuneSettings(dataset=dataset_name, data_dir=arguments.data_dir, covariates=())
        task = Task.from_settings(settings, with_test=True)
        figures[dataset_name] = {
            name: score_baseline(name, task, refit=arguments.refit, calibrator=arguments.calibrator)
            for name in names
        }
    print_table(
        ["data set", "reference", "n", *SCORES, "tune mae", "tune pinball", "seconds"],
        [
            [
                dataset_name,
                name,
                int(scores["test"]["n"]),
                *(scores["test"][score] for score in SCORES),
                *(scores["tune"][score] for score in ("mae", "pinball")),
                scores["cost"]["seconds"],
            ]
            for dataset_name, baselines in figures.items()
            for name, scores in baselines.items()
        ],
    )
    print_result({"scores": figures, "refit": arguments.refit, "calibrator": arguments.calibrator})


if __name__ == "__main__":
    main()
