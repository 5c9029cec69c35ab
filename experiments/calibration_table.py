"""Calibrated intervals on the test split of tuned studies: nothing is fitted on it.

    python experiments/calibration_table.py --run hpo/results/NHITS_Q_heat [--run ...]

For each study the chosen config is trained once more as its trial was (same seed, same budget) and
forecasts the calibrate split and every daily issue of the test split. Each calibrator is fitted on
the calibrate split; static ones are applied to the test split, online ones walk through it and
learn at each issue from what had been observed by then. Coverage is in percent with its 95 %
interval, by calendar month its lowest and highest; width and losses are in target units.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import forecast_splits, print_result, print_table, script_parser
from scipy.special import stdtr

from paretocast.calibration import (
    CALIBRATORS,
    choose_calibrator,
    fit_calibrator,
    score_interval,
    walk_forward,
)
from paretocast.data.task import Task
from paretocast.metrics.scores import interval, mae
from paretocast.metrics.uncertainty import effective_sample, picp_interval
from paretocast.results.groups import MONTHS, forecast_of
from paretocast.results.stored_study import StoredStudy
from paretocast.training.setup import TrainingSetup, start_training

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.calibration import Calibrator
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
    study = StoredStudy.open(path)
    record = study.record(study.chosen_number)
    place = {} if data_dir is None else {"data_dir": str(data_dir)}
    settings = study.settings.model_copy(update=place)
    if steps is not None:
        short = settings.training.model_copy(update={"steps": steps, "epochs": None})
        settings = settings.model_copy(update={"training": short})
    task = Task.from_settings(settings, with_test=True)
    setup = TrainingSetup.from_settings(settings, task)
    training = start_training(setup, record.config, seed=record.seed)
    for step in setup.rung_steps:
        training.advance(step)
    forecasts = forecast_splits(training, setup, ("calibrate", "test"))
    fit, test = (forecast_of(task, split, quantiles) for split, quantiles in forecasts.items())
    return task.series.name, task, (fit, test, settings)


def score(name: str, test: Forecast, months: NDArray[np.integer], target: float) -> dict[str, Any]:
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
        "probability_within_5": probability_within(
            test.observed, lower, upper, max(0.0, target - 5.0), min(100.0, target + 5.0)
        ),
    }


def probability_within(
    observed: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    low: float,
    high: float,
) -> float:
    """Confidence that the true coverage lies from low to high percent, as in `picp_interval`."""
    sample = effective_sample(observed, lower, upper, rng=np.random.default_rng(0))
    shares = np.array([low, high]) / 100.0
    with np.errstate(divide="ignore"):  # shares of 0 and 1 have no error: beyond all doubt
        scores = (shares - sample.share) / np.sqrt(shares * (1.0 - shares) / sample.size)
    return float(np.diff(stdtr(sample.df, scores))[0])


def main() -> None:
    """Print a row per study and calibrator."""
    parser = script_parser(__doc__)
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
            scores = score(method, forecast, months, target)
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
